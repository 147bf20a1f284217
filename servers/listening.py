"""One server in this process, from its first connection to its last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from servers.app import make_app
from servers.refusals import Protocol
from servers.settings import ServerSettings

__all__ = ("serving",)

_BACKLOG: Final = 1024
_SHORTEST_S: Final = 0.001


@asynccontextmanager
async def serving(settings: ServerSettings, *, handler_cancellation: bool = False) -> AsyncGenerator[int]:
    """Listen, and yield the port. At the end streams are told, and have the grace to end.

    What has not ended when the grace is over, because its client takes nothing, is cancelled: with all that the end
    takes `grace_s` and a moment, however long `send_timeout_s` is.

    Args:
        settings: what it is to do; with several `workers` others may listen on the same port.
        handler_cancellation: whether aiohttp cancels the handler of a client that has gone. Off in production: the
            session notices by itself, and finds time to count.

    Raises:
        OSError: the address cannot be listened on.
        ValueError: `upstream_url` is no URL of an endpoint.
    """
    runner = web.AppRunner(
        make_app(settings),
        access_log=None,
        # aiohttp waits for that long twice, for the answers and then for the handlers, and takes 0 for ever.
        shutdown_timeout=max(settings.grace_s / 2, _SHORTEST_S),
        handler_cancellation=handler_cancellation,
    )
    loop = asyncio.get_running_loop()
    try:
        await runner.setup()
        manager = runner.server
        assert manager is not None
        # As aiohttp's TCPSite does it, but for connections that answer in JSON whatever happens.
        listening = await loop.create_server(
            lambda: Protocol(manager, loop=loop, access_log=None),  # type: ignore[arg-type]
            settings.host,
            settings.port,
            backlog=_BACKLOG,
            reuse_port=settings.workers > 1 or None,
        )
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            listening.close()
    finally:
        await runner.cleanup()
