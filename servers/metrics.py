"""What Prometheus is told: streams, tokens by outcome, what is held, disconnects, and how long tokens waited.

With several workers the numbers are added up: prometheus-client keeps them in files of a folder that the parent names
in PROMETHEUS_MULTIPROC_DIR before this module is imported.
"""

from __future__ import annotations

import os
from typing import Final

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

from streams import StreamStatistics

__all__ = ("CONTENT_TYPE", "StreamMeter", "count_disconnect", "exposition")

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_OUTCOMES: Final = ("emitted", "delivered", "dropped", "merged", "rejected")
_BUCKETS: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

_ACTIVE: Final = Gauge(
    "tokenweir_active_streams", "Streams being sent.", ("variant", "strategy"), multiprocess_mode="livesum"
)
_TOKENS: Final = Counter("tokenweir_tokens", "Tokens by what became of them.", ("variant", "strategy", "outcome"))
_HELD: Final = Gauge("tokenweir_held_tokens", "Tokens waiting at boundaries.", multiprocess_mode="livesum")
_DISCONNECTS: Final = Counter("tokenweir_disconnects", "Streams that ended before their end.", ("reason",))
_RESIDENCE: Final = Histogram(
    "tokenweir_residence_seconds",
    "From source to writer: how long the oldest token of each batch waited.",
    ("variant", "strategy"),
    buckets=_BUCKETS,
)


class StreamMeter:
    """Keeps the metrics of one stream up to date.

    Args:
        variant: its label.
        strategy: its label.
    """

    __slots__ = ("_active", "_held", "_residence", "_seen", "_tokens")

    def __init__(self, variant: str, strategy: str) -> None:
        self._active = _ACTIVE.labels(variant, strategy)
        self._tokens = {outcome: _TOKENS.labels(variant, strategy, outcome) for outcome in _OUTCOMES}
        self._residence = _RESIDENCE.labels(variant, strategy)
        self._seen = dict.fromkeys(_OUTCOMES, 0)
        self._held = 0
        self._active.inc()

    def observe_residence(self, waited_ns: int) -> None:
        """Note how long the oldest token of a batch waited."""
        self._residence.observe(waited_ns / 1e9)

    def update(self, statistics: StreamStatistics) -> None:
        """Add what has happened since the last time."""
        for outcome in _OUTCOMES:
            count = getattr(statistics, outcome)
            # A token that was held may be emitted, delivered or dropped: none of these counts ever falls.
            self._tokens[outcome].inc(max(0, count - self._seen[outcome]))
            self._seen[outcome] = max(count, self._seen[outcome])
        _HELD.inc(statistics.held - self._held)
        self._held = statistics.held

    def close(self, statistics: StreamStatistics) -> None:
        """Take the stream out of the gauges."""
        self.update(statistics)
        _HELD.dec(self._held)
        self._held = 0
        self._active.dec()


def count_disconnect(reason: str) -> None:
    """Count a stream that ended before its end."""
    _DISCONNECTS.labels(reason).inc()


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format, of all workers."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
