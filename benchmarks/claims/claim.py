"""What a claim is, and what is known once its experiment was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from benchmarks.peers.failures import in_words
from benchmarks.peers.needs import Need

__all__ = ("Claim", "Evidence", "Figure", "Verdict", "missing", "untested")


class Verdict(Enum):
    """What becomes of a claim."""

    HOLDS = "holds"
    CONDITIONAL = "holds with a condition"
    REFUTED = "does not hold"
    UNTESTED = "could not be tested here"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured.

    Attributes:
        what: for people.
        value: a number, or a word.
        unit: of a number.
        of: whose it is: the library or server that was run.
    """

    what: str
    value: float | str
    unit: str = ""
    of: str = ""

    @property
    def shown(self) -> str:
        """Value and unit for people."""
        value = self.value
        if isinstance(value, float) and not value.is_integer():
            value = f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
        elif not isinstance(value, str):
            value = f"{value:,.0f}"
        return f"{value} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an experiment brought back.

    Attributes:
        verdict: computed from the figures.
        figures: what was measured.
        sentences: what they say, computed from them.
        condition: under which the claim holds; with CONDITIONAL only.
        missing: what has to be installed, one line each; with UNTESTED it is what would have decided.
        failed: whether it is untested because the experiment broke off.

    Raises:
        ValueError: a condition without a conditional verdict or the other way round, or no sentence.
    """

    verdict: Verdict
    figures: tuple[Figure, ...]
    sentences: tuple[str, ...]
    condition: str = ""
    missing: tuple[str, ...] = ()
    failed: bool = False

    def __post_init__(self) -> None:
        if bool(self.condition) != (self.verdict is Verdict.CONDITIONAL):
            raise ValueError(f"condition must be given with CONDITIONAL alone; got {self.condition!r}, {self.verdict}")
        if not self.sentences:
            raise ValueError("sentences must be one at least; got none")


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement that is heard, and how it is decided.

    Attributes:
        name: one word or two, as the command takes it; no two are the same.
        statement: as people say it.
        said_by: who, in general words.
        decided_by: the experiment, and what would refute the statement.
        limits: what the experiment does not look at.
        experiment: makes it. Takes seconds; the first one that needs Java builds for minutes.
        needs: what has to be there to decide; the experiment is not begun without it.
        helps: what adds figures where it is there.
    """

    name: str
    statement: str
    said_by: str
    decided_by: str
    limits: str
    experiment: Callable[[], Evidence]
    needs: tuple[Need, ...] = ()
    helps: tuple[Need, ...] = ()

    def check(self) -> Evidence:
        """Make the experiment. What goes wrong, whatever it is, or is not installed, is evidence that says so."""
        lacking = missing(self.needs)
        if lacking:
            return untested(lacking)
        try:
            evidence = self.experiment()
        except Exception as error:  # one experiment takes no other's evidence with it
            words = f"The experiment broke off with {type(error).__name__}: {in_words(error)}"
            return Evidence(Verdict.UNTESTED, (), (words,), failed=True)
        return replace(evidence, missing=tuple(dict.fromkeys((*evidence.missing, *missing(self.helps)))))


def missing(needs: tuple[Need, ...]) -> tuple[str, ...]:
    """Return one line for each that is not there: what to install."""
    return tuple(f"{lack}: install {need.install}" for need in needs if (lack := need.lack()))


def untested(lacking: tuple[str, ...], figures: tuple[Figure, ...] = (), sentences: tuple[str, ...] = ()) -> Evidence:
    """Return the evidence of what nobody could decide here, with the figures that there are."""
    return Evidence(
        Verdict.UNTESTED, figures, (*sentences, f"To decide it: {'; '.join(lacking)}."), missing=tuple(lacking)
    )
