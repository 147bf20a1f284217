"""The readers of `benchmarks.scenarios.readers`, made real at the socket.

A fast reader is pushed whatever the loop has read. A stalled and a bursty one pause the transport, so that the
kernel's buffers fill up and the server's window closes. A paced one also reads through a small buffer, so that it
takes no more from the socket than is due.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from benchmarks.load.exchange import Exchange
from benchmarks.load.plan import Counted, LoadOrder
from benchmarks.load.tokens import TokenCounter
from benchmarks.scenarios.readers import Bursty, Leaving, Paced, Stalled

__all__ = ("exchange_of",)

_SLACK_NS: Final = 20_000_000
_READS_PER_S: Final = 200
_ASSUMED_TOKEN_BYTES: Final = 100
_MIN_READ_BYTES: Final = 128
_MAX_READ_BYTES: Final = 65_536


class _Pushed(Exchange, asyncio.Protocol):
    """Takes whatever has come, at once."""

    def data_received(self, data: bytes) -> None:
        self.take(data, time.monotonic_ns())


class _Stalled(_Pushed):
    """Reads nothing for a while, then all."""

    def prepare(self, transport: asyncio.Transport) -> None:
        assert isinstance(self._order.reader, Stalled)
        transport.pause_reading()
        self._timer = asyncio.get_running_loop().call_later(self._order.reader.stall_s, transport.resume_reading)


class _Bursty(_Pushed):
    """Reads for a while, then nothing for a while."""

    def prepare(self, transport: asyncio.Transport) -> None:
        self._read(transport)

    def _read(self, transport: asyncio.Transport) -> None:
        self._switch(transport.resume_reading, self._pause, read=True)

    def _pause(self, transport: asyncio.Transport) -> None:
        self._switch(transport.pause_reading, self._read, read=False)

    def _switch(self, now: Callable[[], None], then: Callable[[asyncio.Transport], None], *, read: bool) -> None:
        assert isinstance(self._order.reader, Bursty)
        if self._transport is None or self._transport.is_closing():
            return
        now()
        wait_s = self._order.reader.read_s if read else self._order.reader.pause_s
        self._timer = asyncio.get_running_loop().call_later(wait_s, then, self._transport)


class _Leaving(_Pushed):
    """Goes after so many tokens."""

    looks_at_body = True

    def __init__(self, order: LoadOrder, scheduled_ns: int, counted: Counted | None) -> None:
        super().__init__(order, scheduled_ns, counted)
        assert isinstance(order.reader, Leaving)
        self._tokens = TokenCounter(order.profile, order.transport)
        self._tokens_left = order.reader.after_tokens

    def take_body(self, data: bytes, now_ns: int) -> None:
        super().take_body(data, now_ns)
        if self.has_stream:
            self._tokens_left -= self._tokens.feed(data)
            if self._tokens_left <= 0:
                self.leave()


class _PacedReader(Exchange, asyncio.BufferedProtocol):
    """Reads little at a time, and pauses until what it has read is due.

    What it did not read because its own timer was late, as on a busy machine, is made up for: the pace holds. What it
    did not read because nothing was there is not, beyond 20 ms.
    """

    looks_at_body = True

    def __init__(self, order: LoadOrder, scheduled_ns: int, counted: Counted | None) -> None:
        super().__init__(order, scheduled_ns, counted)
        reader = order.reader
        assert isinstance(reader, Paced)
        self._tokens = None if reader.tokens_per_s is None else TokenCounter(order.profile, order.transport)
        rate = reader.tokens_per_s or reader.bytes_per_s or 1.0
        bytes_per_s = rate if self._tokens is None else rate * _ASSUMED_TOKEN_BYTES
        size = min(max(round(bytes_per_s / _READS_PER_S), _MIN_READ_BYTES), _MAX_READ_BYTES)
        self._buffer = memoryview(bytearray(size))
        self._ns_each = 1e9 / rate
        self._next_ns = 0.0  # when all that it has read is due
        self._ready_ns = 0  # since when it would read

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.take(bytes(self._buffer[:nbytes]), time.monotonic_ns())

    def take_body(self, data: bytes, now_ns: int) -> None:
        super().take_body(data, now_ns)
        taken = len(data) if self._tokens is None else self._tokens.feed(data)
        if not taken or self._transport is None or self._transport.is_closing():
            return
        # What it was behind before it waited for this is its own lateness, or slack that it was given then.
        behind_ns = max(_SLACK_NS, self._ready_ns - self._next_ns)
        self._next_ns = max(self._next_ns, now_ns - behind_ns) + taken * self._ns_each
        self._ready_ns = now_ns
        if self._next_ns > now_ns:
            self._transport.pause_reading()
            wait_s = (self._next_ns - now_ns) / 1e9
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._resume)

    def _resume(self) -> None:
        self._ready_ns = time.monotonic_ns()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


_READERS: Final[dict[type, type[Exchange]]] = {
    Paced: _PacedReader,
    Bursty: _Bursty,
    Stalled: _Stalled,
    Leaving: _Leaving,
}


def exchange_of(order: LoadOrder, scheduled_ns: int, counted: Counted | None) -> Exchange:
    """Make the exchange that reads as the order says. It needs a running loop."""
    return _READERS.get(type(order.reader), _Pushed)(order, scheduled_ns, counted)
