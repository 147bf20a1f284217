"""The line charts as data, and the room that is kept for them in the page; `charts.js` draws them with uPlot.

A chart has one view, or several to choose from. A view has panels with common scales, one for each variant, reader and
transport; a panel has one line per strategy, so that a colour means one strategy and a strategy is one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.report.colours import Look
from benchmarks.report.columns import number, numbers, shown
from benchmarks.report.curves import PERCENTILES, percentiles, pooled
from benchmarks.report.markup import Markup, joined, tag
from benchmarks.results import CellResult, Repeat

__all__ = ("Chart", "Line", "Panel", "View", "freshness", "latencies", "losses", "memory", "placed")

Looks = Mapping[str, Look]

# In the order of what is looked for first. What a results file has beside them follows.
_DISTRIBUTIONS: Final[Mapping[str, str]] = {
    "lateness_us": "Lateness, due to received",
    "delay_us": "Delay, emitted to received",
    "itl_us": "Gaps between tokens (ITL)",
    "ttft_us": "Time to first token (TTFT), from the scheduled time",
    "ttft_from_send_us": "Time to first token, from the send",
    "tpot_us": "Time per token (TPOT)",
    "queue_us": "In the queue, emitted to taken",
    "socket_us": "In the socket, taken to received",
    "pacing_us": "Pacing, due to emitted",
    "freshness_us": "Freshness, age of the newest token that the reader has",
    "e2e_us": "End to end, to the last content",
    "e2e_body_us": "End to end, to the end of the body",
    "ttfb_us": "Time to first byte",
    "first_event_us": "Time to first event",
}
_KIB_PER_MIB: Final = 1024.0


@dataclass(frozen=True, slots=True)
class Line:
    """One strategy in a panel: `y` over `x`, and its look."""

    label: str
    slot: int
    style: int
    x: list[float]
    y: list[float]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines that share their axes. `description` says in words what they show, for those who cannot see it."""

    title: str
    lines: list[Line]
    description: str


@dataclass(frozen=True, slots=True)
class View:
    """Panels that share their scales."""

    title: str
    panels: list[Panel]


@dataclass(frozen=True, slots=True)
class Chart:
    """What `charts.js` needs of a chart, and what stands around it.

    Attributes:
        key: its id in the page.
        title: above it.
        note: what is to be known to read it.
        absent: why there is no chart, in words, for when there is not one view.
        kind: "percentiles" (x is -log10(1 - share)), "ordinal" (x is an index of `ticks`) or "time" (x in seconds).
        unit: of y.
        log: whether y is logarithmic.
        from_zero: whether y begins at 0.
        ticks: names of the positions on x of an ordinal chart.
        views: at least one, if there is anything to show.
    """

    key: str
    title: str
    note: str
    absent: str
    kind: str
    unit: str
    views: list[View]
    log: bool = False
    from_zero: bool = True
    ticks: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return asdict(self)


# --- The charts of a scenario ----------------------------------------------------------------------------------------


def latencies(key: str, cells: Sequence[CellResult], looks: Looks) -> Chart:
    """Return percentile curves, one view per distribution, decoded from the histograms of all repeats."""
    names = dict.fromkeys([*_DISTRIBUTIONS, *(name for cell in cells for name in _histogram_names(cell))])
    views: list[View] = []
    for name in names:

        def curve(cell: CellResult, name: str = name) -> list[tuple[float, float]]:
            return [(nines, value_us / 1000) for nines, value_us in percentiles(pooled(cell.repeats, name))]

        title = _DISTRIBUTIONS.get(name, name.removesuffix("_us").replace("_", " "))
        views.extend(_view(title, cells, looks, curve, "ms", _at_percentiles))
    return Chart(
        key,
        "Latency by percentile",
        "Both scales are logarithmic: each step to the right is a tenth of the tokens that is left. A curve ends where "
        "there are too few values to go on.",
        "No stream of this scenario was timed token by token, so there is no distribution to draw.",
        kind="percentiles",
        unit="ms",
        views=views,
        log=True,
    )


def freshness(key: str, cells: Sequence[CellResult], looks: Looks) -> Chart:
    """Return the age of the newest token that a reader has, over time."""
    views = _view("Freshness", cells, looks, lambda cell: _series(cell, "freshness"), "ms", _at_end)
    return Chart(
        key,
        "Freshness over time",
        "The age of the newest token that the reader has. A line that stays low is a reader who hears what is said "
        "now; one that rises falls behind.",
        "No stream of this scenario was traced, so the age of what its reader had is not known.",
        kind="time",
        unit="ms",
        views=views,
    )


def memory(key: str, cells: Sequence[CellResult], looks: Looks) -> Chart:
    """Return the resident memory of the server over time."""

    def mebibytes(cell: CellResult) -> list[tuple[float, float]]:
        return [(seconds, size / _KIB_PER_MIB**2) for seconds, size in _series(cell, "memory")]

    return Chart(
        key,
        "Memory of the server over time",
        "Resident memory of the cell's own server process. The scale does not begin at zero.",
        "The memory of the servers could not be read on this system, or the servers are not ours.",
        kind="time",
        unit="MiB",
        views=_view("Memory", cells, looks, mebibytes, "MiB", _at_end),
        from_zero=False,
    )


def losses(key: str, cells: Sequence[CellResult], looks: Looks) -> Chart:
    """Return the share of tokens that was lost, against the speed of the reader."""
    speeds = sorted({speed for cell in cells if (speed := _speed(cell.reader)) is not None})
    if len(speeds) < 2:
        speeds = []

    def points(readers: Sequence[CellResult]) -> list[tuple[float, float]]:
        found = [(_speed(cell.reader), _loss_percent(cell)) for cell in readers]
        return sorted((float(speeds.index(x)), y) for x, y in found if x in speeds and y is not None)

    grouped: dict[str, dict[str, list[CellResult]]] = {}
    for cell in cells:
        title = _joined_words(cell.variant, cell.transport if cell.transport != "sse" else "")
        grouped.setdefault(title, {}).setdefault(cell.strategy, []).append(cell)
    ticks = tuple(_speed_name(speed) for speed in speeds)
    panels: list[Panel] = []
    for title, by_strategy in grouped.items():
        rows = ((strategy, strategy, points(readers)) for strategy, readers in by_strategy.items())
        panels.extend(_panel(title, rows, looks, lambda points: _at_speeds(points, ticks)))
    return Chart(
        key,
        "Loss against the reader's speed",
        "Tokens that never reached the reader, of those it should have got. A line at zero lost nothing, whatever the "
        "reader's speed.",
        "It takes readers of two speeds or more, whose losses were counted; this scenario has none.",
        kind="ordinal",
        unit="%",
        views=[View("Loss", panels)] if panels else [],
        ticks=ticks,
    )


# --- Cells to panels -------------------------------------------------------------------------------------------------

Points = list[tuple[float, float]]


def _view(
    title: str,
    cells: Iterable[CellResult],
    looks: Looks,
    points: Callable[[CellResult], Points],
    unit: str,
    describe: Callable[[Points, str], str],
) -> list[View]:
    """Return a view of the cells that have points, or nothing."""
    grouped: dict[str, list[CellResult]] = {}
    for cell in cells:
        panel = _joined_words(cell.variant, cell.reader, cell.transport if cell.transport != "sse" else "")
        grouped.setdefault(panel, []).append(cell)
    panels: list[Panel] = []
    for panel, members in grouped.items():
        rows = ((label, cell.strategy, points(cell)) for label, cell in _labelled(members))
        panels.extend(_panel(panel, rows, looks, lambda points: describe(points, unit)))
    return [View(title, panels)] if panels else []


def _panel(
    title: str, rows: Iterable[tuple[str, str, Points]], looks: Looks, describe: Callable[[Points], str]
) -> Iterator[Panel]:
    """Yield a panel of the rows (label, strategy, points) that have points, or nothing."""
    lines: list[Line] = []
    words: list[str] = []
    for label, strategy, points in rows:
        if points:
            look = looks[strategy]
            x, y = [x for x, _ in points], [y for _, y in points]
            lines.append(Line(label, look.slot, look.style, x, y))
            words.append(f"{label}: {describe(points)}")
    if lines:
        yield Panel(title, lines, "; ".join(words) + ".")


def _labelled(cells: Sequence[CellResult]) -> list[tuple[str, CellResult]]:
    """Label cells by their strategies, or by their whole names where strategies alone do not tell them apart."""
    strategies = [cell.strategy for cell in cells]
    return [(cell.strategy if strategies.count(cell.strategy) == 1 else cell.name, cell) for cell in cells]


def _joined_words(*words: str) -> str:
    return ", ".join(word for word in words if word)


def _histogram_names(cell: CellResult) -> Iterator[str]:
    for repeat in cell.repeats:
        yield from (name for name in repeat.histograms if name.endswith("_us"))


def _series(cell: CellResult, name: str) -> Points:
    """Return the first repeat's series that is one: time in seconds, value."""
    for repeat in cell.repeats:
        rows = [numbers(row, 2) for row in _rows(repeat, name)]
        points = [(ms / 1000, value) for ms, value in rows if ms is not None and value is not None]
        if len(points) > 1:
            return sorted(points)
    return []


def _rows(repeat: Repeat, name: str) -> list[list[float]]:
    return repeat.memory if name == "memory" else repeat.freshness


def _loss_percent(cell: CellResult) -> float | None:
    values = [number(repeat.measures.get("loss_share")) for repeat in cell.repeats]
    present = [value for value in values if value is not None]
    return 100 * sum(present) / len(present) if present else None


def _speed(reader: str) -> float | None:
    """Return the tokens a second that a reader takes, as its profile says; None: it has no pace in tokens."""
    if reader == "fast":
        return float("inf")
    if not (reader.startswith("paced:") and reader.endswith("tokens/s")):
        return None
    try:
        return float(reader.removeprefix("paced:").removesuffix("tokens/s"))
    except ValueError:
        return None


def _speed_name(speed: float) -> str:
    return "as fast as it can" if speed == float("inf") else f"{speed:g} tokens/s"


# --- The same in words -----------------------------------------------------------------------------------------------


def _at_percentiles(points: Points, unit: str) -> str:
    wanted = {"median": PERCENTILES[50], "99th percentile": PERCENTILES[99]}
    named = [f"{name} {shown(y)} {unit}" for name, at in wanted.items() for x, y in points if x == at]
    return ", ".join(named) or f"at most {shown(points[-1][1])} {unit}"


def _at_end(points: Points, unit: str) -> str:
    return f"{shown(points[0][1])} {unit} at first, {shown(points[-1][1])} {unit} after {shown(points[-1][0])} s"


def _at_speeds(points: Points, ticks: Sequence[str]) -> str:
    return ", ".join(f"{shown(y)} % at {ticks[int(x)]}" for x, y in points)


# --- Their place in the page -----------------------------------------------------------------------------------------


def placed(chart: Chart) -> Markup:
    """Return a chart's heading, its words and the room that its panels will take."""
    views = [_room(chart, index, view) for index, view in enumerate(chart.views)]
    choice = _choice(chart) if len(views) > 1 else None
    note = tag("p", chart.note, class_="note")
    return tag("section", tag("h3", chart.title), note, choice, *views, class_="chart", data_chart=chart.key)


def _choice(chart: Chart) -> Markup:
    options = [tag("option", view.title, value=index) for index, view in enumerate(chart.views)]
    return tag("label", "Show ", tag("select", *options, autocomplete="off"), class_="choice")


def _room(chart: Chart, index: int, view: View) -> Markup:
    unit = f", {chart.unit}"
    panels = [
        tag(
            "figure",
            tag("figcaption", panel.title, tag("span", view.title + unit)),
            tag("div", class_="plot", role="img", aria_label=f"{view.title}, {panel.title}. {panel.description}"),
        )
        for panel in view.panels
    ]
    return tag("div", joined(panels), class_="panels", data_view=index, hidden=index > 0)
