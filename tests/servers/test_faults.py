"""Clients that vanish, stall and misbehave, sources that fail and never end: nothing is left, memory stays flat."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from servers.origins import Origin, open_origin
from tests.servers.serving import LONGEST_S, RawClient, Server, decoded, sample, texts, until

__all__ = ()

Serve = Callable[..., Awaitable[Server]]

VARIANTS = ("emitter", "rx", "flux")
ENDLESS = {"source": "counter", "count": 10**15}
# With what the tail takes beyond it, prefetch is the most that any bounded strategy of these tests holds.
MOST_HELD = 256 + 256


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(params=[False, True], ids=["production", "handler_cancellation"])
async def either(serve: Serve, request: pytest.FixtureRequest) -> Server:
    """A server as in production, and one whose handlers are cancelled when a client leaves."""
    return await serve(handler_cancellation=request.param)


async def reasons(server: Server, count: int) -> set[str]:
    return {record["reason"] for record in await server.journal.all_ended(count)}


# --- Clients that leave ------------------------------------------------------------------------------------------


async def ask_and_reset(client: RawClient) -> None:
    client.reset()


async def ask_and_close(client: RawClient) -> None:
    client.close()


async def ask_and_say_no_more(client: RawClient) -> None:
    client.say_no_more()
    await client.read_to_end()
    client.close()


LEAVING = [ask_and_reset, ask_and_close, ask_and_say_no_more]


@pytest.mark.slow
@pytest.mark.parametrize("leave", LEAVING)
@pytest.mark.parametrize("variant", VARIANTS)
async def test_client_that_leaves_while_nothing_is_written_ends_the_source(
    either: Server, variant: str, leave: Callable[[RawClient], Awaitable[None]]
) -> None:
    client = await either.connect()
    await client.ask(variant=variant, source="counter", hang_after=2)
    await client.read_until(b'"1"')

    await leave(client)

    assert await reasons(either, 1) == {"client_gone"}
    assert await either.stream_count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("leave", LEAVING)
@pytest.mark.parametrize("variant", VARIANTS)
async def test_client_that_leaves_in_mid_stream_ends_the_source(
    either: Server, variant: str, leave: Callable[[RawClient], Awaitable[None]]
) -> None:
    client = await either.connect()
    await client.ask(variant=variant, **ENDLESS)
    await client.read_until(b'"5"')

    await leave(client)

    assert await reasons(either, 1) == {"client_gone"}


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["completion", "openai", "anthropic"])
@pytest.mark.parametrize("query", [{"hang_after": 0}, ENDLESS, {"ttft_ms": 86_400_000}], ids=str)
async def test_client_that_vanishes_before_the_first_byte_ends_the_source(
    either: Server, profile: str, query: dict[str, Any]
) -> None:
    client = await either.connect()
    await client.ask(profile=profile, **query)

    client.reset()
    await until(lambda: True)
    other = await either.stream(count=1)

    assert other.status == 200
    # A request whose connection was gone before it was read leaves no record.
    await either.journal.ended(other.headers["X-Stream-Id"])
    while await either.stream_count():
        continue


@pytest.mark.slow
async def test_client_that_vanishes_in_mid_event_ends_the_source(either: Server) -> None:
    client = await either.connect(receive_buffer_bytes=4096)
    await client.ask(**ENDLESS)
    while client.received.rstrip(b"\r\n").endswith(b"}") or b"data" not in client.received:
        assert await client.read()

    client.reset()

    assert await reasons(either, 1) == {"client_gone"}


@pytest.mark.slow
async def test_client_that_vanishes_between_heartbeats_ends_the_source(serve: Serve) -> None:
    server = await serve(heartbeat_s=0.001)
    client = await server.connect()
    await client.ask(hang_after=0)
    await client.read_until(b": \n")

    client.reset()

    assert await reasons(server, 1) == {"client_gone"}


@pytest.mark.slow
async def test_client_that_vanishes_among_statistics_ends_the_source(serve: Serve) -> None:
    server = await serve()
    client = await server.connect()
    await client.ask(hang_after=0, stats_ms=10)
    await client.read_until(b"event: statistics")

    client.reset()

    assert await reasons(server, 1) == {"client_gone"}


@pytest.mark.slow
@pytest.mark.parametrize("producers", [1, 3])
async def test_200_clients_that_vanish_leave_no_task_no_socket_and_no_stream(either: Server, producers: int) -> None:
    await either.stream_count()
    tasks, files = len(asyncio.all_tasks()), open_files()

    for index in range(200):
        client = await either.connect()
        await client.ask(variant=VARIANTS[index % 3], hang_after=index % 7, producers=producers)
        await client.stream_id()
        client.reset()

    assert await reasons(either, 200) == {"client_gone"}
    assert await either.stream_count() == 0
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    await until(lambda: open_files() <= files)
    assert await either.metric("tokenweir_active_streams") == 0
    assert await either.metric("tokenweir_held_tokens") == 0


# --- Clients that leave before the headers -----------------------------------------------------------------------

PROFILES = ("completion", "openai", "anthropic")
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("path", ["/v1/chat/stream", "/v1/chat/ws"])
@pytest.mark.parametrize("variant", VARIANTS)
async def test_client_that_leaves_before_the_headers_is_logged_and_counted_as_any_other(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
    profile: str,
    variant: str,
) -> None:
    opening, has_gone = asyncio.Event(), asyncio.Event()

    async def open_late(*arguments: Any, **options: Any) -> Origin:
        origin = await open_origin(*arguments, **options)
        opening.set()
        await has_gone.wait()
        return origin

    monkeypatch.setattr("servers.app.open_origin", open_late)
    before = await server.metric("tokenweir_disconnects_total", reason="client_gone")
    client = await server.connect()
    head = f"GET {path}?variant={variant}&profile={profile}&rate=0 HTTP/1.1\r\nHost: x\r\n"
    await client.send(f"{head}{UPGRADE if path.endswith('ws') else ''}\r\n".encode())
    await opening.wait()
    client.reset()
    for _ in range(10):
        await server.stream_count()  # time for the server to see it
    has_gone.set()

    (record,) = await server.journal.all_ended(1)

    assert record["reason"] == "client_gone"
    assert record["parameters"]["profile"] == profile
    assert await server.metric("tokenweir_disconnects_total", reason="client_gone") == before + 1
    assert await server.stream_count() == 0
    assert [entry for entry in caplog.records if entry.levelno >= logging.WARNING] == []


# --- Sources that fail, stall and end early ----------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
async def test_source_that_fails_at_once_is_told(server: Server, variant: str) -> None:
    reply = await server.stream(variant=variant, fail_after=0)
    assert [event.event for event in reply.events] == ["error"]
    assert reply.status == 200


@pytest.mark.parametrize("variant", VARIANTS)
async def test_source_that_stalls_keeps_what_it_sent_readable(server: Server, variant: str) -> None:
    client = await server.connect()
    await client.ask(variant=variant, source="counter", hang_after=3)
    await client.read_until(b'"2"')
    client.reset()
    (record,) = await server.journal.all_ended(1)
    assert record["statistics"]["delivered"] + record["statistics"]["merged"] == 3


async def test_exception_of_a_source_that_nobody_foresaw_is_told_without_its_details(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("servers.origins.play", broken)

    reply = await server.stream()

    assert b"the source failed (ZeroDivisionError)" in reply.body
    assert b"secret" not in reply.body


# --- Readers that stall ------------------------------------------------------------------------------------------

BOUNDED: list[dict[str, Any]] = [
    {"variant": "emitter"},
    *(
        {"variant": variant, **way}
        for variant in ("rx", "flux")
        for way in (
            {},
            {"strategy": "error"},
            {"strategy": "drop"},
            {"strategy": "latest"},
            {"strategy": "reduce", "max_merged": 2**53 - 1},
            {"strategy": "buffer"},
            {"strategy": "buffer", "overflow": "drop_oldest"},
            {"strategy": "buffer", "overflow": "drop_incoming"},
            {"strategy": "buffer", "overflow": "drop_newest_held"},
        )
    ),
    {"variant": "flux", "strategy": "suspend"},
    {"variant": "flux", "strategy": "suspend", "capacity": 200},
]


@pytest.mark.slow
async def test_endless_source_and_stalled_reader_hold_a_bounded_number_of_tokens(serve: Serve) -> None:
    server = await serve()
    lossy_ways = [{"variant": variant, "strategy": lossy} for variant in ("rx", "flux") for lossy in ("drop", "latest")]

    async def dropped() -> list[float]:
        told = (await server.get("/metrics")).body.decode()
        return [sample(told, "tokenweir_tokens_total", outcome="dropped", **way) for way in lossy_ways]

    before = await dropped()
    clients = []
    for way in BOUNDED:
        clients.append(await server.connect(receive_buffer_bytes=4096))
        await clients[-1].ask(**way, **ENDLESS)

    # Others are served meanwhile, and their paced tokens give the endless ones the time to do their worst.
    assert len(texts((await server.stream(source="counter", rate=50, count=50)).events)) == 50
    async with asyncio.timeout(LONGEST_S):
        while any(now <= was + 1000 for now, was in zip(await dropped(), before, strict=True)):
            continue
    assert await server.metric("tokenweir_held_tokens") <= len(BOUNDED) * MOST_HELD
    for client in clients:
        client.reset()

    records = await server.journal.all_ended(len(BOUNDED) + 1)
    for record in records:
        statistics = record["statistics"]
        assert statistics["peak_held"] <= MOST_HELD, record
    lossy = [r["statistics"] for r in records if r["parameters"]["strategy"] in {"drop", "latest"}]
    assert all(statistics["dropped"] > 1000 for statistics in lossy)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
async def test_reader_that_takes_nothing_is_dropped_after_the_send_timeout(serve: Serve, variant: str) -> None:
    server = await serve(send_timeout_s=0.2)
    client = await server.connect(receive_buffer_bytes=4096)
    await client.ask(variant=variant, **ENDLESS)

    assert await reasons(server, 1) == {"send_timeout"}
    assert await server.metric("tokenweir_disconnects_total", reason="send_timeout") >= 1
    await client.read_to_end()
    client.close()


@pytest.mark.parametrize("variant", ["rx", "flux"])
async def test_strategy_missing_is_aborted_when_too_much_has_piled_up(serve: Serve, variant: str) -> None:
    server = await serve(max_buffer_bytes=200_000)
    client = await server.connect(receive_buffer_bytes=4096)
    await client.ask(variant=variant, strategy="missing", **ENDLESS)

    assert await reasons(server, 1) == {"buffer_limit"}
    await client.read_to_end()
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["rx", "flux"])
async def test_strategy_missing_writes_on_while_the_reader_stalls(serve: Serve, variant: str) -> None:
    server = await serve()
    client = await server.connect(receive_buffer_bytes=4096)
    await client.ask(variant=variant, strategy="missing", source="counter", count=20_000)

    await client.read_until(b'"ended": true')

    assert client.received.count(b"data: ") == 20_001
    assert await reasons(server, 1) == {"completed"}
    client.close()


@pytest.mark.slow
async def test_end_that_is_not_taken_does_not_outlive_the_send_timeout(serve: Serve) -> None:
    server = await serve(send_timeout_s=0.2)
    client = await server.connect(receive_buffer_bytes=4096)
    await client.ask(strategy="missing", source="counter", count=100_000)

    assert await reasons(server, 1) <= {"completed", "send_timeout"}
    await client.read_to_end()
    client.close()


# --- Clients of old ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", "Connection: keep-alive\r\n"])
async def test_client_that_knows_no_chunks_learns_the_end_from_the_connection(server: Server, header: str) -> None:
    client = await server.connect()
    await client.send(f"GET /v1/chat/stream?source=counter&rate=0 HTTP/1.0\r\n{header}\r\n".encode())

    head, _, body = (await client.read_to_end()).partition(b"\r\n\r\n")

    assert b"keep-alive" not in head
    assert "".join(texts(decoded(body))) == "0123456789"
    client.close()


# --- Shutdown ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
async def test_shutdown_ends_streams_with_an_error_event(serve: Serve, variant: str) -> None:
    server = await serve()
    client = await server.connect()
    await client.ask(variant=variant, source="counter", hang_after=1)
    await client.read_until(b'"0"')

    await server.stop()

    body = await client.read_to_end()
    assert b"event: error" in body
    assert b'"server_shutdown"' in body
    assert body.endswith(b"0\r\n\r\n")
    assert await reasons(server, 1) == {"shutdown"}
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["completion", "text"])
async def test_shutdown_does_not_wait_for_a_reader_that_stalls(serve: Serve, profile: str) -> None:
    server = await serve(send_timeout_s=0.2)
    client = await server.connect(receive_buffer_bytes=4096)
    await client.ask(profile=profile, **{**ENDLESS, "strategy": "suspend"})
    assert len(texts((await server.stream(source="counter", rate=100, count=10)).events)) == 10

    await server.stop()

    assert {r["reason"] for r in server.journal.records} <= {"shutdown", "completed", "send_timeout"}
    client.close()


async def stalled(server: Server) -> RawClient:
    """A client that takes nothing of what has been written for it: its end cannot be written either."""
    client = await server.connect(receive_buffer_bytes=4096)
    await client.ask(strategy="missing", source="counter", count=10**6, hang_after=20_000)
    before = b""
    while b"data: " not in before or before != client.unread():
        before = client.unread()
        await server.stream(source="counter", rate=50, count=5)  # time for everything that can still move
    return client


@pytest.mark.slow
async def test_shutdown_with_a_reader_that_stalls_takes_the_grace_and_no_more(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(grace_s=1000, send_timeout_s=10**6)
    client = await stalled(server)
    loop = asyncio.get_running_loop()
    now_s, passed_s = loop.time, [0.0]
    monkeypatch.setattr(loop, "time", lambda: now_s() + passed_s[0])

    stopping = asyncio.ensure_future(server.stop())
    await until(lambda: "shutdown" in {record["reason"] for record in server.journal.records})
    for _ in range(2):
        for _ in range(20):
            await asyncio.sleep(0)
        assert not stopping.done()
        passed_s[0] += 502  # half of the grace, and what aiohttp rounds up

    async with asyncio.timeout(LONGEST_S):
        await stopping
    client.close()


@pytest.mark.slow
async def test_shutdown_without_grace_waits_for_nobody(serve: Serve) -> None:
    server = await serve(grace_s=0, send_timeout_s=3600)
    client = await stalled(server)

    async with asyncio.timeout(LONGEST_S):
        await server.stop()

    client.close()
