"""Arguments are refused by name, with the value and what is accepted."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Any

import pytest

from streams.arguments import checked_callback, checked_exception, positive_int, positive_seconds, shown

__all__ = ()


async def later(item: object) -> object:
    return item


class CalledLater:
    async def __call__(self, item: object) -> object:
        return item


class Unspeakable:
    def __repr__(self) -> str:
        raise LookupError("no words")


@pytest.mark.parametrize(("value", "options"), [(1, {}), (0, {"minimum": 0}), (None, {"or_none": "no limit"})])
def test_positive_int_accepts(value: object, options: dict[str, Any]) -> None:
    positive_int("count", value, **options)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (-5, ValueError),
        (True, TypeError),
        (1.0, TypeError),
        (float("nan"), TypeError),
        ("1", TypeError),
    ],
)
def test_positive_int_refuses(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"count must be an int >= 1; got "):
        positive_int("count", value)


@pytest.mark.parametrize("value", [5, 0.001, 1e9])
def test_positive_seconds_accepts(value: object) -> None:
    positive_seconds("timeout_s", value)


def test_positive_seconds_accepts_none_where_it_has_a_meaning() -> None:
    positive_seconds("timeout_s", None, or_none="no limit")
    with pytest.raises(TypeError, match=r"timeout_s must be a number of seconds .*; got None"):
        positive_seconds("timeout_s", None)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (-0.5, ValueError),
        (1e9 + 1, ValueError),
        (10**400, ValueError),
        (float("inf"), ValueError),
        (float("nan"), ValueError),
        (True, TypeError),
        ("5", TypeError),
    ],
)
def test_positive_seconds_refuses(value: object, error: type[Exception]) -> None:
    accepted = "a number of seconds above 0 and at most 1e9, or None: no limit"
    with pytest.raises(error, match=f"timeout_s must be {accepted}; got {re.escape(shown(value))}"):
        positive_seconds("timeout_s", value, or_none="no limit")


@pytest.mark.parametrize("value", [print, "".join, lambda item: item, list, partial(print, 1)])
def test_checked_callback_gives_back_what_can_be_called(value: object) -> None:
    assert checked_callback("on_drop", value) is value


def test_checked_callback_accepts_none_only_where_it_is_optional() -> None:
    checked_callback("on_drop", None)
    with pytest.raises(TypeError, match=r"^on_drop must be a function, not a coroutine function; got None$"):
        checked_callback("on_drop", None, optional=False)


@pytest.mark.parametrize("value", [5, "print", later, partial(later, 1), CalledLater(), CalledLater().__call__])
def test_checked_callback_refuses_what_cannot_be_called_or_would_never_run(value: object) -> None:
    with pytest.raises(TypeError, match=r"^on_drop must be a function, not a coroutine function, or None; got "):
        checked_callback("on_drop", value)


def test_checked_exception_gives_back_the_exception() -> None:
    error = LookupError("lost")
    assert checked_exception(error) is error


@pytest.mark.parametrize("value", [None, "lost", LookupError, KeyboardInterrupt(), asyncio.CancelledError()])
def test_checked_exception_refuses_what_is_no_error_of_a_stream(value: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(f"error must be an instance of Exception; got {value!r}")):
        checked_exception(value)


@pytest.mark.parametrize(("length", "words"), [(78, "'" + "x" * 78 + "'"), (79, "'" + "x" * 76 + "...")])
def test_shown_is_the_beginning_of_a_long_value(length: int, words: str) -> None:
    assert shown("x" * length) == words


def test_shown_never_raises() -> None:
    assert shown(Unspeakable()) == "<Unspeakable that cannot be shown>"
    assert shown(10**5000) == "<int that cannot be shown>"
