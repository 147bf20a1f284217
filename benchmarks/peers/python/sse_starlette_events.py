"""sse-starlette's EventSourceResponse on uvicorn."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from benchmarks.peers.python.asked import END, Asked
from benchmarks.peers.python.on_uvicorn import serve

__all__ = ("stream",)


async def stream(request: Request) -> EventSourceResponse:
    """Answer one request. Line ends are LF, so that its frames are those of the others."""
    return EventSourceResponse(_events(Asked.of_query(request.query_params)), sep="\n")


async def _events(asked: Asked) -> AsyncIterator[dict[str, str]]:
    for index in asked.indexes:
        due_ns = await asked.due(index) if asked.rate else None
        yield {"event": "message", "id": f"peer-{index}", "data": asked.payload(index, due_ns)}
    await asked.hang()
    yield {"event": "message", "id": "peer-end", "data": END}


if __name__ == "__main__":
    serve(Starlette(routes=[Route("/stream", stream)]))
