"""Plain aiohttp: `StreamResponse.write` once per token."""

from __future__ import annotations

from aiohttp import web

from benchmarks.peers.python.asked import END, frame, run
from benchmarks.peers.python.on_aiohttp import asked, serve

__all__ = ("stream",)


async def stream(request: web.Request) -> web.StreamResponse:
    """Answer one request."""
    wanted = asked(request)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    for index in wanted.indexes:
        due_ns = await wanted.due(index) if wanted.rate else None
        await response.write(frame(index, wanted.payload(index, due_ns)))
    await wanted.hang()
    await response.write(frame("end", END))
    await response.write_eof()
    return response


if __name__ == "__main__":
    run(serve(stream))
