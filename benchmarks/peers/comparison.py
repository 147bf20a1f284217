"""What came of running ours and the peers in one run: rows, as a file with a version and as a table.

A row is one contender in one case. Its ratio is ours (flux) divided by it, so that 2 means twice its streams, its
tokens/s or its memory; ratios are taken round by round, and the row has their median.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
from rich.table import Table
from rich.text import Text

from benchmarks.results import ResultsError, write_whole

__all__ = (
    "FORMAT",
    "OURS",
    "VERSION",
    "WARMED_UP",
    "Comparison",
    "Row",
    "Skipped",
    "load",
    "save",
    "skipped_lines",
    "table",
)

FORMAT: Final = "tokenweir-peers"
OURS: Final = "tokenweir"
"""The stack of our own contenders."""
VERSION: Final = 1
WARMED_UP: Final = ("firehose", "paced")
"""The cases before which every server streams for a while: those that measure its speed."""


class Row(msgspec.Struct, kw_only=True):
    """One contender in one case.

    Attributes:
        case: firehose, paced or memory.
        contender: who.
        stack: what it runs on.
        unit: of the values.
        values: one for each round; None: it failed in it.
        value: their median; None: it failed in all.
        ratio: the median of ours divided by it; None: there is none.
        goal: what the ratio was wanted to be; empty: nothing.
        met: whether it is; None: there is no goal, or it is not known.
        note: what a reader of the number must know.
        comparable: whether the value may be held against another: that of each round may.
    """

    case: str
    contender: str
    stack: str
    unit: str
    values: list[float | None]
    value: float | None
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""
    comparable: bool = True


class Skipped(msgspec.Struct, kw_only=True):
    """A peer that was not measured.

    Attributes:
        contender: which.
        stack: what it runs on.
        reason: one line: what to install, or how its build failed.
        failed: whether it is the build; else something is not installed.
    """

    contender: str
    stack: str
    reason: str
    failed: bool = False


class Comparison(msgspec.Struct, kw_only=True):
    """One run.

    Attributes:
        quick: whether the sizes were those of a first look.
        environment: on what it was measured, see `benchmarks.environment`.
        rows: by case, then in the order of the contenders.
        skipped: who is not in them.
        left_out: cases that are not in them -> why they cannot be measured here.
        warm_up_s: for how long a contender streamed before its speed was measured, if it compiles while it runs; by its
            name.
        created: ISO 8601, UTC; empty: not known.
        interrupted: whether it was ended before its end: rows have fewer values, or are not there.
        format: tells the file from any other JSON.
        version: of the format.
    """

    quick: bool
    environment: dict[str, Any]
    rows: list[Row]
    skipped: list[Skipped] = []
    left_out: dict[str, str] = {}
    warm_up_s: dict[str, float] = {}
    created: str = ""
    interrupted: bool = False
    format: str = FORMAT
    version: int = VERSION

    @property
    def has_failures(self) -> bool:
        """Whether something could not be built, or failed in a round."""
        return any(each.failed for each in self.skipped) or any(None in row.values for row in self.rows)


def save(comparison: Comparison, path: Path) -> None:
    """Write it as JSON.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(path, msgspec.json.format(msgspec.json.encode(comparison), indent=1) + b"\n")


def load(path: Path) -> Comparison:
    """Read what `save` has written.

    Raises:
        ResultsError: it cannot be read, is something else, or of another version.
    """
    try:
        data = path.read_bytes()
        head = msgspec.json.decode(data, type=dict[str, Any])
        found = head.get("format"), head.get("version")
        if found != (FORMAT, VERSION) or isinstance(found[1], bool):
            raise ResultsError(f"{path} has format and version {found}; accepted are {(FORMAT, VERSION)}")
        return msgspec.json.decode(data, type=Comparison)
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors, as is text that is no UTF-8
        raise ResultsError(f"{path} is no comparison with peers: {error}") from error


def table(comparison: Comparison) -> Table:
    """Lay it out for people."""
    laid_out = Table(title="Against other stacks")
    for heading in ("case", "contender", "stack", "value", "ours / theirs", "goal", "met", "note"):
        is_number = heading in ("value", "ours / theirs")
        laid_out.add_column(heading, overflow="fold", justify="right" if is_number else "left")
    before = ""
    for row in comparison.rows:
        if row.case != before:
            laid_out.add_section()
        laid_out.add_row(*map(Text, (row.case if row.case != before else "", *_cells(row))))
        before = row.case
    return laid_out


def skipped_lines(comparison: Comparison) -> list[str]:
    """Return one line for each case and peer that was not measured; in a column of the table, a tower of words."""
    cases = [f"left out {case}: {reason}" for case, reason in comparison.left_out.items()]
    return cases + [f"skipped  {each.contender} ({each.stack}): {each.reason}" for each in comparison.skipped]


def _cells(row: Row) -> tuple[str, ...]:
    value = "-" if row.value is None else f"{row.value:,.{0 if row.value >= 100 else 1}f} {row.unit}"
    ratio = "-" if row.ratio is None else f"{row.ratio:.2f} x"
    met = {True: "yes", False: "no", None: "-"}[row.met]
    return row.contender, row.stack, value, ratio, row.goal, met, row.note
