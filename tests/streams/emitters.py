"""What the tests of Emitter look at: its callbacks and its books."""

from __future__ import annotations

from typing import Any

from streams import Emitter, StreamStatistics

__all__ = ("adds_up", "record")


def record(emitter: Emitter[Any]) -> list[str]:
    """Note the callbacks of every kind in the order of their calls."""
    calls: list[str] = []
    emitter.on_timeout(lambda: calls.append("timeout"))
    emitter.on_error(lambda error: calls.append(type(error).__name__))
    emitter.on_completion(lambda: calls.append("completion"))
    return calls


def adds_up(counts: StreamStatistics) -> bool:
    """Whether every item that was sent is accounted for."""
    return counts.emitted == counts.delivered + counts.dropped + counts.merged + counts.rejected + counts.held
