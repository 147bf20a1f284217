"""The presets: which scenarios one run of `python -m benchmarks run` measures, and what each asks.

What is measured side by side is small, so that one core serves all of it: a source of 400 tokens/s for one second, and
a reader four times slower. The client's receive buffer, the kernel and the server's tail hold about 50 of these tokens;
a boundary of 32 beside them is what decides. A strategy that waits or holds everything lets the reader have all 400
tokens after 4 s; one that drops is through after 2 s and has lost more than half. All of them complete, which proves
that the counts add up.

The time of `quick`, once with every cell and then again, so that a drift of the machine meets all alike:

    slow-reader                      4.0 s   15 cells side by side
    stalled, bursty                  3.5 s   12 cells: 2,000 tokens/s for 3 s, of which the reader stalls 2.5 s
    reader-speed, leaving, ordering  3.0 s   12 cells
    fan-out, sse-vs-websocket        2.5 s   5 cells, 40 connections each
    firehose                         4 s     5 cells, one after the other, each alone on the machine; in 1 s more, some
                                             tokens of each that does not merge, to look at each index
    servers                          15 s    one process per cell, 0.6 s of CPU each, on two cores

which makes about 66 s, and some seconds for the client's own floor, the arithmetic and the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.scenarios.cells import Cell, Closed, Load, Open, Scenario, Transport
from benchmarks.scenarios.readers import FAST, Bursty, Leaving, Paced, ReaderProfile, Stalled

__all__ = ("CAPACITY", "PRESETS", "Preset", "strategies_of")

Strategy = Mapping[str, str]

CAPACITY: Final = 32
"""What a bounded buffer holds in all scenarios with a slow reader: less than the sockets behind it."""

_SLOW: Final = Paced(tokens_per_s=100)
_PACED: Final = {"source": "counter", "rate": 400, "count": 400, "stats_ms": 200}
_BUSY: Final = {"source": "counter", "rate": 2_000, "count": 4_000}
_LONG: Final = {"source": "counter", "rate": 2_000, "count": 6_000, "stats_ms": 200}
_CHAT: Final = {"source": "counter", "rate": 50, "count": 100}
_PRODUCED: Final = {"source": "counter", "rate": 2_000, "count": 4_000, "producers": 4}


@dataclass(frozen=True, slots=True)
class Preset:
    """What one run measures.

    Attributes:
        name: as it is typed.
        summary: one line for `--help`.
        scenarios: names are unique.
        repeats: how often every cell is measured, unless asked otherwise.
    """

    name: str
    summary: str
    scenarios: tuple[Scenario, ...]
    repeats: int


# --- Strategies --------------------------------------------------------------------------------------------------


def _buffer(overflow: str, capacity: int = CAPACITY) -> Strategy:
    return {"strategy": "buffer", "capacity": str(capacity), "overflow": overflow}


_MISSING: Final[Strategy] = {"strategy": "missing"}
_ERROR: Final[Strategy] = {"strategy": "error"}
_DROP: Final[Strategy] = {"strategy": "drop"}
_LATEST: Final[Strategy] = {"strategy": "latest"}
_REDUCE: Final[Strategy] = {"strategy": "reduce"}
_REDUCE_ALL: Final[Strategy] = {"strategy": "reduce", "max_merged": "1000000"}
_SUSPEND: Final[Strategy] = {"strategy": "suspend"}
_UNBOUNDED: Final[Strategy] = {"strategy": "buffer", "capacity": "unbounded"}
_DROP_OLDEST: Final = _buffer("drop_oldest")
_BUFFER_SUSPEND: Final = _buffer("suspend")
_WIDE_SUSPEND: Final = _buffer("suspend", 256)

_COMMON: Final = (_MISSING, _ERROR, _DROP, _LATEST, _DROP_OLDEST, _REDUCE)
_ALL_COMMON: Final = (
    *_COMMON,
    _buffer("error"),
    _buffer("drop_incoming"),
    _buffer("drop_newest_held"),
    _UNBOUNDED,
)
_WAITING: Final = (_SUSPEND, _BUFFER_SUSPEND)


def strategies_of(variant: str, *, all_rules: bool) -> tuple[Strategy, ...]:
    """Return the strategies of `variant` to be compared, the common ones first and spelt alike for all variants.

    Args:
        variant: emitter takes suspend alone, rx all but those that wait, flux all.
        all_rules: every rule of a full buffer and the unbounded one too; else each strategy once, and suspend also as
            the rule of a buffer.
    """
    if variant == "emitter":
        return (_SUSPEND,)
    common = _ALL_COMMON if all_rules else _COMMON
    return common if variant == "rx" else (*common, *_WAITING)


def _cells(
    strategies: Mapping[str, Iterable[Strategy]],
    stream: Mapping[str, object],
    *,
    readers: Iterable[ReaderProfile] = (FAST,),
    transports: Iterable[Transport] = (Transport.SSE,),
    load: Load | None = None,
    trace: bool = True,
    alone: bool = False,
) -> tuple[Cell, ...]:
    """Return one cell for each strategy of each variant, reader and transport."""
    return tuple(
        Cell(variant, strategy, stream, reader, transport, load or Closed(), trace=trace, alone=alone)
        for variant, chosen in strategies.items()
        for strategy in chosen
        for reader in readers
        for transport in transports
    )


def _every(*, all_rules: bool) -> dict[str, tuple[Strategy, ...]]:
    return {variant: strategies_of(variant, all_rules=all_rules) for variant in ("emitter", "rx", "flux")}


# --- Scenarios ---------------------------------------------------------------------------------------------------

_LOSSLESS: Final[dict[str, tuple[Strategy, ...]]] = {
    "emitter": (_SUSPEND,),
    "rx": (_UNBOUNDED,),
    "flux": (_WIDE_SUSPEND,),
}
"""What each variant has to lose nothing of a fast source: rx cannot wait, so it has to hold."""

_DEFAULTS: Final[dict[str, tuple[Strategy, ...]]] = {
    "emitter": (_SUSPEND,),
    "rx": (_REDUCE,),
    "flux": (_WIDE_SUSPEND,),
}


def _slow_reader(*, all_rules: bool) -> Scenario:
    question = "Which one, for a slow reader?"
    return Scenario("slow-reader", question, _cells(_every(all_rules=all_rules), _PACED, readers=(_SLOW,)))


def _stalled(strategies: Mapping[str, Iterable[Strategy]]) -> Scenario:
    question = "A reader stalls, then goes on: what is lost, and what did the wait cost in memory?"
    return Scenario("stalled", question, _cells(strategies, _LONG, readers=(Stalled(2.5),)))


def _reader_speed(strategies: Mapping[str, Iterable[Strategy]], speeds: Iterable[float]) -> Scenario:
    question = "How much is lost, the slower the reader is?"
    return Scenario("reader-speed", question, _cells(strategies, _PACED, readers=_paced(speeds)))


def _paced(speeds: Iterable[float]) -> tuple[ReaderProfile, ...]:
    return tuple(Paced(tokens_per_s=speed) for speed in speeds)


def _bursty(strategies: Mapping[str, Iterable[Strategy]]) -> Scenario:
    question = "A reader reads in bursts: which strategy bridges its pauses?"
    return Scenario("bursty", question, _cells(strategies, _PACED, readers=(Bursty(read_s=0.2, pause_s=0.3),)))


def _leaving() -> Scenario:
    question = "A reader leaves in mid-stream: is every token accounted for?"
    return Scenario("leaving", question, _cells(_DEFAULTS, _BUSY, readers=(Leaving(after_tokens=1_000),)))


def _ordering(strategies: Mapping[str, Iterable[Strategy]], readers: Iterable[ReaderProfile] = (FAST,)) -> Scenario:
    question = "Four threads feed one stream: does each one's order survive?"
    return Scenario("ordering", question, _cells(strategies, _PRODUCED, readers=readers))


def _fan_out(connections: int) -> Scenario:
    question = f"{connections} readers of 50 tokens/s at a time: what does a stream cost, and how late are its tokens?"
    load = Closed(connections, ramp_s=0.5)
    return Scenario("fan-out", question, _cells(_DEFAULTS, _CHAT, load=load))


def _transports(connections: int, strategies: Mapping[str, Iterable[Strategy]]) -> Scenario:
    question = "Is SSE slower than WebSocket?"
    load = Closed(connections, ramp_s=0.5)
    return Scenario("sse-vs-websocket", question, _cells(strategies, _CHAT, transports=Transport, load=load))


def _firehose(strategies: Mapping[str, Iterable[Strategy]], count: int, transports: Iterable[Transport]) -> Scenario:
    question = "How many tokens per second, when nobody has to wait?"
    stream = {"source": "counter", "rate": 0, "count": count}
    cells = _cells(strategies, stream, transports=transports, trace=False, alone=True)
    return Scenario("firehose", question, cells)


def _arrivals(per_s: float, requests: int) -> Scenario:
    question = "Readers come by a schedule, whether or not others have left: how long do they wait for a first token?"
    stream = {"source": "counter", "rate": 50, "count": 25}
    return Scenario("arrivals", question, _cells(_DEFAULTS, stream, load=Open(per_s, requests)))


# A client that the system holds up for a moment must not end a firehose: all its tokens may be folded into one.
_FIREHOSE_CELLS: Final[dict[str, tuple[Strategy, ...]]] = {
    "emitter": (_SUSPEND,),
    "rx": (_UNBOUNDED, _REDUCE_ALL),
    "flux": (_WIDE_SUSPEND, _REDUCE_ALL),
}
_FIREHOSE_TRANSPORTS: Final = {**_DEFAULTS, "rx": (_REDUCE_ALL,)}
_LOSSY: Final = (_DROP, _DROP_OLDEST, _REDUCE)
_BOTH_LOSSY: Final[dict[str, tuple[Strategy, ...]]] = {
    "rx": (*_LOSSY, _LATEST),
    "flux": (*_LOSSY, _LATEST, _BUFFER_SUSPEND),
}
_BRIDGES: Final[dict[str, tuple[Strategy, ...]]] = {
    "emitter": (_SUSPEND,),
    "rx": (_DROP_OLDEST, _REDUCE),
    "flux": (_DROP_OLDEST, _REDUCE, _BUFFER_SUSPEND),
}
_STALLED_QUICK: Final[dict[str, tuple[Strategy, ...]]] = {
    "emitter": (_SUSPEND,),
    "rx": (_MISSING, _DROP_OLDEST, _REDUCE),
    "flux": (_MISSING, _DROP, _DROP_OLDEST, _REDUCE, _SUSPEND),
}
_SPEEDS: Final = (50.0, 100.0, 200.0, 300.0, 400.0)

# --- Presets -----------------------------------------------------------------------------------------------------

_QUICK: Final = (
    _slow_reader(all_rules=False),
    _stalled(_STALLED_QUICK),
    _bursty({"rx": (_REDUCE,), "flux": (_DROP_OLDEST, _BUFFER_SUSPEND)}),
    _reader_speed({"flux": _LOSSY}, (50, 200)),
    _leaving(),
    _ordering(_LOSSLESS),
    _fan_out(40),
    _transports(40, {"flux": (_WIDE_SUSPEND,)}),
    _firehose(_FIREHOSE_CELLS, 200_000, (Transport.SSE,)),
)
_FULL: Final = (
    _slow_reader(all_rules=True),
    _stalled(_every(all_rules=True)),
    _reader_speed(_BOTH_LOSSY, _SPEEDS),
    _bursty(_BRIDGES),
    _leaving(),
    _ordering(_BRIDGES, (FAST, _SLOW)),
    _fan_out(300),
    _transports(100, _DEFAULTS),
    _arrivals(50, 200),
    _firehose(_FIREHOSE_CELLS, 500_000, Transport),
)


def _by_name(*presets: Preset) -> Mapping[str, Preset]:
    return {preset.name: preset for preset in presets}


PRESETS: Final = _by_name(
    Preset("quick", "all questions, the main strategies; under 90 s on two cores", _QUICK, repeats=2),
    Preset("full", "all questions, every strategy and rule, five times; about half an hour", _FULL, repeats=5),
    Preset(
        "slow-reader",
        "which strategy, for a reader that is slower than its source",
        (_slow_reader(all_rules=True), _reader_speed(_BOTH_LOSSY, _SPEEDS)),
        repeats=3,
    ),
    Preset("stalled", "a reader that stops reading and goes on", (_stalled(_every(all_rules=True)),), repeats=3),
    Preset("fan-out", "many readers at a time", (_fan_out(300), _arrivals(50, 200)), repeats=3),
    Preset(
        "firehose", "tokens per second and CPU per token", (_firehose(_FIREHOSE_CELLS, 500_000, (Transport.SSE,)),), 5
    ),
    Preset(
        "sse-vs-websocket",
        "whether SSE is slower than WebSocket, paced and unpaced",
        (_transports(100, _DEFAULTS), _firehose(_FIREHOSE_TRANSPORTS, 200_000, Transport)),
        repeats=3,
    ),
    Preset("ordering", "several producers into one stream", (_ordering(_BRIDGES, (FAST, _SLOW)),), repeats=3),
)
"""By name, the default first."""
