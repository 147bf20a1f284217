"""What was measured against what was wanted: one line each, as a table for people and as JSON with every raw value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from rich.table import Table

from benchmarks.environment import environment

__all__ = ("Result", "percentile", "skipped", "table", "to_json")

_FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Result:
    """One goal.

    Attributes:
        case: the command that measured it.
        what: ours, and what it was measured beside.
        goal: what was wanted.
        measured: what came out, with its spread.
        met: whether the goal was; None: it could not be measured, or there is none.
        note: what a reader of the number must know.
        raw: every value that was measured, with the unit in its name.
    """

    case: str
    what: str
    goal: str
    measured: str
    met: bool | None
    note: str = ""
    raw: dict[str, Any] = field(default_factory=dict[str, Any])


def skipped(case: str, what: str, goal: str, missing: str) -> Result:
    """Return the line for a peer that is not there; `missing` says what to install."""
    return Result(case, what, goal, "skipped", None, f"install {missing}")


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value with `percent` per cent of all at or below it.

    NaN of nothing.
    """
    return float(np.percentile(values, percent, method="inverted_cdf")) if values else math.nan


def table(results: Iterable[Result]) -> Table:
    """Lay the results out."""
    laid_out = Table(title="Goals of the server beside its peers")
    for heading in ("case", "what", "goal", "measured", "met", "note"):
        laid_out.add_column(heading, overflow="fold")
    for result in results:
        met = {True: "[green]yes[/]", False: "[red]no[/]", None: "-"}[result.met]
        laid_out.add_row(result.case, result.what, result.goal, result.measured, met, result.note)
    return laid_out


def to_json(results: Iterable[Result]) -> str:
    """Return the results and where they come from. What is not a number (nothing arrived) is null."""
    record = {
        "format_version": _FORMAT_VERSION,
        "environment": environment(),
        "results": [asdict(result) for result in results],
    }
    return msgspec.json.format(msgspec.json.encode(record), indent=1).decode() + "\n"
