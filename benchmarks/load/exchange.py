"""One request and its answer, from the first byte to the last, however it is read.

    HEAD ----> STREAM <---> ENDING      what seems to be the last byte has come, and the connection is still open
      |           |            |
      +-> REFUSAL |            |        an answer without a stream: its beginning is kept, for its words
      |      |    |            |
      +------+----+------------+---> OVER   `capture` says how; what still comes is not looked at

The bytes of a body are stamped, then kept or counted. Nothing here parses an event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import ClassVar, Final, cast

from benchmarks.load.keeping import Closing, Kept, LastBytes, Tally
from benchmarks.load.plan import Counted, LoadOrder
from benchmarks.load.requests import Head, Request, error_detail, parse_head, request_of, wrong_answer
from benchmarks.scenarios.cells import Transport
from benchmarks.traces.captures import Capture, Outcome, Times
from benchmarks.traces.framing import (
    MalformedError,
    Message,
    Opcode,
    UnboundedBody,
    body_of,
    masked_frame,
)

__all__ = ("Exchange",)

_GRACE_S: Final = 0.02
_SETTLE_S: Final = 0.25
_REFUSAL_BYTES: Final = 2_048
_MIB: Final = 1024 * 1024


class _Phase(Enum):
    HEAD = auto()
    STREAM = auto()
    ENDING = auto()
    REFUSAL = auto()
    OVER = auto()


class _End(Enum):
    """Why no more is looked at."""

    WHOLE = auto()
    """The framing has said so, or the server closed the connection."""
    BROKEN = auto()
    """The connection broke."""
    GARBLED = auto()
    """The head is none."""
    FULL = auto()
    """More came than is kept."""
    TIMEOUT = auto()
    """The client waits no longer."""
    LEFT = auto()
    """The client goes."""


_OUTCOMES: Final[Mapping[tuple[_Phase, _End], Outcome | None]] = {
    (_Phase.HEAD, _End.WHOLE): Outcome.UNREACHABLE,
    (_Phase.HEAD, _End.BROKEN): Outcome.UNREACHABLE,
    (_Phase.HEAD, _End.GARBLED): Outcome.NOT_A_STREAM,
    (_Phase.HEAD, _End.TIMEOUT): Outcome.UNREACHABLE,
    (_Phase.HEAD, _End.LEFT): Outcome.LEFT,
    (_Phase.STREAM, _End.WHOLE): None,
    (_Phase.STREAM, _End.BROKEN): Outcome.CUT,
    (_Phase.STREAM, _End.FULL): Outcome.TOO_LONG,
    (_Phase.STREAM, _End.TIMEOUT): Outcome.STUCK,
    (_Phase.STREAM, _End.LEFT): Outcome.LEFT,
    (_Phase.ENDING, _End.WHOLE): None,
    (_Phase.ENDING, _End.BROKEN): None,
    (_Phase.ENDING, _End.FULL): Outcome.TOO_LONG,
    (_Phase.ENDING, _End.TIMEOUT): Outcome.STUCK,
    (_Phase.ENDING, _End.LEFT): Outcome.LEFT,
}
"""What an end is in each phase; None: the bytes decide. A refusal is what its head says, whatever ends it."""


_Take = Callable[[bytes, int], None]
"""Takes bytes that came, and when they did."""


class Exchange(asyncio.BaseProtocol):
    """What every reader shares. A reader hands each piece to `take`, and may look at what is body in `take_body`.

    Args:
        order: what is asked, and how.
        scheduled_ns: when it was due.
        counted: where tokens are counted, in the modes that keep nothing.

    Attributes:
        capture: what has come.
        over: set when nothing more will be looked at.
        take: takes bytes that came, and the time when they did. It is another function in each phase: a short one in
            mid-stream, if nobody looks at the body.
    """

    looks_at_body: ClassVar = False
    """Whether a reader has a `take_body` of its own, which has to see every piece."""

    def __init__(self, order: LoadOrder, scheduled_ns: int, counted: Counted | None) -> None:
        self.capture = Capture(Times(scheduled_ns))
        self.over = asyncio.Event()
        self._closed = asyncio.Event()
        self._order = order
        self._request: Request = request_of(order)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._head_data = b""
        self._kept = Kept(self.capture, order.max_kept_bytes, self._fill)
        self._keep: _Take = self._kept.take
        self._tally = None if counted is None else Tally(order, counted)
        self._last: LastBytes | Closing | None = None  # of a stream
        self._ended_ns = 0  # while ENDING: when the last byte came, as it seems
        self._refusal = (Outcome.REFUSED, "")  # while REFUSAL
        self._enter(_Phase.HEAD)

    @property
    def has_stream(self) -> bool:
        """Whether what follows the head is the stream that was asked for."""
        return self._last is not None

    # ------------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport. Nothing is asked yet, so nothing comes before the reader is ready."""
        self._transport = cast("asyncio.Transport", transport)

    def begin(self) -> None:
        """Ask. To be called once, when the connection is there."""
        if self._transport is None or self._transport.is_closing():
            return
        self.prepare(self._transport)
        self.capture.times.sent_ns = time.monotonic_ns()
        self._transport.write(self._request.data)

    def prepare(self, transport: asyncio.Transport) -> None:
        """Make the reader ready before anything can come."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Say how it ended, if that is not known yet."""
        detail = "" if exc is None else _words(exc)
        if self._phase is _Phase.HEAD:
            detail = detail or "the connection was closed without an answer"
        now_ns = time.monotonic_ns()
        ended_ns = self._ended_ns if self._phase is _Phase.ENDING else now_ns
        self._finish(_End.WHOLE if exc is None else _End.BROKEN, detail, ended_ns)
        self._transport = None
        self._closed.set()

    def eof_received(self) -> None:
        """Let the transport close: the server says no more."""

    # ------------------------------------------------------------------ what comes

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self.take: _Take = self._take_first if phase is _Phase.HEAD else self.take_body
        is_chunked = isinstance(self._last, LastBytes) and self._last.is_chunked
        if phase is _Phase.STREAM and is_chunked and self._tally is None and not self.looks_at_body:
            self.take = self._kept.middle(self.take_body)

    def _take_first(self, data: bytes, now_ns: int) -> None:
        if rest := self._take_head(data, now_ns):
            self.take_body(rest, now_ns)

    def _take_head(self, data: bytes, now_ns: int) -> bytes:
        """Return what is behind the head, if it has come whole."""
        self.capture.times.headers_ns = self.capture.times.headers_ns or now_ns
        self._head_data += data
        try:
            head = parse_head(self._head_data)
            if head is None:
                return b""
            self._expect(head)
        except MalformedError as error:
            self._finish(_End.GARBLED, str(error), now_ns)
            return b""
        return self._head_data[head.size :]

    def _expect(self, head: Head) -> None:
        self.capture.status, self.capture.headers = head.status, head.headers
        refusal = wrong_answer(head, self._order, self._request.accept)
        if refusal is not None:
            self._refusal = refusal
            self._enter(_Phase.REFUSAL)
            return
        if self._tally is not None:
            self._keep = self._tally.take
        if self._order.transport is Transport.WEBSOCKET:
            self._last = Closing(self._answer)
        else:
            self._last = LastBytes(head.headers, self.capture.pieces if self._tally is None else None)
        self._enter(_Phase.STREAM)

    def take_body(self, data: bytes, now_ns: int) -> None:
        """Keep or count bytes behind the head, and see whether they are the last."""
        if self._phase is _Phase.OVER:
            return
        self._keep(data, now_ns)
        if self.over.is_set():  # it was too much
            return
        if self._phase is _Phase.REFUSAL:
            if self._has_enough():
                self._finish(_End.WHOLE, "", now_ns)
            return
        if self._phase is _Phase.ENDING:
            self._enter(_Phase.STREAM)  # it only seemed so
        assert self._last is not None
        if self._last.seems_to_end(data) and self._phase is _Phase.STREAM:
            self._seem_to_end(now_ns)

    def _seem_to_end(self, now_ns: int) -> None:
        """Wait a little for a server that says that it closes; look through the framing of any other."""
        self._ended_ns = now_ns
        self._enter(_Phase.ENDING)
        if "close" in self.capture.headers.get("connection", "").lower():
            asyncio.get_running_loop().call_later(_GRACE_S, self._confirm, now_ns)
        else:
            self._confirm(now_ns)

    def _confirm(self, ended_ns: int) -> None:
        if self._phase is not _Phase.ENDING or self._ended_ns != ended_ns:
            return
        assert self._last is not None
        ends = self._last.ends()
        if ends is None:  # it cannot be told but by waiting
            asyncio.get_running_loop().call_later(_SETTLE_S, self._settle, ended_ns)
        elif ends:
            self._finish(_End.WHOLE, "", ended_ns)
        else:
            self._enter(_Phase.STREAM)

    def _settle(self, ended_ns: int) -> None:
        if self._phase is _Phase.ENDING and self._ended_ns == ended_ns:
            self._finish(_End.WHOLE, "", ended_ns)

    def _has_enough(self) -> bool:
        """Whether a body that is no stream says no more, or more than anyone wants to know."""
        try:
            body = body_of(self.capture.headers)
            size = sum([len(body.feed(piece)) for piece in self.capture.pieces])
        except MalformedError:
            return True
        return size >= _REFUSAL_BYTES or (body.complete and not isinstance(body, UnboundedBody))

    def _answer(self, message: Message) -> None:
        # A close is answered with its code, a ping with what it says.
        if self._transport is not None and message.opcode in (Opcode.CLOSE, Opcode.PING):
            opcode = Opcode.PONG if message.opcode == Opcode.PING else Opcode.CLOSE
            self._transport.write(masked_frame(opcode, message.payload))

    # ------------------------------------------------------------------ how it ends

    def leave(self, detail: str = "") -> None:
        """Go, as the reader profile, the window or the user says."""
        self._finish(_End.LEFT, detail, time.monotonic_ns())

    def give_up(self, timeout_s: float) -> None:
        """Wait no longer: no answer, or one that has no end."""
        what = "no answer" if self._phase is _Phase.HEAD else "no end"
        self._finish(_End.TIMEOUT, f"{what} within {timeout_s:g} s", time.monotonic_ns())

    def unreachable(self, detail: str, now_ns: int) -> None:
        """Note that there was no answer."""
        self._finish(_End.BROKEN, detail, now_ns)

    def _fill(self, now_ns: int) -> None:
        limit = f"{self._order.max_kept_bytes / _MIB:.3g} MiB"
        self._finish(_End.FULL, f"no end within {limit}, which is what is kept of one stream", now_ns)

    def _finish(self, end: _End, detail: str, ended_ns: int) -> None:
        """Close the connection, and say how it was. Only the first call counts."""
        if self._phase is _Phase.OVER:
            return
        capture = self.capture
        if self._phase is _Phase.REFUSAL:
            outcome: Outcome | None = self._refusal[0]
            detail = error_detail(self._refusal[1], capture.headers, capture.pieces)
        else:
            outcome = _OUTCOMES[self._phase, end]
            if self._tally is not None and self.has_stream:
                outcome = self._tally.close(body_complete=self._is_whole(outcome)) or outcome or Outcome.CUT
        capture.outcome, capture.detail, capture.times.ended_ns = outcome, detail, ended_ns
        self._enter(_Phase.OVER)
        self.over.set()
        self.close()

    def _is_whole(self, outcome: Outcome | None) -> bool:
        return outcome is None and isinstance(self._last, LastBytes) and self._last.may_end

    async def wait_closed(self) -> None:
        """Wait until the connection has gone, if there was one."""
        if self._transport is not None:
            await self._closed.wait()

    def close(self) -> None:
        """End the connection at once, whatever it was about to say."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
