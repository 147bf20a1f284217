"""Measuring endpoints that are not ours: every profile, every fault under its own name, and no key in any result."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from rich.console import Console

from benchmarks.compare import compare
from benchmarks.load.control import Control
from benchmarks.load.group import LoadClients
from benchmarks.progress import Lines
from benchmarks.results import Repeat, Results, load, save
from benchmarks.scenarios.readers import FAST, Leaving, Paced, ReaderProfile
from benchmarks.traces.captures import Outcome, Trace
from benchmarks.url.endpoint import (
    UrlRequest,
    exit_code,
    measure_url,
    recordable,
    save_recording,
    words,
)
from servers.settings import ServerSettings
from tests.benchmarks.raw import WhenTaken, serving_raw
from tests.servers.serving import Journal, Server

__all__ = ()

PAIR = Path(__file__).with_name("localhost.pem")
KEY = "sk-1234567890"
STREAMED = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "stream": True, "rate": 0, "count": 20})


@asynccontextmanager
async def our_server(**settings: Any) -> AsyncIterator[Server]:
    server = Server(ServerSettings(grace_s=0.5, **settings), Journal(), handler_cancellation=False)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@dataclass
class Raw:
    """A server that answers every request with the same bytes, then closes, or waits to be left."""

    answer: bytes
    hangs: bool = False
    requests: list[bytes] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self.requests.append(head + await reader.readexactly(int(length or 0)))
            writer.write(self.answer)
            if self.hangs:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def raw_server(answer: bytes, *, hangs: bool = False, tls: ssl.SSLContext | None = None) -> AsyncIterator[Raw]:
    raw = Raw(answer, hangs)
    async with await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=tls) as server:
        raw.port = server.sockets[0].getsockname()[1]
        yield raw


def answered(body: str, *, status: str = "200 OK", content_type: str = "text/event-stream") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()


def chunk(text: str) -> str:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text}}]})}\n\n"


WHOLE = answered(chunk("a") + chunk("b") + "data: [DONE]\n\n")


def the_repeat(results: Results) -> Repeat:
    [cell] = results.cells
    assert cell.variant == "url"
    return cell.repeats[0]


async def measured(port: int, path: str = "/", scheme: str = "http", **fields: Any) -> Results:
    return await measure_url(UrlRequest(f"{scheme}://127.0.0.1:{port}{path}", **fields))


# --- Profiles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "path"),
    [("openai", "/v1/chat/completions"), ("anthropic", "/v1/messages"), ("aisdk", "/api/chat")],
)
async def test_clients_profiles_are_measured(profile: str, path: str) -> None:
    async with our_server() as server:
        results = await measured(server.port, path, data=STREAMED, profile=profile, requests=3, connections=2)
    repeat = the_repeat(results)
    assert repeat.outcomes == {"completed": 3}
    assert repeat.per_stream["tokens"] == [20, 20, 20]
    assert all((repeat.measures[name] or 0) > 0 for name in ("tokens_per_s", "ttft_p50_ms", "e2e_p50_ms"))
    assert repeat.measures["loss_share"] is None
    assert "itl_us" in repeat.histograms
    assert exit_code(results) == 0
    assert list(words(results)) == ["3 of 3 streams completed."]


@pytest.mark.parametrize("profile", ["completion", "ndjson", "data", "sse", "text"])
async def test_plain_streams_are_measured(profile: str) -> None:
    query = {"rate": 0, "count": 20, "source": "counter", "profile": "data" if profile == "sse" else profile}
    async with our_server() as server:
        results = await measured(server.port, f"/v1/chat/stream?{urlencode(query)}", profile=profile)
    repeat = the_repeat(results)
    assert repeat.outcomes == {"completed": 1}
    assert repeat.per_stream["tokens"][0] == 20 or profile == "text"


async def test_traced_stream_of_ours_is_measured_in_full() -> None:
    async with our_server() as server:
        path = "/v1/chat/stream?rate=0&count=20&trace=1"
        repeat = the_repeat(await measured(server.port, path, profile="completion"))
    assert repeat.measures["loss_share"] == 0
    assert (repeat.measures["delay_p50_ms"] or 0) > 0
    assert repeat.timeline is not None


async def test_request_is_sent_as_it_was_given() -> None:
    async with raw_server(WHOLE) as server:
        await measured(server.port, "/a?b=c", data='{"x": 1}', headers=["X-Own: yes", "Content-Type: text/x"])
    [request] = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"post /a?b=c http/1.1"
    assert {b"x-own: yes", b"content-type: text/x"} <= set(lines)
    assert body == b'{"x": 1}'


async def test_body_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"y": 2}')
    async with raw_server(WHOLE) as server:
        await measured(server.port, data=f"@{tmp_path / 'body.json'}")
    assert server.requests[0].endswith(b'{"y": 2}')


@pytest.mark.parametrize(
    ("reader", "outcome"), [(Leaving(after_tokens=2), "left"), (Paced(tokens_per_s=2000), "completed")]
)
async def test_endpoint_can_be_read_as_any_reader_does(reader: ReaderProfile, outcome: str) -> None:
    async with our_server() as server:
        path = "/v1/chat/stream?rate=1000&count=20"
        results = await measured(server.port, path, profile="completion", reader=reader)
    assert the_repeat(results).outcomes == {outcome: 1}
    assert exit_code(results) == 0


# --- Faults ---------------------------------------------------------------------------------------------------------

FAULTS = {
    "refused": (answered("overloaded", status="500 Internal Server Error", content_type="text/plain"), "500"),
    "not_a_stream": (answered("<html>", content_type="text/html"), "text/html"),
    "cut": (answered(chunk("a")), ""),
    "malformed": (answered(chunk("a") + "data: {\n\n"), ""),
    "failed": (answered(chunk("a") + 'data: {"error": {"message": "out of memory"}}\n\n'), "out of memory"),
}


@pytest.mark.parametrize("outcome", FAULTS)
async def test_fault_is_counted_under_its_name(outcome: str) -> None:
    answer, said = FAULTS[outcome]
    async with raw_server(answer) as server:
        results = await measured(server.port, requests=2)
    repeat = the_repeat(results)
    assert repeat.outcomes == {outcome: 2}
    assert repeat.measures["streams_completed"] == 0
    assert repeat.measures["streams_failed"] == 2
    assert exit_code(results) == 1
    first, second, *_ = words(results)
    assert first == "0 of 2 streams completed."
    assert second.startswith(f"2 {outcome.replace('_', ' ')}")
    assert said in second


async def test_server_that_is_not_there_is_unreachable(closed_port: int) -> None:
    results = await measured(closed_port)
    assert the_repeat(results).outcomes == {"unreachable": 1}
    assert exit_code(results) == 1


async def test_stream_that_never_ends_is_stuck(jump: Callable[[float], None], when_taken: WhenTaken) -> None:
    when_taken(lambda capture: b"".join(capture.pieces) == chunk("a").encode(), lambda: jump(20))
    async with raw_server(answered(chunk("a")), hangs=True) as server:
        results = await measured(server.port, timeout_s=20)
    assert the_repeat(results).outcomes == {"stuck": 1}
    assert the_repeat(results).per_stream["tokens"] == [1]


async def test_stream_without_a_single_token_is_no_success() -> None:
    async with raw_server(answered("data: [DONE]\n\n")) as server:
        results = await measured(server.port)
    assert the_repeat(results).outcomes == {"completed": 1}
    assert exit_code(results) == 1
    assert "1 stream ended without a single token" in list(words(results))[-1]


async def test_event_of_three_megabytes_is_a_token() -> None:
    async with raw_server(answered(chunk("x" * 3_000_000) + "data: [DONE]\n\n")) as server:
        results = await measured(server.port)
        short = await measured(server.port, max_stream_mib=1)
    assert (the_repeat(results).outcomes, the_repeat(results).per_stream["tokens"]) == ({"completed": 1}, [1])
    assert the_repeat(short).outcomes == {"too_long": 1}
    assert list(words(short))[1] == "1 too long: no end within 1 MiB, which is what is kept of one stream."


async def test_servers_words_do_nothing_to_a_terminal() -> None:
    answer = answered("\x1b[2J\x1b]0;x\x07", status="500 \x1b[31mNo", content_type="text/plain")
    async with raw_server(answer) as server:
        results = await measured(server.port)
    assert list(words(results))[1] == "1 refused: 500 ?[31mNo: ?[2J?]0;x?."


async def test_answer_that_is_no_http_is_no_forgotten_stream_field() -> None:
    async with raw_server(b"SSH-2.0-x\r\n") as server:
        results = await measured(server.port, data="{}")
    assert the_repeat(results).outcomes == {"not_a_stream": 1}
    assert '"stream": true' not in "".join(words(results))


async def test_forgotten_stream_field_is_hinted_at() -> None:
    async with our_server() as server:
        path = "/v1/chat/completions"
        results = await measured(server.port, path, data='{"messages": [], "rate": 0, "count": 3}')
    assert the_repeat(results).outcomes == {"not_a_stream": 1}
    assert '"stream": true' in list(words(results))[-1]


# --- Secrets --------------------------------------------------------------------------------------------------------


async def test_key_is_sent_and_is_in_no_result(tmp_path: Path) -> None:
    quoted = answered(f"bad key {KEY}", status="401 Unauthorized", content_type="text/plain")
    async with raw_server(quoted) as server:
        results = await measured(
            server.port,
            "/?api_key=s3cr3t",
            headers=["Authorization: Bearer $KEY", f"X-Api-Key: {KEY}"],
            variables={"KEY": KEY},
        )
    assert f"authorization: bearer {KEY}".encode() in server.requests[0].lower()
    assert b"/?api_key=s3cr3t" in server.requests[0]
    save(results, tmp_path / "results.json")
    text = (tmp_path / "results.json").read_text()
    assert KEY not in text
    assert "s3cr3t" not in text
    assert "401" in text
    assert "Authorization: Bearer $KEY" in results.command
    assert KEY not in "".join(words(results))


async def test_key_that_a_server_quotes_in_any_form_is_in_no_result(tmp_path: Path) -> None:
    key = "s3cr3t/+key"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Stream-Id: of-{key}\r\n\r\n"
    error = 'data: {"error": {"message": "bad s3cr3t%2F%2Bkey or s3cr3t\\\\/+key"}}\n\n'
    kept: list[Trace] = []
    async with raw_server((head + chunk(f"you are {key}") + error).encode()) as server:
        request = UrlRequest(
            f"http://127.0.0.1:{server.port}/", data='{"api_key": "$KEY", "stream": true}', variables={"KEY": key}
        )
        results = await measure_url(request, keep=kept.append)
    assert b'{"api_key": "s3cr3t/+key", "stream": true}' in server.requests[0]
    save(results, tmp_path / "results.json")
    text = (tmp_path / "results.json").read_text()
    assert "s3cr3t" not in text + "".join(words(results)) + repr(kept)
    assert the_repeat(results).per_stream["stream_id"] == ["of-[redacted]"]
    assert the_repeat(results).per_stream["detail"] == ["bad [redacted] or [redacted]"]
    assert kept[0].texts == ("you are [redacted]",)
    assert results.cells[0].parameters["data"] == '{"api_key": "$KEY", "stream": true}'


def test_request_shows_no_secret() -> None:
    request = UrlRequest("http://a/", headers=[f"Authorization: Bearer {KEY}"])
    assert KEY not in repr(request)


# --- https ----------------------------------------------------------------------------------------------------------


def server_side() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PAIR)
    return context


async def test_https_is_measured_with_a_certificate_that_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(PAIR))
    async with raw_server(WHOLE, tls=server_side()) as server:
        results = await measured(server.port, scheme="https")
    assert the_repeat(results).outcomes == {"completed": 1}
    assert the_repeat(results).per_stream["tokens"] == [2]


async def test_https_of_a_stranger_is_measured_only_if_told_so() -> None:
    async with raw_server(WHOLE, tls=server_side()) as server:
        refused = await measured(server.port, scheme="https")
        accepted = await measured(server.port, scheme="https", verify=False)
    assert the_repeat(refused).outcomes == {"unreachable": 1}
    assert "certificate" in the_repeat(refused).per_stream["detail"][0]
    assert the_repeat(accepted).outcomes == {"completed": 1}


# --- Results --------------------------------------------------------------------------------------------------------


async def test_results_can_be_saved_loaded_and_compared(tmp_path: Path) -> None:
    async with raw_server(WHOLE) as server:
        results = await measured(server.port, repeats=2)
    save(results, tmp_path / "results.json")
    again = load(tmp_path / "results.json")
    assert msgspec.to_builtins(again) == msgspec.to_builtins(results)
    assert len(again.cells[0].repeats) == 2
    assert compare(results, again).exit_code == 0


async def test_interrupt_keeps_what_came_and_says_so() -> None:
    control = Control()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(WHOLE if control.begun == 1 else answered(chunk("a")))
        await writer.drain()
        if control.begun == 2:
            control.stop()
            await reader.read()

    async with serving_raw(answer) as port:
        request = UrlRequest(f"http://127.0.0.1:{port}/", requests=3, repeats=3)
        results = await measure_url(request, control=control)
    assert results.interrupted
    assert [repeat.outcomes for repeat in results.cells[0].repeats] == [{"completed": 1, "left": 1}]
    assert list(words(results)) == [
        "Interrupted: what was measured before is kept.",
        "1 of 2 streams completed.",
        "1 left: interrupted.",
    ]


@pytest.mark.slow
async def test_several_clients_share_the_streams() -> None:
    async with raw_server(WHOLE) as server:
        request = UrlRequest(f"http://127.0.0.1:{server.port}/v1", requests=5, connections=3, repeats=2, clients=2)
        results = await measure_url(request)
    assert results.clients == 2
    assert [repeat.outcomes for repeat in results.cells[0].repeats] == [{"completed": 5}] * 2
    assert len(server.requests) == 10


@pytest.mark.slow
async def test_interrupt_keeps_what_came_to_several_clients() -> None:
    control = Control()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answered(chunk("a")))
        await writer.drain()
        both_asked.release()
        await reader.read()

    async def stop() -> None:
        for _ in range(2):
            await both_asked.acquire()
        control.stop()

    both_asked = asyncio.Semaphore(0)
    async with serving_raw(answer) as port, asyncio.TaskGroup() as group:
        group.create_task(stop())
        request = UrlRequest(f"http://127.0.0.1:{port}/", requests=4, connections=2, clients=2)
        results = await measure_url(request, control=control)
    assert results.interrupted
    assert [repeat.outcomes for repeat in results.cells[0].repeats] == [{"left": 2}]


@pytest.mark.slow
async def test_client_that_dies_is_an_error_beside_what_was_measured_before(monkeypatch: pytest.MonkeyPatch) -> None:
    drive_all: Any = LoadClients.drive_all
    calls: list[int] = []

    def die_at_the_second(clients: LoadClients, orders: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            os.kill(clients.pids[0], signal.SIGKILL)
        return drive_all(clients, orders)

    monkeypatch.setattr(LoadClients, "drive_all", die_at_the_second)
    async with raw_server(WHOLE) as server:
        results = await measured(server.port, requests=2, connections=2, clients=2, repeats=3)
    (cell,) = results.cells
    assert "ended with code -9" in cell.error
    assert [repeat.outcomes for repeat in cell.repeats] == [{"completed": 2}]
    assert exit_code(results) == 1


async def test_progress_is_told_of_each_repeat() -> None:
    text = io.StringIO()
    async with raw_server(WHOLE) as server:
        request = UrlRequest(f"http://127.0.0.1:{server.port}/v1", requests=2, repeats=2)
        await measure_url(request, progress=Lines(Console(file=text)))
    assert text.getvalue().splitlines() == [
        f"[{number}/2] 127.0.0.1:{server.port}/v1 fast: 2 streams, 1 at a time" for number in (1, 2)
    ]


# --- Recordings -----------------------------------------------------------------------------------------------------


async def test_stream_is_recorded_and_served_again(tmp_path: Path) -> None:
    kept: list[Trace] = []
    async with our_server(recordings=tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}"
        request = UrlRequest(f"{url}/v1/chat/completions", data=STREAMED, requests=2)
        await measure_url(request, keep=kept.append)
        chosen = recordable(kept)
        assert chosen is not None
        assert chosen.finish_reason == "stop"
        save_recording(chosen, tmp_path / "r.jsonl")
        replayed: list[Trace] = []
        query = urlencode({"source": "recording:r.jsonl", "pacing": "recorded", "trace": 1})
        again = UrlRequest(f"{url}/v1/chat/stream?{query}", profile="completion")
        await measure_url(again, keep=replayed.append)
    assert replayed[0].texts == chosen.texts
    # The replay's own schedule has the gaps of the stream that was recorded, to the nanosecond of its file.
    sent_ns = chosen.times.sent_ns
    assert sent_ns is not None
    assert replayed[0].due_ns is not None
    gaps_ns = [due - int(replayed[0].due_ns[0]) for due in replayed[0].due_ns.tolist()]
    assert gaps_ns == [at - int(chosen.received_ns[0]) for at in chosen.received_ns.tolist()]


async def test_stream_that_did_not_complete_is_not_recorded() -> None:
    kept: list[Trace] = []
    async with raw_server(FAULTS["cut"][0]) as server:
        await measure_url(UrlRequest(f"http://127.0.0.1:{server.port}/"), keep=kept.append)
    assert [trace.outcome for trace in kept] == [Outcome.CUT]
    assert recordable(kept) is None


# --- Refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "ftp://a/"}, "http"),
        ({"url": "http:///x"}, "host"),
        ({"url": "http://user:pw@a/"}, "--header"),
        ({"url": "http://a/b c"}, "path and query of printable ASCII"),
        ({"url": "http://a:99999/"}, "port from 1 to 65535"),
        ({"url": "http://a:0/"}, "port from 1 to 65535"),
        ({"url": "http://a:x/"}, "port from 1 to 65535"),
        ({"url": "http://[::1/"}, r"an IPv4 address or \[an IPv6 one\]"),
        ({"url": "http://a/", "max_stream_mib": 0}, "max_stream_mib"),
        ({"url": "http://a/", "profile": "soap"}, "profile"),
        ({"url": "http://a/", "method": "PUT"}, "method"),
        ({"url": "http://a/", "requests": 0}, "requests"),
        ({"url": "http://a/", "connections": 0}, "connections"),
        ({"url": "http://a/", "repeats": 0}, "repeats"),
        ({"url": "http://a/", "timeout_s": 0}, "timeout_s"),
        ({"url": "http://a/", "data": "@/nowhere/x"}, "cannot be read"),
        ({"url": "http://a/", "headers": ["Authorization: $NONE"], "variables": {}}, "NONE is not set"),
    ],
)
def test_wrong_request_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        UrlRequest(**fields)


def test_refused_header_value_is_not_quoted() -> None:
    with pytest.raises(ValueError, match="one line") as caught:
        UrlRequest("http://a/", headers=["X-Key: $KEY"], variables={"KEY": f"{KEY}\n"})
    assert KEY not in str(caught.value)


def test_command_repeats_the_request() -> None:
    request = UrlRequest("http://a/", data="{}", requests=4, connections=2, reader=Leaving(after_tokens=3), clients=2)
    assert request.command == (
        "python -m benchmarks url http://a/ --profile openai --data '{}' --requests 4 --connections 2 "
        "--reader leaving:3 --clients 2"
    )
    assert UrlRequest("http://a/").reader is FAST
