"""What Prometheus is told: streams, tokens by outcome, what is held, disconnects, and how long tokens waited.

With several workers the numbers are added up: prometheus-client keeps them in files of a folder that the parent names
in PROMETHEUS_MULTIPROC_DIR before this module is imported.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, cast

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

if TYPE_CHECKING:
    from aiohttp import web

    from streams import StreamStatistics

__all__ = ("CONTENT_TYPE", "StreamMeter", "count_disconnect", "exposition", "kept_current")

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_OUTCOMES: Final = ("emitted", "delivered", "dropped", "merged", "rejected")
_outcomes_of = attrgetter(*_OUTCOMES)
_UPDATE_S: Final = 1.0
_BUCKETS: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

_BUCKETS_NS: Final = tuple(round(bound * 1e9) for bound in _BUCKETS)


class _Histogram(Histogram):
    """One that takes many observations at a time."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """Add so many observations to each bucket, and their sum."""
        untyped = cast("Any", self)
        untyped._sum.inc(total)
        for bucket, count in zip(untyped._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


_ACTIVE: Final = Gauge(
    "tokenweir_active_streams", "Streams being sent.", ("variant", "strategy"), multiprocess_mode="livesum"
)
_TOKENS: Final = Counter("tokenweir_tokens", "Tokens by what became of them.", ("variant", "strategy", "outcome"))
_HELD: Final = Gauge("tokenweir_held_tokens", "Tokens waiting at boundaries.", multiprocess_mode="livesum")
_DISCONNECTS: Final = Counter("tokenweir_disconnects", "Streams that ended before their end.", ("reason",))
_RESIDENCE: Final = _Histogram(
    "tokenweir_residence_seconds",
    "From source to writer: how long the oldest token of each batch waited.",
    ("variant", "strategy"),
    buckets=_BUCKETS,
)


class _Waits:
    """Residence times of one pair of labels, counted here first: the histogram takes 2 us for each, a token's share."""

    __slots__ = ("_counts", "_histogram", "_total_ns")

    def __init__(self, variant: str, strategy: str) -> None:
        self._histogram = _RESIDENCE.labels(variant, strategy)
        self._clear()

    def _clear(self) -> None:
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._total_ns = 0

    def add(self, waited_ns: int) -> None:
        self._counts[bisect_left(_BUCKETS_NS, waited_ns)] += 1
        self._total_ns += waited_ns

    def hand_over(self) -> None:
        counts, total_ns = self._counts, self._total_ns
        self._clear()
        self._histogram.add(counts, total_ns / 1e9)


class StreamMeter:
    """Keeps the metrics of one stream, which are brought up to date when somebody asks for them, and at its end.

    Args:
        variant: its label.
        strategy: its label.
        read: returns the stream's counts so far.
    """

    __slots__ = ("_active", "_held", "_read", "_seen", "_tokens", "observe_residence")

    observe_residence: Callable[[int], None]
    """Notes for how many nanoseconds the oldest token of a batch waited."""

    def __init__(self, variant: str, strategy: str, read: Callable[[], StreamStatistics]) -> None:
        self._read = read
        self._active = _ACTIVE.labels(variant, strategy)
        self._tokens = _counters(variant, strategy)
        self.observe_residence = _waits(variant, strategy).add
        self._seen = (0,) * len(_OUTCOMES)
        self._held = 0
        self._active.inc()
        _METERS.add(self)

    def update(self) -> None:
        """Add what has happened since the last time."""
        statistics = self._read()
        # A token that was held may be emitted, delivered or dropped: none of these counts ever falls.
        counts = tuple(map(max, _outcomes_of(statistics), self._seen))
        for counter, count, seen in zip(self._tokens, counts, self._seen, strict=True):
            counter.inc(count - seen)
        self._seen = counts
        _HELD.inc(statistics.held - self._held)
        self._held = statistics.held

    def close(self) -> None:
        """Take the stream out of the gauges."""
        self.update()
        _METERS.discard(self)
        _HELD.dec(self._held)
        self._held = 0
        self._active.dec()


_METERS: Final[set[StreamMeter]] = set()


_WAITS: Final[dict[tuple[str, str], _Waits]] = {}


def _waits(variant: str, strategy: str) -> _Waits:
    waits = _WAITS.get((variant, strategy))
    if waits is None:
        waits = _WAITS[variant, strategy] = _Waits(variant, strategy)
    return waits


@cache
def _counters(variant: str, strategy: str) -> tuple[Counter, ...]:
    return tuple(_TOKENS.labels(variant, strategy, outcome) for outcome in _OUTCOMES)


def count_disconnect(reason: str) -> None:
    """Count a stream that ended before its end."""
    _DISCONNECTS.labels(reason).inc()


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format, of all workers: of the others as they were a second ago."""
    _update()
    if not _has_workers():
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


async def kept_current(app: web.Application) -> AsyncIterator[None]:
    """While `app` runs, keep what the other workers see of this one current."""
    updating = asyncio.get_running_loop().create_task(_keep_updating()) if _has_workers() else None
    yield
    if updating is not None:
        updating.cancel()


async def _keep_updating() -> None:
    while True:
        await asyncio.sleep(_UPDATE_S)
        _update()


def _update() -> None:
    for meter in tuple(_METERS):
        meter.update()
    for waits in tuple(_WAITS.values()):
        waits.hand_over()


def _has_workers() -> bool:
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
