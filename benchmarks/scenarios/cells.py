"""What is measured, as frozen data: cells, scenarios that ask one question each, and the presets.

Cell       one stream configuration, one kind of reader, one transport, so many connections
Scenario   cells that are compared, and the question that the comparison answers
preset     the scenarios of one run of `python -m benchmarks run`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from benchmarks.scenarios.readers import FAST, Leaving, ReaderProfile
from benchmarks.traces.captures import Outcome

__all__ = ("Cell", "Closed", "Load", "Open", "Scenario", "Transport")

_INDEXED_PROFILE: Final = "completion"
_FULL_BUFFER_FAILS: Final = "error"
_MOST_MERGED: Final = 8_192
"""What the server folds into one token unless it is told otherwise; a test holds the two to be the same."""


class Transport(Enum):
    """What carries the tokens."""

    SSE = "sse"
    WEBSOCKET = "websocket"


@dataclass(frozen=True, slots=True)
class Closed:
    """Closed loop: so many connections at a time; each asks for its next stream when its last one has ended.

    Attributes:
        connections: at a time.
        requests: streams in all; None: each connection asks once.
        ramp_s: the first ones start evenly over so many seconds.
    """

    connections: int = 1
    requests: int | None = None
    ramp_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Open:
    """Open loop: streams are asked for by a schedule, whether or not others have ended.

    Attributes:
        per_s: arrivals a second.
        requests: streams in all.
        poisson: whether the gaps are exponential (seeded) or even.
        seed: of the gaps.
    """

    per_s: float
    requests: int
    poisson: bool = True
    seed: int = 0


Load = Closed | Open


def _streams(load: Load) -> int:
    return load.requests if load.requests is not None else load.connections


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that is measured.

    Attributes:
        variant: emitter, rx or flux.
        strategy: as the server's query spells it, with its own parameters beside it: {"strategy": "buffer",
            "capacity": "256", "overflow": "suspend"}.
        stream: what every stream of the cell is: source, count, rate, pacing, ttft_ms, seed, producers, profile, ...,
            as the server's query spells it.
        reader: how its clients read.
        transport: what carries it.
        load: how many, and when they come.
        window_s: measured for so many seconds, then the client leaves; None: until the streams have ended.
        trace: whether tokens carry their index and times. Without it tokens are only counted, of one stream: what is
            counted of several could not be held against the server's record of each.
        alone: whether the machine must do nothing else meanwhile.

    Raises:
        ValueError: tokens of more than one stream would only be counted.
    """

    variant: str
    strategy: Mapping[str, str]
    stream: Mapping[str, Any]
    reader: ReaderProfile = FAST
    transport: Transport = Transport.SSE
    load: Load = field(default_factory=Closed)
    window_s: float | None = None
    trace: bool = True
    alone: bool = False

    def __post_init__(self) -> None:
        if not self.trace and _streams(self.load) != 1:
            raise ValueError(f"a cell without trace must have one stream, so that counts are its own; got {self.load}")

    @property
    def expects(self) -> frozenset[Outcome]:
        """How its streams may end. Any other end is a failure of the run, whatever the counts say.

        All may complete. They are left where the reader or the window says so, and fail only with a strategy that ends
        a stream whose buffer is full (reduce if there are more tokens than may be folded into one), or with a source
        that is told to fail.
        """
        expected = {Outcome.COMPLETED}
        if isinstance(self.reader, Leaving) or self.window_s is not None:
            expected.add(Outcome.LEFT)
        if self._ends_on_overflow or "fail_after" in self.stream:
            expected.add(Outcome.FAILED)
        return frozenset(expected)

    @property
    def _ends_on_overflow(self) -> bool:
        name = self.strategy["strategy"]
        if name == "buffer":
            is_bounded = self.strategy.get("capacity") != "unbounded"
            return is_bounded and self.strategy.get("overflow", _FULL_BUFFER_FAILS) == _FULL_BUFFER_FAILS
        if name == "reduce":
            return float(self.stream.get("count", "inf")) > int(self.strategy.get("max_merged", _MOST_MERGED))
        return name == "error"

    @property
    def has_indexes(self) -> bool:
        """Whether the client can tell which tokens came, and not only how many.

        Tokens that are not traced bear their index in the event's id, on SSE alone; how many a merged one stands for is
        not said there.
        """
        bears_ids = self.transport is Transport.SSE and self.stream.get("profile", "completion") == _INDEXED_PROFILE
        return self.trace or (bears_ids and self.strategy["strategy"] != "reduce")

    @property
    def strategy_name(self) -> str:
        """The strategy with its parameters, for people: "buffer(256, suspend)"."""
        parameters = [value for name, value in self.strategy.items() if name != "strategy"]
        return self.strategy["strategy"] + (f"({', '.join(parameters)})" if parameters else "")

    @property
    def name(self) -> str:
        """What sets it apart, for people and as its key in a results file."""
        parts = [self.variant, self.strategy_name, str(self.reader)]
        if self.transport is not Transport.SSE:
            parts.append(self.transport.value)
        return " ".join(parts)

    def query(self) -> dict[str, str]:
        """Return the parameters of its request, as our server takes them."""
        pairs = {"variant": self.variant, **self.strategy, **self.stream}
        if self.trace:
            pairs["trace"] = 1
        return {name: str(value) for name, value in pairs.items()}


@dataclass(frozen=True, slots=True)
class Scenario:
    """Cells that answer one question together.

    Attributes:
        name: one word or two, as in `--only slow-reader`.
        question: what a reader of the report wants to know.
        cells: what is measured for it; names are unique within a scenario.
    """

    name: str
    question: str
    cells: tuple[Cell, ...]
