"""The verdicts: is what ours shows equal to the original, different as foretold, or different?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from benchmarks.peers.semantics.originals import Originals
from benchmarks.peers.semantics.ours import run_ours
from benchmarks.peers.semantics.rules import RULES, Case, Outcome, Rule, reports_losses
from benchmarks.peers.semantics.schedules import Schedule, Seen

__all__ = ("Judged", "Verdict", "compare", "judge")


class Verdict(Enum):
    """What came of one schedule."""

    EQUAL = "equal"
    """Ours shows what the original shows."""
    ON_PURPOSE = "on purpose"
    """Ours differs, and exactly as the rules foretell."""
    DIFFERENT = "DIFFERENT"
    """Ours differs from what was foretold; or a rule foretold a difference that is none."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One schedule and its verdict.

    Attributes:
        schedule: what was run.
        verdict: what came of it.
        rules: the deliberate differences that apply.
        theirs: what the original showed.
        foretold: what ours should have shown.
        ours: what it showed.
    """

    schedule: Schedule
    verdict: Verdict
    rules: tuple[Rule, ...]
    theirs: Outcome
    foretold: Outcome
    ours: Outcome

    def __str__(self) -> str:
        lines = [f"{self.schedule.name}: {self.verdict.value} {'; '.join(rule.name for rule in self.rules)}".rstrip()]
        rows = zip(self.schedule.steps, self.theirs, self.foretold, self.ours, strict=True)
        lines += [
            f"  {step!s:<28} theirs {_shown(a)}; foretold {_shown(b)}; ours {_shown(c)}" for step, a, b, c in rows
        ]
        return "\n".join(lines)


def compare(schedules: Sequence[Schedule], originals: Originals, rules: Sequence[Rule] = RULES) -> list[Judged]:
    """Run each schedule through the original and through ours, and judge."""
    outcomes = run_ours(schedules)
    return [judge(schedule, ours, originals, rules) for schedule, ours in zip(schedules, outcomes, strict=True)]


def judge(schedule: Schedule, ours: Outcome, originals: Originals, rules: Sequence[Rule] = RULES) -> Judged:
    """Compare what ours showed with what the original shows and the rules foretell."""
    theirs = _comparable(schedule, originals.run(schedule))
    case = Case(schedule, originals.run(schedule))
    applied: list[Rule] = []
    foretold = theirs
    for rule in rules:
        case = rule.foretell(case, originals.run)
        before, foretold = foretold, _comparable(schedule, case.outcome)
        if foretold != before:
            applied.append(rule)
    ours = _comparable(schedule, ours)
    as_foretold = Verdict.ON_PURPOSE if applied else Verdict.EQUAL
    verdict = as_foretold if ours == foretold else Verdict.DIFFERENT
    return Judged(schedule, verdict, tuple(applied), theirs, foretold, ours)


def _comparable(schedule: Schedule, outcome: Outcome) -> Outcome:
    """Leave out what one side has no means to say, and write None as the twin of a null item does."""
    reports = reports_losses(schedule)
    return tuple(_named(seen) if reports else msgspec.structs.replace(_named(seen), dropped=()) for seen in outcome)


def _named(seen: Seen) -> Seen:
    next_items = tuple("null" if item is None else item for item in seen.next)
    dropped = tuple("null" if item is None else item for item in seen.dropped)
    return msgspec.structs.replace(seen, next=next_items, dropped=dropped)


def _shown(seen: Seen) -> str:
    said = [
        *(f"next {item}" for item in seen.next),
        *(f"lost {item}" for item in seen.dropped),
        *seen.ends,
        *(f"raised {error}" for error in seen.raised),
    ]
    return ", ".join(said) or "-"
