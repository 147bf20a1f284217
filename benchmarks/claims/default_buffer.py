"""The claim that Flux buffers by default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.claims.claim import Claim, Evidence, Figure, Verdict
from benchmarks.claims.tools import JAVA, Demand, Tried, demand

__all__ = ("CLAIM", "Defaults", "buffers", "judge", "measure")

_UNNAMED: Final = "none named"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What sources of Flux do when no strategy is named.

    Attributes:
        items: how many a source has.
        wanted: how many are requested at first.
        pushed: those whose producer pushes: create, push.
        others: all others.
    """

    items: int
    wanted: int
    pushed: tuple[Tried, ...]
    others: tuple[Tried, ...]


def buffers(tried: Tried, wanted: int) -> bool:
    """Whether a source made more than was wanted, held it, and lost nothing. One item ahead is no buffer."""
    return tried.received == wanted and tried.made > wanted + 1 and tried.received_after >= tried.made


def judge(defaults: Defaults) -> Evidence:
    """Refuted if nothing buffers; conditional if only some sources do."""
    holding = [tried for tried in (*defaults.pushed, *defaults.others) if buffers(tried, defaults.wanted)]
    not_holding = [tried for tried in (*defaults.pushed, *defaults.others) if tried not in holding]
    if not holding:
        verdict, condition = Verdict.REFUTED, ""
    elif not not_holding:
        verdict, condition = Verdict.HOLDS, ""
    else:
        verdict, condition = Verdict.CONDITIONAL, f"of {_named(holding)}"
    return Evidence(verdict, _figures(defaults), _sentences(defaults, holding, not_holding), condition)


def _figures(defaults: Defaults) -> tuple[Figure, ...]:
    return tuple(
        Figure(f"held by {tried.source}", tried.made - tried.received, "items", tried.library)
        if buffers(tried, defaults.wanted)
        else Figure(f"made by {tried.source}", tried.made, f"items, ended: {tried.ended or 'no'}", tried.library)
        for tried in (*defaults.pushed, *defaults.others)
    )


def _sentences(defaults: Defaults, holding: Sequence[Tried], not_holding: Sequence[Tried]) -> tuple[str, ...]:
    sentences = [
        f"{tried.source}: {defaults.wanted} of {defaults.items:,} items were wanted; it made {tried.made:,}, held "
        f"{tried.made - tried.received:,} and lost none: {_bound(tried, defaults.items)}."
        for tried in holding
    ]
    sentences += [_told(tried, defaults) for tried in not_holding]
    return tuple(sentences)


def _bound(tried: Tried, items: int) -> str:
    return "a buffer without a bound" if tried.made == items else "a buffer that is full with these"


def _told(tried: Tried, defaults: Defaults) -> str:
    if tried.has_failed:
        return f"{tried.source} holds nothing: after {tried.received} items it failed with {tried.ended}."
    if tried.made <= defaults.wanted + 1:
        return f"{tried.source} has nothing to hold: it made {tried.made} items, as {defaults.wanted} were wanted."
    return f"{tried.source} made {tried.made:,} items, of which {tried.received_after:,} came."


def _named(sources: Sequence[Tried]) -> str:
    return " and ".join(tried.source.partition(",")[0] for tried in sources)


def measure() -> Defaults:
    """Run the sources of Flux in Java. Raises RuntimeError as `demand`."""
    return _defaults(demand())


def _defaults(found: Demand) -> Defaults:
    flux = [tried for tried in found.tried if tried.library == "Reactor"]
    return Defaults(
        items=found.items,
        wanted=found.wanted,
        pushed=tuple(tried for tried in flux if tried.source.endswith(_UNNAMED)),
        others=tuple(tried for tried in flux if "," not in tried.source),
    )


CLAIM: Final = Claim(
    name="default-buffer",
    statement="Flux buffers by default",
    said_by="introductions to Reactor",
    decided_by=(
        "Each source of Flux is written without naming a strategy and asked for 10 items of many, then for all: a "
        "buffer is what was made too early and still came. It is refuted if no source has one."
    ),
    limits="Operators with a queue of their own, such as publishOn and flatMap, hold up to their prefetch besides.",
    experiment=lambda: judge(measure()),
    needs=JAVA,
)
