"""What a token becomes on the wire, per client family. Bytes only: no sockets, no loop, no clock.

    completion   server-sent events with one JSON object each, as in the classic demo
    data         server-sent events with the bare text, as WebFlux writes a Flux<String>
    ndjson       one JSON object a line
    text         the text itself
    openai       chat.completion.chunk ... [DONE]
    anthropic    message_start ... message_stop
    aisdk        the UI message stream of the npm package `ai`

`PROFILES[name](identity)` makes the encoder of one stream, to be called in this order:

    begin, then any of tokens, heartbeat and statistics, then end or failure

What it returns is written as it is; b"" means that the profile has nothing to say there. All but `data` and `text`
carry the text as JSON and so exactly, whatever is in it: half a surrogate pair is escaped, and two halves that meet
in one token arrive as the character they make. `data` and `text` lose what their formats cannot carry raw.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final

from servers.sse import encode_comment, encode_event, json_string, json_strings
from streams.source import Token
from streams.strategy import positive_int

__all__ = ("PROFILES", "CompletionPayloads", "Ending", "Failure", "StreamEncoder", "StreamIdentity")

_EVENT_STREAM: Final = "text/event-stream"
_PLAIN_TEXT: Final = "text/plain; charset=utf-8"
_HEARTBEAT: Final = encode_comment("")
_DONE: Final = "data: [DONE]\n\n"

# Safe unescaped in JSON, and with "-<index>" behind it a legal event id.
_STREAM_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    """What an encoder has to know of its stream.

    Attributes:
        stream_id: names the stream in ids: 1 to 100 of the letters A-Z and a-z, digits, "_", "." and "-".
        model: the model that clients are told.
        created_s: when the stream began, in whole seconds since 1970.
        trace: add times and statistics (completion and ndjson only).
        include_usage: add the chunk with the token counts, as OpenAI's `stream_options` ask for it (openai only).

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of its range.
    """

    stream_id: str
    model: str = "tokenweir"
    created_s: int = 0
    trace: bool = False
    include_usage: bool = False

    def __post_init__(self) -> None:
        _check_type("stream_id", self.stream_id, str)
        _check_type("model", self.model, str)
        _check_type("trace", self.trace, bool)
        _check_type("include_usage", self.include_usage, bool)
        positive_int("created_s", self.created_s, minimum=0)
        if not _STREAM_ID.fullmatch(self.stream_id):
            raise ValueError(f'stream_id must be 1 to 100 letters, digits, "_", "." or "-", got {self.stream_id!r}')


@dataclass(frozen=True, slots=True)
class Ending:
    """How a stream completed.

    Attributes:
        finish_reason: why the model stopped, in OpenAI's words.
        usage: token counts in OpenAI's shape; None: no prompt, and as many tokens as were encoded, each merged one
            counted as all that it stands for.
        statistics: the stream's counts, which only a trace shows.
    """

    finish_reason: str = "stop"
    usage: Mapping[str, Any] | None = None
    statistics: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """How a stream failed.

    Attributes:
        message: what happened, for people.
        type: the family of errors.
        code: the error, for programs.
        statistics: the stream's counts, which only a trace shows.
    """

    message: str
    type: str = "server_error"
    code: str | None = None
    statistics: Mapping[str, Any] | None = None


_COMPLETED: Final = Ending()


class StreamEncoder(ABC):
    """Turns one stream into the bytes of a profile. Never waits, and keeps no token."""

    content_type: ClassVar[str] = _EVENT_STREAM
    """Value of the stream's Content-Type header."""
    headers: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Further headers that the stream's clients demand."""

    def __init__(self, identity: StreamIdentity) -> None:
        self._identity = identity

    def begin(self) -> bytes:
        """Encode what comes before the first token."""
        return b""

    @abstractmethod
    def tokens(self, tokens: Sequence[Token], taken_ns: int) -> bytes:
        """Encode a batch in one go, one frame for each token.

        Args:
            tokens: one or more.
            taken_ns: when they were taken from the boundary, on the scale of their own times; only a trace shows it.
        """

    @abstractmethod
    def end(self, ending: Ending = _COMPLETED) -> bytes:
        """Encode the end of a stream that completed."""

    @abstractmethod
    def failure(self, failure: Failure) -> bytes:
        """Encode the end of a stream that failed.

        Returns:
            The bytes; b"" if the profile has no errors: then only a connection that breaks off tells the client.
        """

    def statistics(self, statistics: Mapping[str, Any]) -> bytes:
        """Encode the counts of a stream that goes on; b"" where they would disturb the profile's clients."""
        return b""

    def heartbeat(self) -> bytes:
        """Encode a sign of life that the profile's clients pass over."""
        return _HEARTBEAT

    @abstractmethod
    def whole(self, tokens: Sequence[Token], ending: Ending = _COMPLETED) -> bytes:
        """Encode all tokens of a completed stream as one JSON object, for clients that do not want a stream."""


# --- The project's own JSON --------------------------------------------------------------------------------------


_PIECE: Final = '{"ended": false, "message": '


class CompletionPayloads:
    """The JSON objects of a stream as texts without framing: the lines of ndjson, the text frames of a WebSocket."""

    def __init__(self, identity: StreamIdentity) -> None:
        self._trace = identity.trace

    def tokens(self, tokens: Sequence[Token], taken_ns: int) -> list[str]:
        """Encode each token as one object. Arguments as in `StreamEncoder.tokens`."""
        if self._trace:
            return [_traced(token, taken_ns) for token in tokens]
        return [f"{_PIECE}{text}}}" for text in json_strings([token.text for token in tokens])]

    def end(self, ending: Ending = _COMPLETED, *, text: str = "") -> str:
        """Encode the last object; `text` is empty unless it is the only one."""
        return json.dumps({"ended": True, "message": text, **self._traced_statistics(ending.statistics)})

    def failure(self, failure: Failure) -> str:
        """Encode an error, after which nothing comes."""
        return json.dumps({"error": _error(failure), **self._traced_statistics(failure.statistics)})

    def statistics(self, statistics: Mapping[str, Any]) -> str:
        """Encode the counts of a stream that goes on."""
        return json.dumps({"statistics": dict(statistics)})

    def _traced_statistics(self, statistics: Mapping[str, Any] | None) -> dict[str, Any]:
        return {"statistics": dict(statistics)} if self._trace and statistics is not None else {}


def _traced(token: Token, taken_ns: int) -> str:
    merged = f', "merged": {token.merged}' if token.merged > 1 else ""
    producer = "" if token.producer is None else f', "producer": {token.producer}'
    return (
        f'{_PIECE}{json_string(token.text)}, "seq": {token.index}, "due_ns": {token.due_ns}, '
        f'"emitted_ns": {token.emitted_ns}, "taken_ns": {taken_ns}{merged}{producer}}}'
    )


class _Completion(StreamEncoder):
    """An id for each event, so that a browser that reconnects says how far it came.

    An error bears the id of the end: there is nothing to come back for.
    """

    def __init__(self, identity: StreamIdentity) -> None:
        super().__init__(identity)
        self._payloads = CompletionPayloads(identity)
        self._before_index = f"event: message\nid: {identity.stream_id}-"
        self._end_id = f"{identity.stream_id}-end"

    def tokens(self, tokens: Sequence[Token], taken_ns: int) -> bytes:
        before = self._before_index
        if not self._identity.trace:  # the hot path: one text for each frame, without a payload of its own in between
            quoted = zip(tokens, json_strings([token.text for token in tokens]), strict=True)
            return "".join([f"{before}{token.index}\ndata: {_PIECE}{text}}}\n\n" for token, text in quoted]).encode()
        frames = [f"{before}{token.index}\ndata: {_traced(token, taken_ns)}\n\n" for token in tokens]
        return "".join(frames).encode()

    def end(self, ending: Ending = _COMPLETED) -> bytes:
        return encode_event(self._payloads.end(ending), event="message", id=self._end_id)

    def failure(self, failure: Failure) -> bytes:
        return encode_event(self._payloads.failure(failure), event="error", id=self._end_id)

    def statistics(self, statistics: Mapping[str, Any]) -> bytes:
        return encode_event(json.dumps(dict(statistics)), event="statistics")

    def whole(self, tokens: Sequence[Token], ending: Ending = _COMPLETED) -> bytes:
        return self._payloads.end(ending, text=_joined(tokens)).encode()


class _Ndjson(StreamEncoder):
    content_type = "application/x-ndjson"

    def __init__(self, identity: StreamIdentity) -> None:
        super().__init__(identity)
        self._payloads = CompletionPayloads(identity)

    def tokens(self, tokens: Sequence[Token], taken_ns: int) -> bytes:
        return _lines(*self._payloads.tokens(tokens, taken_ns))

    def end(self, ending: Ending = _COMPLETED) -> bytes:
        return _lines(self._payloads.end(ending))

    def failure(self, failure: Failure) -> bytes:
        return _lines(self._payloads.failure(failure))

    def statistics(self, statistics: Mapping[str, Any]) -> bytes:
        return _lines(self._payloads.statistics(statistics))

    def heartbeat(self) -> bytes:
        # JSON allows space before a value; an empty line would be one without a value.
        return b" "

    def whole(self, tokens: Sequence[Token], ending: Ending = _COMPLETED) -> bytes:
        return self._payloads.end(ending, text=_joined(tokens)).encode()


def _lines(*payloads: str) -> bytes:
    return "\n".join((*payloads, "")).encode()


# --- Bare text ---------------------------------------------------------------------------------------------------


class _PlainText(StreamEncoder):
    content_type = _PLAIN_TEXT

    def tokens(self, tokens: Sequence[Token], taken_ns: int) -> bytes:
        # By way of UTF-16 the halves of a surrogate pair find each other; one that stays alone becomes U+FFFD.
        return _joined(tokens).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()

    def end(self, ending: Ending = _COMPLETED) -> bytes:
        return b""

    def failure(self, failure: Failure) -> bytes:
        return b""

    def heartbeat(self) -> bytes:
        return b""

    def whole(self, tokens: Sequence[Token], ending: Ending = _COMPLETED) -> bytes:
        return CompletionPayloads(self._identity).end(ending, text=_joined(tokens)).encode()


class _Data(_PlainText):
    """Without ids and without an end, as the original: a browser reconnects after it and hears it all again."""

    content_type = _EVENT_STREAM

    def tokens(self, tokens: Sequence[Token], taken_ns: int) -> bytes:
        return b"".join([encode_event(token.text) for token in tokens])

    def failure(self, failure: Failure) -> bytes:
        return encode_event(failure.message, event="error")

    def heartbeat(self) -> bytes:
        return _HEARTBEAT


# --- What the clients of models read -----------------------------------------------------------------------------


class _DeltaEncoder(StreamEncoder):
    """Constant bytes before and after the JSON string of each token. Counts the tokens, for the usage at the end."""

    def __init__(self, identity: StreamIdentity, before: str, after: str) -> None:
        super().__init__(identity)
        self._before, self._between, self._after = before, after + before, after
        self._token_count = 0

    def tokens(self, tokens: Sequence[Token], taken_ns: int) -> bytes:
        self._token_count += _token_count(tokens)
        texts = self._between.join(json_strings([token.text for token in tokens]))
        return f"{self._before}{texts}{self._after}".encode()


class _OpenAI(_DeltaEncoder):
    def __init__(self, identity: StreamIdentity) -> None:
        self._head = (
            f'data: {{"id":"chatcmpl-{identity.stream_id}","object":"chat.completion.chunk",'
            f'"created":{identity.created_s},"model":{json_string(identity.model)},"choices":['
        )
        # Where usage was asked for, the chunks before it say that it is not there yet.
        self._tail = '],"usage":null}\n\n' if identity.include_usage else "]}\n\n"
        before = self._head + '{"index":0,"delta":{"content":'
        super().__init__(identity, before, '},"finish_reason":null}' + self._tail)

    def begin(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""}, None).encode()

    def end(self, ending: Ending = _COMPLETED) -> bytes:
        chunks = self._chunk({}, ending.finish_reason)
        if self._identity.include_usage:
            chunks += f'{self._head}],"usage":{_compact(_usage(ending, self._token_count))}}}\n\n'
        return (chunks + _DONE).encode()

    def failure(self, failure: Failure) -> bytes:
        return (_data_only({"error": _error(failure)}) + _DONE).encode()

    def whole(self, tokens: Sequence[Token], ending: Ending = _COMPLETED) -> bytes:
        message = {"role": "assistant", "content": _joined(tokens), "refusal": None}
        answer = {
            "id": f"chatcmpl-{self._identity.stream_id}",
            "object": "chat.completion",
            "created": self._identity.created_s,
            "model": self._identity.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": ending.finish_reason}],
            "usage": _usage(ending, _token_count(tokens)),
        }
        return _compact(answer).encode()

    def _chunk(self, delta: Mapping[str, str], finish_reason: str | None) -> str:
        return self._head + _compact({"index": 0, "delta": delta, "finish_reason": finish_reason}) + self._tail


_ANTHROPIC_STOP_REASONS: Final = {
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
}


class _Anthropic(_DeltaEncoder):
    def __init__(self, identity: StreamIdentity) -> None:
        before = (
            'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            '"delta":{"type":"text_delta","text":'
        )
        super().__init__(identity, before, "}}\n\n")

    def begin(self) -> bytes:
        message = self._message([], None, {"input_tokens": 0, "output_tokens": 0})
        block = {"type": "text", "text": ""}
        events = _typed("message_start", message=message) + _typed("content_block_start", index=0, content_block=block)
        return events.encode()

    def end(self, ending: Ending = _COMPLETED) -> bytes:
        delta = {"stop_reason": self._stop_reason(ending), "stop_sequence": None}
        events = (
            _typed("content_block_stop", index=0),
            _typed("message_delta", delta=delta, usage=self._usage(ending, self._token_count)),
            _typed("message_stop"),
        )
        return "".join(events).encode()

    def failure(self, failure: Failure) -> bytes:
        return _typed("error", error={"type": failure.type, "message": failure.message}).encode()

    def heartbeat(self) -> bytes:
        return _typed("ping").encode()

    def whole(self, tokens: Sequence[Token], ending: Ending = _COMPLETED) -> bytes:
        content = [{"type": "text", "text": _joined(tokens)}]
        usage = self._usage(ending, _token_count(tokens))
        return _compact(self._message(content, self._stop_reason(ending), usage)).encode()

    def _message(
        self, content: Sequence[Mapping[str, str]], stop_reason: str | None, usage: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            "id": f"msg_{self._identity.stream_id}",
            "type": "message",
            "role": "assistant",
            "model": self._identity.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": usage,
        }

    @staticmethod
    def _stop_reason(ending: Ending) -> str:
        return _ANTHROPIC_STOP_REASONS.get(ending.finish_reason, "end_turn")

    @staticmethod
    def _usage(ending: Ending, token_count: int) -> dict[str, Any]:
        usage = _usage(ending, token_count)
        return {"input_tokens": usage.get("prompt_tokens", 0), "output_tokens": usage.get("completion_tokens", 0)}


class _AiSdk(_DeltaEncoder):
    """Writes only keys that the first version 5 knows, which refuses a stream with any other."""

    headers = MappingProxyType({"x-vercel-ai-ui-message-stream": "v1"})

    def __init__(self, identity: StreamIdentity) -> None:
        super().__init__(identity, 'data: {"type":"text-delta","id":"0","delta":', "}\n\n")

    def begin(self) -> bytes:
        parts = (
            {"type": "start", "messageId": self._identity.stream_id},
            {"type": "start-step"},
            {"type": "text-start", "id": "0"},
        )
        return "".join(map(_data_only, parts)).encode()

    def end(self, ending: Ending = _COMPLETED) -> bytes:
        parts = (
            {"type": "text-end", "id": "0"},
            {"type": "finish-step"},
            {"type": "finish", "messageMetadata": self._metadata(ending, self._token_count)},
        )
        return ("".join(map(_data_only, parts)) + _DONE).encode()

    def failure(self, failure: Failure) -> bytes:
        return (_data_only({"type": "error", "errorText": failure.message}) + _DONE).encode()

    def statistics(self, statistics: Mapping[str, Any]) -> bytes:
        # A transient part is handed to the application and stays out of the message.
        return _data_only({"type": "data-statistics", "data": dict(statistics), "transient": True}).encode()

    def whole(self, tokens: Sequence[Token], ending: Ending = _COMPLETED) -> bytes:
        message = {
            "id": self._identity.stream_id,
            "role": "assistant",
            "metadata": self._metadata(ending, _token_count(tokens)),
            "parts": [{"type": "text", "text": _joined(tokens), "state": "done"}],
        }
        return _compact(message).encode()

    @staticmethod
    def _metadata(ending: Ending, token_count: int) -> dict[str, Any]:
        return {"finishReason": ending.finish_reason, "usage": _usage(ending, token_count)}


# --- Parts of several --------------------------------------------------------------------------------------------


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _data_only(value: object) -> str:
    return f"data: {_compact(value)}\n\n"


def _typed(type: str, **fields: object) -> str:
    """Name the event as the object in it, as Anthropic's clients want it."""
    return f"event: {type}\n{_data_only({'type': type, **fields})}"


def _error(failure: Failure) -> dict[str, Any]:
    return {"message": failure.message, "type": failure.type, "param": None, "code": failure.code}


def _usage(ending: Ending, token_count: int) -> Mapping[str, Any]:
    if ending.usage is not None:
        return ending.usage
    return {"prompt_tokens": 0, "completion_tokens": token_count, "total_tokens": token_count}


def _token_count(tokens: Sequence[Token]) -> int:
    return sum([token.merged for token in tokens])


def _joined(tokens: Sequence[Token]) -> str:
    return "".join([token.text for token in tokens])


def _check_type(name: str, value: object, accepted: type) -> None:
    if not isinstance(value, accepted):
        raise TypeError(f"{name} must be of type {accepted.__name__}, got {value!r}")


PROFILES: Final[Mapping[str, type[StreamEncoder]]] = MappingProxyType(
    {
        "completion": _Completion,
        "data": _Data,
        "ndjson": _Ndjson,
        "text": _PlainText,
        "openai": _OpenAI,
        "anthropic": _Anthropic,
        "aisdk": _AiSdk,
    }
)
"""The encoder of each profile, by the profile's name."""
