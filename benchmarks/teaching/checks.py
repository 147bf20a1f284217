"""Exercises that check themselves, and observations that are asserted.

Both print one line in English and Chinese: the two editions of a lesson share their cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from math import isclose, isnan
from typing import Any, Final, cast

from streams.arguments import shown

__all__ = ("check", "observe")

_WAITING: Final = "Waiting for your answer. · 等你作答。"
_RIGHT: Final = "Right. · 对了。"
_TOLERANCE: Final = 1e-9


def check(answer: object, truth: object, hint: str = "", *, tolerance: float = _TOLERANCE) -> bool:
    """Print whether `answer` is right; of a wrong one what differs, without giving the right one away.

    Args:
        answer: what the student thinks; `...`, or anything that holds one, is no answer yet.
        truth: the right answer. Lists and tuples are compared item by item, sets and mappings without order.
        hint: printed with a wrong answer.
        tolerance: how far a number may be off, relative to the right one.

    Returns:
        Whether it is right.

    Raises:
        TypeError: `hint` is no text.
    """
    if not isinstance(hint, str):
        raise TypeError(f"hint must be a str; got {shown(hint)}")
    if _is_open(answer):
        print(_WAITING)
        return False
    difference = _difference(answer, truth, tolerance)
    print(f"Not yet: {difference} · 还不对。{hint}".rstrip() if difference else _RIGHT)
    return not difference


def observe(claim: str, holds: object) -> None:
    """Assert what a lesson says is to be seen, and print it.

    Raises:
        AssertionError: it does not hold; the message is the claim.
    """
    if not holds:
        raise AssertionError(f"not observed: {claim}")
    print(f"Observed · 观察到: {claim}")


def _is_open(answer: object) -> bool:
    if isinstance(answer, str | bytes):
        return False
    if isinstance(answer, Mapping):
        return any(map(_is_open, cast("Mapping[Any, object]", answer).values()))
    if isinstance(answer, Sequence | Set):
        return any(map(_is_open, cast("Sequence[object]", answer)))
    return answer is ...


def _difference(answer: Any, truth: Any, tolerance: float) -> str:
    """Say what is wrong; nothing if nothing is."""
    for kinds, rule in _RULES:
        if isinstance(truth, kinds):
            return rule(answer, truth, tolerance)
    return "" if answer == truth else _of_other_kind(answer, truth) or "it is another one"


def _truth_value(answer: Any, truth: Any, tolerance: float) -> str:
    return "" if answer is truth else _of_other_kind(answer, truth) or "it is the other way round"


def _of_other_kind(answer: object, truth: object) -> str:
    expected, given = type(truth).__name__, type(answer).__name__
    return "" if isinstance(answer, type(truth)) else f"the answer is of type {expected}, yours of type {given}"


def _number(answer: Any, truth: Any, tolerance: float) -> str:
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return f"the answer is a number, yours of type {type(answer).__name__}"
    if isclose(answer, truth, rel_tol=tolerance, abs_tol=tolerance):
        return ""
    if isnan(answer):
        return "yours is no number"
    return "yours is too large" if answer > truth else "yours is too small"


def _text(answer: Any, truth: Any, tolerance: float) -> str:
    if other := _of_other_kind(answer, truth):
        return other
    if answer == truth:
        return ""
    same = next((at for at, (a, t) in enumerate(zip(answer, truth, strict=False)) if a != t), None)
    if same is None:
        return "yours is too long" if len(answer) > len(truth) else "yours is too short"
    return f"look at character {same + 1} again" if same else "it is another one"


def _sequence(answer: Any, truth: Any, tolerance: float) -> str:
    if not _is_one_of(answer, Sequence):
        return f"the answer is a list, yours of type {type(answer).__name__}"
    for place, (mine, right) in enumerate(zip(answer, truth, strict=False), 1):
        if _difference(mine, right, tolerance):
            before = f"right up to item {place - 1}; " if place > 1 else ""
            return f"{before}look at item {place} again"
    if len(answer) == len(truth):
        return ""
    return f"right as far as it goes, but {'too long' if len(answer) > len(truth) else 'too short'}"


def _set(answer: Any, truth: Any, tolerance: float) -> str:
    if not _is_one_of(answer, Sequence, Set):
        return f"the answer is a set, yours of type {type(answer).__name__}"
    given, right = set(answer), set(truth)
    wrong, missing = len(given - right), len(right - given)
    parts = [f"{wrong} of yours should not be in it"] if wrong else []
    parts += [f"{missing} more should be"] if missing else []
    return ", ".join(parts)


def _mapping(answer: Any, truth: Any, tolerance: float) -> str:
    if not _is_one_of(answer, Mapping):
        return f"the answer is a dict, yours of type {type(answer).__name__}"
    if answer.keys() != truth.keys():
        return "its keys: " + _set(answer.keys(), truth.keys(), tolerance)
    wrong = [str(key) for key, right in truth.items() if _difference(answer[key], right, tolerance)]
    return f"look at {', '.join(wrong)} again" if wrong else ""


def _is_one_of(answer: object, *kinds: type) -> bool:
    return isinstance(answer, kinds) and not isinstance(answer, str | bytes)


_RULES: Final[tuple[tuple[tuple[type, ...], Callable[[Any, Any, float], str]], ...]] = (
    ((bool,), _truth_value),
    ((int, float), _number),
    ((str, bytes), _text),
    ((Mapping,), _mapping),
    ((Set,), _set),
    ((Sequence,), _sequence),
)
"""What is compared how; the first that fits holds."""
