"""The tables of a report: the figures of a scenario, what did not add up, the client, the machine, the definitions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from benchmarks.report.bars import swatch
from benchmarks.report.colours import Look
from benchmarks.report.columns import Column, Figure, figure, number, shown
from benchmarks.report.markup import Child, Markup, tag
from benchmarks.results import CellResult, ClientCheck, Repeat, Results
from benchmarks.summary.figures import bound, outcomes
from benchmarks.traces.captures import Outcome

__all__ = ("accounting", "clients", "environment", "errors", "figures", "measures", "scrolled", "summed", "violations")

Definitions = Mapping[str, Mapping[str, str]]

_COLUMNS: Final = (
    "tokens_per_s",
    "loss_share",
    "merged_tokens",
    "peak_held",
    "lateness_p50_ms",
    "lateness_p99_ms",
    "freshness_p99_ms",
    "ttft_p50_ms",
    "itl_p99_ms",
    "server_kib_per_stream",
    "cpu_s_per_million_tokens",
)
"""What a scenario's first table shows, where there are values; the second one has the rest."""

_SHORT: Final[Mapping[str, str]] = {
    "tokens_per_s": "Tokens",
    "loss_share": "Lost",
    "merged_tokens": "Merged",
    "peak_held": "Held at most",
    "lateness_p50_ms": "Lateness, median",
    "lateness_p99_ms": "Lateness, p99",
    "freshness_p99_ms": "Age of newest, p99",
    "ttft_p50_ms": "First token, median",
    "itl_p99_ms": "Gap (ITL), p99",
    "server_kib_per_stream": "Memory per stream",
    "cpu_s_per_million_tokens": "CPU per million",
}
_SORTING: Final = tag("span", "Press a heading to sort. ", class_="on-screen")
_COUNTS: Final = (
    "emitted",
    "delivered",
    "dropped",
    "merged",
    "rejected",
    "held",
    "received",
    "in_transit",
    "duplicates",
    "missing",
)
_AS_ASKED: Final = (Outcome.COMPLETED.value, Outcome.LEFT.value)


def scrolled(table: Markup, label: str) -> Markup:
    """Put a table where it can be moved sideways, by keyboard too, if the window is too narrow for it."""
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=label)


def _table(head: Iterable[Child], body: Iterable[Child], caption: str, css: str = "") -> Markup:
    table = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
        class_=css or None,
    )
    return scrolled(table, caption)


def _head(title: str, unit: str = "", *, tip: str = "", css: str = "") -> Markup:
    button = tag("button", title, tag("small", unit) if unit else None, type="button")
    return tag("th", button, scope="col", title=tip or None, aria_sort="none", class_=css or None)


# --- Figures of a scenario -------------------------------------------------------------------------------------------


def measures(cells: Iterable[CellResult]) -> list[str]:
    """Return the names of all measures that at least one cell has a value of, in the order of the file."""
    names = dict.fromkeys(name for cell in cells for repeat in cell.repeats for name in repeat.measures)
    return [name for name in names if any(figure(cell, name) is not None for cell in cells)]


def figures(scenario: str, cells: Sequence[CellResult], looks: Mapping[str, Look], definitions: Definitions) -> Markup:
    """Return the table of the main figures, a row per cell, and all others in a fold below it."""
    present = measures(cells)
    main = [name for name in _COLUMNS if name in present] or present[:8]
    rest = [name for name in present if name not in main]
    readers = {_reader(cell) for cell in cells}
    notes: list[str] = []
    if len(readers) == 1:
        notes.append(f"The reader of all: {readers.pop()}.")
    if max((len(cell.repeats) for cell in cells), default=0) > 1:
        notes.append("Medians of the repeats; small, where they differ, the lowest and the highest.")
    columns = [Column.of(name, definitions) for name in main]
    table = _figures(f"Figures of {scenario}", cells, looks, columns, with_streams=True)
    return tag(
        "div",
        tag("p", _SORTING, " ".join(notes), class_="note"),
        table,
        errors(cells),
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
    return tag("details", tag("summary", f"All other measures ({len(names)})"), table)


def _figures(
    caption: str,
    cells: Sequence[CellResult],
    looks: Mapping[str, Look],
    columns: Sequence[Column],
    *,
    with_streams: bool,
) -> Markup:
    with_readers = len({_reader(cell) for cell in cells}) > 1
    head = [_head("Stream", css="words")]
    head += [_head("Reader", css="words")] if with_readers else []
    head += [_head("Streams", css="words")] if with_streams else []
    head += [_head(_SHORT.get(column.name, column.title), column.unit, tip=_tip(column)) for column in columns]
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
    return _table(head, body, caption, "figures sortable")


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


def errors(cells: Iterable[CellResult]) -> Markup | None:
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
    if bound([cell]):
        words.append(tag("span", "client-bound", class_="wrong"))
    return tag("td", *words, class_="words lines", data_value=sum(totals.values()))


def summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by name."""
    totals: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            totals[name] = totals.get(name, 0) + count
    return totals


def violations(cell: CellResult) -> list[str]:
    """Return what did not add up in any repeat of a cell."""
    return [line for repeat in cell.repeats for line in repeat.accounting]


# --- Whether all tokens are accounted for ----------------------------------------------------------------------------


def accounting(cells: Sequence[CellResult]) -> Markup:
    """Return the counts of every cell, summed over its streams and repeats."""
    counted = [(cell, summed(repeat.counts for repeat in cell.repeats)) for cell in cells]
    names = [name for name in _COUNTS if any(name in counts for _, counts in counted)]
    if not names:
        return tag("p", "No stream was counted by its server, so there is nothing to add up.", class_="absent")
    head = [
        _head("Scenario", css="words"),
        _head("Cell", css="words"),
        *(_head(name.replace("_", " ")) for name in names),
        _head("Adds up"),
    ]
    body = [_counts(cell, counts, names) for cell, counts in counted if counts]
    return _table(head, body, "Tokens by what became of them", "sortable")


def _counts(cell: CellResult, counts: Mapping[str, int], names: Iterable[str]) -> Markup:
    wrong = len(violations(cell))
    verdict = tag("td", f"✗ {wrong}" if wrong else "✓", class_="wrong" if wrong else "right", data_value=wrong)
    values = [
        tag("td", f"{counts[name]:,}", data_value=counts[name]) if name in counts else tag("td", "–", class_="none")
        for name in names
    ]
    return tag("tr", tag("td", cell.scenario, class_="words"), tag("th", cell.name, scope="row"), *values, verdict)


# --- Whether the client was the limit --------------------------------------------------------------------------------


def clients(cells: Sequence[CellResult]) -> Markup:
    """Return what the load client says of itself, cell by cell, at worst over the repeats."""
    rows = [(cell, checks) for cell in cells if (checks := _checks(cell.repeats))]
    if not rows:
        return tag("p", "The client did not look at itself in this run.", class_="absent")
    head = [
        _head("Scenario", css="words"),
        _head("Cell", css="words"),
        _head("CPU of one core", "%"),
        _head("Loop lag, p99", "ms"),
        _head("Loop lag, greatest", "ms"),
        _head("Was it the limit?", css="words"),
    ]
    return _table(head, [_client(cell, checks) for cell, checks in rows], "The load client", "sortable")


def _checks(repeats: Iterable[Repeat]) -> list[ClientCheck]:
    return [repeat.client for repeat in repeats if repeat.client is not None]


def _client(cell: CellResult, checks: Sequence[ClientCheck]) -> Markup:
    reasons = dict.fromkeys(check.reason or "no reason given" for check in checks if check.bound)
    verdict = f"client-bound: {'; '.join(reasons)}" if reasons else "no"
    return tag(
        "tr",
        tag("td", cell.scenario, class_="words"),
        tag("th", cell.name, scope="row"),
        _worst([check.cpu_share for check in checks], 100.0),
        _worst([check.lag_p99_ms for check in checks]),
        _worst([check.lag_max_ms for check in checks]),
        tag("td", verdict, class_="words wrong" if reasons else "words"),
    )


def _worst(values: Iterable[object], factor: float = 1.0) -> Markup:
    finite = [found for value in values if (found := number(value)) is not None]
    if not finite:
        return tag("td", "–", class_="none")
    return tag("td", shown(max(finite) * factor), data_value=repr(max(finite)))


# --- The machine -----------------------------------------------------------------------------------------------------


def environment(results: Results) -> Markup:
    """Return what the run was and where it ran."""
    facts: dict[str, object] = {
        "command": results.command,
        "preset": results.preset,
        "created": results.created,
        "took": f"{shown(seconds)} s" if (seconds := number(results.elapsed_s)) else "",
        **results.environment,
    }
    rows = [_fact(name, value) for name, value in facts.items() if value not in ("", None)]
    if not rows:
        return tag("p", "The results file does not say where it comes from.", class_="absent")
    return tag("dl", *rows, class_="facts")


def _fact(name: str, value: object) -> Markup:
    return tag("div", tag("dt", name.replace("_", " ")), tag("dd", _plain(value)))


def _plain(value: object) -> str:
    if isinstance(value, dict):
        pairs = cast("Mapping[object, object]", value)
        return ", ".join(f"{key} {_word(each)}" for key, each in pairs.items())
    return _word(value)


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
