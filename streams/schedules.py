"""What a simulation is given: when a source wants to emit, and when a consumer takes, both from the start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, repeat
from math import inf
from typing import Any, Final, cast

from streams.arguments import positive_int, shown
from streams.errors import SourceFailure
from streams.pacing import schedule_ns
from streams.source import Token, TokenSource

__all__ = ("DemandSchedule", "SlowReader", "SourceSchedule", "ns")

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class SourceSchedule:
    """When a source wants to emit. Like a coroutine producer it stops when the stream is cancelled or fails.

    Attributes:
        emissions: (at_ms, item) in order of time. What falls into the wait for an earlier item comes right after it.
        end_ms: when it completes or fails, not before its last item; None: it never ends.
        error: what it fails with; None: it completes.

    Raises:
        TypeError, ValueError: a time that is none or goes backwards, an error that is none or has no time.
    """

    emissions: Sequence[tuple[float, Any]]
    end_ms: float | None = None
    error: Exception | None = None

    def __post_init__(self) -> None:
        _check_pairs("emissions", self.emissions, "(at_ms, item)")
        times_ms = [at_ms for at_ms, _ in self.emissions]
        _check_times("emissions and end_ms", *times_ms, *_if_any(self.end_ms))
        if self.error is not None and not isinstance(self.error, Exception):
            raise TypeError(f"error must be an Exception or None; got {shown(self.error)}")
        if self.error is not None and self.end_ms is None:
            raise ValueError(f"error needs end_ms, the time when the source fails; got {shown(self.error)} without one")

    @staticmethod
    def of_tokens(source: TokenSource) -> SourceSchedule:
        """Take tokens, times and faults of a token source. Each token says that it was emitted when it was due."""
        if not isinstance(source, TokenSource):
            raise TypeError(f"source must be a TokenSource; got {shown(source)}")
        emissions: list[tuple[float, Token]] = []
        due_ns = 0
        for index, text, offset_ns in zip(count(), source.played_texts(), schedule_ns(source), strict=False):
            due_ns = due_ns if offset_ns is None else offset_ns
            emissions.append((due_ns / _NS_PER_MS, Token(index, text, due_ns, due_ns)))
        hangs = source.hang_after is not None and source.hang_after <= len(source)
        fails = source.fail_after is not None and source.fail_after <= len(source)
        error = SourceFailure(len(emissions)) if fails else None
        return SourceSchedule(emissions, None if hangs else due_ns / _NS_PER_MS, error)


@dataclass(frozen=True, slots=True)
class SlowReader:
    """A consumer like the loop `async for [item] in stream.batches(1, prefetch)` with a body that takes its time.

    Attributes:
        busy_ms: how long the body takes; of a sequence one after the other, and the last one from then on.
        prefetch: demand while it waits; while it is busy there is none.
        cancel_ms: when it leaves the loop; None: when the stream ends.

    Raises:
        TypeError, ValueError: a number that makes no sense, or an empty sequence.
    """

    busy_ms: float | Sequence[float] = 0
    prefetch: int = 1
    cancel_ms: float | None = None

    def __post_init__(self) -> None:
        if not self._busy_ms:
            raise ValueError(f"busy_ms must be milliseconds, or a sequence of at least one; got {shown(self.busy_ms)}")
        for busy_ms in self._busy_ms:
            _check_times("busy_ms", busy_ms)
        positive_int("prefetch", self.prefetch)
        _check_times("cancel_ms", *_if_any(self.cancel_ms))

    @property
    def _busy_ms(self) -> Sequence[float]:
        return self.busy_ms if isinstance(self.busy_ms, Sequence) else (self.busy_ms,)

    def busy_ns(self) -> Iterator[int]:
        """Go through the times that the body takes, in nanoseconds, without an end."""
        return map(ns, chain(self._busy_ms, repeat(self._busy_ms[-1])))


@dataclass(frozen=True, slots=True)
class DemandSchedule:
    """A consumer as a Reactive Streams Subscriber: it requests by the clock and is never busy.

    Attributes:
        requests: (at_ms, n) in order of time.
        cancel_ms: when it cancels, behind the requests of that instant; None: never.

    Raises:
        TypeError, ValueError: a time that is none or goes backwards, an n that is no int of at least 1.
    """

    requests: Sequence[tuple[float, int]]
    cancel_ms: float | None = None

    def __post_init__(self) -> None:
        _check_pairs("requests", self.requests, "(at_ms, n)")
        _check_times("requests", *[at_ms for at_ms, _ in self.requests])
        for _, n in self.requests:
            positive_int("the n of requests", n)
        _check_times("cancel_ms", *_if_any(self.cancel_ms))


def ns(time_ms: float) -> int:
    """Return milliseconds as whole nanoseconds."""
    return round(time_ms * _NS_PER_MS)


def _if_any(time_ms: float | None) -> tuple[float, ...]:
    return () if time_ms is None else (time_ms,)


def _check_pairs(name: str, pairs: object, pair: str) -> None:
    if not isinstance(pairs, Sequence):
        raise TypeError(f"{name} must be a sequence of {pair}; got {shown(pairs)}")
    for entry in cast("Sequence[object]", pairs):
        if not _is_pair(entry):
            raise TypeError(f"{name} must be a sequence of {pair}; got one with {shown(entry)}")


def _is_pair(entry: object) -> bool:
    return isinstance(entry, tuple | list) and len(cast("Sequence[object]", entry)) == 2


def _check_times(name: str, *times_ms: object) -> None:
    """Refuse what is no finite number of at least 0, and what goes backwards."""
    before = 0.0
    for time_ms in times_ms:
        if isinstance(time_ms, bool) or not isinstance(time_ms, int | float):
            raise TypeError(f"{name} must be numbers of milliseconds; got {shown(time_ms)}")
        if not before <= time_ms < inf:
            raise ValueError(
                f"{name} must be finite, at least 0 and never go backwards; got {shown(time_ms)} after {before!r}"
            )
        before = time_ms
