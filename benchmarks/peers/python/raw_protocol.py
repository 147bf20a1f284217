"""A bare asyncio.Protocol: `transport.write` once per token. No framework can be below it."""

from __future__ import annotations

import asyncio
from typing import cast
from urllib.parse import parse_qsl, urlsplit

from benchmarks.peers.python.asked import END, Asked, WrongQueryError, frame, listen, run

__all__ = ("RawProtocol",)

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
_REFUSED = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


class RawProtocol(asyncio.Protocol):
    """One connection, which asks once. The body ends with the connection."""

    def __init__(self) -> None:
        self._request = b""
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Begin when the head is complete."""
        self._request += data
        if b"\r\n\r\n" in self._request and self._task is None and self._transport is not None:
            self._begin(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """Have the stream wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Have it go on."""
        self._writable.set()

    def _begin(self, transport: asyncio.Transport) -> None:
        target = self._request.split(b" ", 2)[1].decode()
        try:
            asked = Asked.of_query(dict(parse_qsl(urlsplit(target).query, keep_blank_values=True)))
        except WrongQueryError as error:
            transport.write(_REFUSED + error.body)
            transport.close()
        else:
            self._task = asyncio.get_running_loop().create_task(self._stream(asked, transport))

    async def _stream(self, asked: Asked, transport: asyncio.Transport) -> None:
        transport.write(_HEAD)
        for index in asked.indexes:
            due_ns = await asked.due(index) if asked.rate else None
            transport.write(frame(index, asked.payload(index, due_ns)))
            if not self._writable.is_set():
                await self._writable.wait()
        await asked.hang()
        transport.write(frame("end", END))
        transport.close()


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(RawProtocol, sock=listen())
    await server.serve_forever()


if __name__ == "__main__":
    run(_serve())
