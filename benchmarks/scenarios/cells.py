"""What is measured, as frozen data: cells, scenarios that ask one question each, and the presets.

Cell       one stream configuration, one kind of reader, one transport, so many connections
Scenario   cells that are compared, and the question that the comparison answers
preset     the scenarios of one run of `python -m benchmarks run`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from benchmarks.scenarios.readers import FAST, ReaderProfile

__all__ = ("Cell", "Closed", "Load", "Open", "Scenario", "Transport")


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
        trace: whether tokens carry their index and times. Without it tokens are only counted.
        alone: whether the machine must do nothing else meanwhile.
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
