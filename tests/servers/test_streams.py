"""Streams over loopback: every variant with every strategy, fast and slow readers, all profiles, threads, faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from servers.profiles import PROFILES
from tests.servers.serving import Reply, Server, texts

__all__ = ()

Serve = Callable[..., Awaitable[Server]]

OVERFLOWS = ("error", "drop_oldest", "drop_incoming", "drop_newest_held", "suspend")
BUFFERS: list[dict[str, str]] = [{"strategy": "buffer", "overflow": overflow} for overflow in OVERFLOWS]
FLUX: list[dict[str, str]] = [
    *({"strategy": name} for name in ("missing", "error", "drop", "latest", "reduce", "suspend")),
    *BUFFERS,
    {"strategy": "buffer", "capacity": "unbounded"},
]
RX = [way for way in FLUX if "suspend" not in way.values()]
WAYS: list[dict[str, str]] = [
    {"variant": "emitter"},
    {"variant": "emitter", "strategy": "suspend"},
    *({"variant": "rx", **way} for way in ({}, *RX)),
    *({"variant": "flux", **way} for way in ({}, *FLUX)),
]
DEFAULTS: list[dict[str, str]] = [{"variant": variant} for variant in ("emitter", "rx", "flux")]
NUMBERS = [str(index) for index in range(300)]


def name_of(way: dict[str, str]) -> str:
    return "-".join(way.values())


def is_lossless(way: dict[str, str]) -> bool:
    return not {"error", "drop", "latest", "drop_oldest", "drop_incoming", "drop_newest_held"} & set(way.values())


def payloads(reply: Reply) -> list[dict[str, Any]]:
    """Return the JSON objects of the tokens in a traced stream."""
    found = [json.loads(event.data) for event in reply.events if event.event == "message"]
    return [payload for payload in found if not payload["ended"]]


def last(reply: Reply) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(reply.events[-1].data)
    return payload


def assert_adds_up(statistics: dict[str, Any]) -> None:
    s = statistics
    assert s["emitted"] == s["delivered"] + s["dropped"] + s["merged"] + s["rejected"] + s["held"]


# --- Every variant with every strategy ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=name_of)
async def test_paced_stream_arrives_whole_with_a_reader_that_is_fast(server: Server, way: dict[str, str]) -> None:
    reply = await server.stream(**way, source="counter", rate=2000, count=20, trace=1)

    assert reply.headers["Content-Type"] == "text/event-stream"
    assert "".join(texts(reply.events)) == "".join(NUMBERS[:20])
    assert last(reply)["ended"] is True
    assert_adds_up(last(reply)["statistics"])


@pytest.mark.parametrize("way", WAYS, ids=name_of)
async def test_server_has_delivered_what_the_client_has_received(server: Server, way: dict[str, str]) -> None:
    reply = await server.stream(**way, source="counter", count=300, trace=1, prefetch=1)

    statistics, tokens = last(reply)["statistics"], payloads(reply)
    assert_adds_up(statistics)
    assert statistics["delivered"] == len(tokens)
    assert [token["seq"] for token in tokens] == sorted({token["seq"] for token in tokens})
    if is_lossless(way):
        assert "".join(token["message"] for token in tokens) == "".join(NUMBERS)
        assert statistics["emitted"] == 300
    record = await server.journal.ended(reply.headers["X-Stream-Id"])
    assert record["reason"] == ("completed" if last(reply).get("ended") else "error")
    assert record["statistics"]["delivered"] == len(tokens)
    assert record["parameters"]["variant"] == way["variant"]


async def test_trace_says_when_a_token_was_due_emitted_and_taken(server: Server) -> None:
    reply = await server.stream(count=3, trace=1, rate=1000)

    for index, token in enumerate(payloads(reply)):
        assert token["seq"] == index
        assert token["due_ns"] <= token["emitted_ns"] <= token["taken_ns"]
        assert "producer" not in token
    assert last(reply)["statistics"]["buffers"]["notsent_lowat_bytes"] == 4096
    assert "unsent_bytes" in last(reply)["statistics"]["buffers"]


async def test_stream_without_trace_has_text_and_nothing_else(server: Server) -> None:
    reply = await server.stream(count=1)
    assert [event.data for event in reply.events] == [
        '{"ended": false, "message": "Hello"}',
        '{"ended": true, "message": ""}',
    ]


async def test_event_ids_count_the_tokens_and_name_the_end(server: Server) -> None:
    reply = await server.stream(source="counter", count=2)
    name = reply.headers["X-Stream-Id"]
    assert [event.id for event in reply.events] == [f"{name}-0", f"{name}-1", f"{name}-end"]


@pytest.mark.parametrize("way", DEFAULTS, ids=name_of)
async def test_source_without_tokens_ends_at_once(server: Server, way: dict[str, str]) -> None:
    reply = await server.stream(**way, count=0)
    assert [json.loads(event.data)["ended"] for event in reply.events] == [True]


@pytest.mark.parametrize("pacing", ["steady", "poisson", "bursty"])
async def test_pacing_changes_when_tokens_come_and_not_which(server: Server, pacing: str) -> None:
    reply = await server.stream(source="counter", rate=2000, pacing=pacing, seed=3, ttft_ms=1)
    assert texts(reply.events) == NUMBERS[:10]


# --- A slow reader, simulated on the server ----------------------------------------------------------------------

SLOW = {"source": "counter", "count": 100, "reader_rate": 400, "trace": 1, "prefetch": 1}


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["rx", "flux"])
async def test_slow_reader_makes_drop_lose_what_comes_meanwhile(server: Server, variant: str) -> None:
    reply = await server.stream(variant=variant, strategy="drop", **SLOW)

    statistics = last(reply)["statistics"]
    assert payloads(reply)[0]["seq"] == 0
    assert statistics["dropped"] > 0
    assert statistics["peak_held"] <= 2
    assert_adds_up(statistics)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["rx", "flux"])
async def test_slow_reader_makes_latest_jump_to_the_newest(server: Server, variant: str) -> None:
    reply = await server.stream(variant=variant, strategy="latest", **SLOW)

    assert payloads(reply)[-1]["seq"] == 99
    assert last(reply)["statistics"]["dropped"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["rx", "flux"])
async def test_slow_reader_makes_reduce_merge_and_lose_no_text(server: Server, variant: str) -> None:
    reply = await server.stream(variant=variant, strategy="reduce", **SLOW)

    tokens = payloads(reply)
    assert "".join(token["message"] for token in tokens) == "".join(NUMBERS[:100])
    assert sum(token.get("merged", 1) for token in tokens) == 100
    assert last(reply)["statistics"]["merged"] == 100 - len(tokens) > 0


@pytest.mark.slow
@pytest.mark.parametrize("way", [{"variant": "emitter"}, {"variant": "flux", "strategy": "suspend"}], ids=name_of)
async def test_slow_reader_makes_suspend_hold_the_producer_back(server: Server, way: dict[str, str]) -> None:
    reply = await server.stream(**way, **{**SLOW, "count": 40})

    tokens, statistics = payloads(reply), last(reply)["statistics"]
    assert [token["seq"] for token in tokens] == list(range(40))
    assert statistics["peak_held"] <= 2
    # The producer has not run ahead: a token leaves the source only after the one before the last was taken.
    assert all(late["emitted_ns"] >= early["taken_ns"] for early, late in zip(tokens, tokens[2:], strict=False))


@pytest.mark.parametrize("variant", ["rx", "flux"])
@pytest.mark.parametrize("way", [{"strategy": "error"}, {"strategy": "buffer", "capacity": 2}], ids=str)
async def test_slow_reader_makes_error_and_a_full_buffer_fail_the_stream(
    server: Server, variant: str, way: dict[str, Any]
) -> None:
    reply = await server.stream(variant=variant, **way, **SLOW)

    assert reply.events[-1].event == "error"
    assert last(reply)["error"]["type"] == "BufferOverflowError"
    assert_adds_up(last(reply)["statistics"])
    assert last(reply)["statistics"]["delivered"] == len([event for event in reply.events if event.event == "message"])


@pytest.mark.parametrize("variant", ["rx", "flux"])
async def test_strategy_missing_does_not_wait_for_a_slow_reader(server: Server, variant: str) -> None:
    reply = await server.stream(variant=variant, strategy="missing", **{**SLOW, "reader_rate": 0.001})
    assert len(payloads(reply)) == 100


@pytest.mark.slow
async def test_fast_simulated_reader_takes_several_tokens_at_a_time(server: Server) -> None:
    reply = await server.stream(source="counter", count=2000, reader_rate=20_000)
    assert len(texts(reply.events)) == 2000


# --- Statistics on the way ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("way", DEFAULTS, ids=name_of)
async def test_statistics_come_as_events_of_their_own(server: Server, way: dict[str, str]) -> None:
    client = await server.connect()
    await client.ask(**way, source="counter", hang_after=3, stats_ms=10)

    await client.read_until(b'"delivered": 3, ')

    assert b"event: statistics\ndata: {" in client.received
    assert b'"high_water_bytes": 0' in client.received
    client.reset()
    await server.journal.all_ended(1)


# --- Failures ----------------------------------------------------------------------------------------------------

FAILURES = {
    "completion": b'event: error\nid: %b-end\ndata: {"error": {"message": ',
    "data": b"event: error\ndata: the source failed after 2 tokens",
    "ndjson": b'{"error": {"message": "the source failed after 2 tokens',
    "openai": b'data: {"error":{"message":',
    "anthropic": b'event: error\ndata: {"type":"error","error":{"type":"SourceFailure"',
    "aisdk": b'data: {"type":"error","errorText":',
}


@pytest.mark.parametrize("way", DEFAULTS, ids=name_of)
@pytest.mark.parametrize("profile", FAILURES)
async def test_failure_in_mid_stream_is_told_in_the_shape_of_the_profile(
    server: Server, way: dict[str, str], profile: str
) -> None:
    reply = await server.stream(**way, profile=profile, fail_after=2)

    expected = FAILURES[profile]
    assert (expected % reply.headers["X-Stream-Id"].encode() if b"%b" in expected else expected) in reply.body
    assert b"Traceback" not in reply.body
    assert (await server.journal.ended(reply.headers["X-Stream-Id"]))["reason"] == "error"


async def test_failure_of_a_profile_without_errors_breaks_the_connection_off(server: Server) -> None:
    client = await server.connect()
    await client.ask(profile="text", source="counter", fail_after=2)

    body = await client.read_to_end()

    assert b"01" in body
    assert not body.endswith(b"0\r\n\r\n")
    client.close()


async def test_end_of_a_profile_without_an_end_is_the_end_of_the_body(server: Server) -> None:
    reply = await server.stream(profile="text", source="counter")
    assert (reply.body, reply.headers["Content-Type"]) == (b"0123456789", "text/plain; charset=utf-8")


@pytest.mark.parametrize("profile", sorted(PROFILES))
async def test_every_profile_has_its_content_type_and_the_name_of_the_stream(server: Server, profile: str) -> None:
    reply = await server.stream(profile=profile, count=1)

    assert reply.headers["Content-Type"] == PROFILES[profile].content_type
    assert len(reply.headers["X-Stream-Id"]) == 12
    assert reply.headers["Cache-Control"] == "no-cache"
    assert b"Hello" in reply.body


# --- Several producers -------------------------------------------------------------------------------------------

LOSSLESS = [
    {"variant": "emitter"},
    {"variant": "rx"},
    {"variant": "rx", "strategy": "buffer", "capacity": "unbounded"},
    {"variant": "flux"},
    {"variant": "flux", "strategy": "suspend"},
    {"variant": "flux", "strategy": "reduce"},
]


@pytest.mark.parametrize("way", LOSSLESS, ids=name_of)
async def test_threads_feed_one_stream_and_each_keeps_its_order(server: Server, way: dict[str, str]) -> None:
    reply = await server.stream(**way, source="counter", count=200, producers=4, trace=1)

    tokens = payloads(reply)
    assert sum(token.get("merged", 1) for token in tokens) == 200
    for producer in range(4):
        indices = [token["seq"] for token in tokens if token["producer"] == producer]
        assert indices == sorted(indices)
        assert all(index % 4 == producer for index in indices)
    assert_adds_up(last(reply)["statistics"])


@pytest.mark.parametrize("way", DEFAULTS, ids=name_of)
async def test_threads_that_fail_end_the_stream_with_an_error(server: Server, way: dict[str, str]) -> None:
    reply = await server.stream(**way, source="counter", count=50, producers=3, fail_after=20)
    assert last(reply)["error"]["type"] == "SourceFailure"


@pytest.mark.parametrize("way", DEFAULTS, ids=name_of)
async def test_more_producers_than_threads_still_bring_all_tokens(serve: Serve, way: dict[str, str]) -> None:
    server = await serve(threads=1)
    reply = await server.stream(**way, source="counter", count=100, producers=8, trace=1)
    assert sum(token.get("merged", 1) for token in payloads(reply)) == 100


# --- Signs of life -----------------------------------------------------------------------------------------------

HEARTBEATS = {"completion": b"\r\n: \n", "data": b"\r\n: \n", "ndjson": b"\r\n \r\n", "anthropic": b"event: ping\n"}


@pytest.mark.slow
@pytest.mark.parametrize("profile", HEARTBEATS)
async def test_silent_stream_shows_signs_of_life(serve: Serve, profile: str) -> None:
    server = await serve(heartbeat_s=0.001)
    client = await server.connect()
    await client.ask(profile=profile, hang_after=0)

    await client.read_until(HEARTBEATS[profile])

    client.reset()
    await server.journal.all_ended(1)


async def test_stream_that_is_not_silent_has_no_heartbeats(server: Server) -> None:
    for profile in HEARTBEATS:
        reply = await server.stream(profile=profile, source="counter", count=30, rate=1000)
        assert b"\n:" not in reply.body
        assert b"ping" not in reply.body


@pytest.mark.slow
async def test_heartbeats_can_be_turned_off(serve: Serve) -> None:
    server = await serve(heartbeat_s=0)
    reply = await server.stream(ttft_ms=600, count=1)
    assert [event.event for event in reply.events] == ["message", "message"]
    assert b"\n:" not in reply.body


# --- Several producers, and demand from the client ---------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in WAYS if way["variant"] != "emitter"], ids=name_of)
async def test_threads_feed_a_stream_that_a_client_demands(server: Server, way: dict[str, str]) -> None:
    # In debug mode a loop refuses to be touched from another thread.
    asyncio.get_running_loop().set_debug(True)
    query = urlencode({**way, "source": "counter", "rate": 0, "count": 30, "producers": 3, "demand": 30})
    async with server.session.ws_connect(f"/v1/chat/ws?{query}") as socket:
        payloads = [json.loads(message.data) async for message in socket]

    assert payloads
    assert "error" not in payloads[-1] or way["strategy"] == "error"
    assert await server.stream_count() == 0
