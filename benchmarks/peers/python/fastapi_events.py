"""FastAPI's own EventSourceResponse on uvicorn: a path operation that yields events, which FastAPI encodes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from benchmarks.peers.python.asked import END_FIELDS, Asked
from benchmarks.peers.python.on_uvicorn import serve

__all__ = ("stream",)

app = FastAPI()


@app.get("/stream", response_class=EventSourceResponse)
async def stream(request: Request) -> AsyncIterator[ServerSentEvent]:
    """Answer one request."""
    asked = Asked.of_query(request.query_params)
    for index in asked.indexes:
        due_ns = await asked.due(index) if asked.rate else None
        yield ServerSentEvent(event="message", id=f"peer-{index}", data=asked.fields(index, due_ns))
    await asked.hang()
    yield ServerSentEvent(event="message", id="peer-end", data=END_FIELDS)


if __name__ == "__main__":
    serve(app)
