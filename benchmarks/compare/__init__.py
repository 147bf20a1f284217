"""Two results files side by side: what became better, what became worse, and how sure that is.

    matching    cells of the same name and request
    intervals   how sure a difference is
    gates       which measures decide, and what a regression is
    judging     one row for each measure of each cell, and of all cells together
    showing     the table and the words

    Results, Results  ->  cells of the same name  ->  Row: one measure, before and after, with an interval  ->  verdict

A row is one measure of one cell, or of many together (all, those of a variant, those of a scenario), because a change
of the server is in all of them and shows there with few repeats. A regression is an interval that lies wholly beyond
the threshold in the bad direction, of a measure that is a gate; or what could be measured before and cannot be any
more, or ends in failures of another name. See `benchmarks.compare.gates`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from benchmarks.compare.gates import DEFAULT_THRESHOLD, GATES, Gate, parse_threshold
from benchmarks.compare.judging import Judge, Measured
from benchmarks.compare.matching import (
    DifferentEnvironmentsError,
    environment_differences,
    matched,
    notes,
    unfinished,
)
from benchmarks.compare.rows import Comparison, Row, Scale, Verdict
from benchmarks.compare.showing import show
from benchmarks.results import Results

__all__ = (
    "DEFAULT_THRESHOLD",
    "GATES",
    "Comparison",
    "DifferentEnvironmentsError",
    "Gate",
    "Row",
    "Scale",
    "Verdict",
    "compare",
    "environment_differences",
    "parse_threshold",
    "show",
)


def compare(
    a: Results,
    b: Results,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    force: bool = False,
    gates: Collection[str] = (),
) -> Comparison:
    """Set two runs side by side. Takes a second or two for a full one.

    Args:
        a: before.
        b: after.
        threshold: how much worse a regression is at least, as a share: 0.1 is 10 %.
        force: compare runs of different environments, cells whose requests differ, and a second run that has not
            measured all that the first one has.
        gates: further measures that are to decide, at the threshold as it is; latencies and throughput, for example.

    Raises:
        DifferentEnvironmentsError: without `force`; what differs is named. Another commit is no difference.
        ValueError: `threshold` is not above 0 and finite, `gates` names what is no measure, or a file has a cell twice.
    """
    if not 0 < threshold < math.inf:
        raise ValueError(f"threshold must be a share above 0, such as 0.1; got {threshold!r}")
    measures = _measures(a, b)
    unknown = [name for name in gates if name not in measures]
    if unknown:
        raise ValueError(f"gates must name measures, of {', '.join(measures)}; got {', '.join(unknown)}")
    differences = environment_differences(a, b)
    if differences and not force:
        raise DifferentEnvironmentsError(differences)
    pairs, apart = matched(a, b, force=force)
    judge = Judge(threshold, {**{name: Gate() for name in gates}, **GATES}, pairs)
    rows = [*judge.endings(), *(row for measured in measures.values() for row in judge.rows(measured))]
    said = (*(f"The environments differ: {line}" for line in differences), *notes(a, b, pairs))
    incomplete = () if force else tuple(unfinished(a, b))
    return Comparison((*apart, *rows), threshold, len(pairs), said, incomplete)


def _measures(a: Results, b: Results) -> dict[str, Measured]:
    """Return what can be compared: as this version defines it, else as the files do."""
    # numpy and more come with it.
    from benchmarks.measures.computing import MEASURES

    described: dict[str, Mapping[str, str]] = {**a.definitions, **b.definitions}
    measures = {
        name: Measured(name, text.get("title", name), text.get("unit", ""), text.get("better"))
        for name, text in described.items()
    }
    for name, measure in MEASURES.items():
        measures[name] = Measured(name, measure.title, measure.unit, measure.better)
    measures.setdefault("streams_failed", Measured("streams_failed", "streams that failed", "", "lower"))
    measures["accounting_violations"] = Measured("accounting_violations", "accounting violations", "", "lower")
    return measures
