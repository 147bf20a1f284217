"""Signs of life on a WebSocket: one ping in each silence, and an end for whoever never answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from servers.session import Session
from tests.servers.serving import Server

__all__ = ()

pytestmark = pytest.mark.slow

Serve = Callable[..., Awaitable[Server]]
SILENT = "/v1/chat/ws?hang_after=0"


async def test_silence_brings_one_ping_at_a_time(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    watch = Session._watch  # noqa: SLF001 - a look finds at most one silence
    ping = web.WebSocketResponse.ping

    def look(session: Session) -> None:
        nonlocal looks
        looks += 1
        watch(session)

    async def numbered(socket: web.WebSocketResponse, message: bytes = b"") -> None:
        await ping(socket, b"%d" % looks)

    monkeypatch.setattr(Session, "_watch", look)
    monkeypatch.setattr(web.WebSocketResponse, "ping", numbered)
    server = await serve(heartbeat_s=0.3)
    async with server.session.ws_connect(SILENT, autoping=False) as socket:
        # Unanswered, so that aiohttp's own heartbeat, were it on, would come in between and end it all.
        received = [await socket.receive() for _ in range(3)]

    assert [message.type for message in received] == [aiohttp.WSMsgType.PING] * 3
    assert len({int(message.data) for message in received}) == 3  # each of another look at the client
    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["client_gone"]


async def test_client_that_answers_stays(serve: Serve) -> None:
    server = await serve(heartbeat_s=0.01, send_timeout_s=0.3)
    async with server.session.ws_connect(SILENT, autoping=False) as socket:
        for _ in range(4):  # more than the send timeout: they come with the session's watch, four a second
            assert (await socket.receive()).type is aiohttp.WSMsgType.PING
            await socket.pong()
        assert await server.stream_count() == 1


@pytest.mark.parametrize("frame", [b"ping", b"pong"])
async def test_whatever_the_client_says_is_a_sign_of_life(serve: Serve, frame: bytes) -> None:
    server = await serve(heartbeat_s=0.01, send_timeout_s=0.3)
    async with server.session.ws_connect(SILENT, autoping=False) as socket:
        pings = 0
        while pings < 4:
            message = await socket.receive()
            assert message.type in {aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG}
            if message.type is aiohttp.WSMsgType.PING:
                pings += 1
                await (socket.ping(b"here") if frame == b"ping" else socket.pong(b"here"))
            else:
                assert message.data == b"here"


async def test_client_that_never_answers_is_dropped_after_the_send_timeout(serve: Serve) -> None:
    server = await serve(heartbeat_s=0.01, send_timeout_s=0.3)
    async with server.session.ws_connect(SILENT, autoping=False) as socket:
        while (await socket.receive()).type is aiohttp.WSMsgType.PING:
            pass
        assert socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE

    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["client_gone"]
    assert await server.stream_count() == 0


async def test_heartbeat_of_0_is_none(serve: Serve) -> None:
    server = await serve(heartbeat_s=0, send_timeout_s=0.3)
    async with server.session.ws_connect("/v1/chat/ws?hang_after=0&stats_ms=100", autoping=False) as socket:
        for _ in range(5):
            assert (await socket.receive()).type is aiohttp.WSMsgType.TEXT
