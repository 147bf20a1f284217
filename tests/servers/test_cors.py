"""Which pages may open a WebSocket: ours, and those that were asked for. Browsers do not check, so the server does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.servers.serving import Reply, Server

__all__ = ()

Serve = Callable[..., Awaitable[Server]]
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


async def status_of(server: Server, **headers: str) -> int:
    """Ask for a WebSocket; returns the status of the answer."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "a.example:8090", **UPGRADE, **headers}.items())
    client = await server.connect()
    await client.send(f"GET /v1/chat/ws?count=1&rate=0 HTTP/1.1\r\n{lines}\r\n".encode())
    await client.read_until(b"\r\n\r\n")
    client.reset()
    return int(client.received.split()[1])


async def refused(server: Server, origin: str) -> Reply:
    return await server.get("/v1/chat/ws?nosuch=1", headers={**UPGRADE, "Origin": origin})


async def test_client_without_origin_is_no_page_and_passes(server: Server) -> None:
    assert await status_of(server) == 101


@pytest.mark.parametrize("origin", ["http://a.example:8090", "https://a.example:8090", "http://A.example:8090"])
async def test_page_of_the_host_that_was_asked_passes(server: Server, origin: str) -> None:
    assert await status_of(server, Origin=origin) == 101


async def test_page_of_a_host_behind_its_default_port_passes(server: Server) -> None:
    assert await status_of(server, Host="a.example", Origin="https://a.example") == 101


@pytest.mark.parametrize(
    "origin",
    [
        "http://b.example", "http://a.example", "http://a.example:80", "http://a.example:8090.b.example",
        "http://b.example/a.example:8090", "null", "", "a.example:8090", "http://", "://",
    ],
)  # fmt: skip
async def test_page_of_another_origin_is_refused_before_the_upgrade(server: Server, origin: str) -> None:
    assert await status_of(server, Origin=origin) == 403


async def test_refusal_is_an_error_object_that_comes_before_all_others(server: Server) -> None:
    reply = await refused(server, "http://b.example")

    assert (reply.status, reply.error["type"], reply.error["param"]) == (403, "forbidden_origin", "Origin")
    assert "http://b.example" in reply.error["message"]
    assert "--cors-origin" in reply.error["message"]
    assert server.journal.records == []


@pytest.mark.parametrize(
    ("allowed", "origin", "status"),
    [
        ("http://b.example", "http://b.example", 101),
        ("http://b.example", "http://a.example:8090", 101),
        ("http://b.example", "https://b.example", 403),
        ("http://b.example", "http://c.example", 403),
        ("*", "http://c.example", 101),
        ("*", "null", 101),
    ],
)
async def test_origin_that_was_asked_for_passes(serve: Serve, allowed: str, origin: str, status: int) -> None:
    assert await status_of(await serve(cors_origin=allowed), Origin=origin) == status
