"""What the events of each profile say: which is a token, which is the end, which is an error.

    completion   {"ended": false, "message": "<text>", "seq", "due_ns", ...}, in events, lines or WebSocket messages
    openai       choices[0].delta.content (or .text), [DONE]
    anthropic    content_block_delta with a text_delta, message_stop
    aisdk        text-delta, finish, [DONE]
    bare         each event's data is a token; the end of the body is the end

Empty content (a role, a finish reason, a tool call, reasoning) is an event but no token, except in our own completion,
where it is one of the source's. Comments, pings and the server's own counts (`stats_ms`) are no events of the stream.
Unknown keys and unknown kinds of events are let pass.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec

from benchmarks.traces.framing import MalformedError
from servers.sse import ServerSentEvent

__all__ = ("SHAPES", "Gathered", "Shape")

T = TypeVar("T", bound=msgspec.Struct)

_ABSENT: Final = -1
_DONE: Final = "[DONE]"
_MAX_SHOWN: Final = 120


class Gathered:
    """What has been found in a stream so far; the columns are those of `Trace`, -1 where the stream does not say.

    Args:
        keep_texts: whether the tokens themselves are kept.
    """

    def __init__(self, *, keep_texts: bool) -> None:
        self.received_ns = array("q")
        self.seq = array("q")
        self.due_ns = array("q")
        self.emitted_ns = array("q")
        self.taken_ns = array("q")
        self.merged = array("q")
        self.producer = array("q")
        self.text_lengths = array("q")
        self.texts: list[str] | None = [] if keep_texts else None
        self.first_event_ns: int | None = None
        self.event_count = 0
        self.stream_id = ""
        self.statistics: Mapping[str, Any] | None = None
        self.samples: list[tuple[int, Mapping[str, Any]]] = []
        self.finish_reason: str | None = None
        self.usage: Mapping[str, Any] | None = None
        self.has_ended = False
        self.failure: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether an end or an error has come."""
        return self.has_ended or self.failure is not None

    def event(self, received_ns: int) -> None:
        """Count one event of the stream."""
        self.event_count += 1
        if self.first_event_ns is None:
            self.first_event_ns = received_ns

    def text(self, text: str, received_ns: int) -> None:
        """Add a token of which nothing but its text is known; an empty one is none."""
        if text:
            self.token(text, received_ns, _ABSENT, _ABSENT, _ABSENT, _ABSENT, 1, _ABSENT)

    def token(
        self,
        text: str,
        received_ns: int,
        seq: int,
        due_ns: int,
        emitted_ns: int,
        taken_ns: int,
        merged: int,
        producer: int,
    ) -> None:
        """Add a token."""
        self.received_ns.append(received_ns)
        self.seq.append(seq)
        self.due_ns.append(due_ns)
        self.emitted_ns.append(emitted_ns)
        self.taken_ns.append(taken_ns)
        self.merged.append(merged)
        self.producer.append(producer)
        self.text_lengths.append(len(text))
        if self.texts is not None:
            self.texts.append(text)

    def fail(self, message: object) -> None:
        """Note an error that the stream itself told of."""
        self.failure = str(message) or "an error without words"


class Shape(ABC):
    """Reads the events of one stream, in order, into `gathered`."""

    ends_with_body = False
    """Whether the end of the body is the stream's end, as the profile marks none."""

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered

    def take(self, events: Sequence[ServerSentEvent], received_ns: int) -> None:
        """Take events that one piece completed; none are looked at behind the end.

        Raises:
            MalformedError: an event that the profile does not allow. The tokens before it are in `gathered`.
        """
        for event in events:
            if self.gathered.is_over:
                return
            self._take(event, received_ns)

    @abstractmethod
    def _take(self, event: ServerSentEvent, received_ns: int) -> None: ...


def _decoded(decoder: msgspec.json.Decoder[T], data: str | bytes) -> T:
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        problem = error
    try:  # half a surrogate pair is legal JSON, and msgspec refuses it
        return msgspec.convert(json.loads(data), decoder.type)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        shown = data if isinstance(data, str) else data.decode(errors="replace")
        raise MalformedError(f"{problem}: {shown[:_MAX_SHOWN]!r}") from None


def _message_of(error: Any) -> Any:
    """Return the words of an error in any of the shapes that are in use."""
    if isinstance(error, Mapping):
        fields = cast("Mapping[str, Any]", error)
        return fields.get("message") or fields.get("type") or dict(fields)
    return error


# --- Ours --------------------------------------------------------------------------------------------------------


_MAX_INT: Final = 2**63 - 1
_MAX_INDEX_DIGITS: Final = 18
_Number = Annotated[int, msgspec.Meta(ge=_ABSENT, le=_MAX_INT)]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=_MAX_INT)]


class _Payload(msgspec.Struct, gc=False):
    ended: bool | None = None
    message: str = ""
    seq: _Number = _ABSENT
    due_ns: _Number = _ABSENT
    emitted_ns: _Number = _ABSENT
    taken_ns: _Number = _ABSENT
    merged: _Positive = 1
    producer: _Number = _ABSENT
    statistics: dict[str, Any] | None = None
    error: Any = None


_PAYLOADS: Final = msgspec.json.Decoder(_Payload)
_COUNTS: Final = msgspec.json.Decoder(dict[str, Any])


class _Completion(Shape):
    def _take(self, event: ServerSentEvent, received_ns: int) -> None:
        gathered = self.gathered
        if event.event == "statistics":
            self._sample(event.data, received_ns)
            return
        payload = _decoded(_PAYLOADS, event.data)
        if payload.ended is None and payload.error is None and payload.statistics is not None:
            gathered.samples.append((received_ns, payload.statistics))
            return
        gathered.event(received_ns)
        if payload.error is not None:
            gathered.fail(_message_of(payload.error))
        elif payload.ended is None:
            raise MalformedError(f"an object without `ended`: {event.data[:_MAX_SHOWN]!r}")
        elif payload.ended:
            gathered.has_ended = True
        else:
            self._token(event, payload, received_ns)
        if payload.statistics is not None:
            gathered.statistics = payload.statistics

    def _sample(self, data: str, received_ns: int) -> None:
        try:
            self.gathered.samples.append((received_ns, _COUNTS.decode(data)))
        except msgspec.DecodeError as error:
            raise MalformedError(f"{error}: {data[:_MAX_SHOWN]!r}") from None

    def _token(self, event: ServerSentEvent, payload: _Payload, received_ns: int) -> None:
        seq = payload.seq
        if seq < 0:  # without a trace, the id has it
            stream_id, _, index = event.id.rpartition("-")
            if index.isascii() and index.isdigit() and len(index) <= _MAX_INDEX_DIGITS:
                self.gathered.stream_id, seq = stream_id, int(index)
        self.gathered.token(
            payload.message,
            received_ns,
            seq,
            payload.due_ns,
            payload.emitted_ns,
            payload.taken_ns,
            payload.merged,
            payload.producer,
        )


# --- What the clients of models read -----------------------------------------------------------------------------


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_CHUNKS: Final = msgspec.json.Decoder(_Chunk)


class _OpenAI(Shape):
    """The first choice alone is the stream: others are completions of their own."""

    def _take(self, event: ServerSentEvent, received_ns: int) -> None:
        gathered = self.gathered
        if event.data.startswith(_DONE):
            gathered.has_ended = True
            return
        if event.event == "error":
            gathered.event(received_ns)
            gathered.fail(_error_words(event.data))
            return
        chunk = _decoded(_CHUNKS, event.data)
        gathered.event(received_ns)
        if chunk.error:
            gathered.fail(_message_of(chunk.error))
        elif chunk.choices is None:
            raise MalformedError(f"a chunk without `choices`: {event.data[:_MAX_SHOWN]!r}")
        else:
            gathered.usage = chunk.usage or gathered.usage
            for choice in chunk.choices:
                if choice.index == 0:
                    gathered.finish_reason = choice.finish_reason or gathered.finish_reason
                    gathered.text((choice.delta.content if choice.delta else choice.text) or "", received_ns)


def _error_words(data: str) -> Any:
    try:
        value = json.loads(data)
    except ValueError:
        return data
    return _message_of(_object(value).get("error") or value)


class _Typed(msgspec.Struct):
    type: str
    delta: Any = None
    error: Any = None
    errorText: str | None = None  # noqa: N815 - its name on the wire
    usage: dict[str, Any] | None = None
    data: Any = None
    finishReason: str | None = None  # noqa: N815
    messageMetadata: Any = None  # noqa: N815


_TYPED: Final = msgspec.json.Decoder(_Typed)


def _object(value: Any) -> Mapping[str, Any]:
    """Return an object as it is, and anything else as one without fields."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


class _Anthropic(Shape):
    def _take(self, event: ServerSentEvent, received_ns: int) -> None:
        gathered = self.gathered
        part = _decoded(_TYPED, event.data)
        if part.type == "ping":
            return
        gathered.event(received_ns)
        if part.type == "content_block_delta" and _object(part.delta).get("type") == "text_delta":
            text = _object(part.delta).get("text")
            if not isinstance(text, str):
                raise MalformedError(f"a text_delta without text: {event.data[:_MAX_SHOWN]!r}")
            gathered.text(text, received_ns)
        elif part.type == "message_delta":
            gathered.finish_reason = str(_object(part.delta).get("stop_reason") or "") or gathered.finish_reason
            gathered.usage = part.usage or gathered.usage
        elif part.type == "error":
            gathered.fail(_message_of(part.error))
        elif part.type == "message_stop":
            gathered.has_ended = True


class _AiSdk(Shape):
    """A stream has ended with `finish`: not every server writes [DONE] behind it."""

    def _take(self, event: ServerSentEvent, received_ns: int) -> None:
        gathered = self.gathered
        if event.data.startswith(_DONE):
            gathered.has_ended = True
            return
        if not event.data:
            return
        part = _decoded(_TYPED, event.data)
        if part.type == "data-statistics":
            gathered.samples.append((received_ns, _object(part.data)))
            return
        gathered.event(received_ns)
        if part.type == "text-delta":
            if not isinstance(part.delta, str):
                raise MalformedError(f"a text-delta without text: {event.data[:_MAX_SHOWN]!r}")
            gathered.text(part.delta, received_ns)
        elif part.type == "error":
            gathered.fail(part.errorText or _message_of(part.error))
        elif part.type == "abort":
            gathered.fail("the stream was aborted")
        elif part.type == "finish":
            metadata = _object(part.messageMetadata)
            gathered.finish_reason = part.finishReason or str(metadata.get("finishReason") or "") or None
            gathered.usage = _object(metadata.get("usage")) or None
            gathered.has_ended = True


# --- Without a shape -----------------------------------------------------------------------------------------------


class _Bare(Shape):
    ends_with_body = True

    def _take(self, event: ServerSentEvent, received_ns: int) -> None:
        self.gathered.event(received_ns)
        if event.event == "error":
            self.gathered.fail(_error_words(event.data))
        else:
            self.gathered.text(event.data, received_ns)


class _AnyEvents(_Bare):
    """What nobody knows may end as most streams of models do."""

    def _take(self, event: ServerSentEvent, received_ns: int) -> None:
        if event.data == _DONE:
            self.gathered.has_ended = True
        else:
            super()._take(event, received_ns)


SHAPES: Final[Mapping[str, type[Shape]]] = {
    "completion": _Completion,
    "ndjson": _Completion,
    "openai": _OpenAI,
    "anthropic": _Anthropic,
    "aisdk": _AiSdk,
    "data": _Bare,
    "text": _Bare,
    "sse": _AnyEvents,
}
"""The shape of each profile, by the profile's name."""
