"""What a simulation tells: every step of one stream in order, enough to draw it and to count it again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from streams.strategy import EmitResult, StreamStatistics

__all__ = ("DropReason", "Stage", "Step", "StepKind", "Trace")


class Stage(Enum):
    """Where a step happens: the lanes of a diagram, from left to right."""

    SOURCE = "source"
    BOUNDARY = "boundary"
    CONSUMER = "consumer"


class StepKind(Enum):
    """What happened. Each item has one EMIT, then one of DELIVER, DROP, MERGE and REJECT, unless it is still held."""

    SUSPEND = "suspend"
    """The source finds no room for `item` and waits."""
    RESUME = "resume"
    """It waits no longer. What came of the item says the EMIT that follows."""
    EMIT = "emit"
    """The source offered `item`, with the final `result`."""
    END = "end"
    """The source completed, or failed with `error`."""

    DROP = "drop"
    """`item` is lost, for `reason`. None if it is a fold that its Join failed to make."""
    MERGE = "merge"
    """`item` was folded into the held one."""
    REJECT = "reject"
    """`item` came to a stream that had ended."""

    DEMAND = "demand"
    """Demand grew by `n`. Below 0: the consumer took back what it did not use, to be busy."""
    DELIVER = "deliver"
    """The consumer got `item`."""
    TERMINAL = "terminal"
    """The consumer heard of completion, or of `error`."""
    CANCEL = "cancel"
    """The consumer left."""

    @property
    def stage(self) -> Stage:
        """Where it happened."""
        return _STAGES.get(self, Stage.CONSUMER)


_STAGES: Final = {
    **dict.fromkeys((StepKind.SUSPEND, StepKind.RESUME, StepKind.EMIT, StepKind.END), Stage.SOURCE),
    **dict.fromkeys((StepKind.DROP, StepKind.MERGE, StepKind.REJECT), Stage.BOUNDARY),
}


class DropReason(Enum):
    """Why an item was lost."""

    STRATEGY = "strategy"
    """The rule for an item that finds no room."""
    OVERFLOW = "overflow"
    """The stream failed because there was no room."""
    ERROR = "error"
    """An error of the source or of the reducer overtook it."""
    AGE = "age"
    """It was held for too long."""
    CANCEL = "cancel"
    """The consumer left."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened at `at_ns`.

    One call to the core can make several steps; `held` and `demand` are the counts when it was through.
    """

    at_ns: int
    kind: StepKind
    held: int
    demand: int
    item: Any = None
    n: int = 0
    result: EmitResult | None = None
    reason: DropReason | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """All that happened, in order, and the counts at the end."""

    steps: tuple[Step, ...]
    statistics: StreamStatistics

    def of(self, *kinds: StepKind) -> list[Step]:
        """Return the steps of these kinds, in order."""
        return [step for step in self.steps if step.kind in kinds]
