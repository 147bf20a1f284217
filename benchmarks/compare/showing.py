"""A comparison for people: a table on a terminal, one line per row elsewhere, and the result in words below."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.compare.gates import GATES
from benchmarks.compare.rows import Comparison, Row, Scale, Verdict
from benchmarks.printable import printable

__all__ = ("show", "words")

_STYLES: Final = {Verdict.WORSE: "red", Verdict.BETTER: "green", Verdict.CHANGED: "cyan", Verdict.APART: "dim"}
_HEADINGS: Final = ("scenario", "cell", "measure", "before", "after", "change", "verdict")
_NONE: Final = "-"
_MOST_NAMED: Final = 20
_ALARMS: Final = ("REGRESSION", "INCOMPLETE")


def show(comparison: Comparison, console: Console, *, everything: bool = False) -> None:
    """Print a comparison.

    Args:
        comparison: what to print.
        console: where to. On a terminal it is a table; elsewhere there are lines without colours or padding.
        everything: print also the rows in which nothing differs.
    """
    rows = [row for row in comparison.rows if everything or row.differs]
    rows.sort(key=lambda row: not row.regression)  # a stable sort: the rest keeps its order
    if console.is_terminal:
        if rows:
            console.print(_table(rows))
    else:
        for row in rows:
            _say(console, "  ".join(_fields(row)))
    for sentence in words(comparison):
        _say(console, sentence, style="bold red" if console.is_terminal and sentence.startswith(_ALARMS) else "")


def _say(console: Console, line: str, style: str = "") -> None:
    # Text is not read as markup, and a long line is not cut: others may read it.
    console.print(Text(line, style=style), soft_wrap=True)


def _table(rows: Sequence[Row]) -> Table:
    table = Table(*_HEADINGS)
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        style = "bold red" if row.regression else _STYLES.get(row.verdict, "")
        table.add_row(*(Text(field) for field in _fields(row)), style=style)
    return table


def _fields(row: Row) -> tuple[str, ...]:
    verdict = "REGRESSION" if row.regression else row.verdict.value
    if row.note:
        verdict += f" ({printable(row.note)})"
    name, scenario = printable(row.name), printable(row.scenario)
    if not row.measure:
        return scenario, name, _NONE, _NONE, _NONE, _NONE, verdict
    title = printable(row.title)
    return scenario, name, title, _with_unit(row.before, row), _with_unit(row.after, row), _change(row), verdict


def _with_unit(value: float | None, row: Row) -> str:
    if value is None:
        return _NONE
    if row.scale is Scale.POINTS:
        return f"{_digits(value * 100)} %"
    return f"{_digits(value)} {printable(row.unit)}".rstrip()


def _digits(value: float) -> str:
    """Write a number with three digits that matter, a whole one whole, and none as a power of ten."""
    if not math.isfinite(value):
        return str(value)
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _change(row: Row) -> str:
    """Write the change and its interval: "+21 % (+17 to +24)"."""
    if row.change is None:
        return _NONE
    change = row.change
    if row.scale is Scale.PLAIN:
        plain = [f"{'+' if value > 0 else ''}{_digits(value)}" for value in (change.estimate, change.low, change.high)]
        return f"{plain[0]} ({plain[1]} to {plain[2]})"
    unit = "%" if row.scale is Scale.RATIO else "points"
    estimate, low, high = (_percent(value) for value in (change.estimate, change.low, change.high))
    return f"{estimate} {unit} ({low} to {high})"


def _percent(share: float) -> str:
    percent = share * 100
    if percent > 1e6:
        return "+more than a million"
    return f"{percent:+.{1 if abs(percent) < 10 else 0}f}"


# --- Words -----------------------------------------------------------------------------------------------------------


def words(comparison: Comparison) -> Iterator[str]:
    """Say what came out, a sentence a line; the verdict of all comes last."""
    yield from comparison.notes
    better = [row for row in comparison.rows if row.verdict is Verdict.BETTER and row.measure in GATES]
    for row in _first(better):
        yield f"Better: {_sentence(row)}"
    yield from _not_counted(comparison)
    yield from _unclear(comparison)
    yield from _blind(comparison)
    for sentence in comparison.incomplete:
        yield f"INCOMPLETE: {sentence}"
    for row in _first(comparison.regressions):
        yield f"REGRESSION: {_sentence(row)}"
    yield _verdict(comparison)


def _first(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the rows to be named: those of several cells say it of each of them."""
    together = [row for row in rows if row.cell_count > 1]
    said = {(row.scenario, row.measure) for row in together}
    alone = [row for row in rows if row.cell_count == 1 and (row.scenario, row.measure) not in said]
    return [*together, *alone][:_MOST_NAMED]


def _sentence(row: Row) -> str:
    name = f"{printable(row.scenario)}, {printable(row.name)}"
    if not row.measure:
        return f"{name}: {printable(row.note)}."
    if row.note and row.change is None and row.after is None:
        return f"{name}: {printable(row.title)}: {printable(row.note)}."
    values = f"{_with_unit(row.before, row)} -> {_with_unit(row.after, row)}"
    return f"{name}: {printable(row.title)} {values}{'' if row.change is None else f', {_change(row)}'}."


def _not_counted(comparison: Comparison) -> Iterator[str]:
    worse = [row for row in comparison.rows if row.verdict is Verdict.WORSE and not row.regression]
    if worse:
        named = ", ".join(dict.fromkeys(printable(row.title) for row in worse))
        yield f"Worse, but no reason to fail, in {len(worse)} {_plural('row', len(worse))}: {named}."


def _unclear(comparison: Comparison) -> Iterator[str]:
    """Name what may be worse than the threshold in many cells, and may be not."""
    for row in comparison.rows:
        if row.verdict is not Verdict.UNCLEAR or row.cell_count == 1 or row.measure not in GATES:
            continue
        # All of these are better lower.
        if row.change is not None and row.change.estimate > comparison.threshold * GATES[row.measure].factor:
            yield f"UNCLEAR, more repeats would tell: {_sentence(row)}"


def _blind(comparison: Comparison) -> Iterator[str]:
    """Say how much a change must be to be found, where it is more than the threshold."""
    decisive = [row for row in comparison.rows if row.measure in GATES and not GATES[row.measure].exact]
    without = [row for row in decisive if row.change is None]
    if decisive and len(without) == len(decisive):
        yield "Too few repeats for any interval: only what must never happen was looked at. Use --repeats."
    elif not any(row.cell_count > 1 for row in decisive) and decisive:
        widths = [(row.change.high - row.change.low) / 2 for row in decisive if row.change]
        if widths and min(widths) > comparison.threshold:
            yield (
                f"The narrowest interval is -+ {min(widths):.0%}: a change of {comparison.threshold:.0%} cannot be "
                "seen in it. Use --repeats, or measure more cells."
            )


def _verdict(comparison: Comparison) -> str:
    if not comparison.cell_count:
        return "Nothing to compare: no cell was measured in both runs."
    compared = f"{comparison.cell_count} {_plural('cell', comparison.cell_count)} compared"
    found = len(comparison.regressions)
    if found:
        return f"{found} {_plural('regression', found)} beyond {comparison.threshold:.0%}, {compared}."
    if comparison.incomplete:
        return f"Incomplete; no regression beyond {comparison.threshold:.0%} in what was measured, {compared}."
    return f"No regression beyond {comparison.threshold:.0%}, {compared}."


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
