"""aiohttp-sse's EventSourceResponse: `send` once per token."""

from __future__ import annotations

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from benchmarks.peers.python.asked import END, run
from benchmarks.peers.python.on_aiohttp import asked, serve

__all__ = ("stream",)


async def stream(request: web.Request) -> EventSourceResponse:
    """Answer one request. Line ends are LF, so that its frames are those of the others."""
    wanted = asked(request)
    async with sse_response(request, sep="\n") as response:
        for index in wanted.indexes:
            due_ns = await wanted.due(index) if wanted.rate else None
            await response.send(wanted.payload(index, due_ns), id=f"peer-{index}", event="message")
        await wanted.hang()
        await response.send(END, id="peer-end", event="message")
    return response


if __name__ == "__main__":
    run(serve(stream))
