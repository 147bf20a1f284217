"""Lesson 07, choosing for an LLM gateway: what three clients need, and which strategies give it to them.

on_paper     a strategy on a schedule, without a clock
measured     the same question asked of real sockets: cells of a preset of `python -m benchmarks run`
Wish         what a client needs of a stream, as limits on what was measured
decide       which strategies keep the limits, and why the others do not
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType
from typing import Any, Final

from benchmarks.results import CellResult, Results
from benchmarks.running.run import Order, run
from benchmarks.scenarios.cells import Scenario
from benchmarks.scenarios.presets import PRESETS
from benchmarks.summary.figures import failed, figure, seconds, share, short
from streams.arguments import positive_seconds, shown
from streams.errors import BufferOverflowError
from streams.marbles import Diagram, diagram_of
from streams.schedules import SlowReader, SourceSchedule
from streams.simulate import simulate
from streams.strategy import BackpressureStrategy, BufferOverflow, Join
from streams.traces import StepKind, Trace

__all__ = (
    "AGENT",
    "CANDIDATES",
    "CHAT",
    "COMMAND",
    "DASHBOARD",
    "REDUCE",
    "SUSPEND",
    "VOICE",
    "WISHES",
    "Need",
    "Verdict",
    "Wish",
    "breaks_at",
    "chosen",
    "decide",
    "decision_table",
    "figures_table",
    "marbles",
    "measured",
    "on_paper",
    "read_by",
    "scenario",
    "smallest_buffer",
    "whole_words",
)

REDUCE: Final = BackpressureStrategy.reduce(Join("".join))
"""Joins pieces of text that are still waiting."""
SUSPEND: Final = BackpressureStrategy.suspend()
"""Makes the source wait for the reader."""

CANDIDATES: Final = (
    *("reduce", "suspend", "latest"),
    *("buffer(32, suspend)", "buffer(32, drop_oldest)", "buffer(unbounded)"),
)
"""What is measured, by the names of `Cell.strategy_name`."""

COMMAND: Final = "python -m benchmarks run slow-reader --only slow-reader"
"""Measures the same for every strategy of every variant, three times, and writes a report."""

_PRESET: Final = "slow-reader"
_VARIANT: Final = "flux"
_MOST_TRIED: Final = 100


# --- On paper ----------------------------------------------------------------------------------------------------


def whole_words(text: str, *, every_ms: float) -> SourceSchedule:
    """Return a source that emits a text word by word, each with the space behind it, and completes with the last.

    Raises:
        ValueError: a text without words, or a time that is none.
    """
    positive_seconds("every_ms", every_ms)
    words = text.split()
    if not words:
        raise ValueError(f"text must hold at least one word; got {shown(text)}")
    pieces = [f"{word} " for word in words[:-1]] + words[-1:]
    return SourceSchedule([(place * every_ms, word) for place, word in enumerate(pieces)], every_ms * (len(words) - 1))


def on_paper(strategy: BackpressureStrategy, source: SourceSchedule, reader: SlowReader) -> Trace:
    """Play a stream on a virtual clock. See `streams.simulate.simulate`."""
    return simulate(strategy, source, reader)


def read_by(trace: Trace) -> list[Any]:
    """Return what the reader got, in order."""
    return [step.item for step in trace.of(StepKind.DELIVER)]


def marbles(trace: Trace) -> Diagram:
    """Draw a trace with the numbers of its items: they stay readable where several are joined."""
    numbers = count()
    return diagram_of(trace, labels=lambda _: str(next(numbers)))


def smallest_buffer(source: SourceSchedule, reader: SlowReader) -> int:
    """Return the least capacity with which a buffer that drops its oldest item loses nothing.

    Raises:
        ValueError: even 100 do not suffice.
    """
    for capacity in range(1, _MOST_TRIED + 1):
        strategy = BackpressureStrategy.buffer(capacity, BufferOverflow.DROP_OLDEST)
        if not simulate(strategy, source, reader).statistics.dropped:
            return capacity
    raise ValueError(f"reader must be able to follow with at most {_MOST_TRIED} items held; got {shown(reader)}")


def breaks_at(strategy: BackpressureStrategy, source: SourceSchedule, reader: SlowReader) -> int | None:
    """Return how many items were emitted when the stream broke for want of room, that one included; None: it held."""
    trace = simulate(strategy, source, reader)
    broke = any(isinstance(step.error, BufferOverflowError) for step in trace.of(StepKind.TERMINAL))
    return len(trace.of(StepKind.EMIT)) if broke else None


# --- Over real sockets -------------------------------------------------------------------------------------------


def scenario(candidates: Sequence[str] = CANDIDATES) -> Scenario:
    """Return the cells of preset slow-reader that are measured here: 400 tokens/s for one second, read at 100/s.

    Raises:
        ValueError: the preset has no such strategy.
    """
    found = next(each for each in PRESETS[_PRESET].scenarios if each.name == _PRESET)
    cells = {cell.strategy_name: cell for cell in found.cells if cell.variant == _VARIANT}
    for name in candidates:
        if name not in cells:
            raise ValueError(f"candidates must be of {', '.join(cells)}; got {shown(name)}")
    return replace(found, cells=tuple(cells[name] for name in candidates))


def measured(candidates: Sequence[str] = CANDIDATES, repeats: int = 1) -> Results:
    """Measure them side by side: a server process each, and one process that reads them all. Blocks for ten seconds.

    Raises:
        ValueError: as `scenario`.
    """
    return run(Order(_PRESET, (scenario(candidates),), repeats, command=COMMAND)).results


def figures_table(results: Results) -> list[dict[str, str]]:
    """Return one row per strategy with what the needs are about, the freshest first."""
    cells = sorted(_alive(results), key=lambda cell: figure(cell, "freshness_p50_ms") or 0.0)
    return [
        {
            "strategy": cell.strategy,
            "lost": share(figure(cell, "loss_share")),
            "merged": short(figure(cell, "merged_tokens")),
            "age of the newest token": seconds(figure(cell, "freshness_p50_ms")),
            "source held back by": seconds(figure(cell, "pacing_p99_ms")),
            "held at most": short(figure(cell, "peak_held")),
        }
        for cell in cells
    ]


def _alive(results: Results) -> list[CellResult]:
    return [cell for cell in results.cells if cell.repeats]


# --- What a client needs -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kind:
    """A measure that needs are about: what is said of a strategy that goes beyond the limit."""

    words: str
    show: Callable[[float | None], str]


_KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "loss_share": _Kind("lost", share),
        "merged_tokens": _Kind("joined away:", short),
        "pacing_p99_ms": _Kind("source held back by", seconds),
        "peak_held": _Kind("held", short),
        "freshness_p50_ms": _Kind("newest token is older:", seconds),
    }
)


@dataclass(frozen=True, slots=True)
class Need:
    """A limit on what was measured of a stream.

    Attributes:
        measure: loss_share, merged_tokens, pacing_p99_ms (how long the source was held back), peak_held or
            freshness_p50_ms (the age of the newest token that the reader has).
        most: the limit; what was measured may be as much.

    Raises:
        ValueError: there is no such measure, or a limit below 0.
    """

    measure: str
    most: float

    def __post_init__(self) -> None:
        if self.measure not in _KINDS:
            raise ValueError(f"measure must be one of {', '.join(_KINDS)}; got {shown(self.measure)}")
        if not self.most >= 0:
            raise ValueError(f"most must be at least 0; got {shown(self.most)}")

    def broken_by(self, cell: CellResult) -> str:
        """Say how a strategy breaks it; nothing if it keeps it. What was not measured is not held to be kept."""
        value, kind = figure(cell, self.measure), _KINDS[self.measure]
        if value is not None and value <= self.most:
            return ""
        return f"{kind.words} {kind.show(value)}"


@dataclass(frozen=True, slots=True)
class Wish:
    """What one kind of client needs.

    Attributes:
        name: of the client.
        needs: each has to be kept.
        then: the measure that decides between the strategies that keep them, the least first; "": nothing does.
    """

    name: str
    needs: tuple[Need, ...]
    then: str = "freshness_p50_ms"

    def __post_init__(self) -> None:
        if self.then and self.then not in _KINDS:
            raise ValueError(f"then must be one of {', '.join(_KINDS)}, or empty; got {shown(self.then)}")


_NOTHING_LOST: Final = Need("loss_share", 0)
_ONE_BY_ONE: Final = Need("merged_tokens", 0)
_SOURCE_IS_FREE: Final = Need("pacing_p99_ms", 500)

CHAT: Final = Wish("chat", (_NOTHING_LOST, _SOURCE_IS_FREE))
"""Someone reads the text on a slow phone: all of it, soon, and the model is not to wait for the phone."""
DASHBOARD: Final = Wish("dashboard", (_ONE_BY_ONE, _SOURCE_IS_FREE))
"""Each item is a whole value that replaces the one before: the newest counts, an old one is worth nothing."""
AGENT: Final = Wish("agent", (_NOTHING_LOST, _ONE_BY_ONE, Need("peak_held", 128)), then="")
"""A program takes every token by itself, none missing and none joined; it may be late, but memory is bounded."""

VOICE: Final = Wish("voice", (_NOTHING_LOST, _SOURCE_IS_FREE, Need("freshness_p50_ms", 800)))
"""Reads the answer aloud: as a chat, and it must not fall silent behind the text."""

WISHES: Final = (CHAT, DASHBOARD, AGENT)


# --- The decision ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a strategy is worth to a client.

    Attributes:
        reasons: why it will not do; none: it keeps every need.
        first: whether it is the first choice, or one of them.
        deciding: the figure that decides between those that will do; "": none does.
    """

    reasons: tuple[str, ...]
    first: bool
    deciding: str = ""

    @property
    def fits(self) -> bool:
        """Whether it keeps every need."""
        return not self.reasons

    def __str__(self) -> str:
        if self.reasons:
            return f"no: {'; '.join(self.reasons)}"
        if not self.deciding:
            return "yes"
        return f"{'FIRST CHOICE' if self.first else 'would do'}, {self.deciding}"


def decide(results: Results, wish: Wish) -> dict[str, Verdict]:
    """Judge every strategy that was measured, by its name. A stream that broke will not do for anybody."""
    cells = _alive(results)
    reasons = {cell.strategy: _reasons(cell, wish) for cell in cells}
    able = [cell for cell in cells if not reasons[cell.strategy]]
    least = min((_rank(cell, wish) for cell in able), default=0.0)
    return {
        cell.strategy: Verdict(
            reasons[cell.strategy],
            first=cell in able and _rank(cell, wish) == least,
            deciding=_KINDS[wish.then].show(figure(cell, wish.then)) if wish.then else "",
        )
        for cell in cells
    }


def _reasons(cell: CellResult, wish: Wish) -> tuple[str, ...]:
    broken = ("the stream broke",) if failed(cell) else ()
    return (*broken, *filter(None, (need.broken_by(cell) for need in wish.needs)))


def _rank(cell: CellResult, wish: Wish) -> float:
    value = figure(cell, wish.then) if wish.then else 0.0
    return float("inf") if value is None else value


def chosen(results: Results, wish: Wish) -> set[str]:
    """Return the first choices for a client; none if no strategy keeps its needs."""
    return {name for name, verdict in decide(results, wish).items() if verdict.first}


def decision_table(results: Results, wishes: Sequence[Wish] = WISHES) -> list[dict[str, str]]:
    """Return one row per strategy: what it is worth to each client, and why not."""
    verdicts = {wish.name: decide(results, wish) for wish in wishes}
    return [
        {"strategy": cell.strategy, **{name: str(found[cell.strategy]) for name, found in verdicts.items()}}
        for cell in _alive(results)
    ]
