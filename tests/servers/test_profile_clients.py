"""Each profile is read by the clients that it is made for, and they get every token exactly.

`data` and `text` cannot promise that: their tables show which token suffers in which client.
"""

from __future__ import annotations

import fcntl
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import anthropic
import httpx
import openai
import pytest
from httpx_sse import aconnect_sse, connect_sse
from openai.types.chat import ChatCompletionChunk

from servers.profiles import PROFILES, Ending, Failure, StreamEncoder, StreamIdentity
from servers.sse import EventStreamDecoder
from streams.source import Token
from streams.strategy import StreamStatistics

__all__ = ()

CLIENTS = Path(__file__).parent / "clients"
INSTALL = ("install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
INSTALL_TIMEOUT_S = 240
PIECE_BYTES = 61

NASTY = {
    "leading space": " hi",
    "two spaces": "  ",
    "line feeds": "\n\n",
    "line feed at the end": "a\n",
    "carriage return": "a\rb",
    "CRLF": "a\r\nb",
    "empty": "",
    "end of OpenAI": "[DONE]",
    "byte order mark": "\ufeff",
    "high surrogate": "\ud83d",
    "low surrogate": "\ude00",
    "emoji, first part": "👩",
    "emoji, second part": "\u200d",
    "emoji, third part": "💻",
    "Chinese": "你好",
    "Unicode line ends": "a\u2028b\u2029c\x85d",
    "NUL": "a\0b",
    "control characters": "\x0b\x0c\x1b\x1c\x7f",
    "event": "data: x\n\n",
    "event name": "event: error",
    "comment": ":",
    "half an object": "}{",
    "quotes": '"\\"',
}
TEXTS = list(NASTY.values())
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
STATISTICS = StreamStatistics(emitted=1, delivered=1, dropped=0, merged=0, rejected=0, held=0, peak_held=1, demand=0)
FAILURE = Failure("no room", "overflow_error", "buffer_overflow")

MODEL = "m"
QUESTION = "hi"

RunClient = Callable[..., Any]


class Serve(Protocol):
    """See the fixture."""

    def __call__(self, path: str, profile: str, body: bytes, *, is_whole: bool = False) -> str: ...


node_client = pytest.mark.timeout(INSTALL_TIMEOUT_S + 60)


def encoder(profile: str, *, include_usage: bool = False) -> StreamEncoder:
    return PROFILES[profile](StreamIdentity("s1", model=MODEL, created_s=7, include_usage=include_usage))


def token(index: int, text: str) -> Token:
    return Token(index, text, 0, 0)


def with_heartbeats(stream: StreamEncoder, texts: Iterable[str]) -> bytes:
    """Encode tokens with a heartbeat before, between and after them."""
    frames = [stream.tokens([token(index, text)], 0) for index, text in enumerate(texts)]
    beat = stream.heartbeat()
    return stream.begin() + beat + beat.join(frames) + beat


def completed(profile: str, *, include_usage: bool = False) -> bytes:
    stream = encoder(profile, include_usage=include_usage)
    return with_heartbeats(stream, TEXTS) + stream.end(Ending("length", USAGE))


def failed(profile: str) -> bytes:
    stream = encoder(profile)
    return with_heartbeats(stream, ["a"]) + stream.failure(FAILURE)


def whole(profile: str) -> bytes:
    return encoder(profile).whole([token(index, text) for index, text in enumerate(TEXTS)], Ending("length", USAGE))


def in_utf16(text: str) -> str:
    """Join the halves of surrogate pairs, as JavaScript does when it joins texts."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


# The server and the clients of npm.


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Answer requests for a path with given bytes under a profile's headers, and give back the server's address.

    The bytes go out in small pieces, as if tokens came one by one; `is_whole` says that they are no stream.
    """
    answers: dict[str, tuple[Mapping[str, str], bytes]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers, body = answers[self.path]
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            for start in range(0, len(body), PIECE_BYTES):
                self.wfile.write(body[start : start + PIECE_BYTES])

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = False

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def answer(path: str, profile: str, body: bytes, *, is_whole: bool = False) -> str:
        answers[path] = (_headers(PROFILES[profile], is_whole=is_whole), body)
        return f"http://127.0.0.1:{server.server_port}"

    yield answer
    server.shutdown()
    server.server_close()
    thread.join()


def _headers(profile: type[StreamEncoder], *, is_whole: bool) -> dict[str, str]:
    if is_whole:
        return {"Content-Type": "application/json"}
    return {"Content-Type": profile.content_type, **profile.headers}


@pytest.fixture(scope="session")
def run_client() -> RunClient:
    """Run a script of `clients` with Node.js and give back what it prints."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("the npm clients need Node.js 20 or later and npm: install both, and have node and npm on the PATH")
    _install_clients(npm)

    def run(script: str, *arguments: str) -> Any:
        command = [node, str(CLIENTS / script), *arguments]
        ended = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=30, check=False)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run


def _install_clients(npm: str) -> None:
    manifest = CLIENTS / "package.json"
    stamp = CLIENTS / "node_modules" / ".installed"
    with manifest.open(encoding="utf-8") as lock:
        # Two test runs in one checkout install one after the other, and the second finds it done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = lock.read()
        if stamp.exists() and stamp.read_text("utf-8") == wanted:
            return
        done = subprocess.run(
            [npm, *INSTALL], cwd=CLIENTS, capture_output=True, encoding="utf-8", timeout=INSTALL_TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"the npm clients could not be installed; try npm install in {CLIENTS}: {done.stderr}")
        stamp.write_text(wanted, "utf-8")


# The client of OpenAI.


def contents(chunks: Iterable[ChatCompletionChunk]) -> list[str | None]:
    return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]


def test_openai_client_gets_every_token(serve: Serve) -> None:
    base = serve("/v1/chat/completions", "openai", completed("openai", include_usage=True))
    with openai.OpenAI(base_url=f"{base}/v1", api_key="k", max_retries=0) as client:
        chunks = list(
            client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": QUESTION}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    assert contents(chunks) == ["", *TEXTS, None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.to_dict() == USAGE
    assert {chunk.id for chunk in chunks} == {"chatcmpl-s1"}
    assert {(chunk.object, chunk.created, chunk.model) for chunk in chunks} == {("chat.completion.chunk", 7, MODEL)}


async def test_openai_async_client_gets_every_token(serve: Serve) -> None:
    base = serve("/v1/chat/completions", "openai", completed("openai"))
    async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="k", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": QUESTION}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert contents(chunks) == ["", *TEXTS, None]
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)


def test_openai_client_raises_a_failure_after_the_tokens_before_it(serve: Serve) -> None:
    base = serve("/v1/chat/completions", "openai", failed("openai"))
    got: list[str | None] = []
    with openai.OpenAI(base_url=f"{base}/v1", api_key="k", max_retries=0) as client:
        stream = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": QUESTION}], stream=True
        )
        with pytest.raises(openai.APIError, match="no room") as raised:
            got.extend(chunk.choices[0].delta.content for chunk in stream)
    assert got == ["", "a"]
    assert (raised.value.type, raised.value.code) == ("overflow_error", "buffer_overflow")


def test_openai_client_reads_the_whole_answer(serve: Serve) -> None:
    base = serve("/v1/chat/completions", "openai", whole("openai"), is_whole=True)
    with openai.OpenAI(base_url=f"{base}/v1", api_key="k", max_retries=0) as client:
        answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": QUESTION}])
    assert answer.choices[0].message.content == in_utf16("".join(TEXTS))
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.to_dict() == USAGE


# The client of Anthropic.


def test_anthropic_client_gets_every_token(serve: Serve) -> None:
    base = serve("/v1/messages", "anthropic", completed("anthropic"))
    with anthropic.Anthropic(base_url=base, api_key="k", max_retries=0) as client:
        events = list(
            client.messages.create(
                model=MODEL, max_tokens=99, messages=[{"role": "user", "content": QUESTION}], stream=True
            )
        )
    texts = [
        event.delta.text for event in events if event.type == "content_block_delta" and event.delta.type == "text_delta"
    ]
    assert texts == TEXTS
    assert [event.type for event in events if event.type != "content_block_delta"] == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_anthropic_message_stream_gathers_the_message(serve: Serve) -> None:
    base = serve("/v1/messages", "anthropic", completed("anthropic"))
    with (
        anthropic.Anthropic(base_url=base, api_key="k", max_retries=0) as client,
        client.messages.stream(model=MODEL, max_tokens=99, messages=[{"role": "user", "content": QUESTION}]) as stream,
    ):
        texts = list(stream.text_stream)
        message = stream.get_final_message()
    assert texts == TEXTS
    assert_is_whole(message)


async def test_anthropic_async_message_stream_gathers_the_message(serve: Serve) -> None:
    base = serve("/v1/messages", "anthropic", completed("anthropic"))
    async with (
        anthropic.AsyncAnthropic(base_url=base, api_key="k", max_retries=0) as client,
        client.messages.stream(model=MODEL, max_tokens=99, messages=[{"role": "user", "content": QUESTION}]) as stream,
    ):
        texts = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert texts == TEXTS
    assert_is_whole(message)


def test_anthropic_client_raises_a_failure_after_the_tokens_before_it(serve: Serve) -> None:
    base = serve("/v1/messages", "anthropic", failed("anthropic"))
    texts: list[str] = []
    with (
        anthropic.Anthropic(base_url=base, api_key="k", max_retries=0) as client,
        client.messages.stream(model=MODEL, max_tokens=99, messages=[{"role": "user", "content": QUESTION}]) as stream,
        pytest.raises(anthropic.APIStatusError, match="no room"),
    ):
        texts.extend(stream.text_stream)
    assert texts == ["a"]


def test_anthropic_client_reads_the_whole_answer(serve: Serve) -> None:
    base = serve("/v1/messages", "anthropic", whole("anthropic"), is_whole=True)
    with anthropic.Anthropic(base_url=base, api_key="k", max_retries=0) as client:
        message = client.messages.create(model=MODEL, max_tokens=99, messages=[{"role": "user", "content": QUESTION}])
    assert_is_whole(message)


def assert_is_whole(message: anthropic.types.Message) -> None:
    [block] = message.content
    assert block.type == "text"
    assert in_utf16(block.text) == in_utf16("".join(TEXTS))
    assert (message.id, message.model, message.stop_reason) == ("msg_s1", MODEL, "max_tokens")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 5)


# httpx, with httpx-sse and without.


def test_httpx_sse_gets_every_token_of_completion(serve: Serve) -> None:
    base = serve("/", "completion", completed("completion"))
    with httpx.Client() as client, connect_sse(client, "GET", base) as source:
        events = list(source.iter_sse())
    assert [event.json() for event in events] == [
        *({"ended": False, "message": text} for text in TEXTS),
        {"ended": True, "message": ""},
    ]
    assert [event.id for event in events] == [*(f"s1-{index}" for index in range(len(TEXTS))), "s1-end"]
    assert {event.event for event in events} == {"message"}


async def test_httpx_sse_reads_a_failure_of_completion_asynchronously(serve: Serve) -> None:
    base = serve("/", "completion", failed("completion"))
    async with httpx.AsyncClient() as client, aconnect_sse(client, "GET", base) as source:
        events = [event async for event in source.aiter_sse()]
    assert [(event.event, event.id) for event in events] == [("message", "s1-0"), ("error", "s1-end")]
    assert events[-1].json()["error"]["message"] == "no room"


def test_httpx_lines_get_every_token_of_ndjson(serve: Serve) -> None:
    base = serve("/", "ndjson", completed("ndjson"))
    with httpx.Client() as client, client.stream("GET", base) as response:
        payloads = [json.loads(line) for line in response.iter_lines()]
    assert [payload["message"] for payload in payloads] == [*TEXTS, ""]
    assert [payload["ended"] for payload in payloads] == [False] * len(TEXTS) + [True]


# The clients of npm.


@node_client
@pytest.mark.slow
@pytest.mark.parametrize("package", ["ai", "ai-strict"])
def test_ai_sdk_gets_every_token(serve: Serve, run_client: RunClient, package: str) -> None:
    base = serve("/api/chat", "aisdk", completed("aisdk"))
    got = run_client("ai.mjs", package, f"{base}/api/chat")
    assert got["errors"] == []
    assert [part["delta"] for part in got["parts"] if part["type"] == "text-delta"] == TEXTS
    assert [part["type"] for part in got["parts"] if part["type"] != "text-delta"] == [
        "start",
        "start-step",
        "text-start",
        "text-end",
        "finish-step",
        "finish",
    ]
    assert got["message"]["id"] == "s1"
    assert got["message"]["metadata"] == {"finishReason": "length", "usage": USAGE}
    [part] = [part for part in got["message"]["parts"] if part["type"] == "text"]
    assert part["text"] == in_utf16("".join(TEXTS))
    assert part["state"] == "done"


@node_client
@pytest.mark.slow
@pytest.mark.parametrize("package", ["ai", "ai-strict"])
def test_ai_sdk_hears_of_a_failure(serve: Serve, run_client: RunClient, package: str) -> None:
    base = serve("/api/chat", "aisdk", failed("aisdk"))
    assert run_client("ai.mjs", package, f"{base}/api/chat")["errors"] == ["no room"]


@node_client
@pytest.mark.slow
@pytest.mark.parametrize("package", ["ai", "ai-strict"])
def test_ai_sdk_keeps_statistics_out_of_the_message(serve: Serve, run_client: RunClient, package: str) -> None:
    stream = encoder("aisdk")
    body = with_heartbeats(stream, ["a"]) + stream.statistics(STATISTICS._asdict()) + stream.end()
    base = serve("/api/chat", "aisdk", body)
    got = run_client("ai.mjs", package, f"{base}/api/chat")
    assert got["errors"] == []
    assert [part["data"] for part in got["parts"] if part["type"] == "data-statistics"] == [STATISTICS._asdict()]
    assert {part["type"] for part in got["message"]["parts"]} == {"step-start", "text"}


@node_client
@pytest.mark.slow
@pytest.mark.parametrize("script", ["eventsource_parser.mjs", "fetch_event_source.mjs"])
def test_javascript_client_gets_every_token_of_completion(serve: Serve, run_client: RunClient, script: str) -> None:
    base = serve("/", "completion", completed("completion"))
    [events] = run_client(script, f"{base}/")
    assert [json.loads(event["data"])["message"] for event in events] == [*TEXTS, ""]
    assert [event["id"] for event in events] == [*(f"s1-{index}" for index in range(len(TEXTS))), "s1-end"]
    assert {event["event"] for event in events} == {"message"}


@node_client
@pytest.mark.slow
@pytest.mark.parametrize("script", ["eventsource_parser.mjs", "fetch_event_source.mjs"])
def test_javascript_client_reads_a_failure_of_completion(serve: Serve, run_client: RunClient, script: str) -> None:
    base = serve("/", "completion", failed("completion"))
    [events] = run_client(script, f"{base}/")
    assert [(event["event"], event["id"]) for event in events] == [("message", "s1-0"), ("error", "s1-end")]
    assert json.loads(events[-1]["data"])["error"]["code"] == "buffer_overflow"


# What suffers without JSON: each token is streamed alone, and these are the ones that arrive as something else.

LOST_IN_DATA = {
    "carriage return": "a\nb",
    "CRLF": "a\nb",
    "high surrogate": "\ufffd",
    "low surrogate": "\ufffd",
}
LOST_IN_TEXT = {"high surrogate": "\ufffd", "low surrogate": "\ufffd"}


def served_alone(serve: Serve, profile: str) -> list[str]:
    return [
        serve(f"/{index}", profile, with_heartbeats(encoder(profile), [text])) + f"/{index}"
        for index, text in enumerate(TEXTS)
    ]


def lost(received: Iterable[list[str]]) -> dict[str, str]:
    """Say what became of each token that did not arrive as the one event it was."""
    return {name: "".join(got) for (name, sent), got in zip(NASTY.items(), received, strict=True) if got != [sent]}


def test_data_loses_what_event_streams_cannot_carry(serve: Serve) -> None:
    assert (
        lost(
            [event.data for event in EventStreamDecoder().feed(with_heartbeats(encoder("data"), [text]))]
            for text in TEXTS
        )
        == LOST_IN_DATA
    )


def test_data_loses_no_more_in_httpx_sse(serve: Serve) -> None:
    received = []
    with httpx.Client() as client:
        for url in served_alone(serve, "data"):
            with connect_sse(client, "GET", url) as source:
                received.append([event.data for event in source.iter_sse()])
    assert lost(received) == LOST_IN_DATA


@node_client
@pytest.mark.slow
def test_data_loses_no_more_in_eventsource_parser(serve: Serve, run_client: RunClient) -> None:
    received = run_client("eventsource_parser.mjs", *served_alone(serve, "data"))
    assert lost([event["data"] for event in events] for events in received) == LOST_IN_DATA


@node_client
@pytest.mark.slow
def test_data_loses_empty_lines_and_a_byte_order_mark_in_fetch_event_source(
    serve: Serve, run_client: RunClient
) -> None:
    received = run_client("fetch_event_source.mjs", *served_alone(serve, "data"))
    assert lost([event["data"] for event in events] for events in received) == LOST_IN_DATA | {
        "line feeds": "",
        "byte order mark": "",
    }


def test_text_loses_surrogates_in_httpx(serve: Serve) -> None:
    received = []
    with httpx.Client() as client:
        for url in served_alone(serve, "text"):
            with client.stream("GET", url) as response:
                received.append(["".join(response.iter_text())])
    assert lost(received) == LOST_IN_TEXT


@node_client
@pytest.mark.slow
def test_text_loses_a_byte_order_mark_in_fetch(serve: Serve, run_client: RunClient) -> None:
    received = run_client("fetch_text.mjs", *served_alone(serve, "text"))
    assert lost([text] for text in received) == LOST_IN_TEXT | {"byte order mark": ""}
