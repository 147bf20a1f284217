"""From what came over the wire to the tokens in it: Capture -> Trace. Run after the measurement, never during it.

    pieces  ->  framing             ->  events                   ->  the profile's shape    ->  columns
                an HTTP body, or        the project's decoder's,     which is a token, the
                WebSocket messages      or lines, or text            end, an error

A token was received with the piece that completed its event.
"""

from __future__ import annotations

import codecs
from array import array
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np

from benchmarks.scenarios.cells import Transport
from benchmarks.traces.captures import Capture, Integers, Outcome, Trace
from benchmarks.traces.framing import MalformedError, Opcode, WebSocketFrames, body_of
from benchmarks.traces.shapes import SHAPES, Gathered, Shape
from servers.sse import EventStreamDecoder, EventTooLargeError, ServerSentEvent

__all__ = ("MAX_EVENT_BYTES", "PROFILES", "parse")

PROFILES: Final = tuple(SHAPES)
"""What a stream can be parsed as: our profiles, and `sse` for any other event stream."""

MAX_EVENT_BYTES: Final = 64 * 1024 * 1024
"""What one event may have. The bytes are there already, so that it is more than a client's decoder would hold."""

_MIB: Final = 1024 * 1024
_NEVER_PARSED: Final = frozenset({Outcome.UNREACHABLE, Outcome.REFUSED, Outcome.NOT_A_STREAM})


def parse(capture: Capture, *, profile: str, transport: Transport, keep_texts: bool = False) -> Trace:
    """Return the tokens of a stream, and how it ended.

    Anything may have come: what is wrong becomes the trace's outcome, and the tokens before it are kept. An end marker
    makes a stream COMPLETED even if the client left, or the connection broke, behind it; where the profile has none
    (data, text, sse) a body that came whole does. A capture that kept no pieces has the outcome that it says.

    Args:
        capture: what came.
        profile: completion, data, ndjson, text, openai, anthropic, aisdk, or sse for any other event stream.
        transport: what carried it; a WebSocket's messages are completion payloads, whatever the profile.
        keep_texts: whether the tokens themselves are wanted.

    Raises:
        ValueError: `profile` is none of these.
    """
    if profile not in SHAPES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}; got {profile!r}")
    web_socket = transport is Transport.WEBSOCKET
    gathered = Gathered(keep_texts=keep_texts)
    if capture.status is None or capture.outcome in _NEVER_PARSED:
        return _trace(capture, gathered, capture.outcome or Outcome.UNREACHABLE, capture.detail)
    shape = SHAPES["ndjson" if web_socket else profile](gathered)
    try:
        events = _MessageEvents() if web_socket else _BodyEvents(capture, profile)
        _take_all(capture, events, shape)
    except MalformedError as error:
        if not gathered.is_over:
            return _trace(capture, gathered, Outcome.MALFORMED, str(error))
    else:
        gathered.has_ended |= shape.ends_with_body and events.complete and capture.outcome is None
    return _trace(capture, gathered, *_ending(capture, gathered))


def _ending(capture: Capture, gathered: Gathered) -> tuple[Outcome, str]:
    if gathered.failure is not None:
        return Outcome.FAILED, gathered.failure
    if gathered.has_ended:
        return Outcome.COMPLETED, ""
    return capture.outcome or Outcome.CUT, capture.detail


# --- From pieces to events ---------------------------------------------------------------------------------------


class _Events(Protocol):
    """The events of one answer."""

    @property
    def complete(self) -> bool:
        """Whether its framing says that it came whole."""
        ...

    def feed(self, piece: bytes) -> Sequence[ServerSentEvent]:
        """Return the events that a piece completes."""
        ...


def _take_all(capture: Capture, events: _Events, shape: Shape) -> None:
    feed, take = events.feed, shape.take
    for received_ns, piece in zip(capture.stamps_ns, capture.pieces, strict=True):
        try:
            found = feed(piece)
        except EventTooLargeError as error:
            take(error.events, received_ns)
            raise MalformedError(f"an event has more than {error.max_event_bytes // _MIB} MiB") from None
        if found:
            take(found, received_ns)


class _BodyEvents:
    """What an HTTP body is made of: events, lines or text."""

    def __init__(self, capture: Capture, profile: str) -> None:
        self._body = body_of(capture.headers)
        makers = {"ndjson": _lines, "text": _texts}
        self._decode = makers[profile]() if profile in makers else EventStreamDecoder(MAX_EVENT_BYTES).feed

    @property
    def complete(self) -> bool:
        """Whether all that was announced has come."""
        return self._body.complete

    def feed(self, piece: bytes) -> Sequence[ServerSentEvent]:
        """Return the events that a piece completes."""
        return self._decode(self._body.feed(piece))


def _lines() -> Callable[[bytes], list[ServerSentEvent]]:
    rest = b""

    def feed(content: bytes) -> list[ServerSentEvent]:
        nonlocal rest
        *lines, rest = (rest + content).split(b"\n")
        return [ServerSentEvent(data=_utf8(line)) for line in lines if line.strip()]

    return feed


def _texts() -> Callable[[bytes], list[ServerSentEvent]]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(content: bytes) -> list[ServerSentEvent]:
        text = decoder.decode(content)
        return [ServerSentEvent(data=text)] if text else []

    return feed


class _MessageEvents:
    """The text messages of a WebSocket. Only a payload of its own ends the stream, not the close that follows."""

    def __init__(self) -> None:
        self._frames = WebSocketFrames()

    @property
    def complete(self) -> bool:
        """Never."""
        return False

    def feed(self, piece: bytes) -> Sequence[ServerSentEvent]:
        """Return the events that a piece completes."""
        messages = self._frames.feed(piece)
        return [ServerSentEvent(data=_utf8(payload)) for opcode, payload in messages if opcode == Opcode.TEXT]


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"no UTF-8: {error}") from None


# --- From columns to the trace -----------------------------------------------------------------------------------


def _trace(capture: Capture, gathered: Gathered, outcome: Outcome, detail: str) -> Trace:
    return Trace(
        stream_id=capture.headers.get("x-stream-id", gathered.stream_id),
        times=capture.times,
        outcome=outcome,
        detail=detail,
        received_ns=_column(gathered.received_ns),
        seq=_said(gathered.seq),
        due_ns=_said(gathered.due_ns),
        emitted_ns=_said(gathered.emitted_ns),
        taken_ns=_said(gathered.taken_ns),
        merged=_column(gathered.merged),
        producer=_said(gathered.producer),
        text_lengths=_column(gathered.text_lengths),
        first_event_ns=gathered.first_event_ns,
        event_count=gathered.event_count,
        statistics=gathered.statistics,
        samples=tuple(gathered.samples),
        bytes_received=sum(map(len, capture.pieces)),
        texts=tuple(gathered.texts or ()),
        finish_reason=gathered.finish_reason,
        usage=gathered.usage,
    )


def _column(values: array[int]) -> Integers:
    return np.array(values, dtype=np.int64)


def _said(values: array[int]) -> Integers | None:
    """Return a column, if the stream said so of every token."""
    column = _column(values)
    return column if column.size and column.min() >= 0 else None
