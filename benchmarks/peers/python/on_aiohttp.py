"""How the aiohttp peers run: one handler, without an access log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from benchmarks.peers.python.asked import Asked, WrongQueryError, listen

__all__ = ("asked", "serve")


def asked(request: web.Request) -> Asked:
    """Return what a request asks for.

    Raises:
        web.HTTPBadRequest: a parameter has a value that is not accepted.
    """
    try:
        return Asked.of_query(request.query)
    except WrongQueryError as error:
        raise web.HTTPBadRequest(body=error.body, content_type="application/json") from None


async def serve(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
    """Serve until the process is told to stop."""
    app = web.Application()
    app.router.add_get("/stream", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listen()).start()
    await asyncio.get_running_loop().create_future()
