"""The Spring servers: every endpoint with every strategy streams in order, and loses what its strategy loses."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Generator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from benchmarks.peers import jvm
from benchmarks.processes import ServerProcess, starting_all
from servers.sse import EventStreamDecoder, ServerSentEvent
from tests.benchmarks.java import NEEDS_JAVA

__all__ = ()

pytestmark = NEEDS_JAVA

COUNT = 100
FIREHOSE = 20_000
STRATEGIES = ("error", "drop", "latest", "buffer", "missing")
VARIANTS = {"mvc": ("rx", "flux"), "webflux": ("rx", "flux")}
# Not MISSING: it promises nothing, not even an end. Overrun, Spring MVC sometimes leaves its client waiting for ever.
CASES = [
    (server, variant, strategy)
    for server in VARIANTS
    for variant in VARIANTS[server]
    for strategy in STRATEGIES
    if strategy != "missing"
]

Servers = dict[str, ServerProcess]


class Streamed(NamedTuple):
    """What one response held.

    Attributes:
        headers: of the response.
        ids: of its events.
        payloads: the JSON of its events.
        is_cut: whether the connection ended before the response did.
    """

    headers: Any
    ids: list[str]
    payloads: list[dict[str, Any]]
    is_cut: bool

    @property
    def indexes(self) -> list[int]:
        return [int(payload["message"]) for payload in self.payloads if not payload["ended"]]

    @property
    def has_ended(self) -> bool:
        return bool(self.payloads) and self.payloads[-1] == {"ended": True, "message": ""}


@pytest.fixture(scope="module")
def servers() -> Generator[Servers]:
    with starting_all([jvm.command("mvc"), jvm.command("webflux")]) as (mvc, webflux):
        mvc.wait_listening()
        webflux.wait_listening()
        yield {"mvc": mvc, "webflux": webflux}


async def streamed(server: ServerProcess, *, body: dict[str, Any] | None = None, **query: str) -> Streamed:
    """Ask for one stream, by POST if there is a body, and read it to its end."""
    decoder = EventStreamDecoder()
    events: list[ServerSentEvent] = []
    is_cut = False
    url = f"http://127.0.0.1:{server.port}/v1/chat"
    async with aiohttp.ClientSession() as session:
        asked = session.post(f"{url}/completions", json=body) if body else session.get(f"{url}/stream", params=query)
        async with asked as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            try:
                async for chunk in response.content.iter_any():
                    events += decoder.feed(chunk)
            except aiohttp.ClientPayloadError:
                is_cut = True
    assert {event.event for event in events} <= {"message"}
    ids = [event.id or "" for event in events]
    return Streamed(response.headers, ids, [json.loads(event.data) for event in events], is_cut)


def is_rising(indexes: list[int]) -> bool:
    return all(left < right for left, right in pairwise(indexes))


def assert_as_strategy(got: Streamed, strategy: str, count: int) -> None:
    """What the strategy promises whatever the timing."""
    assert is_rising(got.indexes)
    match strategy:
        case "buffer":
            assert got.indexes == list(range(count))
            assert got.has_ended
        case "error":
            assert got.indexes == list(range(len(got.indexes)))
            assert len(got.indexes) == count or (got.is_cut and not got.has_ended)
        case "latest":
            assert got.indexes[-1] == count - 1
            assert got.has_ended
        case "drop":
            assert got.indexes
            assert got.has_ended
        case _:
            raise AssertionError(f"nothing is known of {strategy}")


@pytest.mark.parametrize(("server", "variant", "strategy"), CASES)
async def test_a_paced_stream_keeps_order_and_what_its_strategy_promises(
    servers: Servers, server: str, variant: str, strategy: str
) -> None:
    got = await streamed(servers[server], variant=variant, strategy=strategy, count=str(COUNT), rate="500")
    assert_as_strategy(got, strategy, COUNT)


@pytest.mark.parametrize(("server", "variant", "strategy"), CASES)
async def test_a_firehose_loses_what_its_strategy_loses(
    servers: Servers, server: str, variant: str, strategy: str
) -> None:
    got = await streamed(servers[server], variant=variant, strategy=strategy, count=str(FIREHOSE), rate="0")
    assert_as_strategy(got, strategy, FIREHOSE)
    if strategy in ("drop", "latest", "error"):
        assert len(got.indexes) < FIREHOSE


@pytest.mark.parametrize("rate", ["500", "0"])
async def test_an_emitter_loses_nothing(servers: Servers, rate: str) -> None:
    got = await streamed(servers["mvc"], variant="emitter", count=str(COUNT), rate=rate)
    assert got.indexes == list(range(COUNT))
    assert got.has_ended


@pytest.mark.parametrize("server", VARIANTS)
async def test_a_post_streams_too(servers: Servers, server: str) -> None:
    got = await streamed(servers[server], body={"count": COUNT, "rate": 0, "strategy": "buffer"})
    assert got.indexes == list(range(COUNT))
    assert got.has_ended


async def test_more_emitters_than_pool_threads_all_get_their_tokens(servers: Servers) -> None:
    streams = (streamed(servers["mvc"], variant="emitter", count="20", rate="500") for _ in range(10))
    for got in await asyncio.gather(*streams):
        assert got.indexes == list(range(20))
        assert got.has_ended


@pytest.mark.parametrize(
    ("server", "variant"), [("mvc", "emitter"), ("mvc", "rx"), ("mvc", "flux"), ("webflux", "flux")]
)
async def test_frames_are_those_of_the_completion_profile(servers: Servers, server: str, variant: str) -> None:
    got = await streamed(servers[server], variant=variant, strategy="buffer", count="2", rate="0")
    stream_id = got.headers["X-Stream-Id"]
    assert got.ids == [f"{stream_id}-0", f"{stream_id}-1", f"{stream_id}-end"]
    assert got.payloads == [
        {"ended": False, "message": "0"},
        {"ended": False, "message": "1"},
        {"ended": True, "message": ""},
    ]


@pytest.mark.parametrize(("server", "variant"), [("mvc", "emitter"), ("mvc", "rx"), ("webflux", "flux")])
async def test_a_trace_tells_the_time_on_pythons_scale(servers: Servers, server: str, variant: str) -> None:
    before_ns = time.monotonic_ns()
    got = await streamed(servers[server], variant=variant, strategy="buffer", count="20", rate="500", trace="1")
    after_ns = time.monotonic_ns()
    *tokens, end = got.payloads
    assert end == {"ended": True, "message": ""}
    due_ns, emitted_ns = ([token[name] for token in tokens] for name in ("due_ns", "emitted_ns"))
    assert [token["seq"] for token in tokens] == list(range(20))
    assert [due - due_ns[0] for due in due_ns] == [2_000_000 * index for index in range(20)]
    assert all(due <= emitted for due, emitted in zip(due_ns, emitted_ns, strict=True))
    assert before_ns <= due_ns[0]
    assert before_ns <= emitted_ns[0] <= emitted_ns[-1] <= after_ns


@pytest.mark.parametrize("server", VARIANTS)
@pytest.mark.parametrize(
    "wrong",
    [
        {"strategy": "wait"},
        {"source": "demo"},
        {"count": "-1"},
        {"count": "1.5"},
        {"count": ""},
        {"rate": "NaN"},
        {"rate": "20d"},
        {"trace": "yes"},
        {"hang_after": "0.5"},
    ],
    ids=str,
)
async def test_a_wrong_value_is_refused_by_name(servers: Servers, server: str, wrong: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{servers[server].port}/v1/chat/stream"
    async with aiohttp.ClientSession() as session, session.get(url, params={"variant": "rx", **wrong}) as response:
        assert response.status == 400
        message = (await response.json())["error"]["message"]
    ((name, value),) = wrong.items()
    assert message.startswith(f"{name} must be ")
    assert message.endswith(f"got {value}")


@pytest.mark.parametrize("server", VARIANTS)
@pytest.mark.parametrize(("name", "value"), [("count", 1.5), ("trace", "yes"), ("rate", "fast")])
async def test_a_wrong_value_in_a_body_is_refused_by_name(
    servers: Servers, server: str, name: str, value: object
) -> None:
    url = f"http://127.0.0.1:{servers[server].port}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json={name: value}) as response:
        assert response.status == 400
        message = (await response.json())["error"]["message"]
    assert message.startswith(f"{name} must be ")
    assert message.endswith(f"got {value}")


@pytest.mark.parametrize("server", VARIANTS)
async def test_a_whole_number_and_a_flag_of_json_are_taken_as_such(servers: Servers, server: str) -> None:
    got = await streamed(servers[server], body={"count": 2.0, "rate": 0, "trace": True})
    assert got.indexes == [0, 1]
    assert [payload["seq"] for payload in got.payloads[:-1]] == [0, 1]


@pytest.mark.parametrize(
    ("server", "argument"),
    [
        ("mvc", "--threads=0"),
        ("mvc", "--threads=five"),
        ("mvc", "--port=70000"),
        ("mvc", "port"),
        ("webflux", "--port="),
        ("webflux", "--threads=5"),
    ],
)
def test_a_wrong_option_ends_the_server_with_one_line(server: str, argument: str) -> None:
    ended = subprocess.run(jvm.command(server, argument), capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(
        rf"an argument must be one of --port=N \(.* 65535\).*; got {re.escape(argument)}\n", ended.stderr
    )


def test_a_server_that_is_ended_leaves_no_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with starting_all([jvm.command("mvc")]) as (server,):
        server.wait_listening()
        assert list(tmp_path.glob("*/tomcat.*"))
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- building


def test_a_module_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="module must be one of semantics, mvc, webflux; got 'tomcat'"):
        jvm.jar("tomcat")


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "java").write_text("#!/bin/sh\necho 'java version \"17\"'\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert jvm.missing() == "mvn 3.6.3 or later: Maven and a JDK"
    with pytest.raises(RuntimeError, match="the Java originals need mvn"):
        jvm.build()


def test_what_is_built_of_these_sources_is_not_built_again(servers: Servers) -> None:
    built = {module: jvm.jar(module).stat().st_mtime_ns for module in jvm.MODULES}
    jvm.build()
    assert {module: jvm.jar(module).stat().st_mtime_ns for module in jvm.MODULES} == built
    assert all(os.access(jvm.jar(module), os.R_OK) for module in jvm.MODULES)
