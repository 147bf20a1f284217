"""What arguments are refused, and in which words: the argument, what is accepted, and the value that was given."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Final, TypeVar

__all__ = ("checked_callback", "checked_exception", "positive_int", "positive_seconds", "shown")

C = TypeVar("C")

_MAX_SECONDS: Final = 1_000_000_000
_MAX_SHOWN: Final = 80


def shown(value: object, text: Callable[[object], str] = repr) -> str:
    """Return `text(value)` for a message, its beginning if it is longer than 80 characters. Never raises.

    A `text` that fails must not hide the error that it was to describe: it is replaced by the name of the type.
    """
    try:
        words = text(value)
    except Exception:  # whatever a foreign __repr__ raises
        return f"<{type(value).__name__} that cannot be shown>"
    return words if len(words) <= _MAX_SHOWN else f"{words[: _MAX_SHOWN - 3]}..."


def positive_int(name: str, value: object, *, minimum: int = 1, or_none: str = "") -> None:
    """Refuse a value that is not an int of at least `minimum` (bool is none); with `or_none`, None is accepted too.

    Raises:
        TypeError, ValueError: naming the argument, the value and what is accepted.
    """
    if value is None and or_none:
        return
    accepted = f"an int >= {minimum}" + (f", or None: {or_none}" if or_none else "")
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be {accepted}; got {shown(value)}")
    if value < minimum:
        raise ValueError(f"{name} must be {accepted}; got {shown(value)}")


def positive_seconds(name: str, value: object, or_none: str = "") -> None:
    """Refuse what is no number of seconds above 0 and at most 1e9; with `or_none`, None is accepted too.

    The limit is some thirty years: far above what anyone waits, and far below what a timer refuses.

    Raises:
        TypeError, ValueError: naming the argument, the value and what is accepted.
    """
    if value is None and or_none:
        return
    accepted = "a number of seconds above 0 and at most 1e9" + (f", or None: {or_none}" if or_none else "")
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be {accepted}; got {shown(value)}")
    if not 0 < value <= _MAX_SECONDS:
        raise ValueError(f"{name} must be {accepted}; got {shown(value)}")


def checked_callback(name: str, value: C, *, optional: bool = True) -> C:
    """Return `value` if it can be called and is no coroutine function, whose body would never run.

    Args:
        name: the argument's name.
        value: what is to be called back.
        optional: whether None is accepted.

    Raises:
        TypeError: naming the argument, the value and what is accepted.
    """
    if value is None and optional:
        return value
    if not callable(value) or iscoroutinefunction(value) or iscoroutinefunction(type(value).__call__):
        accepted = "a function, not a coroutine function" + (", or None" if optional else "")
        raise TypeError(f"{name} must be {accepted}; got {shown(value)}")
    return value


def checked_exception(value: object) -> Exception:
    """Return `value` if it can be the error of a stream.

    A class is none, and neither is what must pass through: CancelledError, KeyboardInterrupt, SystemExit.

    Raises:
        TypeError: naming the value and what is accepted.
    """
    if not isinstance(value, Exception):
        raise TypeError(f"error must be an instance of Exception; got {shown(value)}")
    return value
