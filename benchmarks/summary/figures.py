"""One number for all repeats of a cell, and how a number is shown to people. Shared by the table and the words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Final

from benchmarks.printable import printable
from benchmarks.results import CellResult, Repeat
from benchmarks.traces.captures import Outcome

__all__ = (
    "GOOD",
    "bound",
    "figure",
    "joined",
    "notes",
    "outcomes",
    "overlap",
    "seconds",
    "share",
    "short",
    "spread",
    "total",
    "unexpected",
    "unexpected_in",
    "violations",
)

GOOD: Final = frozenset(outcome.value for outcome in Outcome if outcome.is_good)
"""What a results file calls the outcomes that were asked for."""


def values(cell: CellResult, measure: str) -> list[float]:
    """Return what the repeats measured, without those that could not."""
    measured = (repeat.measures.get(measure) for repeat in cell.repeats)
    return [value for value in measured if value is not None and math.isfinite(value)]


def figure(cell: CellResult, measure: str) -> float | None:
    """Return the median of the repeats; None if none of them could measure it."""
    found = values(cell, measure)
    return median(found) if found else None


def spread(cell: CellResult, measure: str) -> tuple[float, float] | None:
    """Return the least and the greatest of the repeats; None as `figure`."""
    found = values(cell, measure)
    return (min(found), max(found)) if found else None


def overlap(one: CellResult, other: CellResult, measure: str) -> bool:
    """Say whether the repeats of two cells overlap, so that which of them is the greater is a matter of luck.

    A cell that was measured once has no spread that is known: then only equal values overlap.
    """
    ours, theirs = spread(one, measure), spread(other, measure)
    return ours is not None and theirs is not None and ours[0] <= theirs[1] and theirs[0] <= ours[1]


def total(cells: Iterable[CellResult], count: str) -> int:
    """Return a count, summed over all repeats of all cells."""
    return sum(repeat.counts.get(count, 0) for cell in cells for repeat in cell.repeats)


def outcomes(cell: CellResult) -> dict[str, int]:
    """Return how many streams ended how, over all repeats."""
    ended: dict[str, int] = {}
    for repeat in cell.repeats:
        for outcome, count in repeat.outcomes.items():
            ended[outcome] = ended.get(outcome, 0) + count
    return ended


def failed(cell: CellResult) -> bool:
    """Say whether a stream of it neither completed nor was left as planned."""
    return any(outcome not in GOOD for outcome in outcomes(cell))


def unexpected_in(cell: CellResult, repeat: Repeat) -> list[str]:
    """Return how streams ended that may not end so in this cell, a line each with what the first of them said.

    Nothing is said of a cell that does not state what it expects.
    """
    if not cell.expects:
        return []
    expected = " or ".join(name.replace("_", " ") for name in cell.expects)
    return [
        f"{count} {'stream' if count == 1 else 'streams'} {outcome.replace('_', ' ')}, where {expected} is expected"
        f"{_first_detail(repeat, outcome)}"
        for outcome, count in repeat.outcomes.items()
        if count and outcome not in cell.expects
    ]


def _first_detail(repeat: Repeat, outcome: str) -> str:
    ended, said = (repeat.per_stream.get(name, []) for name in ("outcome", "detail"))
    detail = next((str(text) for name, text in zip(ended, said, strict=False) if name == outcome and text), "")
    return f": {printable(detail)}" if detail else ""


def unexpected(cells: Iterable[CellResult]) -> list[str]:
    """Return what `unexpected_in` says of all repeats, each line with its cell."""
    return [
        f"{cell.scenario}: {cell.name}: {line}"
        for cell in cells
        for repeat in cell.repeats
        for line in unexpected_in(cell, repeat)
    ]


def notes(cells: Iterable[CellResult]) -> list[tuple[CellResult, str]]:
    """Return the cells of which there is something else to know, with what."""
    return [(cell, note) for cell in cells for note in dict.fromkeys(n for each in cell.repeats for n in each.notes)]


def violations(cells: Iterable[CellResult]) -> list[str]:
    """Return what did not add up, each line with its cell."""
    return [
        f"{cell.scenario}: {cell.name}: {line}"
        for cell in cells
        for repeat in cell.repeats
        for line in repeat.accounting
    ]


def bound(cells: Iterable[CellResult], kind: str | None = None) -> list[tuple[CellResult, str]]:
    """Return the cells whose figures may not be the server's, with the first reason.

    Args:
        cells: to be looked at.
        kind: "client": those in which the client was the limit; "machine": in which something else had the cores; None:
            both.
    """
    return [(cell, reasons[0]) for cell in cells if (reasons := [*_reasons(cell, kind)])]


def _reasons(cell: CellResult, kind: str | None) -> Iterator[str]:
    for repeat in cell.repeats:
        client = repeat.client
        if client is None or not client.bound or kind not in (None, client.kind):
            continue
        reason = client.reason
        if client.kind == "machine":
            reason += f", while it used {client.cpu_share:.0%} of its core"
            reason += "" if repeat.load_average is None else f"; load average {repeat.load_average:.1f}"
        yield reason


# --- How a number is shown ---------------------------------------------------------------------------------------


def short(value: float | None) -> str:
    """Show a number with three digits that matter: 0.123, 1.23, 12.3, 123, 1,230, 123 k, 1.23 M."""
    if value is None:
        return "-"
    for limit, divisor, letter in ((1e6, 1e6, " M"), (1e4, 1e3, " k")):
        if abs(value) >= limit * 0.9995:
            return _three_digits(value / divisor) + letter
    return _three_digits(value)


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    rounded = round(value, min(decimals, 3))
    return (
        f"{rounded:,.0f}" if float(rounded).is_integer() else f"{rounded:,g}" if abs(value) < 1e5 else f"{rounded:,.0f}"
    )


def share(value: float | None) -> str:
    """Show a share as per cent. What is not 0 is never shown as 0, nor what is not all as 100 %."""
    if value is None:
        return "-"
    if value in (0, 1):
        return f"{value * 100:.0f} %"
    if value < 0.001:
        return "< 0.1 %"
    if 0.9995 < value < 1:
        return "> 99.9 %"
    return f"{value * 100:.0f} %" if 0.0995 <= value <= 0.995 else f"{value * 100:.1f} %"


def seconds(value_ms: float | None) -> str:
    """Show a duration in the unit that suits it."""
    if value_ms is None:
        return "-"
    if value_ms >= 1_000:
        return f"{value_ms / 1_000:.3g} s"
    return f"{value_ms:.0f} ms" if value_ms >= 10 else f"{value_ms:.2g} ms"


def joined(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: "a", "a and b", "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
