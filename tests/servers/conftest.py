"""Servers for the tests: in this process with the settings of production, or as processes of their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from servers.settings import ServerSettings
from tests.servers.serving import Journal, Process, Server

__all__ = ()


@pytest.fixture
def journal() -> Iterator[Journal]:
    """What the servers of the test log."""
    handler = Journal()
    logger = logging.getLogger("servers")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
async def serve(journal: Journal) -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """Start servers in this process with settings of the test, `handler_cancellation` off as in production."""
    async with AsyncExitStack() as stack:

        async def start(*, handler_cancellation: bool = False, **settings: object) -> Server:
            chosen = ServerSettings(**{"grace_s": 0.5, **settings})  # type: ignore[arg-type]
            server = Server(chosen, journal, handler_cancellation=handler_cancellation)
            await server.start()
            stack.push_async_callback(server.stop)
            return server

        yield start


@pytest.fixture
async def server(serve: Callable[..., Awaitable[Server]]) -> Server:
    """A server with the settings of production."""
    return await serve()


@pytest.fixture
def launch() -> Iterator[Callable[..., Process]]:
    """Start `python -m servers` with arguments, on a free port unless one is given."""
    processes: list[Process] = []

    def start(*arguments: str) -> Process:
        port = () if "--port" in arguments else ("--port", "0")
        processes.append(Process(*port, *arguments))
        return processes[-1]

    yield start
    for process in processes:
        process.end()


@pytest.fixture
async def server_process(launch: Callable[..., Process]) -> Process:
    """A server process that is ready."""
    process = launch()
    await asyncio.to_thread(process.read_banner)
    return process
