"""The tail: batches of tokens become bytes, and the socket is felt. Shared by all variants.

What is not taken from the boundary yet, the strategy can act on; what has been written is out of its reach. So the
tail takes only when the socket accepts, and every buffer behind it is set here, small:

    tokens in one batch   MAX_BATCH              taken at once, encoded in one go, written once
    transport             high water 0           asyncio asks to wait as soon as the kernel takes no more
    kernel, not sent      TCP_NOTSENT_LOWAT      the kernel takes no more while so many bytes are unsent (Linux, macOS)
    kernel, in flight     SO_SNDBUF              left to the kernel unless asked for: it follows the line's speed
    client                SO_RCVBUF              the client's own affair

With aiohttp's and Linux's defaults tens of thousands of tokens fit in there before a write first waits, and all
strategies look the same. A fast reader feels nothing of this: whatever is ready is written at once, without a timer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.http_writer import StreamWriter

__all__ = ("MAX_BATCH", "BufferSizes", "ClientGoneError", "ClientStuckError", "SocketTail", "TooMuchUnsentError")

MAX_BATCH: Final = 64
_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25 if hasattr(socket, "TCP_QUICKACK") else None)  # 25 on Linux


class ClientGoneError(ConnectionError):
    """The client closed the connection or it broke."""


class ClientStuckError(TimeoutError):
    """The client took nothing for the send timeout."""


class TooMuchUnsentError(RuntimeError):
    """More bytes are waiting in the transport than allowed: nobody waited for the socket (strategy missing)."""


@dataclass(frozen=True, slots=True)
class BufferSizes:
    """The buffers behind the boundary. None leaves the system's own.

    Attributes:
        high_water_bytes: what the transport holds before a write waits.
        notsent_lowat_bytes: what the kernel holds unsent before it takes no more.
        sndbuf_bytes: the kernel's whole send buffer.
    """

    high_water_bytes: int = 0
    notsent_lowat_bytes: int | None = 4096
    sndbuf_bytes: int | None = None

    def apply(self, transport: asyncio.WriteTransport) -> None:
        """Set them on one connection; what the system does not know is left out."""
        transport.set_write_buffer_limits(high=self.high_water_bytes)
        connection = transport.get_extra_info("socket")
        if connection is None:
            return
        if self.sndbuf_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.sndbuf_bytes)
        if self.notsent_lowat_bytes is not None and _LOWAT is not None:
            try:
                connection.setsockopt(socket.IPPROTO_TCP, _LOWAT, self.notsent_lowat_bytes)
            except OSError:  # a Unix socket, or a system without the option
                return

    def described(self) -> dict[str, Any]:
        """Return them as JSON values, for the statistics."""
        return {**asdict(self), "max_batch_tokens": MAX_BATCH}


class SocketTail:
    """Writes to one client and waits for it.

    Args:
        request: whose connection it is.
        writer: the payload writer that `prepare` returned.
        send_timeout_s: how long a write may wait for the client.
        max_buffer_bytes: for writes that do not wait: what may pile up in the transport.
    """

    __slots__ = ("_max_buffer_bytes", "_protocol", "_send_timeout_s", "_writer")

    def __init__(
        self,
        request: web.BaseRequest,
        writer: StreamWriter,
        *,
        send_timeout_s: float,
        max_buffer_bytes: int,
    ) -> None:
        self._protocol = request.protocol
        self._writer = writer
        self._send_timeout_s = send_timeout_s
        self._max_buffer_bytes = max_buffer_bytes

    @property
    def is_open(self) -> bool:
        """Whether the client is still there, as far as the transport knows."""
        transport = self._protocol.transport
        return transport is not None and not transport.is_closing()

    @property
    def is_stalled(self) -> bool:
        """Whether the kernel takes nothing at the moment."""
        return self._protocol.writing_paused

    @property
    def unsent_bytes(self) -> int:
        """What waits in the transport, above the kernel."""
        transport = self._protocol.transport
        return 0 if transport is None else transport.get_write_buffer_size()

    async def write(self, data: bytes) -> None:
        """Write, and wait until the kernel has taken it. Raises as `wait_taken` does."""
        if not self.put(data):
            await self.wait_taken()

    async def wait_taken(self) -> None:
        """Wait until the kernel has taken what was written.

        Raises:
            ClientGoneError: there is no client any more.
            ClientStuckError: it took nothing for `send_timeout_s` seconds; the connection has been aborted.
        """
        if self.is_stalled:
            try:
                async with asyncio.timeout(self._send_timeout_s):
                    # Shielded: all who wait share one future in aiohttp, and who is cancelled would cancel it for them.
                    draining = asyncio.ensure_future(self._writer.drain())
                    draining.add_done_callback(_hear)
                    await asyncio.shield(draining)
            except TimeoutError:
                self.abort()
                raise ClientStuckError(f"the client took nothing for {self._send_timeout_s} s") from None
            except ConnectionError:
                raise ClientGoneError("the client has gone") from None
        if not self.is_open:
            raise ClientGoneError("the client has gone")

    def check_unsent(self) -> None:
        """Abort the connection if too much has piled up in the transport: what nobody waits for, the classic mistake.

        Raises:
            TooMuchUnsentError: it has.
        """
        if self.unsent_bytes > self._max_buffer_bytes:
            self.abort()
            raise TooMuchUnsentError(f"more than {self._max_buffer_bytes} bytes wait to be sent")

    async def finish(self, ending: Awaitable[object]) -> None:
        """Await the last thing to be sent; a client that does not take it within the send timeout is dropped."""
        try:
            async with asyncio.timeout(self._send_timeout_s):
                await ending
        except TimeoutError:
            self.abort()
        except ConnectionError:
            return

    async def break_off(self) -> None:
        """Close the connection before the body has its end, behind what was written.

        It tells the clients of a profile without errors that the stream has failed.
        """
        await self.finish(self.wait_taken())
        transport = self._protocol.transport
        if transport is not None:
            transport.close()

    def abort(self) -> None:
        """Drop the connection and all that is still to be sent."""
        transport = self._protocol.transport
        if transport is not None:
            transport.abort()

    def put(self, data: bytes) -> bool:
        """Write whether or not anybody takes it, without looking at what piles up.

        Returns:
            Whether the client is there and the kernel has taken all: there is nothing to wait for.

        Raises:
            ClientGoneError: there is no client any more.
        """
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ClientGoneError("the client has gone")
        if data:  # an empty chunk would be the end of the body
            # aiohttp's own way there is a coroutine and three calls: of many slow streams a fifth of each token's cost.
            transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._writer.chunked else data)
        return not (self._protocol.writing_paused or transport.is_closing())


def _hear(draining: asyncio.Future[None]) -> None:
    """Take the exception of a wait that may have been given up before the connection was lost: nobody else does."""
    if not draining.cancelled():
        draining.exception()
