"""A live endpoint as a source, against a fake one on loopback that says exactly the bytes of each test."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import pickle
import socket
import struct
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest

from servers.upstream import API_KEY_VARIABLES, Completion, Upstream, UpstreamError
from servers.variants import Intake, expose
from streams import BackpressureStrategy, EmitResult, StreamError, Token
from streams.source import read_recording

__all__ = ()

RECORDED_STREAMS = Path(__file__).parents[3] / "shared" / "data" / "recorded-streams"
KEY = "sk-test-0123456789"
DONE = b"data: [DONE]\n\n"


class Request:
    """What the fake was asked: the first line, the headers in lower case, the body."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.line = line
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


class FakeUpstream:
    """A server that notes each request, and then lets the script of the test speak."""

    def __init__(self) -> None:
        self.script: Script = say(b"")
        self.requests: list[Request] = []
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.base_url = ""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0, backlog=256)
        host, port = self._server.sockets[0].getsockname()
        self.base_url = f"http://{host}:{port}/v1"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self.requests.append(await read_request(reader))
            self.asked.set()
            await self.script(reader, writer)
        self.hung_up.set()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
    return Request(head[0], headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def head(status: str = "200 OK", content_type: str = "text/event-stream", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", "Connection: close", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def say(body: bytes, *, start: bytes | None = None, piece_bytes: int = 1 << 20) -> Script:
    """Answer with `body`, in pieces, and end cleanly."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head() if start is None else start)
        for at in range(0, len(body), piece_bytes):
            writer.write(body[at : at + piece_bytes])
            await writer.drain()
            await asyncio.sleep(0)

    return script


def say_and_wait(body: bytes) -> Script:
    """Answer with `body`, and say no more until the client has gone."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head() + body)
        await reader.read()

    return script


def event(**chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def delta(content: object = None, finish_reason: str | None = None, **fields: Any) -> bytes:
    """Write the event of a chunk with one choice."""
    fields = fields if content is None else {"content": content, **fields}
    return event(
        object="chat.completion.chunk", choices=[{"index": 0, "delta": fields, "finish_reason": finish_reason}]
    )


def no_threads(token: Token) -> NoReturn:
    pytest.fail(f"an upstream sends from no thread: {token}")


async def play(completion: Completion) -> list[Token]:
    tokens: list[Token] = []

    async def send(token: Token) -> None:
        tokens.append(token)

    await completion.feed(Intake(send, no_threads))
    return tokens


async def texts_of(completion: Completion) -> list[str]:
    return [token.text for token in await play(completion)]


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in API_KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    server = FakeUpstream()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def upstream(fake: FakeUpstream) -> AsyncIterator[Upstream]:
    made = Upstream(fake.base_url)
    yield made
    await made.aclose()


# Requests.


async def test_request_asks_for_a_stream_with_usage(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(DONE)
    messages = [{"role": "user", "content": "Grüße 🙂"}]
    await play(upstream.completion("llama3.2:1b", messages, max_tokens=5, seed=None, temperature=0.5))
    [request] = fake.requests
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert "authorization" not in request.headers
    assert request.json == {
        "model": "llama3.2:1b",
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
        "temperature": 0.5,
    }


@pytest.mark.parametrize("messages", [None, []])
async def test_request_without_messages_asks_for_something(
    fake: FakeUpstream, upstream: Upstream, messages: list[dict[str, str]] | None
) -> None:
    fake.script = say(DONE)
    await play(upstream.completion("m", messages))
    assert fake.requests[0].json["messages"] == [{"role": "user", "content": "Say something."}]


async def test_base_url_may_end_with_a_slash(fake: FakeUpstream) -> None:
    fake.script = say(DONE)
    upstream = Upstream(fake.base_url + "/")
    await play(upstream.completion("m"))
    await upstream.aclose()
    assert upstream.base_url == fake.base_url
    assert fake.requests[0].line == "POST /v1/chat/completions HTTP/1.1"


@pytest.mark.parametrize(
    ("environment", "sent"),
    [
        ({"OPENAI_API_KEY": "general"}, "Bearer general"),
        ({"OPENAI_API_KEY": "general", "TOKENWEIR_UPSTREAM_API_KEY": f" {KEY}\n"}, f"Bearer {KEY}"),
        ({"OPENAI_API_KEY": "general", "TOKENWEIR_UPSTREAM_API_KEY": " "}, "Bearer general"),
    ],
)
async def test_api_key_is_the_first_one_in_the_environment(
    fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], sent: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fake.script = say(DONE)
    upstream = Upstream(fake.base_url)
    await play(upstream.completion("m"))
    await upstream.aclose()
    assert fake.requests[0].headers["authorization"] == sent


async def test_redirect_is_not_followed(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(b"", start=head("307 Temporary Redirect", "text/html", f"Location: {fake.base_url}/elsewhere"))
    with pytest.raises(UpstreamError, match="status 307"):
        await play(upstream.completion("m"))
    assert len(fake.requests) == 1


@pytest.mark.slow
async def test_more_completions_run_at_a_time_than_a_pool_has_connections(
    fake: FakeUpstream, upstream: Upstream
) -> None:
    count = 101
    together = asyncio.Barrier(count)

    async def answer_when_all_have_asked(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await together.wait()
        writer.write(head() + delta("a") + DONE)

    fake.script = answer_when_all_have_asked
    answers = await asyncio.gather(*[texts_of(upstream.completion("m")) for _ in range(count)])
    assert answers == [["a"]] * count


# Answers.


async def test_tokens_count_from_0_and_bear_the_time_of_their_arrival(fake: FakeUpstream, upstream: Upstream) -> None:
    usage = {"prompt_tokens": 2, "completion_tokens": 2}
    fake.script = say(
        delta("", role="assistant") + delta("Hel") + delta("lo", "stop") + event(choices=[], usage=usage) + DONE
    )
    completion = upstream.completion("m")
    assert (completion.finish_reason, completion.usage) == (None, None)
    before_ns = time.monotonic_ns()
    tokens = await play(completion)
    assert [(token.index, token.text, token.merged, token.producer) for token in tokens] == [
        (0, "Hel", 1, None),
        (1, "lo", 1, None),
    ]
    assert all(before_ns <= token.due_ns == token.emitted_ns <= time.monotonic_ns() for token in tokens)
    assert (completion.finish_reason, completion.usage) == ("stop", usage)


async def test_second_feed_is_a_new_request(fake: FakeUpstream, upstream: Upstream) -> None:
    completion = upstream.completion("m")
    fake.script = say(delta("a", "stop") + event(choices=[], usage={"total_tokens": 1}) + DONE)
    assert await texts_of(completion) == ["a"]
    fake.script = say(delta("b") + DONE)
    assert await texts_of(completion) == ["b"]
    assert (completion.finish_reason, completion.usage) == (None, None)
    assert len(fake.requests) == 2


@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
async def test_bytes_may_be_cut_anywhere(
    fake: FakeUpstream, upstream: Upstream, piece_bytes: int, line_end: bytes
) -> None:
    raw = 'data: {"choices":[{"delta":{"content":"né 🙂"}}]}\n\n: ping\n'.encode()
    body = b": hello\n\n" + raw + delta(" 你好") + DONE
    fake.script = say(body.replace(b"\n", line_end), piece_bytes=piece_bytes)
    assert await texts_of(upstream.completion("m")) == ["né 🙂", " 你好"]


@pytest.mark.parametrize(
    "oddity",
    [
        pytest.param(delta(role="assistant"), id="role only"),
        pytest.param(delta(""), id="empty"),
        pytest.param(event(choices=[{"index": 0, "delta": {"content": None}}]), id="null content"),
        pytest.param(delta(["parts"]), id="content of another shape"),
        pytest.param(delta(reasoning_content="Hm."), id="reasoning_content"),
        pytest.param(delta(reasoning="Hm."), id="reasoning"),
        pytest.param(delta(tool_calls=[{"index": 0}]), id="tool call"),
        pytest.param(event(choices=[{"index": 1, "delta": {"content": "other"}}]), id="another choice"),
        pytest.param(event(choices=[], usage={"total_tokens": 3}), id="usage"),
        pytest.param(event(choices=None, usage=None, error=None), id="nulls"),
        pytest.param(event(choices=[None, {"delta": None}]), id="choices of another shape"),
        pytest.param(event(choices=7, prompt_filter_results=[]), id="vendor fields"),
        pytest.param(b"data: []\n\n", id="no object"),
        pytest.param(b'data: {"logprob": -Infinity, "x": NaN}\n\n', id="no JSON numbers"),
        pytest.param(b"data:\n\ndata:  \n\n", id="blank data"),
        pytest.param(b": ping\n\n", id="comment"),
        pytest.param(b"event: ping\nid: 1\nretry: 10\n\n", id="no data"),
    ],
)
async def test_what_holds_no_text_makes_no_token(fake: FakeUpstream, upstream: Upstream, oddity: bytes) -> None:
    fake.script = say(oddity + delta("a") + oddity + delta("b") + oddity + DONE)
    tokens = await play(upstream.completion("m"))
    assert [(token.index, token.text) for token in tokens] == [(0, "a"), (1, "b")]


async def test_numbers_that_json_does_not_have_are_null(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(event(choices=[], usage={"cost": math.nan, "total_tokens": 3}) + DONE)
    completion = upstream.completion("m")
    await play(completion)
    assert completion.usage == {"cost": None, "total_tokens": 3}


async def test_what_follows_done_is_not_read(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say_and_wait(delta("a") + DONE + delta("b") + b"data: {broken\n\n")
    assert await texts_of(upstream.completion("m")) == ["a"]
    await fake.hung_up.wait()


async def test_end_without_done_is_fine_after_a_finish_reason(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(delta("a") + delta(None, "length"))
    completion = upstream.completion("m")
    assert await texts_of(completion) == ["a"]
    assert completion.finish_reason == "length"


@pytest.mark.parametrize(
    ("body", "token_count"),
    [(b"", 0), (delta("a") + delta("b", ""), 2), (delta("a") + delta("b").rstrip(), 1)],
    ids=["empty", "no finish_reason", "unfinished event"],
)
async def test_end_without_done_and_finish_reason_is_a_cut(
    fake: FakeUpstream, upstream: Upstream, body: bytes, token_count: int
) -> None:
    fake.script = say(body)
    with pytest.raises(UpstreamError, match=f"cut off its answer after {token_count} tokens"):
        await play(upstream.completion("m"))


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "text/event-stream; charset=utf-8"])
async def test_event_stream_is_read_under_another_type(
    fake: FakeUpstream, upstream: Upstream, content_type: str
) -> None:
    fake.script = say(delta("a") + DONE, start=head(content_type=content_type))
    assert await texts_of(upstream.completion("m")) == ["a"]


@pytest.mark.parametrize("finish_reason", ["stop", None])
async def test_answer_that_is_not_streamed_is_one_token(
    fake: FakeUpstream, upstream: Upstream, finish_reason: str | None
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "All at once."}, "finish_reason": finish_reason}
    body = json.dumps({"object": "chat.completion", "choices": [choice], "usage": {"total_tokens": 9}}, indent=1)
    fake.script = say(body.encode(), start=head(content_type="application/json"), piece_bytes=50)
    completion = upstream.completion("m")
    assert await texts_of(completion) == ["All at once."]
    assert (completion.finish_reason, completion.usage) == (finish_reason, {"total_tokens": 9})


@pytest.mark.parametrize("name", ["deepseek-text.jsonl", "openai-text.jsonl", "alibaba-text.jsonl"])
async def test_recordings_of_live_services_are_read_alike(fake: FakeUpstream, upstream: Upstream, name: str) -> None:
    if not RECORDED_STREAMS.is_dir():
        pytest.skip("the recorded streams do not lie beside this checkout")
    lines = (RECORDED_STREAMS / name).read_bytes().splitlines()
    fake.script = say(b"".join(b"data: " + line + b"\n\n" for line in lines) + DONE, piece_bytes=997)
    recorded = read_recording(RECORDED_STREAMS / name)
    completion = upstream.completion("m")
    tokens = await play(completion)
    assert [token.text for token in tokens] == list(recorded.texts)
    assert [token.index for token in tokens] == list(range(len(recorded)))
    assert (completion.finish_reason, completion.usage) == (recorded.finish_reason, recorded.usage)


# The consumer.


@pytest.mark.parametrize("result", [EmitResult.FAIL_OVERFLOW, EmitResult.FAIL_CANCELLED, EmitResult.FAIL_TERMINATED])
async def test_failed_send_ends_the_feed_and_the_connection(
    fake: FakeUpstream, upstream: Upstream, result: EmitResult
) -> None:
    fake.script = say_and_wait(delta("a") + delta("b"))
    sent: list[str] = []

    async def send(token: Token) -> EmitResult:
        sent.append(token.text)
        return result

    await upstream.completion("m").feed(Intake(send, no_threads))
    await fake.hung_up.wait()
    assert sent == ["a"]


@pytest.mark.parametrize("result", [None, EmitResult.OK, EmitResult.DROPPED, EmitResult.MERGED])
async def test_other_results_let_the_feed_go_on(
    fake: FakeUpstream, upstream: Upstream, result: EmitResult | None
) -> None:
    fake.script = say(delta("a") + delta("b") + DONE)
    sent: list[str] = []

    async def send(token: Token) -> EmitResult | None:
        sent.append(token.text)
        return result

    await upstream.completion("m").feed(Intake(send, no_threads))
    assert sent == ["a", "b"]


@pytest.mark.parametrize("error", [ValueError("theirs"), ConnectionResetError("theirs"), TimeoutError("theirs")])
async def test_what_send_raises_is_passed_on(fake: FakeUpstream, upstream: Upstream, error: Exception) -> None:
    fake.script = say_and_wait(delta("a"))

    async def send(token: Token) -> None:
        raise error

    with pytest.raises(type(error), match="theirs"):
        await upstream.completion("m").feed(Intake(send, no_threads))
    await fake.hung_up.wait()


@pytest.mark.slow
async def test_stalled_consumer_stops_the_reading(fake: FakeUpstream, upstream: Upstream) -> None:
    piece = delta("x" * 65_536)
    pieces, sent = 1500, 0  # about 100 MB: more than all buffers between the two

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(head())
        while sent < pieces:
            writer.write(piece)
            await writer.drain()
            sent += 1

    taken: list[int] = []
    resumed = asyncio.Event()

    async def send(token: Token) -> EmitResult:
        taken.append(token.index)
        await resumed.wait()
        return EmitResult.OK if token.index < 400 else EmitResult.FAIL_CANCELLED

    fake.script = flood
    feed = asyncio.create_task(upstream.completion("m").feed(Intake(send, no_threads)))
    quiet_turns = 0
    while not taken or quiet_turns < 200:
        before = sent
        await asyncio.sleep(0)
        quiet_turns = quiet_turns + 1 if sent == before else 0
    assert taken == [0]
    assert sent < pieces // 2
    resumed.set()
    await feed
    assert taken == list(range(401))


async def test_stalled_consumer_is_no_silence_of_the_endpoint(
    fake: FakeUpstream, upstream: Upstream, jump: Callable[[float], None], settle: Callable[[], Awaitable[None]]
) -> None:
    fake.script = say_and_wait(delta("a") + DONE)

    async def send(token: Token) -> None:
        jump(10_000)
        await settle()

    await upstream.completion("m").feed(Intake(send, no_threads))


async def test_loop_gets_its_turn_at_least_every_64_tokens(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(b"".join(delta(str(number)) for number in range(200)) + DONE)
    loop = asyncio.get_running_loop()
    turn = 0
    sent_in_turn: Counter[int] = Counter()

    def count_turns() -> None:
        nonlocal turn
        turn += 1
        if not feed.done():
            loop.call_soon(count_turns)

    async def send(token: Token) -> None:
        sent_in_turn[turn] += 1

    feed = asyncio.create_task(upstream.completion("m").feed(Intake(send, no_threads)))
    count_turns()
    await feed
    assert sent_in_turn.total() == 200
    assert max(sent_in_turn.values()) <= 64


@pytest.mark.parametrize("tokens", [b"", delta("a")], ids=["before the first token", "in mid-stream"])
async def test_cancellation_closes_the_connection(fake: FakeUpstream, upstream: Upstream, tokens: bytes) -> None:
    fake.script = say_and_wait(tokens)
    feed = asyncio.create_task(play(upstream.completion("m")))
    await fake.asked.wait()
    feed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feed
    await fake.hung_up.wait()


@pytest.mark.parametrize("variant", ["flux", "rx", "emitter"])
async def test_variant_that_is_cancelled_closes_the_connection(
    fake: FakeUpstream, upstream: Upstream, variant: str
) -> None:
    fake.script = say_and_wait(delta("a") + delta("b"))
    written = asyncio.Event()

    async def write(tokens: list[Token]) -> None:
        if tokens[-1].text == "b":
            written.set()

    strategy = BackpressureStrategy.buffer(8)
    stream = expose(variant, upstream.completion("m").feed, strategy, max_items=8, prefetch=1)
    delivery = asyncio.create_task(stream.deliver(write))
    await written.wait()
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    await fake.hung_up.wait()


@pytest.mark.parametrize("variant", ["flux", "rx", "emitter"])
async def test_failure_is_the_terminal_of_every_variant(fake: FakeUpstream, upstream: Upstream, variant: str) -> None:
    fake.script = say(delta("a"))
    written: list[str] = []

    async def write(tokens: list[Token]) -> None:
        written.extend(token.text for token in tokens)

    strategy = BackpressureStrategy.buffer(8)
    stream = expose(variant, upstream.completion("m").feed, strategy, max_items=8, prefetch=1)
    with pytest.raises(UpstreamError, match="cut off"):
        await stream.deliver(write)
    assert written == ["a"]


async def test_completion_fails_when_its_upstream_is_closed(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say_and_wait(b"")
    feed = asyncio.create_task(play(upstream.completion("m")))
    await fake.asked.wait()
    await upstream.aclose()
    with pytest.raises(UpstreamError, match="broke off"):
        await feed


async def test_closed_upstream_can_be_used_again(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(delta("a") + DONE)
    await upstream.aclose()
    assert await texts_of(upstream.completion("m")) == ["a"]
    await upstream.aclose()
    assert await texts_of(upstream.completion("m")) == ["a"]


# Failures.


@pytest.mark.parametrize("is_reset", [False, True], ids=["ended", "reset"])
@pytest.mark.parametrize(
    ("framing", "said"),
    [
        ("Transfer-Encoding: chunked", "broke off the connection: ."),
        ("Content-Length: 9999", "broke off the connection: ."),
        ("X-Length: unknown", "cut off its answer after 1 tokens"),
    ],
)
async def test_cut_in_mid_stream_is_an_error(
    fake: FakeUpstream, upstream: Upstream, framing: str, said: str, is_reset: bool
) -> None:
    seen = asyncio.Event()

    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = delta("a")
        size = f"{len(data):x}\r\n".encode() if "chunked" in framing else b""
        writer.write(head("200 OK", "text/event-stream", framing) + size + data)
        await seen.wait()
        if is_reset:
            linger_for_0_s = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_0_s)
        writer.transport.abort()

    async def send(token: Token) -> None:
        seen.set()

    fake.script = cut
    with pytest.raises(UpstreamError, match=said) as raised:
        await upstream.completion("m").feed(Intake(send, no_threads))
    assert raised.value.status is None


async def test_no_answer_at_all_is_an_error(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(b"", start=b"")
    with pytest.raises(UpstreamError, match="broke off the connection: "):
        await play(upstream.completion("m"))


async def test_answer_that_is_no_http_is_an_error(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(b"", start=b"220 mail.example ESMTP\r\n\r\n")
    with pytest.raises(UpstreamError, match="broke off the connection: "):
        await play(upstream.completion("m"))


@pytest.mark.parametrize(
    ("chunk", "said"),
    [
        ({"error": {"message": "out of memory", "code": 500}}, "out of memory"),
        ({"error": "model not found"}, "model not found"),
        ({"error": {"code": 7}}, '{"code": 7}'),
        ({"object": "error", "message": "bad request", "code": 400}, "bad request"),
        ({"choices": [], "error": {"message": "quota"}}, "quota"),
    ],
)
async def test_error_object_in_mid_stream_is_an_error(
    fake: FakeUpstream, upstream: Upstream, chunk: dict[str, Any], said: str
) -> None:
    fake.script = say(delta("a") + event(**chunk) + delta("b") + DONE)
    sent: list[str] = []

    async def send(token: Token) -> None:
        sent.append(token.text)

    with pytest.raises(UpstreamError) as raised:
        await upstream.completion("m").feed(Intake(send, no_threads))
    assert str(raised.value) == f"the upstream failed: {said}"
    assert sent == ["a"]


@pytest.mark.parametrize("data", [b"{broken", b"plain words", b"[" * 100_000, b'{"choices": ['])
async def test_malformed_json_is_an_error(fake: FakeUpstream, upstream: Upstream, data: bytes) -> None:
    fake.script = say(b"data: " + data + b"\n\n" + DONE)
    with pytest.raises(UpstreamError, match="malformed JSON: ") as raised:
        await play(upstream.completion("m"))
    assert len(str(raised.value)) < 400


async def test_event_without_end_is_an_error(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(b"data: " + b"x" * 1_100_000)
    with pytest.raises(UpstreamError, match="an event of more than 1048576 bytes"):
        await play(upstream.completion("m"))


async def test_json_answer_without_end_is_an_error(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(b'"' + b"x" * 3_000_000 + b'"', start=head(content_type="application/json"))
    with pytest.raises(UpstreamError, match="malformed JSON"):
        await play(upstream.completion("m"))


async def test_web_page_instead_of_a_stream_is_an_error(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(b"<!doctype html><p>Welcome", start=head(content_type="text/html; charset=utf-8"))
    with pytest.raises(UpstreamError, match="web page; the base URL usually ends in /v1"):
        await play(upstream.completion("m"))


@pytest.mark.parametrize(
    ("status", "content_type", "body", "said"),
    [
        (
            "404 Not Found",
            "application/json",
            b'{"error":{"message":"model \'m\' not found"}}',
            ": model 'm' not found",
        ),
        ("400 Bad Request", "application/json", b'{"error":"no model"}', ": no model"),
        ("422 Unprocessable", "application/json", b'{"detail":[{"loc":["body"]}]}', ': [{"loc": ["body"]}]'),
        ("400 Bad Request", "application/json", b'{"message":"older shape"}', ": older shape"),
        ("503 Unavailable", "text/plain", b"busy\n  come back", ": busy come back"),
        ("502 Bad Gateway", "text/html", b"\n<html>nginx</html>", ""),
        ("500 Internal Server Error", "text/event-stream", b"", ""),
        ("429 Too Many Requests", "text/plain", b"x" * 5000, ": " + "x" * 297 + "..."),
    ],
)
async def test_refusal_names_status_and_message(
    fake: FakeUpstream, upstream: Upstream, status: str, content_type: str, body: bytes, said: str
) -> None:
    fake.script = say(body, start=head(status, content_type))
    with pytest.raises(UpstreamError) as raised:
        await play(upstream.completion("m"))
    assert str(raised.value) == f"the upstream answered with status {status[:3]}{said}"
    assert raised.value.status == int(status[:3])


async def test_refusal_that_breaks_off_keeps_its_status(fake: FakeUpstream, upstream: Upstream) -> None:
    fake.script = say(b"half", start=head("500 Internal Server Error", "text/plain", "Content-Length: 99"))
    with pytest.raises(UpstreamError) as raised:
        await play(upstream.completion("m"))
    assert (str(raised.value), raised.value.status) == ("the upstream answered with status 500", 500)


async def test_api_key_is_shown_nowhere(
    fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TOKENWEIR_UPSTREAM_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    upstream = Upstream(fake.base_url)
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}).encode()
    shown = [repr(upstream), repr(upstream.completion("m"))]
    for script in (
        say(body, start=head("401 Unauthorized", "application/json")),
        say(b"data: " + body + b"\n\n"),
        say(b"data: {" + KEY.encode() + b"\n\n"),
        say(b"", start=f"{KEY}\r\n\r\n".encode()),
    ):
        fake.script = script
        with pytest.raises(UpstreamError) as raised:
            await play(upstream.completion("m"))
        shown += [str(raised.value), repr(raised.value), repr(raised.value.__cause__)]
        shown += traceback.format_exception(raised.value)
    await upstream.aclose()
    assert {request.headers["authorization"] for request in fake.requests} == {f"Bearer {KEY}"}
    assert KEY not in "\n".join([*shown, caplog.text])
    assert "the upstream answered with status 401: Incorrect API key provided: [API key]" in shown


async def test_refused_connection_is_an_error(closed_port: int) -> None:
    upstream = Upstream(f"http://127.0.0.1:{closed_port}/v1")
    with pytest.raises(UpstreamError, match=r"cannot reach the upstream at http://127\.0\.0\.1:\d+/v1: "):
        await play(upstream.completion("m"))
    await upstream.aclose()


async def test_unknown_host_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    upstream = Upstream("http://nowhere.invalid/v1")
    with pytest.raises(UpstreamError, match=r"cannot reach the upstream at http://nowhere\.invalid/v1: "):
        await play(upstream.completion("m"))
    await upstream.aclose()


async def test_connection_that_never_comes_is_an_error(
    monkeypatch: pytest.MonkeyPatch, jump: Callable[[float], None]
) -> None:
    async def look_up(*_: object, **__: object) -> None:
        jump(11)
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    upstream = Upstream("http://slow.invalid/v1")
    with pytest.raises(UpstreamError, match=r"no connection to the upstream at http://slow\.invalid/v1 within 10 s"):
        await play(upstream.completion("m"))
    await upstream.aclose()


@pytest.mark.parametrize("start", [b"", head() + delta("a"), head("500 Internal Server Error")])
async def test_silence_is_an_error(
    fake: FakeUpstream, upstream: Upstream, jump: Callable[[float], None], start: bytes
) -> None:
    async def fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for _ in range(100):
            jump(121)
            await asyncio.sleep(0)
        await reader.read()

    fake.script = fall_silent
    feed = asyncio.create_task(play(upstream.completion("m")))
    with pytest.raises(UpstreamError, match=r"silent for 120 s|status 500"):
        await feed
    await fake.hung_up.wait()


def test_error_is_a_stream_error_that_can_be_pickled() -> None:
    error = UpstreamError("no", status=503)
    assert isinstance(error, StreamError)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.status) == ("no", 503)


# Models.


async def test_models_are_listed_in_order(fake: FakeUpstream, upstream: Upstream) -> None:
    listed = {"object": "list", "data": [{"id": "b", "object": "model"}, {"id": "a"}, {"name": "?"}, "c", {"id": 4}]}
    fake.script = say(json.dumps(listed).encode(), start=head(content_type="application/json"))
    assert await upstream.models() == ("b", "a")
    assert fake.requests[0].line == "GET /v1/models HTTP/1.1"
    assert fake.requests[0].body == b""


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        ("200 OK", b"{}", "did not answer with a list of models"),
        ("200 OK", b"[]", "did not answer with a list of models"),
        ("200 OK", b"<html>", "malformed JSON: <html>"),
        ("401 Unauthorized", b'{"error":{"message":"no key"}}', "status 401: no key"),
    ],
)
async def test_models_fail_when_there_is_no_list(
    fake: FakeUpstream, upstream: Upstream, status: str, body: bytes, said: str
) -> None:
    fake.script = say(body, start=head(status, "application/json"))
    with pytest.raises(UpstreamError, match=said):
        await upstream.models()


# Arguments.


@pytest.mark.parametrize("base_url", ["https://api.example/v1", "http://[::1]:8080", "http://h:1/a/b"])
def test_http_urls_are_accepted(base_url: str) -> None:
    assert repr(Upstream(base_url)) == f"Upstream({base_url!r})"


@pytest.mark.parametrize(
    "base_url",
    ["", "h:80", "ftp://h/v1", "file:///etc", "http://", "http:///v1", "http://h:99999", "http://h:0", "http://[::1",
     "http://h/a b", "http://h/\n", "http://bücher.example"],
)  # fmt: skip
def test_other_urls_are_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match=r"base_url must be an http or https URL such as .*, got '"):
        Upstream(base_url)


@pytest.mark.parametrize("base_url", [f"http://me:{KEY}@h/v1", f"https://h/v1?key={KEY}", f"https://h/v1#{KEY}"])
def test_url_with_a_secret_is_refused_and_not_shown(base_url: str) -> None:
    with pytest.raises(ValueError, match="without user, query and fragment") as raised:
        Upstream(base_url)
    assert KEY not in str(raised.value)


def test_url_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"base_url must be .*, got an object of type bytes"):
        Upstream(b"http://h/v1")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["connect_timeout_s", "read_timeout_s"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1.5, ValueError), (math.nan, ValueError), (math.inf, ValueError), (True, TypeError),
     (None, TypeError), ("9", TypeError)],
)  # fmt: skip
def test_wrong_timeout_is_refused(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"{name} must be a (finite )?number of seconds above 0, got {value!r}"):
        Upstream("http://h/v1", **{name: value})


@pytest.mark.parametrize("name", API_KEY_VARIABLES)
@pytest.mark.parametrize("inside", [" ", "\n", "é"])
def test_api_key_that_no_header_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, inside: str) -> None:
    monkeypatch.setenv(name, f"secret{inside}key")
    with pytest.raises(ValueError, match=f"{name} must hold visible ASCII") as raised:
        Upstream("http://h/v1")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"model": ""}, ValueError, "model must be the name of a model, got ''"),
        ({"model": None}, TypeError, "model must be a str, got None"),
        ({"messages": "hi"}, TypeError, "messages must be a sequence of mappings, or None, got 'hi'"),
        ({"messages": {"role": "user"}}, TypeError, "messages must be a sequence of mappings"),
        ({"messages": ["hi"]}, TypeError, "messages must hold nothing but mappings, got 'hi'"),
        ({"stream": False}, ValueError, "stream is set here and must not be given, got False"),
        ({"stream_options": None}, ValueError, "stream_options is set here"),
        ({"temperature": math.nan}, ValueError, "messages and options must be what JSON can hold"),
        ({"seed": object()}, ValueError, "messages and options must be what JSON can hold"),
    ],
)
def test_wrong_request_is_refused(arguments: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        Upstream("http://h/v1").completion(**{"model": "m", **arguments})
