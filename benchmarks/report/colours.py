"""One look per strategy: the same in every chart of a report and, for the known ones, in every report.

A look is a slot, a number from 0 to 7 for the colour, and a style. `report.css` says what the colours are on light and
on dark ground. The eight were chosen to be told apart with protanopia, deuteranopia and tritanopia too, and none is the
red of what is wrong. Strategies of one family share a colour and differ in style, so that there are enough for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

__all__ = ("SLOT_COUNT", "Look", "assign")

SLOT_COUNT: Final = 8
_STYLES: Final = 3

# By what a strategy is called or, for a buffer, what it does when it is full.
_FAMILIES: Final[Mapping[str, int]] = {
    "suspend": 0,
    "latest": 1,
    "drop_oldest": 2,
    "reduce": 3,
    "buffer suspend": 4,
    "error": 5,
    "buffer error": 5,
    "missing": 6,
    "unbounded": 6,
    "drop": 7,
    "drop_incoming": 7,
    "drop_newest_held": 7,
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a strategy is drawn with.

    Attributes:
        slot: its colour.
        style: 0: solid; 1: dashed lines, pale bars; 2: dotted lines, hollow bars.
    """

    slot: int
    style: int = 0

    @property
    def css(self) -> str:
        """Its classes in the style sheet."""
        return f"s{self.slot} style{self.style}"


def assign(strategies: Iterable[str]) -> dict[str, Look]:
    """Give every strategy, named as `Cell.strategy_name` does, its look.

    Up to 24 strategies differ; beyond that looks come again.
    """
    names = list(dict.fromkeys(strategies))
    looks: dict[str, Look] = {}
    for name in names:
        slot = _FAMILIES.get(_kind(name))
        of_family = [] if slot is None else [Look(slot, style) for style in range(_STYLES)]
        look = next((look for look in of_family if look not in looks.values()), None)
        if look is not None:
            looks[name] = look
    free = [Look(slot, style) for style, slot in product(range(_STYLES), range(SLOT_COUNT))]
    free = [look for look in free if look not in looks.values()] or [Look(0)]
    rest = [name for name in names if name not in looks]
    looks.update({name: free[count % len(free)] for count, name in enumerate(rest)})
    return looks


def _kind(strategy: str) -> str:
    name, _, parameters = strategy.rstrip(")").partition("(")
    if name != "buffer":
        return name
    words = {word.strip() for word in parameters.split(",")}
    if words & {"suspend", "error"}:
        return f"buffer {'suspend' if 'suspend' in words else 'error'}"
    return next((word for word in sorted(words) if word in _FAMILIES), name)
