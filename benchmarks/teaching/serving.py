"""Our server for the length of a cell, on a free port of loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from sys import executable
from typing import Any, Final

from benchmarks.processes import ServerProcess, starting_all
from servers.listening import serving
from servers.settings import ServerSettings

__all__ = ("server", "server_process")

_GRACE_S: Final = 0.2


@asynccontextmanager
async def server(**settings: Any) -> AsyncGenerator[str]:
    """Serve in this process on a free port; what is entered is the address: http://127.0.0.1 and the port.

    Args:
        settings: of `servers.settings.ServerSettings`; the port is a free one, and the end does not wait for streams
            that are not read, unless asked otherwise.

    Raises:
        TypeError, ValueError: settings that make no sense.
    """
    chosen: dict[str, Any] = {"port": 0, "grace_s": _GRACE_S, **settings}
    async with serving(ServerSettings(**chosen)) as port:
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def server_process(*arguments: str) -> AsyncGenerator[ServerProcess]:
    """Run `python -m servers` with these arguments on a free port: where the server must not share our event loop.

    It is ended on leaving. `port` says where it listens, `records()` what it has logged of the streams that have ended.

    Raises:
        RuntimeError: it does not start; the message holds what it printed.
    """
    command = [executable, "-m", "servers", "--port", "0", *arguments]
    with ExitStack() as stack:
        (process,) = stack.enter_context(starting_all([command]))
        await asyncio.to_thread(process.wait_listening)
        yield process
