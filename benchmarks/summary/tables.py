"""The tables at the end of a run: one per scenario, with the columns that answer its question.

Every figure is the median of the repeats ("held at most": the greatest); ± is half the distance between the repeats
that lie farthest apart. Columns say what they hold in words and in a unit; at most eight of them,
which a terminal of 100 characters has room for. On a narrower one each cell is a block of lines instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmarks.printable import printable, wide_enough
from benchmarks.results import CellResult, Results
from benchmarks.summary.answers import answers, verdicts
from benchmarks.summary.figures import figure, outcomes, seconds, share, short, spread

if TYPE_CHECKING:
    from benchmarks.measures.computing import Slo
    from benchmarks.traces.captures import Trace

__all__ = ("show", "show_definitions", "table_of")

_WIDTH_ELSEWHERE: Final = 100
_WIDTH_OF_TABLES: Final = 100
_WIDTH_OF_NUMBERS: Final = 8


@dataclass(frozen=True, slots=True)
class _Column:
    """One column: its heading, and what it shows of a cell, which is never broken into lines if it `is_whole`.

    A `note` below the table says what else to know of it.
    """

    heading: str
    shown: Callable[[CellResult], str]
    is_text: bool = False
    is_whole: bool = False
    least_width: int = 0
    note: str = ""


def _number(heading: str, measure: str, show: Callable[[float | None], str] = short) -> _Column:
    return _Column(heading, lambda cell: show(figure(cell, measure)))


def _with_spread(heading: str, measure: str, show: Callable[[float | None], str] = short) -> _Column:
    """Show also how far the repeats lie apart: half of it, as a share of the median."""

    def shown(cell: CellResult) -> str:
        middle, found = figure(cell, measure), spread(cell, measure)
        if not middle or found is None or found[0] == found[1]:
            return show(middle)
        return f"{show(middle)} ±{(found[1] - found[0]) / 2 / middle:.0%}"

    return _Column(heading, shown, least_width=len("123 k ±10%"))


def _endings(cell: CellResult) -> str:
    if cell.error and not cell.repeats:
        return "error"
    ended = outcomes(cell)
    if len(ended) == 1:
        return next(iter(ended)).replace("_", " ")
    return "\n".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in ended.items()) or "-"


def _order(cell: CellResult) -> str:
    broken = figure(cell, "ordering_violations")
    return "-" if broken is None else "kept" if broken == 0 else f"{short(broken)} broken"


def _in_transit(cell: CellResult) -> str:
    return " / ".join(
        short(sum(repeat.counts.get(name, 0) for repeat in cell.repeats))
        for name in ("received", "in_transit", "dropped")
    )


_VARIANT: Final = _Column("variant", lambda cell: cell.variant, is_text=True, is_whole=True)
_STRATEGY: Final = _Column("if reader is slower", lambda cell: cell.strategy, is_text=True, is_whole=True)
_READER: Final = _Column("reader", lambda cell: cell.reader, is_text=True, is_whole=True)
_TRANSPORT: Final = _Column("over", lambda cell: cell.transport, is_text=True, is_whole=True)
_ENDED: Final = _Column("streams\nended", _endings, is_text=True, is_whole=True)
_LOST: Final = _number("tokens lost", "loss_share", share)
_AGE: Final = _number("age of newest token read", "freshness_p50_ms", seconds)
_BEHIND: Final = _with_spread("behind schedule, median", "lateness_p50_ms", seconds)
_HELD_BACK: Final = _number("source held back by, p99", "pacing_p99_ms", seconds)
_ALL_READ: Final = _number("all was read after", "e2e_body_p50_ms", seconds)
_HELD: Final = _Column(
    "tokens held at most",
    lambda cell: short((spread(cell, "peak_held") or (None, None))[1]),
    note=(
        "held at most: the capacity and, beside it, the demand: what the server's tail has asked for and not taken; "
        "with missing, which has no boundary, what waits in the tail."
    ),
)
_RATE: Final = _number("tokens per s", "tokens_per_s")
_RATE_SPREAD: Final = _with_spread("tokens per s", "tokens_per_s")
_CPU: Final = _with_spread("CPU s per million tokens", "cpu_s_per_million_tokens")
_KIB: Final = _number("server KiB per stream", "server_kib_per_stream")
_LATE: Final = _number("tokens late by, median", "lateness_p50_ms", seconds)
_LATE_P99: Final = _with_spread("tokens late by, p99", "lateness_p99_ms", seconds)

_SLOW: Final = (_VARIANT, _STRATEGY, _LOST, _BEHIND, _HELD_BACK, _ALL_READ, _HELD, _ENDED)
_COLUMNS: Final[Mapping[str, Sequence[_Column]]] = {
    "slow-reader": _SLOW,
    "bursty": _SLOW,
    "stalled": (_VARIANT, _STRATEGY, _LOST, _HELD_BACK, _ALL_READ, _HELD, _KIB, _ENDED),
    "reader-speed": (_VARIANT, _STRATEGY, _READER, _LOST, _AGE, _ALL_READ, _ENDED),
    "leaving": (
        _VARIANT,
        _STRATEGY,
        _Column("tokens received / on the way / dropped", _in_transit, least_width=len("2,021 / 46 / 1,173")),
        _HELD,
        _ENDED,
    ),
    "ordering": (
        *(_VARIANT, _STRATEGY, _READER),
        _Column("order of each thread", _order, is_text=True),
        _number("pairs out of order between threads", "inversions"),
        *(_LOST, _ENDED),
    ),
    "fan-out": (_VARIANT, _STRATEGY, _LATE, _LATE_P99, _CPU, _KIB, _ENDED),
    "sse-vs-websocket": (
        _VARIANT,
        _TRANSPORT,
        _LATE,
        _LATE_P99,
        _CPU,
        _KIB,
        _number("bytes per s", "bytes_per_s"),
        _ENDED,
    ),
    "firehose": (
        *(_VARIANT, _STRATEGY, _TRANSPORT, _RATE_SPREAD, _CPU),
        _number("of them merged away", "merged_tokens"),
        *(_HELD, _ENDED),
    ),
    "arrivals": (
        *(_VARIANT, _STRATEGY),
        _number("first token after (median)", "ttft_p50_ms", seconds),
        _number("first token after (p99)", "ttft_p99_ms", seconds),
        _number("from the sending (p99)", "ttft_from_send_p99_ms", seconds),
        *(_CPU, _ENDED),
    ),
}
_ANY: Final = (
    _VARIANT,
    _READER,
    _number("first token after (median)", "ttft_p50_ms", seconds),
    _number("first token after (p99)", "ttft_p99_ms", seconds),
    _number("gap between tokens (median)", "itl_p50_ms", seconds),
    _number("gap between tokens (p99)", "itl_p99_ms", seconds),
    _RATE,
    _ENDED,
)


def table_of(scenario: str, cells: Iterable[CellResult]) -> Table:
    """Lay out the cells of one scenario."""
    columns = columns_of(scenario)
    table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(
            column.heading,
            justify="left" if column.is_text else "right",
            overflow="fold",
            no_wrap=column.is_whole,
            min_width=column.least_width or None,
            max_width=None if column.is_text else max(_WIDTH_OF_NUMBERS, column.least_width),
        )
    for cell in cells:
        table.add_row(*(_text(column.shown(cell)) for column in columns))
    return table


def columns_of(scenario: str) -> Sequence[_Column]:
    """Return what is shown of the cells of a scenario."""
    return _COLUMNS.get(scenario, _ANY)


def blocks_of(scenario: str, cells: Iterable[CellResult]) -> str:
    """Lay out the cells of one scenario as a block each: its name, and a line for each figure."""
    figures = [column for column in columns_of(scenario) if column not in (_VARIANT, _STRATEGY, _READER, _TRANSPORT)]
    blocks = ["\n".join([cell.name, *(f"  {_line(column, cell)}" for column in figures)]) for cell in cells]
    return "\n\n".join(blocks)


def _line(column: _Column, cell: CellResult) -> str:
    heading, shown = " ".join(column.heading.split()), ", ".join(column.shown(cell).splitlines())
    return f"{heading}: {shown}"


def _captions(scenario: str, cells: Sequence[CellResult]) -> Iterator[str]:
    """Say how often the cells were measured, and what else to know of the columns."""
    counts = sorted({len(cell.repeats) for cell in cells if cell.repeats})
    if counts == [1]:
        yield "measured once: how far repeats would lie apart is not known."
    elif counts:
        number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        yield f"median of {number} repeats; ± is half the distance between the least and the greatest."
    yield from (column.note for column in columns_of(scenario) if column.note)


def show(results: Results, console: Console) -> None:
    """Print for each scenario its question, its figures and the answer, and at last what to know of the whole run."""
    console = wide_enough(console, _WIDTH_ELSEWHERE)
    for answer in answers(results):
        cells = [cell for cell in results.cells if cell.scenario == answer.scenario and (cell.repeats or cell.error)]
        console.print(f"\n[bold]{escape(answer.question)}[/]  ({escape(answer.scenario)})")
        if cells:
            _show_figures(answer.scenario, cells, console)
        for sentence in answer.sentences:
            console.print(Padding(_text(f"- {sentence}"), (0, 0, 0, 1)))
    console.print()
    for line in verdicts(results):
        is_alarming = line.split(":")[0].isupper()
        console.print(_text(line, style="bold red" if is_alarming else ""))


def _text(words: str, style: str = "") -> Text:
    """Take words as they are, line by line: no markup, and nothing that a terminal obeys."""
    return Text("\n".join(map(printable, words.splitlines())), style=style)


def _show_figures(scenario: str, cells: Sequence[CellResult], console: Console) -> None:
    if console.width < _WIDTH_OF_TABLES:
        console.print(Padding(_text(blocks_of(scenario, cells)), (1, 0, 1, 1)))
    else:
        console.print(table_of(scenario, cells))
    for line in _captions(scenario, cells):
        console.print(Padding(Text(line, style="dim"), (0, 0, 0, 1)))


def show_definitions(
    traces: Mapping[tuple[str, str], Sequence[Trace]], tool: str, slo: Slo | None, console: Console
) -> None:
    """Print the figures of one cell, that with the most streams, as `tool` defines them, with each formula."""
    from benchmarks.measures.definitions import LETTERS, as_table

    console = wide_enough(console, _WIDTH_ELSEWHERE)
    if not traces:
        console.print(f"Nothing to print under the definitions of {tool}: no stream was traced.")
        return
    scenario, name = max(traces, key=lambda key: len(traces[key]))
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("its name", no_wrap=True)
    for heading in ("mean", "median", "p99", "unit", "values", "formula"):
        table.add_column(heading, overflow="fold")
    for row in as_table(traces[scenario, name], slo=slo):
        if row.tool == tool:
            figures = (short(row.mean), short(row.p50), short(row.p99))
            table.add_row(*map(escape, (row.called, *figures, row.unit, str(row.count), row.formula)))
    console.print(f"\n[bold]As {tool} defines it[/]  ({escape(scenario)}: {escape(name)})")
    console.print(table)
    console.print(LETTERS, markup=False, highlight=False)
