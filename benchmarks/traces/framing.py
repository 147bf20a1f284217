"""What lies between a socket and a stream: HTTP/1.1 message bodies and WebSocket frames, in pieces of any size.

    body_of(headers)     the body of an answer: in chunks, of a known length, or up to the end of the connection
    WebSocketFrames      what a server sends after the handshake

Plain data structures: no socket, no loop, no clock. Sources: RFC 9112 section 7.1, RFC 6455 section 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

__all__ = (
    "Body",
    "ChunkedBody",
    "LengthBody",
    "MalformedError",
    "Message",
    "Opcode",
    "UnboundedBody",
    "WebSocketFrames",
    "body_of",
    "masked_frame",
)


class MalformedError(ValueError):
    """Bytes that the framing does not allow; the message says which."""


class Body(Protocol):
    """The content of an answer, without what HTTP adds."""

    @property
    def complete(self) -> bool:
        """Whether it may end here: whether what was announced has come."""
        ...

    def feed(self, piece: bytes) -> bytes:
        """Take bytes as they came and return the content in them.

        Raises:
            MalformedError: they are none of this framing.
        """
        ...


def body_of(headers: Mapping[str, str]) -> Body:
    """Return the framing that an answer's headers announce.

    Raises:
        MalformedError: a length that is no number, or a coding that is not read.
    """
    coding = headers.get("content-encoding", "identity").lower()
    if coding != "identity":
        raise MalformedError(f"content-encoding is {coding!r}; only identity is read, as was asked for")
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"].strip().lower() != "chunked":
            raise MalformedError(f"transfer-encoding is {headers['transfer-encoding']!r}; only chunked is read")
        return ChunkedBody()
    length = headers.get("content-length")
    if length is None:
        return UnboundedBody()
    if not (length.isascii() and length.isdigit()):
        raise MalformedError(f"content-length is {length!r}")
    return LengthBody(int(length))


class UnboundedBody:
    """All there is until the connection ends."""

    @property
    def complete(self) -> bool:
        """Always: nobody said how much it would be."""
        return True

    def feed(self, piece: bytes) -> bytes:
        """Return the piece."""
        return piece


class LengthBody:
    """So many bytes."""

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def complete(self) -> bool:
        """Whether all have come."""
        return self._left == 0

    def feed(self, piece: bytes) -> bytes:
        """Return the piece, without what is behind the end."""
        content = piece[: self._left]
        self._left -= len(content)
        return content


_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}")
_MAX_LINE: Final = 8_192
_CRLF: Final = b"\r\n"


class ChunkedBody:
    """Chunks with their sizes, the last one empty. Time is linear in the number of bytes, pieces of any size."""

    def __init__(self) -> None:
        self._left = 0
        self._rest = b""  # of a line that has not ended
        self._in_trailer = False
        self._after_chunk = False
        self.complete = False

    def feed(self, piece: bytes) -> bytes:
        """Return what of the piece is content."""
        if self._rest:
            piece, self._rest = self._rest + piece, b""
        contents: list[bytes] = []
        at = 0
        while at < len(piece) and not self.complete:
            if self._left:
                contents.append(piece[at : at + self._left])
                at += len(contents[-1])
                self._left -= len(contents[-1])
                self._after_chunk = True
                continue
            end = piece.find(_CRLF, at)
            if end < 0:
                self._keep(piece[at:])
                break
            self._take_line(piece[at:end])
            at = end + len(_CRLF)
        return contents[0] if len(contents) == 1 else b"".join(contents)

    def _keep(self, line: bytes) -> None:
        if len(line) > _MAX_LINE or (self._after_chunk and line != b"\r"):
            raise MalformedError(f"a chunk is followed by {line[:40]!r} and not by a line end")
        self._rest = line

    def _take_line(self, line: bytes) -> None:
        if self._after_chunk:
            if line:
                raise MalformedError(f"a chunk is followed by {line[:40]!r} and not by a line end")
            self._after_chunk = False
        elif self._in_trailer:
            self.complete = not line
        else:
            size = line.partition(b";")[0].strip()
            if not _SIZE.fullmatch(size):
                raise MalformedError(f"the size of a chunk is {line[:40]!r}")
            self._left = int(size, 16)
            self._in_trailer = self._left == 0


# --- WebSocket ---------------------------------------------------------------------------------------------------


class Opcode:
    """What a frame is. Source: RFC 6455, section 5.2."""

    CONTINUATION: Final = 0x0
    TEXT: Final = 0x1
    BINARY: Final = 0x2
    CLOSE: Final = 0x8
    PING: Final = 0x9
    PONG: Final = 0xA


_OPCODES: Final = frozenset({0x0, 0x1, 0x2, 0x8, 0x9, 0xA})
_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
_MAX_CONTROL: Final = 125


class Message(NamedTuple):
    """One message, put together from its fragments."""

    opcode: int
    payload: bytes


class WebSocketFrames:
    """Takes what a server sends and gives back its messages; a control frame is one of its own."""

    def __init__(self) -> None:
        self._rest = b""
        self._opcode: int | None = None  # of the message whose fragments are being gathered
        self._fragments: list[bytes] = []
        self.complete = False
        """Whether the server has said that it closes."""

    def feed(self, piece: bytes) -> list[Message]:
        """Return the messages that the piece completes, oldest first. What follows a close is ignored.

        Raises:
            MalformedError: masked, with reserved bits, of an unknown kind, or fragments out of order.
        """
        data = self._rest + piece if self._rest else piece
        messages: list[Message] = []
        at = 0
        while not self.complete and (extent := _extent(data, at)) is not None:
            begin, end = extent
            message = self._take(data[at], data[begin:end])
            if message is not None:
                messages.append(message)
            at = end
        self._rest = data[at:]
        return messages

    def _take(self, first: int, payload: bytes) -> Message | None:
        opcode = first & 0x0F
        if first & _RESERVED or opcode not in _OPCODES:
            raise MalformedError(f"a frame begins with 0x{first:02x}")
        if opcode >= Opcode.CLOSE:
            if not first & _FIN or len(payload) > _MAX_CONTROL:
                raise MalformedError("a control frame is in fragments, or longer than 125 bytes")
            self.complete = opcode == Opcode.CLOSE
            return Message(opcode, payload)
        if (opcode == Opcode.CONTINUATION) != (self._opcode is not None):
            raise MalformedError("a fragment has no beginning, or the next message began before its end")
        if opcode == Opcode.CONTINUATION:
            opcode = self._opcode or 0
        elif first & _FIN:
            return Message(opcode, payload)
        return self._gather(opcode, payload, last=bool(first & _FIN))

    def _gather(self, opcode: int, payload: bytes, *, last: bool) -> Message | None:
        self._fragments.append(payload)
        self._opcode = None if last else opcode
        if not last:
            return None
        whole = b"".join(self._fragments)
        self._fragments.clear()
        return Message(opcode, whole)


def _extent(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where the payload of the frame at `at` begins and ends; None: it has not come whole."""
    if len(data) < at + 2:
        return None
    length, begin = data[at + 1], at + 2
    if length & _MASKED:
        raise MalformedError("the server sent a masked frame")
    if length >= _LENGTH_16:
        begin += 2 if length == _LENGTH_16 else 8
        if len(data) < begin:
            return None
        length = int.from_bytes(data[at + 2 : begin], "big")
    return None if len(data) < begin + length else (begin, begin + length)


def masked_frame(opcode: int, payload: bytes) -> bytes:
    """Return a client's control frame. The mask is zeros: legal, and there is no proxy here to protect.

    Raises:
        ValueError: more than 125 bytes.
    """
    if len(payload) > _MAX_CONTROL:
        raise ValueError(f"payload must have at most 125 bytes; got {len(payload)}")
    return bytes((_FIN | opcode, _MASKED | len(payload))) + bytes(4) + payload
