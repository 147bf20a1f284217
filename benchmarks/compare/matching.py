"""Which cells of two runs belong together, and what stands between the runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from benchmarks.compare.rows import Row, Verdict
from benchmarks.printable import printable
from benchmarks.results import CellResult, Repeat, Results
from benchmarks.traces.captures import Outcome

__all__ = ("DifferentEnvironmentsError", "Pair", "environment_differences", "matched", "notes", "unfinished")

# Another commit is what a comparison is for, and the project's own version goes with it. The others are under other
# stacks, with which no file of results has to do.
_MAY_DIFFER: Final = {"commit", "dirty", "node", "java"} | {
    f"packages.{name}"
    for name in (*("tokenweir", "aiohttp-sse", "fastapi", "httptools", "sse-starlette", "starlette", "uvicorn"),)
}
_GOOD: Final = frozenset(outcome.value for outcome in Outcome if outcome.is_good)
_NOTABLE_DRIFT: Final = 0.1


class DifferentEnvironmentsError(ValueError):
    """Two runs were made on different machines or with different versions: their difference says nothing of the code.

    Attributes:
        differences: one line each: what, before / after.
    """

    def __init__(self, differences: Sequence[str]) -> None:
        self.differences = tuple(differences)
        named = "; ".join(self.differences)
        super().__init__(f"the two runs were made in different environments ({named}); --force compares them anyway")


def environment_differences(a: Results, b: Results) -> list[str]:
    """Name what differs, one line each, the commit left out; nothing: the same environment, and as many clients."""
    before, after = ({**each.environment, "load clients": each.clients} for each in (a, b))
    return _differences(before, after, _MAY_DIFFER)


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], but: set[str]) -> list[str]:
    before, after = dict(_flat(a)), dict(_flat(b))
    names = [name for name in {**before, **after} if name not in but and before.get(name) != after.get(name)]
    return [f"{name}: {before.get(name, 'none')} / {after.get(name, 'none')}" for name in names]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(cast("Mapping[str, Any]", value), f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


@dataclass(frozen=True, slots=True)
class Pair:
    """One cell that was measured before and after."""

    before: CellResult
    after: CellResult

    def values(self, measure: str) -> tuple[list[float], list[float]]:
        """Return what the repeats of each say, without those that could not be measured."""
        return _values(self.before, measure), _values(self.after, measure)

    def failures(self) -> tuple[list[set[str]], list[set[str]]]:
        """Return by which names of failures streams ended in each repeat of each."""
        before, after = (
            [set(repeat.outcomes) - _GOOD for repeat in cell.repeats] for cell in (self.before, self.after)
        )
        return before, after

    @property
    def client_bound(self) -> bool:
        """Whether the client was the limit in any repeat, so that rates and times are its own."""
        return any(
            repeat.client is not None and repeat.client.bound for repeat in (*self.before.repeats, *self.after.repeats)
        )


def _values(cell: CellResult, measure: str) -> list[float]:
    values = (_value(repeat, measure) for repeat in cell.repeats)
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def _value(repeat: Repeat, measure: str) -> float | None:
    if measure == "accounting_violations":
        return len(repeat.accounting)
    value = repeat.measures.get(measure)
    if value is None and measure == "streams_failed":
        return sum(count for outcome, count in repeat.outcomes.items() if outcome not in _GOOD)
    return value


def matched(a: Results, b: Results, *, force: bool) -> tuple[list[Pair], list[Row]]:
    """Pair the cells of equal scenario and name.

    Args:
        a: before.
        b: after.
        force: pair also cells whose requests differ.

    Returns:
        The pairs, and a row for each other cell that says why it is not compared. It is a regression if the cell
        was measured before, and fails now.

    Raises:
        ValueError: a file has two cells of one name.
    """
    before, after = _by_name(a, "first"), _by_name(b, "second")
    pairs: list[Pair] = []
    apart: list[Row] = []
    for scenario, name in {**before, **after}:
        old, new = before.get((scenario, name)), after.get((scenario, name))
        if old is None or new is None:
            note = f"only in the {'second' if old is None else 'first'} run"
            apart.append(Row(scenario, name, verdict=Verdict.APART, note=note))
        elif note := _not_measured(old, new) or ("" if force else _asked_differently(old, new)):
            broken = bool(new.error) and bool(old.repeats) and not old.error
            verdict = Verdict.WORSE if broken else Verdict.APART
            apart.append(Row(scenario, name, verdict=verdict, regression=broken, note=note))
        else:
            pairs.append(Pair(old, new))
    return pairs, apart


def _by_name(results: Results, place: str) -> dict[tuple[str, str], CellResult]:
    cells: dict[tuple[str, str], CellResult] = {}
    for cell in results.cells:
        key = (cell.scenario, cell.name)
        if key in cells:
            raise ValueError(f"the {place} file has two cells {cell.name!r} in {cell.scenario!r}; names must differ")
        cells[key] = cell
    return cells


def unfinished(a: Results, b: Results) -> Iterator[str]:
    """Say what the second run should have measured, as the first one has, and has not: a sentence each."""
    if b.interrupted:
        yield "The second run was interrupted; --force compares what it had measured by then."
    measured = {(cell.scenario, cell.name) for cell in b.cells if cell.repeats or cell.error}
    missing = [cell for cell in a.cells if cell.repeats and (cell.scenario, cell.name) not in measured]
    if missing:
        named = "; ".join(printable(f"{cell.scenario}, {cell.name}") for cell in missing)
        yield f"Missing in the second run: {named}. --force compares the others."


def _not_measured(old: CellResult, new: CellResult) -> str:
    for cell, place in ((new, "second"), (old, "first")):
        if cell.error:
            return f"failed in the {place} run: {cell.error}"
        if not cell.repeats:
            return f"not measured in the {place} run, which ended before"
    return ""


def _asked_differently(old: CellResult, new: CellResult) -> str:
    changed = "; ".join(_differences(old.parameters, new.parameters, set()))
    return f"not the same request ({changed}); --force compares it anyway" if changed else ""


def notes(a: Results, b: Results, pairs: Sequence[Pair]) -> Iterator[str]:
    """Say what makes the figures doubtful, a sentence each."""
    for results, place in ((a, "first"), (b, "second")):
        if results.interrupted:
            yield f"The {place} run was interrupted: what it had measured by then is compared."
    bound = sum(pair.client_bound for pair in pairs)
    if bound:
        yield f"The client was the limit in {bound} of {len(pairs)} cells: their latencies and rates are its own."
    if a.null_run is not None and b.null_run is not None:
        ratio = b.null_run.counted_tokens_per_s / (a.null_run.counted_tokens_per_s or 1)
        if abs(ratio - 1) > _NOTABLE_DRIFT:
            yield (
                f"The machine itself was {abs(ratio - 1):.0%} {'faster' if ratio > 1 else 'slower'} in the second run, "
                "going by what the client read from a server that only sends prepared bytes: see it in every figure."
            )
