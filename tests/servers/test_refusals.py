"""Every refusal is an error object: of what is no HTTP, of a body that does not come, of a defect, of the shutdown."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from servers.refusals import Protocol
from tests.servers.serving import RawClient, Server

__all__ = ()

Serve = Callable[..., Awaitable[Server]]
BODY_ANNOUNCED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"


def parsed(answer: bytes) -> tuple[int, str, dict[str, Any]]:
    """Return the status, the headers and the error of one answer."""
    head, _, body = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), json.loads(body)["error"]


async def announce(server: Server) -> RawClient:
    """Announce a body, and wait until the server waits for it."""
    client = await server.connect()
    await client.send(BODY_ANNOUNCED)
    await client.read_until(b" 100 Continue\r\n\r\n")
    return client


# --- What is no HTTP ---------------------------------------------------------------------------------------------

NO_HTTP = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    "no request line": b"hello\r\n\r\n",
    "wrong version": b"GET / HTTP/9.9.9\r\n\r\n",
    "no header": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "long line": b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "long header": b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 10_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 500 + b"\r\n",
    "two lengths": b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_is_a_400_in_json_and_the_end_of_the_connection(
    server: Server, caplog: pytest.LogCaptureFixture, request_bytes: bytes
) -> None:
    client = await server.connect()
    await client.send(request_bytes)

    status, head, error = parsed(await client.read_to_end())

    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", None)
    assert error["message"].startswith("the request is no HTTP/1.1: ")
    assert "\n" not in error["message"]
    assert len(error["message"]) < 300
    assert "Content-Type: application/json" in head
    assert "X-Stream-Id: " in head
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    client.close()


async def test_what_is_no_http_behind_a_right_request_does_not_spoil_its_answer(server: Server) -> None:
    client = await server.connect()
    await client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.read_until(b"}")
    await client.send(b"hello\r\n\r\n")

    answer = await client.read_to_end()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b"400 Bad Request\r\n") == 1
    client.close()


@pytest.mark.parametrize("path", ["/healthz", "/v1/chat/completions"])
async def test_expectation_that_cannot_be_met_is_a_417_in_json(server: Server, path: str) -> None:
    client = await server.connect()
    method = "GET" if path == "/healthz" else "POST"
    await client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: tea\r\n\r\n".encode())

    status, head, error = parsed(await client.read_to_end())

    assert (status, error["type"], error["param"]) == (417, "expectation_failed", "Expect")
    assert "got 'tea'" in error["message"]
    assert "Content-Type: application/json" in head
    client.close()


async def test_expectation_of_an_old_client_is_ignored(server: Server) -> None:
    client = await server.connect()
    await client.send(b"GET /healthz HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")
    assert b" 200 OK" in (await client.read_to_end()).splitlines()[0]
    client.close()


# --- A defect of a handler ---------------------------------------------------------------------------------------


async def test_defect_of_a_handler_is_a_500_in_json_without_its_details(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("servers.app.document", broken)

    reply = await server.get("/openapi.json")

    assert (reply.status, reply.error["type"]) == (500, "internal_error")
    assert b"secret" not in reply.body
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]


async def test_defect_in_mid_answer_closes_the_connection_instead_of_writing_a_second_answer() -> None:
    async def broken(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        raise ZeroDivisionError

    loop = asyncio.get_running_loop()
    manager = web.Server(broken)
    logger = logging.getLogger("tests.silent")
    logger.disabled = True
    listening = await loop.create_server(lambda: Protocol(manager, loop=loop, logger=logger), "127.0.0.1", 0)
    client = await RawClient.connect(listening.sockets[0].getsockname()[1])
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    answer = await client.read_to_end()

    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"begun" in answer
    listening.close()
    await manager.shutdown()
    client.close()


# --- A body that does not come -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat"])
async def test_body_that_does_not_arrive_in_time_is_a_408(serve: Serve, path: str) -> None:
    server = await serve(body_timeout_s=0.01)
    client = await server.connect()
    await client.send(f'POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{"a'.encode())

    status, head, error = parsed(await client.read_to_end())
    assert (status, error["type"], error["param"]) == (408, "request_timeout", "body")
    assert "0.01 s" in error["message"]
    assert "Connection: close" in head
    client.close()


async def test_client_that_sends_on_after_the_408_is_not_listened_to(serve: Serve) -> None:
    server = await serve(body_timeout_s=0.01)
    client = await announce(server)
    await client.read_until(b" 408 ")
    await client.send(b'{"rate":0}')
    await client.read_to_end()
    assert server.journal.records == []
    client.close()


async def test_body_that_arrives_in_pieces_is_read(server: Server) -> None:
    client = await announce(server)
    for piece in (b'{"rate"', b":0", b"}"):
        assert await server.stream_count() == 0
        await client.send(piece)

    await client.read_until(b'"ended": true')
    client.close()


@pytest.mark.parametrize("leave", [RawClient.reset, RawClient.close], ids=["reset", "close"])
async def test_client_that_leaves_before_its_body_is_there_leaves_nothing(
    serve: Serve, caplog: pytest.LogCaptureFixture, leave: Callable[[RawClient], None]
) -> None:
    server = await serve(grace_s=3600)
    client = await announce(server)
    leave(client)

    assert await server.stream_count() == 0
    await server.stop()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_shutdown_answers_whoever_sends_a_body_at_once(serve: Serve) -> None:
    server = await serve(grace_s=3600, body_timeout_s=3600)
    clients = [await announce(server) for _ in range(3)]
    await clients[1].send(b"{}")

    await server.stop()

    for client in clients:
        status, head, error = parsed(await client.read_to_end())
        assert (status, error["type"]) == (503, "server_shutdown")
        assert "Retry-After: 1" in head
        client.close()


async def test_stream_that_was_still_being_opened_at_the_shutdown_is_a_503(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, may_open = asyncio.Event(), asyncio.Event()

    async def open_slowly(*_: object, **__: object) -> None:
        opening.set()
        await may_open.wait()

    monkeypatch.setattr("servers.app.open_origin", open_slowly)
    server = await serve()
    client = await server.connect()
    await client.ask()
    await opening.wait()

    stopping = asyncio.ensure_future(server.stop())
    await until_stopping(server)
    may_open.set()
    await stopping

    status, _, error = parsed(await client.read_to_end())
    assert (status, error["type"]) == (503, "server_shutdown")
    assert server.journal.records == []
    client.close()


async def until_stopping(server: Server) -> None:
    """Wait until nobody listens any more; what is told of the shutdown is told in the turns after that."""
    with suppress(ConnectionError):
        while True:
            (await server.connect()).close()
    for _ in range(10):
        await asyncio.sleep(0)
