"""Which cells of two runs belong together, and what stands between the runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from benchmarks.compare.rows import Row, Verdict
from benchmarks.results import CellResult, Repeat, Results

__all__ = ("DifferentEnvironmentsError", "Pair", "environment_differences", "matched", "notes")

# Another commit is what a comparison is for, and the project's own version goes with it.
_MAY_DIFFER: Final = {"commit", "dirty", "packages.tokenweir"}
_GOOD_OUTCOMES: Final = {"completed", "left"}
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


def environment_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Name what differs, one line each; nothing: the environments are the same but for the commit."""
    return _differences(a, b, _MAY_DIFFER)


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
        return sum(count for outcome, count in repeat.outcomes.items() if outcome not in _GOOD_OUTCOMES)
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
    """
    before = {(cell.scenario, cell.name): cell for cell in a.cells}
    after = {(cell.scenario, cell.name): cell for cell in b.cells}
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
