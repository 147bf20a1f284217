"""Claims and what became of them, as a table with sentences and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.claims.claim import Claim, Evidence, Verdict

__all__ = ("FORMAT", "VERSION", "Checked", "show", "to_json", "verdict_words")

FORMAT: Final = "tokenweir-claims"
VERSION: Final = 1

_STYLES: Final = {
    Verdict.HOLDS: "green",
    Verdict.CONDITIONAL: "yellow",
    Verdict.REFUTED: "red",
    Verdict.UNTESTED: "dim",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A claim, and what its experiment brought back."""

    claim: Claim
    evidence: Evidence


def verdict_words(evidence: Evidence) -> str:
    """Return the verdict with its condition, or with what is missing."""
    words: str = evidence.verdict.value
    if evidence.verdict is Verdict.CONDITIONAL:
        return f"{words}: {evidence.condition}"
    if evidence.verdict is Verdict.UNTESTED and evidence.missing:
        return f"{words}: {'; '.join(evidence.missing)}"
    return words


def show(checked: Sequence[Checked], console: Console) -> None:
    """Print the verdicts, then what was measured and what it says, claim by claim."""
    table = Table(title="The claims, checked")
    for heading in ("name", "claim", "verdict"):
        table.add_column(heading, overflow="fold")
    for each in checked:
        words = Text(verdict_words(each.evidence), style=_STYLES[each.evidence.verdict])
        table.add_row(each.claim.name, Text(each.claim.statement), words)
    console.print(table)
    for each in checked:
        console.print(f"\n{each.claim.statement}", style="bold", markup=False, highlight=False)
        for line in _lines(each.evidence):
            console.print(f"  {line}", markup=False, highlight=False)


def _lines(evidence: Evidence) -> list[str]:
    lines = list(evidence.sentences)
    if evidence.verdict is not Verdict.UNTESTED:
        lines += [f"Not measured: {line}" for line in evidence.missing]
    return lines


def to_json(checked: Sequence[Checked], environment: dict[str, Any], *, interrupted: bool = False) -> bytes:
    """Return claims, verdicts and all figures, with the environment that they come from.

    Args:
        checked: in the order of the file.
        environment: on what they were checked.
        interrupted: whether more were to be checked.
    """
    record = {
        "format": FORMAT,
        "version": VERSION,
        "interrupted": interrupted,
        "environment": environment,
        "claims": [_record(each) for each in checked],
    }
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def _record(each: Checked) -> dict[str, Any]:
    claim = each.claim
    told = {name: getattr(claim, name) for name in ("name", "statement", "said_by", "decided_by", "limits")}
    return told | asdict(each.evidence)
