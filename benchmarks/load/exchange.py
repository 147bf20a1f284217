"""One request and its answer, from the first byte to the last, however it is read.

    head    until the answer's head has come whole and says what follows
    body    its bytes are stamped, then kept or counted; the end of the body is seen, or the connection goes
    over    `capture` says how; what still comes is not looked at

Nothing here parses an event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, cast

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

_SETTLE_S: Final = 0.25
_REFUSAL_BYTES: Final = 2_048


class Exchange(asyncio.BaseProtocol):
    """What every reader shares. A reader hands each piece to `take`, and may look at what is body in `take_body`.

    Args:
        order: what is asked, and how.
        scheduled_ns: when it was due.
        counted: where tokens are counted, in the modes that keep nothing.

    Attributes:
        capture: what has come.
        over: set when nothing more will be looked at.
    """

    def __init__(self, order: LoadOrder, scheduled_ns: int, counted: Counted | None) -> None:
        self.capture = Capture(Times(scheduled_ns))
        self.over = asyncio.Event()
        self._closed = asyncio.Event()
        self._order = order
        self._request: Request = request_of(order)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._head_data = b""
        self._keep: Callable[[bytes, int], None] = Kept(self.capture).take
        self._tally = None if counted is None else Tally(order, counted)
        self._ends_with: Callable[[bytes], bool] | None = None  # None: the head has not come whole
        self._refusal: tuple[Outcome, str] | None = None
        self._ended_ns: int | None = None  # when the last byte came, as it seems

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
        now_ns = time.monotonic_ns()
        detail = "" if exc is None else _words(exc)
        if self._ends_with is None:
            self.unreachable(detail or "the connection was closed without an answer", now_ns)
        elif self._refusal is not None or self._ended_ns is not None:
            self._finish(None, "", now_ns if self._ended_ns is None else self._ended_ns)
        else:
            self._finish(None if exc is None else Outcome.CUT, detail, now_ns)
        self._transport = None
        self._closed.set()

    def eof_received(self) -> None:
        """Let the transport close: the server says no more."""

    # ------------------------------------------------------------------ what comes

    def take(self, data: bytes, now_ns: int) -> None:
        """Take bytes that came at `now_ns`."""
        if self._ends_with is None:
            data = self._take_head(data, now_ns)
            if not data:
                return
        self.take_body(data, now_ns)

    def _take_head(self, data: bytes, now_ns: int) -> bytes:
        """Return what is behind the head, if it has come whole."""
        if self.over.is_set():
            return b""
        self.capture.times.headers_ns = self.capture.times.headers_ns or now_ns
        self._head_data += data
        try:
            head = parse_head(self._head_data)
            if head is None:
                return b""
            self._expect(head)
        except MalformedError as error:
            self._finish(Outcome.NOT_A_STREAM, str(error), now_ns)
            return b""
        return self._head_data[head.size :]

    def _expect(self, head: Head) -> None:
        self.capture.status, self.capture.headers = head.status, head.headers
        self._refusal = wrong_answer(head, self._order, self._request.accept)
        if self._refusal is not None:
            self._ends_with = self._has_enough
        elif self._order.transport is Transport.WEBSOCKET:
            self._ends_with = Closing(self._answer)
        else:
            self._ends_with = LastBytes(head.headers)
        if self._refusal is None and self._tally is not None:
            self._keep = self._tally.take

    def take_body(self, data: bytes, now_ns: int) -> None:
        """Keep or count bytes behind the head, and see whether they are the last."""
        self._keep(data, now_ns)
        self._ended_ns = None
        assert self._ends_with is not None
        if not self._ends_with(data) or self.over.is_set():
            return
        self._ended_ns = now_ns
        if self._refusal is not None:
            self._finish(None, "", now_ns)
        else:
            # Most servers close now, as they were asked to. Others do not, and some only seem to have ended.
            asyncio.get_running_loop().call_later(_SETTLE_S, self._settle, now_ns)

    def _settle(self, ended_ns: int) -> None:
        if self._ended_ns == ended_ns:
            self._finish(None, "", ended_ns)

    def _has_enough(self, data: bytes) -> bool:
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

    def leave(self) -> None:
        """Go, as the reader profile or the window says."""
        self._finish(Outcome.LEFT, "", time.monotonic_ns())

    def give_up(self, timeout_s: float) -> None:
        """Wait no longer: no answer, or one that has no end."""
        if self._ends_with is None:
            self.unreachable(f"no answer within {timeout_s:g} s", time.monotonic_ns())
        else:
            self._finish(Outcome.STUCK, f"no end within {timeout_s:g} s", time.monotonic_ns())

    def unreachable(self, detail: str, now_ns: int) -> None:
        """Note that there was no answer."""
        self._finish(Outcome.UNREACHABLE, detail, now_ns)

    def _finish(self, outcome: Outcome | None, detail: str, ended_ns: int) -> None:
        """Close the connection, and say how it was. Only the first call counts."""
        if self.over.is_set():
            return
        capture = self.capture
        if self._refusal is not None:
            outcome = self._refusal[0]
            detail = error_detail(self._refusal[1], capture.headers, capture.pieces)
        elif self._tally is not None and capture.status is not None:
            complete = outcome is None and isinstance(self._ends_with, LastBytes) and self._ends_with.complete
            outcome = self._tally.close(body_complete=complete) or outcome or Outcome.CUT
        capture.outcome, capture.detail, capture.times.ended_ns = outcome, detail, ended_ns
        self._keep = _nothing
        self.over.set()
        self.close()

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


def _nothing(data: bytes, now_ns: int) -> None:
    """Forget what comes after the end."""


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
