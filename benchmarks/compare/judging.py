"""From the repeats of matched cells to rows with a verdict.

Intervals that are shown are 95 % each. A single cell is a regression only if its interval lies beyond the threshold
at 95 % for all such intervals together (Bonferroni): among a hundred intervals of 95 %, chance alone puts some
anywhere. With two or three repeats that is out of reach for all but the plainest change of one cell, and rightly so;
what all cells share, or those of one variant or scenario, is found in the rows that combine them. There are some ten of
those, so that each decides at 99 %.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Final

from benchmarks.compare.gates import GATES, Gate
from benchmarks.compare.intervals import CONFIDENCE, Interval, combined, spread, welch
from benchmarks.compare.matching import Pair
from benchmarks.compare.rows import Row, Scale, Verdict

__all__ = ("Judge", "Measured")

_NO_GATE: Final = Gate()
_ALL: Final = "all"
_SURE: Final = 0.99
_FEW_REPEATS: Final = "too few repeats for an interval"
_DOUBTFUL: Final = "not beyond doubt: one of many intervals; more repeats would tell"


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure as a comparison knows it.

    Attributes:
        name: in the results.
        title: for people.
        unit: of its values.
        better: "lower", "higher", or anything else: neither.
    """

    name: str
    title: str
    unit: str
    better: str | None

    @property
    def is_share(self) -> bool:
        """Whether it is a part of a whole, of which differences are told in points."""
        return self.unit == "share"


@dataclass(frozen=True, slots=True)
class _Sample:
    """What one cell says of one measure, before and after; neither is empty."""

    pair: Pair
    before: Sequence[float]
    after: Sequence[float]
    scale: Scale

    @property
    def scaled(self) -> tuple[list[float], list[float]]:
        """The values on the scale on which they are compared: logarithms, where it is a ratio."""
        scale: Callable[[float], float] = math.log if self.scale is Scale.RATIO else float
        return [scale(value) for value in self.before], [scale(value) for value in self.after]


class Judge:
    """Makes the rows of one comparison.

    Args:
        threshold: see `compare`.
        gates: the measures that decide.
        pairs: the cells.
    """

    def __init__(self, threshold: float, gates: Mapping[str, Gate], pairs: Sequence[Pair]) -> None:
        self._threshold = threshold
        self._gates = gates
        self._pairs = pairs
        gated = sum(self._is_tested(pair, name) for pair in pairs for name, gate in gates.items() if not gate.exact)
        self._joint_confidence = 1 - (1 - CONFIDENCE) / max(1, gated)

    @staticmethod
    def _is_tested(pair: Pair, measure: str) -> bool:
        return all(len(values) > 1 for values in pair.values(measure))

    def rows(self, measure: Measured) -> list[Row]:
        """Judge one measure: of cells together, then of each. Nothing of a measure that no cell has on both sides."""
        gate = self._gates.get(measure.name, _NO_GATE)
        samples = [sample for pair in self._pairs if (sample := _sample(pair, measure))]
        gone = [
            _gone_row(pair, measure) for pair in self._pairs if measure.name in self._gates and _is_gone(pair, measure)
        ]
        if gate.exact:
            return gone + [_exact_row(sample, measure) for sample in samples]
        together = [row for key, group in _groups(samples).items() if (row := self._combined_row(key, group, measure))]
        least = _least_spreads(samples)
        return gone + together + [self._cell_row(sample, measure, least[_noise_of(sample)]) for sample in samples]

    def endings(self) -> list[Row]:
        """Judge the ways in which streams failed: where other names came up than before."""
        return [row for pair in self._pairs if (row := _endings_row(pair))]

    def _cell_row(self, sample: _Sample, measure: Measured, least_spread: float) -> Row:
        row = _row(sample.pair.after.scenario, sample.pair.after.name, measure, sample.scale)
        row = replace(row, before=fmean(sample.before), after=fmean(sample.after))
        before, after = sample.scaled
        interval = welch(before, after, least_spread=least_spread)
        row = self._judged(row, interval, measure, abs(fmean(sample.before)))
        from_nothing = self._gates.get(measure.name, _NO_GATE).from_nothing
        if from_nothing is not None and max(sample.before) == 0 and min(sample.after) > from_nothing:
            return replace(row, verdict=Verdict.WORSE, regression=True, note="no repeat had any before, all have now")
        if row.verdict is not Verdict.WORSE or measure.name not in self._gates:
            return row
        joint = welch(before, after, confidence=self._joint_confidence, least_spread=least_spread)
        if self._judged(row, joint, measure, abs(fmean(sample.before))).verdict is not Verdict.WORSE:
            return replace(row, note=_DOUBTFUL)
        return self._decided(row, abs(fmean(sample.after) - fmean(sample.before)), [sample])

    def _combined_row(self, key: tuple[str, str], group: Sequence[_Sample], measure: Measured) -> Row | None:
        scale = Scale.POINTS if measure.is_share else Scale.RATIO
        usable = [sample for sample in group if sample.scale is scale]
        interval = combined([sample.scaled for sample in usable])
        if interval is None:
            return None
        before = median(fmean(sample.before) for sample in usable)
        after = median(fmean(sample.after) for sample in usable)
        name = f"all {len(usable)} cells of {key[1]}" if key[1] else f"all {len(usable)} cells"
        row = replace(_row(key[0], name, measure, scale), before=before, after=after, cell_count=len(usable))
        row = self._judged(row, interval, measure, abs(before))
        if row.verdict is not Verdict.WORSE or measure.name not in self._gates:
            return row
        sure = combined([sample.scaled for sample in usable], confidence=_SURE)
        if self._judged(row, sure, measure, abs(before)).verdict is not Verdict.WORSE:
            return replace(row, note=_DOUBTFUL)
        change = median(abs(fmean(sample.after) - fmean(sample.before)) for sample in usable)
        return self._decided(row, change, usable)

    def _judged(self, row: Row, interval: Interval | None, measure: Measured, before: float) -> Row:
        """Add the change and where it lies."""
        if interval is None:
            return replace(row, verdict=Verdict.UNKNOWN, note=_FEW_REPEATS)
        limit = self._threshold * self._gates.get(row.measure, _NO_GATE).factor
        if row.scale is Scale.RATIO:
            limit = math.log1p(limit)
        elif row.scale is Scale.PLAIN:
            limit *= before
        shown = Interval(*map(math.expm1, _parts(interval))) if row.scale is Scale.RATIO else interval
        return replace(row, change=shown, verdict=_verdict(interval, limit, measure.better))

    def _decided(self, row: Row, change: float, samples: Sequence[_Sample]) -> Row:
        """Make a row that is worse, of a measure that decides, a regression, unless there is a reason not to."""
        floor = self._gates[row.measure].floor
        if change < floor:
            return replace(row, note=f"less than {floor:g} {row.unit} does not count")
        if row.measure not in GATES and any(sample.pair.client_bound for sample in samples):
            return replace(row, note="does not count: the client was the limit")
        return replace(row, regression=True)


def _sample(pair: Pair, measure: Measured) -> _Sample | None:
    before, after = pair.values(measure.name)
    if not before or not after:
        return None
    if measure.is_share:
        return _Sample(pair, before, after, Scale.POINTS)
    return _Sample(pair, before, after, Scale.RATIO if min(*before, *after) > 0 else Scale.PLAIN)


def _groups(samples: Sequence[_Sample]) -> dict[tuple[str, str], list[_Sample]]:
    """Return what may have changed alike: all cells, those of each variant, those of each scenario."""
    groups: dict[tuple[str, str], list[_Sample]] = defaultdict(list)
    for sample in samples:
        cell = sample.pair.after
        for key in ((_ALL, ""), (_ALL, cell.variant), (cell.scenario, "")):
            groups[key].append(sample)
    # Groups of the same cells would say the same again: the narrower name is the better one.
    distinct = {tuple(map(id, group)): key for key, group in groups.items()}
    return {key: groups[key] for key in distinct.values()}


def _noise_of(sample: _Sample) -> tuple[str, Scale]:
    """Name the cells whose repeats should differ about as much as those of this one."""
    return sample.pair.after.scenario, sample.scale


def _least_spreads(samples: Sequence[_Sample]) -> dict[tuple[str, Scale], float]:
    """Return the root mean square of the spreads of comparable cells: what each of them has at least."""
    squares: dict[tuple[str, Scale], list[float]] = defaultdict(list)
    for sample in samples:
        found = [value for values in sample.scaled if (value := spread(values)) is not None]
        squares[_noise_of(sample)] += [value**2 for value in found]
    # Plain differences are in units of their cell: what is much for one is little for another.
    return {
        key: math.sqrt(fmean(values)) if values and key[1] is not Scale.PLAIN else 0.0
        for key, values in squares.items()
    }


def _row(scenario: str, name: str, measure: Measured, scale: Scale) -> Row:
    return Row(scenario, name, measure.name, measure.title, measure.unit, scale=scale)


def _exact_row(sample: _Sample, measure: Measured) -> Row:
    before, after = max(sample.before), max(sample.after)
    row = _row(sample.pair.after.scenario, sample.pair.after.name, measure, Scale.PLAIN)
    verdict = Verdict.WORSE if after > before else Verdict.BETTER if after < before else Verdict.SAME
    is_new = after > before == 0
    note = "does not count: it happened before, too" if verdict is Verdict.WORSE and not is_new else ""
    return replace(row, before=before, after=after, verdict=verdict, regression=is_new, note=note)


def _is_gone(pair: Pair, measure: Measured) -> bool:
    """Whether all repeats before have a value, and none has now."""
    before, after = pair.values(measure.name)
    return len(before) == len(pair.before.repeats) and bool(before) and not after


def _gone_row(pair: Pair, measure: Measured) -> Row:
    before, _ = pair.values(measure.name)
    scale = Scale.POINTS if measure.is_share else Scale.PLAIN
    row = _row(pair.after.scenario, pair.after.name, measure, scale)
    note = "it was measured before, and could not be in any repeat now"
    return replace(row, before=fmean(before), verdict=Verdict.WORSE, regression=True, note=note)


def _endings_row(pair: Pair) -> Row | None:
    before, after = pair.failures()
    known, found = set[str]().union(*before), set[str]().union(*after)
    if known == found:
        return None
    always = {name for name in found - known if all(name in names for names in after)}
    told = [", ".join(sorted(names)).replace("_", " ") or "none" for names in (known, found)]
    return Row(
        pair.after.scenario,
        pair.after.name,
        "endings",
        "ways of failing",
        scale=Scale.PLAIN,
        verdict=Verdict.WORSE if always else Verdict.CHANGED if found - known else Verdict.BETTER,
        regression=bool(always),
        note=f"{told[0]} before, {told[1]} now",
    )


def _parts(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


def _verdict(interval: Interval, limit: float, better: str | None) -> Verdict:
    risen, fallen = interval.low > limit, interval.high < -limit
    if not risen and not fallen:
        return Verdict.SAME if -limit <= interval.low and interval.high <= limit else Verdict.UNCLEAR
    if better not in {"lower", "higher"}:
        return Verdict.CHANGED
    return Verdict.WORSE if risen == (better == "lower") else Verdict.BETTER
