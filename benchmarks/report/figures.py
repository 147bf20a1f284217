"""A scenario's figures: a table of what its question asks for, and a fold with all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from benchmarks.report.bars import swatch
from benchmarks.report.colours import Look
from benchmarks.report.columns import Column, Figure, figure, shown
from benchmarks.report.document import folded
from benchmarks.report.markup import Markup, tag
from benchmarks.report.tables import LIMITS, heading, limits, sortable, violations
from benchmarks.results import CellResult
from benchmarks.summary.figures import outcomes
from benchmarks.traces.captures import Outcome

__all__ = ("figures",)

Definitions = Mapping[str, Mapping[str, str]]

_COSTS: Final = ("peak_held", "server_kib_per_stream", "cpu_s_per_million_tokens")
_ON_SLOW: Final = ("loss_share", "merged_tokens", "freshness_p50_ms", "pacing_p99_ms", "lateness_p99_ms", *_COSTS)
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "slow-reader": _ON_SLOW,
    "stalled": _ON_SLOW,
    "bursty": _ON_SLOW,
    "reader-speed": ("loss_share", "merged_tokens", "freshness_p50_ms", "lateness_p99_ms", *_COSTS),
    "leaving": ("tokens_per_s", "lateness_p99_ms", *_COSTS),
    "ordering": ("ordering_violations", "inversions", "loss_share", "tokens_per_s", *_COSTS),
    "fan-out": ("tokens_per_s", "ttft_p50_ms", "itl_p99_ms", "lateness_p50_ms", "lateness_p99_ms", *_COSTS[1:]),
    "sse-vs-websocket": ("tokens_per_s", "bytes_per_s", "lateness_p50_ms", "lateness_p99_ms", *_COSTS[1:]),
    "firehose": ("tokens_per_s", "bytes_per_s", "merged_tokens", *_COSTS),
    "arrivals": ("ttft_p50_ms", "ttft_p99_ms", "ttft_from_send_p99_ms", "lateness_p99_ms", *_COSTS[1:]),
}
"""What a scenario's first table shows, where there are values: what its question asks for, as much as a window of
1,200 pixels has room for. The second table has the rest."""

_OF_ANY: Final = ("tokens_per_s", "loss_share", "ttft_p50_ms", "itl_p99_ms", "lateness_p99_ms", *_COSTS)

_SHORT: Final[Mapping[str, str]] = {
    "tokens_per_s": "Tokens",
    "loss_share": "Lost",
    "merged_tokens": "Merged",
    "peak_held": "Held at most",
    "bytes_per_s": "Bytes",
    "lateness_p50_ms": "Lateness, median",
    "lateness_p99_ms": "Lateness, p99",
    "pacing_p99_ms": "Source held back, p99",
    "freshness_p50_ms": "Age of newest, median",
    "freshness_p99_ms": "Age of newest, p99",
    "ordering_violations": "Order broken",
    "inversions": "Swapped between threads",
    "ttft_p50_ms": "First token, median",
    "ttft_p99_ms": "First token, p99",
    "ttft_from_send_p99_ms": "First token from send, p99",
    "itl_p99_ms": "Gap (ITL), p99",
    "server_kib_per_stream": "Memory per stream",
    "cpu_s_per_million_tokens": "CPU per million",
}
_HELD_NOTE: Final = (
    "Held at most: by the boundary, up to its capacity + the open demand; missing has no boundary, what it piles up "
    "are unsent bytes, which only memory shows."
)
_AS_ASKED: Final = (Outcome.COMPLETED.value, Outcome.LEFT.value)
_SORTING: Final = tag("span", "Press a heading to sort. ", class_="on-screen")


def _measures(cells: Iterable[CellResult]) -> list[str]:
    """Return the names of all measures that at least one cell has a value of, in the order of the file."""
    names = dict.fromkeys(name for cell in cells for repeat in cell.repeats for name in repeat.measures)
    return [name for name in names if any(figure(cell, name) is not None for cell in cells)]


def figures(scenario: str, cells: Sequence[CellResult], looks: Mapping[str, Look], definitions: Definitions) -> Markup:
    """Return the table of the main figures, a row per cell, and all others in a fold below it."""
    present = _measures(cells)
    main = [name for name in _COLUMNS.get(scenario, _OF_ANY) if name in present] or present[:8]
    rest = [name for name in present if name not in main]
    readers = {_reader(cell) for cell in cells}
    notes: list[str] = []
    if len(readers) == 1:
        notes.append(f"The reader of all: {readers.pop()}.")
    if max((len(cell.repeats) for cell in cells), default=0) > 1:
        notes.append("Medians of the repeats; small, where they differ, the lowest and the highest.")
    if "peak_held" in main:
        notes.append(_HELD_NOTE)
    columns = [Column.of(name, definitions) for name in main]
    table = _figures(f"Figures of {scenario}", cells, looks, columns, with_streams=True)
    return tag(
        "div",
        tag("p", _SORTING, " ".join(notes), class_="note"),
        table,
        _errors(cells),
        _others(scenario, cells, looks, definitions, rest),
    )


def _others(
    scenario: str,
    cells: Sequence[CellResult],
    looks: Mapping[str, Look],
    definitions: Definitions,
    names: Sequence[str],
) -> Markup | None:
    if not names:
        return None
    columns = [Column.of(name, definitions) for name in names]
    table = _figures(f"All other measures of {scenario}", cells, looks, columns, with_streams=False)
    words = f"The other {len(names)} measures are in the results file."
    fold = folded(f"All other measures ({len(names)})", table, on_paper=False)
    return tag("div", fold, tag("p", words, class_="note on-paper"))


def _figures(
    caption: str,
    cells: Sequence[CellResult],
    looks: Mapping[str, Look],
    columns: Sequence[Column],
    *,
    with_streams: bool,
) -> Markup:
    with_readers = len({_reader(cell) for cell in cells}) > 1
    head = [heading("Strategy", css="words")]
    head += [heading("Reader", css="words")] if with_readers else []
    head += [heading("Streams ended", css="words")] if with_streams else []
    head += [heading(_SHORT.get(column.name, column.title), column.unit, tip=_tip(column)) for column in columns]
    body: list[Markup] = []
    for cell in cells:
        row = [
            tag(
                "th",
                swatch(looks[cell.strategy]),
                tag("span", f"{cell.variant} ", tag("b", cell.strategy)),
                scope="row",
            )
        ]
        row += [tag("td", _reader(cell), class_="words")] if with_readers else []
        row += [_streams(cell)] if with_streams else []
        body.append(tag("tr", *row, *_values(cell, columns)))
    return sortable(head, body, caption, "figures")


def _reader(cell: CellResult) -> str:
    return cell.reader if cell.transport == "sse" else f"{cell.reader}, {cell.transport}"


def _tip(column: Column) -> str:
    better = f" Better: {column.better}." if column.better else ""
    return f"{column.title}: {column.formula}{better}" if column.formula else column.title


def _values(cell: CellResult, columns: Sequence[Column]) -> list[Markup]:
    if cell.repeats:
        return [_value(figure(cell, column.name), column) for column in columns]
    words = "not measured: an error, see below" if cell.error else "not measured: the run ended before"
    return [tag("td", words, colspan=max(1, len(columns)), class_="words none")]


def _errors(cells: Iterable[CellResult]) -> Markup | None:
    """Return the errors of cells in full, each once with all cells that have it."""
    named: dict[str, list[str]] = {}
    for cell in cells:
        if cell.error:
            named.setdefault(cell.error, []).append(cell.name)
    items = [tag("li", tag("b", ", ".join(names)), tag("pre", error)) for error, names in named.items()]
    return (
        tag("div", tag("p", "Not measured, wholly or in part:", class_="wrong"), tag("ul", *items)) if items else None
    )


def _value(found: Figure | None, column: Column) -> Markup:
    if found is None:
        return tag("td", tag("span", "–", aria_label="not known"), class_="none")
    low, high = shown(found.low * column.factor), shown(found.high * column.factor)
    spread = tag("small", f"{low} – {high}") if low != high else None
    return tag("td", shown(found.median * column.factor), spread, data_value=repr(found.median))


def _streams(cell: CellResult) -> Markup:
    """Return how its streams ended; what was not asked for is set apart."""
    totals = outcomes(cell)
    words = [
        tag("span", f"{count:,} {name.replace('_', ' ')}", class_=None if name in _AS_ASKED else "odd")
        for name, count in totals.items()
        if count
    ]
    wrong = len(violations(cell))
    if wrong:
        words.append(tag("span", f"✗ {wrong} did not add up", class_="wrong"))
    if cell.error and cell.repeats:
        words.append(tag("span", "error in a repeat, see below", class_="wrong"))
    words += [tag("span", LIMITS[kind], class_="wrong" if kind == "client" else "odd mild") for kind in limits(cell)]
    return tag("td", *words, class_="words lines", data_value=sum(totals.values()))
