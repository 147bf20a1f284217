"""aiohttp-sse's EventSourceResponse: `send` once per token."""

from __future__ import annotations

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from benchmarks.peers.python.asked import END, Asked, run
from benchmarks.peers.python.on_aiohttp import serve

__all__ = ("stream",)


async def stream(request: web.Request) -> EventSourceResponse:
    """Answer one request. Line ends are LF, so that its frames are those of the others."""
    asked = Asked.of_query(request.query)
    async with sse_response(request, sep="\n") as response:
        for index in asked.indexes:
            due_ns = await asked.due(index) if asked.rate else None
            await response.send(asked.payload(index, due_ns), id=f"peer-{index}", event="message")
        await asked.hang()
        await response.send(END, id="peer-end", event="message")
    return response


if __name__ == "__main__":
    run(serve(stream))
