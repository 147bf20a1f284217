"""Plain aiohttp: `StreamResponse.write` once per token."""

from __future__ import annotations

import asyncio

from aiohttp import web

from benchmarks.served.peers.asked import END, Asked, frame, listen, run

__all__ = ("stream",)


async def stream(request: web.Request) -> web.StreamResponse:
    """Answer one request."""
    asked = Asked.of_query(request.query)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    for index in asked.indexes:
        due_ns = await asked.due(index) if asked.rate else 0
        await response.write(frame(index, asked.payload(index, due_ns)))
    await asked.hang()
    await response.write(frame("end", END))
    await response.write_eof()
    return response


async def _serve() -> None:
    app = web.Application()
    app.router.add_get("/stream", stream)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listen()).start()
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    run(_serve())
