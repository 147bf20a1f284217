"""What drawings are put together from: groups of marks, and texts that do not cover each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streams.marbles.layout import Layout
from streams.marbles.markup import Markup, joined, tag, text_width

__all__ = ("SMALL", "group", "small", "texts_in_line")

SMALL: Final = 10.5
"""The size of every text but names and what is written on marbles."""


def group(name: str, *marks: str, **attributes: str) -> Markup:
    """Return marks as a group, each on a line of its own."""
    return joined(["\n", tag("g", *(joined(["\n", mark]) for mark in marks), class_=name, **attributes)])


def small(text: str, x: float, y: float, anchor: str | None = None, look: str = "md-small") -> Markup:
    """Return a text in the small size."""
    return tag("text", text, class_=look, x=x, y=y, font_size=SMALL, text_anchor=anchor)


class _Texts:
    """Texts in one line: each stands where it should, or is left out if another stands there."""

    def __init__(self, left: float, right: float) -> None:
        self._bounds = left, right
        self._taken: list[tuple[float, float]] = []

    def place(self, text: str, x: float) -> float | None:
        """Return the middle of a text that is to stand around `x`, moved in from the edges; None: no room."""
        left, right = self._bounds
        half = text_width(text, SMALL) / 2
        if 2 * half > right - left:
            return None
        middle = max(left + half, min(x, right - half))
        if any(middle - half < end and begin < middle + half for begin, end in self._taken):
            return None
        self._taken.append((middle - half - 3, middle + half + 3))
        return middle


def texts_in_line(layout: Layout, y: float, texts: list[tuple[str, float]]) -> Iterator[Markup]:
    """Yield as many of the texts as have room in one line, the first ones first."""
    line = _Texts(layout.left - 4, layout.width - 4)
    for text, wanted_x in texts:
        x = line.place(text, wanted_x)
        if x is not None:
            yield small(text, x, y, "middle", "md-small md-beside")
