"""FastAPI's own EventSourceResponse on uvicorn: a path operation that yields events, which FastAPI encodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from benchmarks.peers.python.asked import END_FIELDS, Asked
from benchmarks.peers.python.on_uvicorn import serve

__all__ = ("stream",)

app = FastAPI()


async def _asked(request: Request) -> Asked:
    return Asked.of_query(request.query_params)


@app.get("/stream", response_class=EventSourceResponse)
async def stream(asked: Annotated[Asked, Depends(_asked)]) -> AsyncIterator[ServerSentEvent]:
    """Answer one request."""
    for index in asked.indexes:
        due_ns = await asked.due(index) if asked.rate else None
        yield ServerSentEvent(event="message", id=f"peer-{index}", data=asked.fields(index, due_ns))
    await asked.hang()
    yield ServerSentEvent(event="message", id="peer-end", data=END_FIELDS)


if __name__ == "__main__":
    serve(app)
