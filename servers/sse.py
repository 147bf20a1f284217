"""Server-sent events as plain data: text to bytes, and bytes in any pieces back to events. No I/O.

The decoder follows the WHATWG HTML standard, "Server-sent events", sections "Parsing an event stream" and
"Interpreting an event stream". The encoder writes the part of it that every client reads alike: UTF-8 without a byte
order mark, LF, `data: ` with its space, no block without data, and a comment with one line end. A blank line after a
comment would end a block without data, which several clients hand to the application as an empty event.

    block   [event: NAME] [id: ID] [retry: MS] data: LINE ... blank line
    comment : TEXT
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import NamedTuple

__all__ = (
    "DEFAULT_MAX_EVENT_BYTES",
    "EventStreamDecoder",
    "EventTooLargeError",
    "ServerSentEvent",
    "encode_comment",
    "encode_event",
    "json_string",
    "json_strings",
)

DEFAULT_MAX_EVENT_BYTES = 1024 * 1024

# Visible ASCII without the bytes that Fetch calls unsafe in a request header: with one of them in Last-Event-ID, a
# reconnect to another origin would need a preflight.
_ID = re.compile(r"[!#-'*-9;=A-Z^-z|~]{1,127}")
_ACCEPTED_ID = '1 to 127 visible ASCII characters, none of "():<>?@[\\]{}'
_NOT_IN_A_LINE = re.compile(r"[\r\n\0]")
# Not safe raw in a JSON string on the wire: what some clients take for a line end, a byte order mark or nothing at
# all, and what UTF-8 cannot carry.
_ESCAPED_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_LINE_OR_END = re.compile(rb"[^\r\n]+|\r\n?|\n")
# A byte that is no UTF-8 becomes U+FFFD, which is three.
_MAX_REPLACEMENT_GROWTH = 3
# Longer is no wait that anyone meant, and int() refuses thousands of digits.
_MAX_RETRY_DIGITS = 18


# --- Encoding ------------------------------------------------------------------------------------------------------


def encode_event(data: str, *, event: str | None = None, id: str | None = None, retry_ms: int | None = None) -> bytes:
    """Write one block: one data line for each line of `data`, after the other fields.

    A client gets `data` as it was, but for two things that the format cannot carry: CR and CRLF arrive as LF, and a
    lone surrogate as U+FFFD (as from the TextEncoder of browsers). Whoever needs them sends JSON (`json_string`).
    Empty data is an event like any other: the standard withholds only a block with no data line at all.

    Args:
        data: the text of the event.
        event: its type; None leaves the line out, which means `message`.
        id: what a client sends back as Last-Event-ID; None leaves the last one standing.
        retry_ms: how long a client is to wait before it reconnects, in milliseconds.

    Raises:
        ValueError: an `event` that is empty or has CR, LF or NUL in it, an `id` that is not 1 to 127 characters of
            visible ASCII or would force a CORS preflight, a negative `retry_ms`.
        TypeError: an argument of another type (a bool is no int).
    """
    fields = "" if event is None else _event_line(event)
    if id is not None:
        fields += _id_line(id)
    if retry_ms is not None:
        fields += _retry_line(retry_ms)
    return _utf8(f"{fields}data: {_data_lines(_text('data', data))}\n\n")


def encode_comment(text: str) -> bytes:
    """Write one comment line, which clients skip: a heartbeat that keeps a silent connection open.

    It ends with one line end and no blank line, and may stand between two blocks. A lone surrogate becomes U+FFFD.

    Raises:
        ValueError: CR, LF or NUL in `text`.
        TypeError: `text` is no str.
    """
    return _utf8(f": {_one_line('text', text)}\n")


def json_string(text: str) -> str:
    r"""Quote a text as a JSON string of one line that survives every client and every `str.splitlines`.

    Chinese and the like stay as they are, half the bytes of `\uXXXX`. Escaped are, beyond what JSON demands, DEL, the
    C1 controls (with U+0085), U+2028, U+2029, U+FEFF and lone surrogates, so that a JSON reader gets exactly `text`
    (but the two halves of one character, side by side, come back as that character).
    """
    quoted = encode_basestring(text)
    # Everything to escape is unprintable, most texts are printable, and asking is cheaper than searching.
    return quoted if quoted.isprintable() else _ESCAPED_IN_JSON.sub(_json_escape, quoted)


def json_strings(texts: Sequence[str]) -> list[str]:
    """Quote each text as `json_string` does, at less than half the cost when there are many."""
    quoted = list(map(encode_basestring, texts))
    return quoted if "".join(quoted).isprintable() else list(map(json_string, texts))


def _json_escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _data_lines(data: str) -> str:
    if "\r" in data:
        data = data.replace("\r\n", "\n").replace("\r", "\n")
    return data.replace("\n", "\ndata: ")


def _event_line(event: str) -> str:
    if not _one_line("event", event):
        raise ValueError("event is '': leave it out (None) for the type message")
    return f"event: {event}\n"


def _id_line(id: str) -> str:
    if not _ID.fullmatch(_text("id", id)):
        raise ValueError(f"id is {id!r}; accepted: {_ACCEPTED_ID}")
    return f"id: {id}\n"


def _retry_line(retry_ms: int) -> str:
    if isinstance(retry_ms, bool) or not isinstance(retry_ms, int):
        raise TypeError(f"retry_ms is {retry_ms!r}; accepted: an int >= 0, or None")
    if retry_ms < 0:
        raise ValueError(f"retry_ms is {retry_ms}; accepted: an int >= 0, or None")
    return f"retry: {retry_ms}\n"


def _one_line(name: str, value: str) -> str:
    if _NOT_IN_A_LINE.search(_text(name, value)):
        raise ValueError(f"{name} is {value!r}; accepted: a text without CR, LF and NUL")
    return value


def _text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}; accepted: a str")
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # By way of UTF-16 the two halves of one character find each other; only a lone half is replaced.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


# --- Decoding ------------------------------------------------------------------------------------------------------


class ServerSentEvent(NamedTuple):
    """One event, as a client fires it."""

    event: str = "message"
    """Its type."""
    data: str = ""
    """Its data lines, joined with LF."""
    id: str = ""
    """The last event id when it was fired: its own, or the latest before it."""


class EventTooLargeError(ValueError):
    """An event is larger than the decoder may hold.

    Attributes:
        max_event_bytes: the limit that was passed.
        events: the complete events before it that the same `feed` found.
    """

    def __init__(self, max_event_bytes: int, events: tuple[ServerSentEvent, ...] = ()) -> None:
        super().__init__(max_event_bytes, events)
        self.max_event_bytes = max_event_bytes
        self.events = events

    def __str__(self) -> str:
        return f"an event has more than {self.max_event_bytes} bytes; raise max_event_bytes, or reset() and reconnect"


class EventStreamDecoder:
    """Takes the bytes of an event stream in pieces of any size and gives back its events.

    Where the pieces are cut makes no difference, not even inside a character or a CRLF, and no event waits for bytes
    after its blank line. Time is linear in the number of bytes and memory is bounded by `max_event_bytes`. What is
    unfinished when the stream ends is no event: there is nothing to flush.

    Source: WHATWG HTML, "Parsing an event stream" and "Interpreting an event stream".
    """

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        """Begin before the first byte of a stream.

        Args:
            max_event_bytes: the most that is held of one event: the data gathered for it, as UTF-8 and with a line
                end for each line, and the unfinished line, as received. Comments count only while unfinished.

        Raises:
            ValueError: `max_event_bytes` is below 1.
            TypeError: it is no int (a bool is none).
        """
        if isinstance(max_event_bytes, bool) or not isinstance(max_event_bytes, int):
            raise TypeError(f"max_event_bytes is {max_event_bytes!r}; accepted: an int >= 1")
        if max_event_bytes < 1:
            raise ValueError(f"max_event_bytes is {max_event_bytes}; accepted: an int >= 1")
        self._max_event_bytes = max_event_bytes
        self._last_event_id = ""
        self._retry_ms: int | None = None
        self.reset()

    @property
    def last_event_id(self) -> str:
        """The id to send as Last-Event-ID when reconnecting; empty: none. A blank line sets it, with data or not."""
        return self._last_event_id

    @property
    def retry_ms(self) -> int | None:
        """The reconnection time that the server asked for last, in milliseconds; None until it does.

        More than 18 digits are ignored.
        """
        return self._retry_ms

    def reset(self) -> None:
        """Begin a new stream, after a reconnect: forget the unfinished event, expect a byte order mark.

        The last event id and the reconnection time stay; an event of the new stream that has no id bears the kept one.
        """
        self._starting = True
        self._line = bytearray()
        self._after_cr = False
        self._data: list[str] = []
        self._data_bytes = 0
        self._type = ""
        self._id = self._last_event_id
        self._too_large = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take the next bytes of the stream and return the events that they complete, oldest first.

        Never waits.

        Raises:
            EventTooLargeError: the current event is too large. It is dropped at once, and every further call raises
                again until `reset`. Events completed before it are in the error.
        """
        if self._too_large:
            raise EventTooLargeError(self._max_event_bytes)
        events: list[ServerSentEvent] = []
        start = 0
        while start < len(chunk):
            end = self._end_of_piece(chunk, start)
            events += self._take(chunk[start:end])
            if self._data_bytes + len(self._line) > self._max_event_bytes:
                self.reset()
                self._too_large = True
                raise EventTooLargeError(self._max_event_bytes, tuple(events))
            start = end
        return events

    def _end_of_piece(self, chunk: bytes, start: int) -> int:
        """Choose a piece in which the limit cannot be passed without being seen at its end.

        That is as much as the room left can hold, whatever it is; without room, one line or one line end.
        """
        room = (self._max_event_bytes - self._data_bytes) // _MAX_REPLACEMENT_GROWTH - len(self._line)
        if room > 0:
            return start + room
        match = _LINE_OR_END.match(chunk, start)
        assert match is not None  # every byte is of a line or of its end
        return match.end()

    def _take(self, piece: bytes) -> list[ServerSentEvent]:
        """Cut off the lines that are complete. Only they are decoded, so that no character is cut."""
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        # A CR ends its line at once; the LF that may follow belongs to the same line end.
        self._after_cr = piece.endswith(b"\r")
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        complete, line_end, unfinished = piece.rpartition(b"\n")
        if not line_end:
            self._line += unfinished
            return []
        text = (self._line + complete).decode("utf-8", "replace")
        self._line = bytearray(unfinished)
        if self._starting:
            self._starting = False
            text = text.removeprefix("\ufeff")
        return self._interpret(text.split("\n"))

    def _interpret(self, lines: list[str]) -> list[ServerSentEvent]:
        """Apply the standard's rule for each line. The hot path: one pass, on local names."""
        events: list[ServerSentEvent] = []
        data, event_type = self._data, self._type
        counted = len(data)
        for line in lines:
            if not line:
                self._last_event_id = self._id
                if data:
                    # The generated ServerSentEvent.__new__ would add a tenth to the time of the whole pass.
                    fields = (event_type or "message", "\n".join(data), self._id)
                    events.append(tuple.__new__(ServerSentEvent, fields))  # pyright: ignore[reportUnknownMemberType]
                    data.clear()
                    self._data_bytes = counted = 0
                event_type = ""
                continue
            name, _, value = line.partition(": ")
            if ":" in name:  # the first colon has no space after it
                name, _, value = line.partition(":")
            if name == "data":
                data.append(value)
            elif name == "event":
                event_type = value
            elif name == "id" and "\0" not in value:
                self._id = value
            elif name == "retry":
                self._set_retry(value)
        self._type = event_type
        if len(data) > counted:
            self._data_bytes += sum(len(value.encode()) + 1 for value in data[counted:])
        return events

    def _set_retry(self, value: str) -> None:
        if value.isascii() and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
            self._retry_ms = int(value)
