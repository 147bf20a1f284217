"""What a client keeps of a stream: the bytes as they came, with times; and what the bytes say once they are parsed.

    Capture   raw: written while the run goes on, so it costs next to nothing
    Trace     parsed, after the run: one entry per token that arrived, in order of arrival

All times are `time.monotonic_ns()`, which server and client share on one machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ("Capture", "Outcome", "Times", "Trace")


class Outcome(Enum):
    """How a stream ended for its client. Only the first two are what was asked for."""

    COMPLETED = "completed"
    """The profile's own end marker came, and nothing was wrong before it."""
    LEFT = "left"
    """The client left as its reader profile or its window says."""
    UNREACHABLE = "unreachable"
    """No connection: refused, reset before an answer, or no answer in time."""
    REFUSED = "refused"
    """An HTTP status that is not 200; `detail` has it."""
    NOT_A_STREAM = "not_a_stream"
    """A 200 of another content type, such as a page of HTML."""
    FAILED = "failed"
    """An error event, in the profile's shape."""
    MALFORMED = "malformed"
    """Bytes that the framing or the profile do not allow."""
    CUT = "cut"
    """The connection ended before the stream's end marker."""
    STUCK = "stuck"
    """Nothing came for the client's timeout, or the stream had no end within it."""
    TOO_LONG = "too_long"
    """It had no end within what the client keeps of a stream."""

    @property
    def is_good(self) -> bool:
        """Whether it is what was asked for: completed, or left as planned."""
        return self in (Outcome.COMPLETED, Outcome.LEFT)


@dataclass(slots=True)
class Times:
    """When what happened to one request. None: it did not come to that.

    Attributes:
        scheduled_ns: when the load's schedule wanted it sent. Latencies count from here: a client that is late does
            not hide it.
        sent_ns: when the request was written.
        headers_ns: the first byte of the answer.
        ended_ns: the last byte of the answer, or when the connection went.
    """

    scheduled_ns: int
    sent_ns: int | None = None
    headers_ns: int | None = None
    ended_ns: int | None = None


@dataclass(slots=True)
class Capture:
    """One stream as it came over the wire.

    Attributes:
        times: see there.
        status: of the answer; None: there was none.
        headers: of the answer, names in lower case.
        stamps_ns: when each piece arrived, taken before anything else was done with it.
        pieces: the bytes behind the answer's head, as they came from the socket: still in HTTP's chunks or WebSocket's
            frames.
        outcome: what the connection itself tells (UNREACHABLE, REFUSED, NOT_A_STREAM, LEFT, CUT, STUCK, TOO_LONG), or
            None: the bytes decide.
        detail: for people: the error's words, the status line.
    """

    times: Times
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    stamps_ns: list[int] = field(default_factory=list[int])
    pieces: list[bytes] = field(default_factory=list[bytes])
    outcome: Outcome | None = None
    detail: str = ""


Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trace:
    """The tokens of one stream that arrived, in columns of equal length, in order of arrival.

    Attributes:
        stream_id: the server's name of it; "" if it has none.
        times: of the request.
        outcome: how it ended.
        detail: more of that, for people.
        received_ns: when the last byte of the token's event arrived. Tokens of one piece share it.
        seq: the token's index in the completion; None, as the four below, if the stream does not say.
        due_ns: when the source's schedule wanted it.
        emitted_ns: when it left the source.
        taken_ns: when the server's tail took it from the boundary.
        merged: how many tokens it stands for; ones where the stream does not say.
        producer: which of several producers made it; None if there was one.
        text_lengths: characters of each token. Empty content (a role, a finish reason) is no token.
        first_event_ns: the first event, with content or without; None: there was none.
        event_count: events with and without content, heartbeats not counted.
        statistics: what the server's end event says of the stream; None if it does not.
        samples: the server's counts on the way (`stats_ms`), each with the time it arrived: (received_ns, counts).
        bytes_received: of the body, framing included.
        texts: the tokens themselves, where they were asked for; else empty.
        finish_reason: why the model stopped, in the profile's words; None if it did not say.
        usage: the model's own token counts, as they came; None if there were none.
    """

    stream_id: str
    times: Times
    outcome: Outcome
    detail: str
    received_ns: Integers
    seq: Integers | None
    due_ns: Integers | None
    emitted_ns: Integers | None
    taken_ns: Integers | None
    merged: Integers
    producer: Integers | None
    text_lengths: Integers
    first_event_ns: int | None
    event_count: int
    statistics: Mapping[str, Any] | None
    samples: tuple[tuple[int, Mapping[str, Any]], ...]
    bytes_received: int
    texts: tuple[str, ...] = ()
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None

    @property
    def token_count(self) -> int:
        """How many tokens of the completion arrived; a merged one counts as all that it stands for."""
        return int(self.merged.sum())
