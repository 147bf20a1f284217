"""Clients that cost little: bytes are stamped and kept, or only counted, as they arrive, and parsed after the run."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, cast

from benchmarks.load.self_check import Usage

__all__ = (
    "Arrival",
    "Pull",
    "Reader",
    "arrivals_of",
    "connect_silently",
    "open_readers",
    "pull",
)

_HOST: Final = "127.0.0.1"
_FRAME_END: Final = b"\n\n"
_PIECE_BYTES: Final = 256 * 1024
_TIMEOUT_S: Final = 120.0
_CONNECTIONS_PER_S: Final = 2_000
_CLOSE_TIMEOUT_S: Final = 10.0
_STATUS_200: Final = re.compile(rb"HTTP/1\.[01] 200\b")
_TIMES: Final = re.compile(rb'"due_ns": ?(\d+), ?"emitted_ns": ?(\d+)')


def _request(port: int, target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: {_HOST}:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()


# --- One stream as fast as it comes ------------------------------------------------------------------------------


class Pull(NamedTuple):
    """One stream that was read as fast as it came."""

    frames_per_s: float
    client_share: float
    """Of one core, while it was read."""


def pull(port: int, target: str, count: int) -> Pull:
    """Read the first `count` frames of a stream and count them. Blocks.

    The rate is that of the frames behind the first bytes of the answer, from these bytes to the last ones.

    Raises:
        ConnectionError: the stream ended before, or was refused.
        TimeoutError: it brought nothing for two minutes.
    """
    with socket.create_connection((_HOST, port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(_request(port, target))
        buffer = memoryview(bytearray(_PIECE_BYTES))
        first = bytes(buffer[: connection.recv_into(buffer)])
        if refusal := _refusal(first):
            raise ConnectionError(refusal)
        before = Usage.now()
        at_first = frames = first.count(_FRAME_END)
        ends_half = first.endswith(b"\n") and not first.endswith(_FRAME_END)
        while frames < count:
            data = bytes(buffer[: connection.recv_into(buffer)])
            if not data:
                raise ConnectionError(f"the stream ended after {frames} of {count} frames")
            frames += data.count(_FRAME_END) + (ends_half and data.startswith(b"\n"))
            ends_half = data.endswith(b"\n") and not data.endswith(_FRAME_END)
        after = Usage.now()
    elapsed_s = max(after.at_ns - before.at_ns, 1) / 1e9
    return Pull((frames - at_first) / elapsed_s, after.share_since(before))


def _refusal(answer: bytes) -> str:
    """Return what an answer says instead of a stream; empty: it is one. Its status line comes in one piece."""
    return "" if _STATUS_200.match(answer) else f"the server refused: {answer.decode(errors='replace')[:500]!r}"


# --- Many streams at a time --------------------------------------------------------------------------------------


class Reader(asyncio.Protocol):
    """One stream whose bytes are kept as they arrive, each piece with the time. Parse with `arrivals_of`."""

    def __init__(self) -> None:
        # Two lists, not one of pairs: integers and bytes are nothing for the garbage collector to go through.
        self.stamps_ns: list[int] = []
        self.pieces: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self.refusal: str | None = None
        """What was answered instead of a stream; empty: it is one; None: nothing was answered."""
        self.first: asyncio.Future[None] = loop.create_future()
        """Done when the first frame was seen, the stream was refused, or the connection was lost."""
        self.closed: asyncio.Future[None] = loop.create_future()
        """Done when the connection was lost."""

    @property
    def has_begun(self) -> bool:
        """Whether it is a stream whose first frame was seen, and the connection is still there."""
        return self.first.done() and self.transport is not None and not self.refusal

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Keep the piece."""
        self.stamps_ns.append(time.monotonic_ns())
        self.pieces.append(data)
        if not self.first.done():
            self._wait_for_first(data)

    def _wait_for_first(self, data: bytes) -> None:
        if self.refusal is None:
            self.refusal = _refusal(data)
        if self.refusal or _FRAME_END in data:
            self.first.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that nothing more comes."""
        self.transport = None
        for waited_for in (self.first, self.closed):
            if not waited_for.done():
                waited_for.set_result(None)

    def forget(self) -> None:
        """Drop what has arrived."""
        self.stamps_ns.clear()
        self.pieces.clear()

    def close(self) -> None:
        """Leave at once."""
        if self.transport is not None:
            self.transport.abort()


class Arrival(NamedTuple):
    """When one token was due, when it was emitted, and when its last byte arrived: all on `time.monotonic_ns()`."""

    due_ns: int
    emitted_ns: int
    received_ns: int


def arrivals_of(stamps_ns: Sequence[int], pieces: Sequence[bytes]) -> list[Arrival]:
    """Find the traced tokens of one stream. A token arrived with the piece that completed its frame."""
    found: list[Arrival] = []
    rest = b""
    for received_ns, piece in zip(stamps_ns, pieces, strict=True):
        complete, end, rest = (rest + piece).rpartition(_FRAME_END)
        if end:
            found += [Arrival(int(due), int(emitted), received_ns) for due, emitted in _TIMES.findall(complete)]
    return found


@asynccontextmanager
async def open_readers(port: int, target: str, count: int, *, spread_s: float = 0) -> AsyncGenerator[list[Reader]]:
    """Open `count` streams, evenly over at least `spread_s` so that their tokens are not all due together.

    At the end they are closed.

    Raises:
        ConnectionError: at the end, if every stream was refused. A server that refuses some holds no more.
    """
    loop = asyncio.get_running_loop()
    gap_s = max(spread_s / count, 1 / _CONNECTIONS_PER_S)
    start_s = loop.time()
    readers: list[Reader] = []
    try:
        for index in range(count):
            if (ahead_s := start_s + index * gap_s - loop.time()) > 0:
                await asyncio.sleep(ahead_s)
            readers.append(await _open_reader(port, target))
        yield readers
    finally:
        for reader in readers:
            reader.close()
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await asyncio.gather(*(reader.closed for reader in readers))
    refusals = [reader.refusal for reader in readers]
    if all(refusals):
        raise ConnectionError(refusals[0])


async def _open_reader(port: int, target: str) -> Reader:
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    try:
        connection.setblocking(False)
        await loop.sock_connect(connection, (_HOST, port))
        transport, reader = await loop.create_connection(Reader, sock=connection)
    except BaseException:
        connection.close()
        raise
    transport.write(_request(port, target))
    return reader


def connect_silently(port: int, target: str, *, receive_buffer_bytes: int) -> socket.socket:
    """Ask for a stream that will never be read. Blocks for no longer than a loopback connection takes."""
    connection = socket.socket()
    try:
        # Before it connects: later the window has been told to the server.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        connection.settimeout(_TIMEOUT_S)
        connection.connect((_HOST, port))
        connection.sendall(_request(port, target))
    except BaseException:
        connection.close()
        raise
    return connection
