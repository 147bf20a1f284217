"""Bars of cells: throughput, and the parts of a token's delay. Drawn as HTML and SVG, so they need no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.report.colours import Look
from benchmarks.report.columns import Column, Figure, figure, shown
from benchmarks.report.curves import mean_us, pooled
from benchmarks.report.markup import Markup, joined, tag
from benchmarks.results import CellResult

__all__ = ("Bars", "delays", "grouped", "measured", "swatch", "throughput")

_PARTS: Final[Mapping[str, str]] = {
    "pacing": "held back at the source",
    "queue": "in the queue",
    "socket": "in the socket",
    "client": "in the client",
}


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart of bars, or why there is none.

    Attributes:
        title: above it.
        content: its markup; None: there is none.
        absent: why, in words.
    """

    title: str
    content: Markup | None
    absent: str


# --- Throughput ------------------------------------------------------------------------------------------------------


def throughput(cells: Sequence[CellResult], looks: Mapping[str, Look], column: Column) -> Bars:
    """Return a bar per cell: its median over the repeats, with a line from the smallest to the largest."""
    figures = {cell.name: found for cell in cells if (found := figure(cell, column.name)) is not None}
    whole = max((found.high for found in figures.values()), default=0.0)
    panels: list[Markup | None] = []
    for title, members in grouped(cells):
        rows: list[Markup] = []
        for cell in members:
            found = figures.get(cell.name)
            if found is None:
                continue
            track = measured(found, whole, f"bar {looks[cell.strategy].css}")
            rows.append(_row(cell, looks, track, column.value(found.median)))
        panels.append(_panel(title, rows))
    title = f"{column.title}, by cell"
    note = tag("p", "The median of the repeats; the thin line reaches from the lowest to the highest.", class_="note")
    content = _chart(title, note, panels) if figures else None
    return Bars(title, content, "No cell of this scenario has a throughput: nothing was received.")


# --- Delay -----------------------------------------------------------------------------------------------------------


def delays(cells: Sequence[CellResult], looks: Mapping[str, Look]) -> Bars:
    """Return a stacked bar per cell: the mean time that a token spent in each part of its way.

    Means and not percentiles, because only means of parts add up to the mean of the whole.
    """
    means = {cell.name: parts for cell in cells if (parts := _parts(cell))}
    panels: list[Markup | None] = []
    for title, members in grouped([cell for cell in cells if cell.name in means]):
        whole = max(sum(means[cell.name].values()) for cell in members)
        panels.append(_panel(title, [_stack(cell, looks, means[cell.name], whole) for cell in members]))
    present = [part for part in _PARTS if any(part in parts for parts in means.values())]
    key = [tag("span", _square(f"part {part}"), _PARTS[part]) for part in present]
    together = _and([part for part in present if part != "pacing"])
    note = tag(
        "p",
        f"The mean time of a token in each part of its way, from when it was due to its arrival; {together} together "
        "are its delay. The queue is the strategy's own; the socket is the server's tail, the kernel "
        "and the client's receive buffer, which no strategy rules. Every panel has its own scale.",
        class_="note",
    )
    title = "Where a token spends its time"
    content = _chart(title, note, panels, tag("p", *key, class_="key")) if means else None
    return Bars(title, content, "No stream of this scenario was traced, so a delay cannot be split.")


def _parts(cell: CellResult) -> dict[str, float]:
    """Return the mean of each part in ms; nothing if only pacing is known, which is no delay by itself."""
    means = {part: mean_us(pooled(cell.repeats, f"{part}_us")) for part in _PARTS}
    found = {part: mean / 1000 for part, mean in means.items() if mean is not None}
    return found if found.keys() - {"pacing"} else {}


def _stack(cell: CellResult, looks: Mapping[str, Look], parts: Mapping[str, float], whole: float) -> Markup:
    drawn: list[Markup] = []
    start = 0.0
    for part, mean in parts.items():
        drawn.append(_rect(start, mean, whole, f"part {part}"))
        start += mean
    words = " + ".join(f"{shown(mean)} {_PARTS[part]}" for part, mean in parts.items())
    return _row(cell, looks, _track(drawn), f"{shown(start)} ms", f"{words} (ms)")


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


# --- What both are made of -------------------------------------------------------------------------------------------


def grouped(cells: Iterable[CellResult]) -> list[tuple[str, list[CellResult]]]:
    """Return the cells by what reads them and over what, in their order."""
    groups: dict[str, list[CellResult]] = {}
    for cell in cells:
        groups.setdefault(cell.reader if cell.transport == "sse" else f"{cell.reader}, {cell.transport}", []).append(
            cell
        )
    return list(groups.items())


def swatch(look: Look) -> Markup:
    """Return a small sample of a strategy's look."""
    return _square(f"bar {look.css}")


def _square(css: str) -> Markup:
    square = tag("rect", x=1, y=1, width=10, height=10, rx=2, class_=css)
    return tag("svg", square, class_="swatch", viewBox="0 0 12 12", aria_hidden="true")


def _chart(title: str, note: Markup, panels: Iterable[Markup | None], key: Markup | None = None) -> Markup:
    return tag("section", tag("h3", title), note, key, tag("div", joined(panels), class_="panels"), class_="chart")


def _panel(title: str, rows: Iterable[Markup]) -> Markup | None:
    rows = list(rows)
    if not rows:
        return None
    return tag("figure", tag("figcaption", "Reader: ", title), tag("ul", *rows, class_="bars"))


def _row(cell: CellResult, looks: Mapping[str, Look], track: Markup, value: str, words: str | None = None) -> Markup:
    label = tag("span", swatch(looks[cell.strategy]), f"{cell.variant} {cell.strategy}", class_="label")
    return tag("li", label, track, tag("span", value, class_="value"), title=words)


def measured(found: Figure, whole: float, css: str) -> Markup:
    """Return a bar for a median, with a line from the lowest to the highest; `whole` is what the full width means."""
    drawn = [_rect(0.0, found.median, whole, css)]
    if found.count > 1:
        drawn.append(_spread(found.low, found.high, whole))
    return _track(drawn)


def _track(drawn: Iterable[Markup]) -> Markup:
    return tag("svg", *drawn, width="100%", height=16, aria_hidden="true", class_="track")


def _rect(start: float, length: float, whole: float, css: str) -> Markup:
    return tag("rect", x=_percent(start, whole), y="6%", width=_percent(length, whole), height="88%", class_=css)


def _spread(low: float, high: float, whole: float) -> Markup:
    return tag("line", x1=_percent(low, whole), x2=_percent(high, whole), y1="50%", y2="50%", class_="spread")


def _percent(value: float, whole: float) -> str:
    return f"{100 * max(0.0, value) / whole:.3f}%" if whole > 0 else "0%"
