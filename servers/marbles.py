"""GET /v1/marbles: what a strategy does with a slow reader, simulated and drawn.

The source counts, the reader takes one token at a time and is busy in between; the core is the one that the streams of
this server stand on, on a virtual clock. The same query is the same drawing, and its work is bounded: there are at most
`MOST_TOKENS` tokens, whatever their pace, which take a tenth of a second or two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from servers.kinds import Choice, Integer, Number
from servers.parameters import (
    DEFAULT_CAPACITY,
    DEFAULT_MAX_MERGED,
    DEFAULT_RATE,
    OVERFLOWS,
    STRATEGIES,
    Parameter,
    read_query,
    strategy_of,
)
from streams.marbles import Diagram, diagram_of, svg
from streams.schedules import SlowReader, SourceSchedule
from streams.simulate import simulate
from streams.source import Pacing, parse_source
from streams.strategy import BackpressureStrategy
from streams.traces import Trace

__all__ = ("MARBLE_PARAMETERS", "MOST_TOKENS", "MarbleParameters", "diagram", "drawn", "parse_marbles", "simulated")

MOST_TOKENS: Final = 200

_SPEED: Final = Number("tokens per second", 0.001, 1e9)
_MS_PER_S: Final = 1000

MARBLE_PARAMETERS: Final[tuple[Parameter, ...]] = (
    Parameter("strategy", Choice(STRATEGIES), None, "By default the one of variant=flux, which loses no text."),
    Parameter(
        "capacity",
        Integer(0, word="unbounded"),
        None,
        f"Items held beyond demand: of strategy=buffer at least 1 or unbounded, {DEFAULT_CAPACITY} by default; "
        "of strategy=suspend at least 0, the default.",
    ),
    Parameter("overflow", Choice(OVERFLOWS), None, "The rule of a full buffer, by default error."),
    Parameter(
        "max_merged",
        Integer(1),
        None,
        f"The most tokens that strategy=reduce folds into one, {DEFAULT_MAX_MERGED} by default.",
    ),
    Parameter("rate", _SPEED, DEFAULT_RATE, "Tokens per second of the source; 0: all at once."),
    Parameter("reader_rate", _SPEED, 8.0, "Tokens per second that the reader takes; 0: all that come."),
    Parameter("count", Integer(0, MOST_TOKENS), 20, "How many tokens."),
)
"""What /v1/marbles may be asked for: the names and the checks of a stream's parameters, of those that matter here."""


@dataclass(frozen=True, slots=True)
class MarbleParameters:
    """What is to be drawn. Made by `parse_marbles`, which checks it."""

    strategy: BackpressureStrategy
    rate: float
    reader_rate: float
    count: int

    @property
    def capacity(self) -> int | None:
        """Of the boundary, where it was chosen and has a bound."""
        return self.strategy.capacity if self.strategy.name in {"buffer", "suspend"} else None

    @property
    def title(self) -> str:
        """What the drawing is called."""
        source = f"{self.rate:g} tokens/s" if self.rate else "all at once"
        reader = f"{self.reader_rate:g} tokens/s" if self.reader_rate else "as they come"
        return f"{self.strategy.name}: source {source}, reader {reader}"


def parse_marbles(pairs: Iterable[tuple[str, str]]) -> MarbleParameters:
    """Check the parameters of a query string.

    Raises:
        ParameterError: an unknown parameter, one given twice, a value or combination that is not accepted.
    """
    values = read_query(pairs, MARBLE_PARAMETERS)
    return MarbleParameters(strategy_of(values), values["rate"], values["reader_rate"], values["count"])


def simulated(asked: MarbleParameters) -> Trace:
    """Return all that happens."""
    source = parse_source("counter", count=asked.count, pacing=Pacing(rate=asked.rate))
    busy_ms = _MS_PER_S / asked.reader_rate if asked.reader_rate else 0
    return simulate(asked.strategy, SourceSchedule.of_tokens(source), SlowReader(busy_ms))


def diagram(asked: MarbleParameters) -> Diagram:
    """Return what is to be drawn."""
    return diagram_of(simulated(asked), capacity=asked.capacity)


def drawn(asked: MarbleParameters) -> str:
    """Return the drawing as SVG."""
    return svg(diagram(asked), title=asked.title)
