"""The exceptions of `streams`.

    StreamError
    +-- BufferOverflowError        an item found no room under the rule ERROR
    +-- StreamClosedError          a send to a stream that has ended or was cancelled
    +-- AlreadySubscribedError     a second subscriber to a source that can be read once
    +-- SourceFailure              the fault that `fail_after` injects

Wrong arguments are ValueError or TypeError, raised where the pipeline is built. Everything that
goes wrong inside a stream is a signal on its error path instead, and is raised only at the consumer's end.
"""

from __future__ import annotations

from streams.arguments import shown

__all__ = (
    "AlreadySubscribedError",
    "BufferOverflowError",
    "SourceFailure",
    "StreamClosedError",
    "StreamError",
)


class StreamError(Exception):
    """Base of every error that a stream itself signals."""


class BufferOverflowError(StreamError):
    """An item found no room beyond demand, and the strategy is to fail.

    The counterpart of RxJava's MissingBackpressureException and Reactor's OverflowException.

    Attributes:
        item: the item that was not stored.
        capacity: how many items the boundary holds beyond demand.
        reason: what else left no room and what to do about it; None: the capacity is used up.
    """

    def __init__(self, item: object, capacity: int, *, reason: str | None = None) -> None:
        super().__init__(item, capacity)
        self.item = item
        self.capacity = capacity
        self.reason = reason

    def __str__(self) -> str:
        item = shown(self.item, repr if isinstance(self.item, str) else str)
        if self.reason is not None:
            return f"no room for item {item}: {self.reason}"
        return (
            f"no room for item {item} beyond demand: capacity {self.capacity} is used up; "
            "request more, or use another overflow rule (DROP_OLDEST, DROP_INCOMING) or suspend"
        )


class StreamClosedError(StreamError):
    """A send to a stream that has completed, failed, timed out or been cancelled."""


class AlreadySubscribedError(StreamError):
    """A second subscription to a source that can be read only once."""


class SourceFailure(StreamError):  # noqa: N818 - the fault of a source, not an error of this library
    """The failure that a source was told to show (`fail_after`), for tests and lessons.

    Attributes:
        token_count: how many tokens came before it.
    """

    def __init__(self, token_count: int) -> None:
        super().__init__(token_count)
        self.token_count = token_count

    def __str__(self) -> str:
        return f"the source failed after {self.token_count} tokens, as it was told to (fail_after)"
