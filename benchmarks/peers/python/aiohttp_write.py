"""Plain aiohttp: `StreamResponse.write` once per token."""

from __future__ import annotations

from aiohttp import web

from benchmarks.peers.python.asked import END, Asked, frame, run
from benchmarks.peers.python.on_aiohttp import serve

__all__ = ("stream",)


async def stream(request: web.Request) -> web.StreamResponse:
    """Answer one request."""
    asked = Asked.of_query(request.query)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    for index in asked.indexes:
        due_ns = await asked.due(index) if asked.rate else None
        await response.write(frame(index, asked.payload(index, due_ns)))
    await asked.hang()
    await response.write(frame("end", END))
    await response.write_eof()
    return response


if __name__ == "__main__":
    run(serve(stream))
