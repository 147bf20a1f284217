"""What is done with the bytes of a body as they come: kept or counted, and looked at for where the body ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks.load.plan import Counted, LoadOrder
from benchmarks.load.tokens import Indexes, TokenCounter, ending_of
from benchmarks.traces.captures import Capture, Outcome
from benchmarks.traces.framing import ChunkedBody, MalformedError, Message, Opcode, WebSocketFrames

__all__ = ("Closing", "Kept", "LastBytes", "Tally")

_LAST_CHUNK: Final = b"0\r\n\r\n"
_TAIL_BYTES: Final = 4_096


# --- What is kept of a body --------------------------------------------------------------------------------------


class Kept:
    """All of it, with times. Two lists of what the garbage collector need not go through.

    Args:
        capture: where to.
        max_bytes: how much at most; a piece that goes beyond is kept, too.
        fill: is called with the time when it is more.
    """

    def __init__(self, capture: Capture, max_bytes: int, fill: Callable[[int], None]) -> None:
        self._add_stamp, self._add_piece = capture.stamps_ns.append, capture.pieces.append
        self._room = max_bytes
        self._fill = fill

    def take(self, data: bytes, now_ns: int) -> None:
        """Keep a piece."""
        self._add_stamp(now_ns)
        self._add_piece(data)
        self._room -= len(data)
        if self._room < 0:
            self._fill(now_ns)

    def middle(self, otherwise: Callable[[bytes, int], None]) -> Callable[[bytes, int], None]:
        """Return the short way of a piece in the middle of a chunked body: it is kept, and nothing else.

        What may be the last piece, or would be too much, is given to `otherwise`. Nearly every piece of a thousand
        streams comes this way, so it is as short as it can be.
        """
        add_stamp, add_piece = self._add_stamp, self._add_piece

        def take(data: bytes, now_ns: int) -> None:
            size = len(data)
            if size > self._room or size < len(_LAST_CHUNK) or data.endswith(_LAST_CHUNK):
                otherwise(data, now_ns)
                return
            add_stamp(now_ns)
            add_piece(data)
            self._room -= size

        return take


class Tally:
    """Counts, and the last few kilobytes, which say how it ended."""

    def __init__(self, order: LoadOrder, counted: Counted) -> None:
        self._order = order
        self._counted = counted
        self._indexes = Indexes() if order.mode == "check" else None
        self._tokens = TokenCounter(order.profile, order.transport, self._indexes)
        self._tail = b""

    def take(self, data: bytes, now_ns: int) -> None:
        """Count the tokens of a piece."""
        counted = self._counted
        if counted.first_ns is None:
            counted.first_ns = now_ns
        counted.last_ns = now_ns
        counted.bytes += len(data)
        counted.tokens += self._tokens.feed(data)
        self._tail = data[-_TAIL_BYTES:] if len(data) >= _TAIL_BYTES else (self._tail + data)[-_TAIL_BYTES:]

    def close(self, *, body_complete: bool) -> Outcome | None:
        """Add what is known of the indexes, and say how the stream ended if it did."""
        if self._indexes is not None:
            self._counted.checked += self._indexes.checked
            self._counted.out_of_order += self._indexes.out_of_order
            self._counted.missing += self._indexes.missing
            self._counted.duplicates += self._indexes.duplicates
        return ending_of(self._order.profile, self._order.transport, self._tail, body_complete=body_complete)


# --- Where a body ends -------------------------------------------------------------------------------------------


class LastBytes:
    """Where an HTTP body ends.

    By its length, or by what looks like its last, empty chunk, but may be content that has been cut there: that is seen
    at no cost, and looked through only where it matters.

    Args:
        headers: of the answer.
        pieces: those that are kept, of which only the ones that may be the last are told here; None: none is kept.
    """

    def __init__(self, headers: Mapping[str, str], pieces: Sequence[bytes] | None) -> None:
        length = headers.get("content-length", "")
        self.is_chunked = "transfer-encoding" in headers
        """Whether it comes in chunks, of which the last one is empty."""
        self._left = int(length) if length.isdecimal() and not self.is_chunked else None
        self._tail = b""
        self._pieces = pieces
        self._looked_through = 0
        self._chunks = ChunkedBody()

    @property
    def may_end(self) -> bool:
        """Whether it may end where it is now."""
        if self.is_chunked:
            return self._tail.endswith(_LAST_CHUNK)
        return self._left is None or self._left <= 0

    def seems_to_end(self, data: bytes) -> bool:
        """Say whether the body seems to end with a piece."""
        if self._left is not None:
            self._left -= len(data)
            return self._left <= 0
        if not self.is_chunked:
            return False
        if len(data) >= len(_LAST_CHUNK):
            self._tail = data
        elif self._pieces is None:
            self._tail = self._tail[-len(_LAST_CHUNK) :] + data
        else:
            self._tail = b"".join(piece[-len(_LAST_CHUNK) :] for piece in self._pieces[-len(_LAST_CHUNK) :])
        return self._tail.endswith(_LAST_CHUNK)

    def ends(self) -> bool | None:
        """Say whether it ends where it seems to; None: chunks that were not kept cannot be looked through.

        All calls together take time that is linear in the number of bytes.
        """
        if not self.is_chunked:
            return True
        if self._pieces is None:
            return None
        try:
            for piece in self._pieces[self._looked_through :]:
                self._chunks.feed(piece)
        except MalformedError:  # the parser will say so
            return True
        self._looked_through = len(self._pieces)
        return self._chunks.complete


class Closing:
    """Where a WebSocket is closed by its server.

    Args:
        answer: is called with each control message.
    """

    def __init__(self, answer: Callable[[Message], None]) -> None:
        self._frames = WebSocketFrames()
        self._answer = answer
        self._is_broken = False

    def ends(self) -> bool | None:
        """Return None: the server has to close the connection, which is waited for."""
        return None

    def seems_to_end(self, data: bytes) -> bool:
        """Say whether the server has closed with a piece, or sent what is no frame."""
        if self._is_broken:
            return True
        try:
            messages = self._frames.feed(data)
        except MalformedError:  # the parser will say so
            self._is_broken = True
            return True
        for message in messages:
            if message.opcode >= Opcode.CLOSE:
                self._answer(message)
        return self._frames.complete
