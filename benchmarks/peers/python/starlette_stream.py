"""Starlette's StreamingResponse on uvicorn."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from benchmarks.peers.python.asked import END, Asked, frame
from benchmarks.peers.python.on_uvicorn import serve

__all__ = ("stream",)


async def stream(request: Request) -> StreamingResponse:
    """Answer one request."""
    return StreamingResponse(_frames(Asked.of_query(request.query_params)), media_type="text/event-stream")


async def _frames(asked: Asked) -> AsyncIterator[bytes]:
    for index in asked.indexes:
        due_ns = await asked.due(index) if asked.rate else None
        yield frame(index, asked.payload(index, due_ns))
    await asked.hang()
    yield frame("end", END)


if __name__ == "__main__":
    serve(Starlette(routes=[Route("/stream", stream)]))
