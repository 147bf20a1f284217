"""Whether the client was the limit: how late its loop was, how much of its core it used, and no pauses of its own."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from array import array
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, NamedTuple

import numpy as np

from benchmarks.results import ClientCheck

__all__ = ("LAG_LIMIT_MS", "SHARE_LIMIT", "SHORTEST_NS", "LoopWatch", "Usage", "judged", "undisturbed")

SHARE_LIMIT: Final = 0.9
"""A client that used more of its core than this may have been the limit."""
LAG_LIMIT_MS: Final = 10.0
"""So may one whose loop was later than this one time in a hundred."""
SHORTEST_NS: Final = 100_000_000
"""Less is all connecting and asking, which keeps any client busy: its CPU is not judged."""

_TICK_NS: Final = 10_000_000


class Usage(NamedTuple):
    """A moment, and what this process had used until then."""

    at_ns: int
    cpu_s: float

    @classmethod
    def now(cls) -> Usage:
        """Look at the clock and at the CPU time of this process, that of the system on its behalf included."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(time.monotonic_ns(), usage.ru_utime + usage.ru_stime)

    def share_since(self, before: Usage) -> float:
        """Return the share of one core that was used between the two."""
        return (self.cpu_s - before.cpu_s) * 1e9 / max(self.at_ns - before.at_ns, 1)


class LoopWatch:
    """A timer every 10 ms that notes how late it is. Used as a context manager, on the running loop.

    A loop that is blocked for 35 ms misses three ticks: each counts with its own lateness (35, 25, 15 and 5 ms), as
    if the timer had not been held up with it.
    """

    def __init__(self) -> None:
        self._at_ns = array("q")
        self._lag_ns = array("q")

    def __enter__(self) -> LoopWatch:
        self._loop = asyncio.get_running_loop()
        self._schedule(time.monotonic_ns())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def _schedule(self, now_ns: int) -> None:
        self._due_ns = now_ns + _TICK_NS
        self._timer = self._loop.call_later(_TICK_NS / 1e9, self._tick)

    def _tick(self) -> None:
        now_ns = time.monotonic_ns()
        self.note(now_ns, now_ns - self._due_ns)
        self._schedule(now_ns)

    def note(self, now_ns: int, lag_ns: int) -> None:
        """Keep one lateness, and those of the ticks that were missed meanwhile."""
        lag_ns = max(lag_ns, 0)  # some loops' timers are up to 1 ms early
        for lag in range(lag_ns, -1, -_TICK_NS):
            self._at_ns.append(now_ns)
            self._lag_ns.append(lag)

    def lags_ms(self, from_ns: int, to_ns: int) -> tuple[float, float]:
        """Return p99 and maximum of what was noted between two moments; zeros if nothing was."""
        at_ns, lag_ns = np.array(self._at_ns, dtype=np.int64), np.array(self._lag_ns, dtype=np.int64)
        chosen = lag_ns[(at_ns >= from_ns) & (at_ns <= to_ns)] / 1e6
        if not chosen.size:
            return 0.0, 0.0
        return float(np.percentile(chosen, 99)), float(chosen.max())


def judged(before: Usage, after: Usage, lag_p99_ms: float, lag_max_ms: float) -> ClientCheck:
    """Say whether a client that used so much of its core, on a loop so late, was the limit, and why."""
    cpu_share = after.share_since(before)
    reasons: list[str] = []
    if cpu_share > SHARE_LIMIT and after.at_ns - before.at_ns >= SHORTEST_NS:
        reasons.append(f"it used {cpu_share:.0%} of its core")
    if lag_p99_ms > LAG_LIMIT_MS:
        reasons.append(f"its event loop was {lag_p99_ms:.0f} ms late (p99)")
    return ClientCheck(
        cpu_share=cpu_share,
        lag_p99_ms=lag_p99_ms,
        lag_max_ms=lag_max_ms,
        bound=bool(reasons),
        reason=" and ".join(reasons),
    )


@contextmanager
def undisturbed() -> Generator[None]:
    """Keep the garbage collector, whose pauses would count as the server's, out of a measurement."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
