"""The stream over WebSocket, and demand that the client drives across the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from servers.variants import ClientDemand
from tests.servers.serving import RawClient, Server, until

__all__ = ()

Serve = Callable[..., Awaitable[Server]]
Socket = aiohttp.ClientWebSocketResponse

VARIANTS = ("emitter", "rx", "flux")
HOLDING: list[dict[str, Any]] = [
    {"variant": "emitter"},
    *(
        {"variant": variant, **way}
        for variant in ("rx", "flux")
        for way in (
            {},
            {"strategy": "drop"},
            {"strategy": "latest"},
            {"strategy": "reduce"},
            {"strategy": "buffer", "capacity": 5, "overflow": "drop_oldest"},
            {"strategy": "buffer", "capacity": 5, "overflow": "drop_incoming"},
            {"strategy": "buffer", "capacity": 5, "overflow": "drop_newest_held"},
            {"strategy": "buffer", "capacity": "unbounded"},
        )
    ),
    {"variant": "flux", "strategy": "suspend"},
    {"variant": "flux", "strategy": "buffer", "overflow": "suspend"},
]
ENDLESS = {"source": "counter", "count": 10**9, "rate": 3000}


def name_of(way: dict[str, Any]) -> str:
    return "-".join(map(str, way.values()))


def opened(server: Server, **query: object) -> Any:
    return server.session.ws_connect(f"/v1/chat/ws?{urlencode({'rate': 0, **query})}", autoping=False)


async def frames(socket: Socket) -> list[dict[str, Any]]:
    """Read all frames until the server closes."""
    return [json.loads(message.data) async for message in socket if message.type is aiohttp.WSMsgType.TEXT]


async def tokens(socket: Socket, count: int) -> list[str]:
    """Read exactly `count` tokens."""
    payloads = [await socket.receive_json() for _ in range(count)]
    assert not any(payload["ended"] for payload in payloads)
    return [payload["message"] for payload in payloads]


async def assert_silent(socket: Socket) -> None:
    """See that the server says nothing, however often it gets the word."""
    for _ in range(20):
        await socket.ping(b"anything else?")
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.PONG, message


# --- The stream --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
async def test_each_token_is_a_text_frame_and_the_end_is_1000(server: Server, variant: str) -> None:
    async with opened(server, variant=variant, source="counter", rate=2000) as socket:
        received = await frames(socket)

    assert "".join(frame["message"] for frame in received) == "0123456789"
    assert received[-1] == {"ended": True, "message": ""}
    assert socket.close_code == 1000
    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["completed"]


async def test_response_bears_the_name_of_the_stream(server: Server) -> None:
    client = await server.connect()
    await shake_hands(client, "count=1&rate=0")
    name = await client.stream_id()
    await client.read_until(b'"ended": true')
    assert (await server.journal.ended(name))["reason"] == "completed"
    client.close()


async def test_trace_and_statistics_come_in_frames(server: Server) -> None:
    async with opened(server, source="counter", rate=40, count=5, trace=1, stats_ms=10) as socket:
        received = await frames(socket)

    counts = [frame["statistics"] for frame in received if set(frame) == {"statistics"}]
    assert counts
    assert received[-1]["statistics"]["delivered"] == 5
    assert [frame["seq"] for frame in received if "seq" in frame] == list(range(5))


@pytest.mark.parametrize("variant", VARIANTS)
async def test_failure_is_an_error_frame_and_1011(server: Server, variant: str) -> None:
    async with opened(server, variant=variant, fail_after=2) as socket:
        received = await frames(socket)

    assert received[-1]["error"]["type"] == "SourceFailure"
    assert socket.close_code == 1011
    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["error"]


@pytest.mark.parametrize("profile", ["completion", "openai"])
async def test_frames_have_the_completion_payload_whatever_the_profile(server: Server, profile: str) -> None:
    async with opened(server, profile=profile, count=1) as socket:
        assert (await frames(socket))[0] == {"ended": False, "message": "Hello"}


# --- Demand ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", HOLDING, ids=name_of)
async def test_never_one_token_more_than_requested(server: Server, way: dict[str, Any]) -> None:
    async with opened(server, **way, **ENDLESS, demand=3) as socket:
        received = await tokens(socket, 3)
        await assert_silent(socket)
        for n in (1, 4):
            await socket.send_json({"request": n})
            received += await tokens(socket, n)
            await assert_silent(socket)
        await socket.send_json({"cancel": True})
        assert await frames(socket) == []
        assert socket.close_code == 1000

    (record,) = await server.journal.all_ended(1)
    assert record["reason"] == "cancelled"
    assert record["statistics"]["delivered"] == len(received) == 8


@pytest.mark.parametrize("variant", VARIANTS)
async def test_without_demand_nothing_comes_until_it_is_requested(server: Server, variant: str) -> None:
    async with opened(server, variant=variant, **ENDLESS, demand=0) as socket:
        await assert_silent(socket)
        await socket.send_json({"request": 2})
        assert len(await tokens(socket, 2)) == 2
        await assert_silent(socket)


@pytest.mark.parametrize("variant", VARIANTS)
async def test_requests_add_up_and_the_end_needs_none(server: Server, variant: str) -> None:
    strategy = {"strategy": "buffer", "capacity": "unbounded"} if variant == "rx" else {}
    async with opened(server, variant=variant, **strategy, source="counter", count=6, demand=1) as socket:
        for n in (2, 3):
            await socket.send_json({"request": n})
        received = await frames(socket)

    assert [frame["message"] for frame in received] == ["0", "1", "2", "3", "4", "5", ""]
    assert received[-1]["ended"] is True


@pytest.mark.parametrize("variant", VARIANTS)
async def test_unbounded_demand_brings_everything(server: Server, variant: str) -> None:
    async with opened(server, variant=variant, source="counter", count=500, demand=2**53 - 1) as socket:
        await socket.send_json({"request": 10**30})
        received = await frames(socket)
    assert "".join(frame["message"] for frame in received) == "".join(map(str, range(500)))


@pytest.mark.parametrize("variant", ["rx", "flux"])
async def test_strategy_missing_passes_on_whatever_the_demand(server: Server, variant: str) -> None:
    async with opened(server, variant=variant, strategy="missing", source="counter", demand=1) as socket:
        received = await frames(socket)
    assert "".join(frame["message"] for frame in received) == "0123456789"


@pytest.mark.parametrize("variant", ["rx", "flux"])
async def test_strategy_error_fails_beyond_the_demand(server: Server, variant: str) -> None:
    async with opened(server, variant=variant, strategy="error", source="counter", demand=4) as socket:
        received = await frames(socket)
    assert [frame.get("message") for frame in received[:-1]] == ["0", "1", "2", "3"]
    assert received[-1]["error"]["type"] == "BufferOverflowError"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("n", [0, -1, -(10**20)])
async def test_request_below_one_is_an_error(server: Server, variant: str, n: int) -> None:
    async with opened(server, variant=variant, source="counter", hang_after=5, demand=0) as socket:
        await socket.send_json({"request": n})
        received = await frames(socket)

    assert [frame["error"]["type"] for frame in received] == ["invalid_request_error"]
    assert "rule 3.9" in received[0]["error"]["message"]
    assert socket.close_code == 1011


BAD_FRAMES = [
    "", "hello", "[]", "5", "null", "{}", '{"request": "5"}', '{"request": 1.5}', '{"request": true}',
    '{"request": null}', '{"cancel": false}', '{"cancel": 1}', '{"Request": 1}',
    "[" * 60_000, '{"request": ' + "9" * 5000 + "}",
]  # fmt: skip


@pytest.mark.parametrize("frame", [*BAD_FRAMES, b'{"request": 1}'], ids=lambda frame: repr(frame[:20]))
async def test_frame_that_is_neither_request_nor_cancel_ends_the_stream_with_an_error(
    server: Server, frame: str | bytes
) -> None:
    async with opened(server, hang_after=1, demand=0) as socket:
        await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        received = await frames(socket)

    assert [frame["error"]["type"] for frame in received] == ["invalid_request_error"]
    assert '{"request": n}' in received[0]["error"]["message"]
    assert socket.close_code == 1011
    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["refused"]


async def test_request_on_a_stream_without_demand_is_an_error(server: Server) -> None:
    async with opened(server, hang_after=0) as socket:
        await socket.send_json({"request": 1})
        assert (await frames(socket))[0]["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("variant", VARIANTS)
async def test_cancel_works_without_demand_too(server: Server, variant: str) -> None:
    async with opened(server, variant=variant, source="counter", hang_after=3, rate=2000) as socket:
        assert await tokens(socket, 1)
        await socket.send_json({"cancel": True})
        await frames(socket)
        assert socket.close_code == 1000
    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["cancelled"]


async def test_frame_above_the_limit_is_refused_by_the_protocol(server: Server) -> None:
    async with opened(server, hang_after=0, demand=1) as socket:
        await socket.send_str(" " * 70_000)
        assert await frames(socket) == []
        assert socket.close_code == 1009
    await server.journal.all_ended(1)


@pytest.mark.parametrize("demand", ["-1", "1.5", "many", "", "٣", "9" * 17, "1&demand=2"])
async def test_wrong_demand_is_a_400(server: Server, demand: str) -> None:
    reply = await server.get(f"/v1/chat/ws?demand={demand}")
    assert (reply.status, reply.error["param"]) == (400, "demand")


# --- Clients that leave ------------------------------------------------------------------------------------------


async def shake_hands(client: RawClient, query: str) -> None:
    await client.send(
        f"GET /v1/chat/ws?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    await client.read_until(b"\r\n\r\n")
    assert b" 101 " in client.received


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("demand", ["", "&demand=1"])
async def test_client_that_vanishes_ends_the_stream(server: Server, variant: str, demand: str) -> None:
    client = await server.connect()
    await shake_hands(client, f"variant={variant}&hang_after=1{demand}")

    client.reset()

    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["client_gone"]
    assert await server.stream_count() == 0


async def test_client_that_closes_ends_the_stream(server: Server) -> None:
    async with opened(server, hang_after=1) as socket:
        await tokens(socket, 1)
        await socket.close()
    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["client_gone"]


@pytest.mark.slow
async def test_client_that_takes_nothing_is_dropped_after_the_send_timeout(serve: Serve) -> None:
    server = await serve(send_timeout_s=0.2)
    client = await server.connect(receive_buffer_bytes=4096)
    await shake_hands(client, "source=counter&count=1000000000&rate=0")

    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["send_timeout"]
    client.close()


async def test_strategy_missing_is_aborted_when_too_much_has_piled_up(serve: Serve) -> None:
    server = await serve(max_buffer_bytes=100_000)
    client = await server.connect(receive_buffer_bytes=4096)
    await shake_hands(client, "strategy=missing&source=counter&count=1000000000&rate=0")

    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["buffer_limit"]
    client.close()


@pytest.mark.slow
async def test_shutdown_is_an_error_frame_and_1011(serve: Serve) -> None:
    server = await serve()
    async with opened(server, hang_after=0) as socket:
        await until(lambda: socket.closed is False)
        stopping = asyncio.ensure_future(server.stop())
        received = await frames(socket)
        await stopping

    assert received[-1]["error"]["type"] == "server_shutdown"
    assert socket.close_code == 1011


@pytest.mark.slow
async def test_client_that_neither_reads_nor_closes_does_not_outlive_the_send_timeout(serve: Serve) -> None:
    server = await serve(send_timeout_s=0.2)
    client = await server.connect(receive_buffer_bytes=4096)
    await shake_hands(client, "count=1&rate=0")

    await client.read_to_end()

    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["completed"]
    client.close()


# --- The client's demand, as the variants see it -----------------------------------------------------------------


@pytest.mark.parametrize("n", [0, -3])
async def test_demand_below_one_is_refused_where_it_comes_in(n: int) -> None:
    with pytest.raises(ValueError, match=rf"at least 1 \(Reactive Streams rule 3\.9\); got {n}"):
        ClientDemand(1).request(n)
