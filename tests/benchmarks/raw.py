"""Tiny servers that answer with given bytes, whatever is asked, and what a fixture does at the client's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext

from benchmarks.traces.captures import Capture

__all__ = ("Answer", "WhenTaken", "head", "saying", "serving_raw")

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WhenTaken = Callable[[Callable[[Capture], bool], Callable[[], object]], None]
"""The fixture `when_taken`: what is enough, and what to do then."""


def head(status: str = "200 OK", content_type: str = "text/event-stream", **headers: str) -> bytes:
    """The head of an answer, without a length: it ends with the connection unless `headers` say otherwise."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def saying(*pieces: bytes, then: str = "close") -> Answer:
    """Answer so; then close, reset the connection, or keep it open until the client goes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
        await writer.drain()
        if then == "hold":
            await reader.read()
        if then == "reset":
            writer.transport.abort()

    return answer


@asynccontextmanager
async def serving_raw(answer: Answer, *, ssl: SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a free port of loopback, which is given."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=ssl)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if tasks:
            await asyncio.wait(tasks)
