"""What is not a stream: methods, limits, CORS, recordings, models, ends that a browser asks for again."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from servers.settings import ServerSettings
from tests.servers.serving import Server, texts, until

__all__ = ()

Serve = Callable[..., Awaitable[Server]]
GETS = ("/", "/v1/chat/stream?count=1&rate=0", "/v1/marbles", "/v1/models", "/healthz", "/metrics", "/openapi.json")
POSTS = ("/v1/chat/completions", "/v1/messages", "/api/chat")
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


# --- Methods and paths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GETS)
async def test_head_has_the_headers_of_get_and_no_body(server: Server, path: str) -> None:
    head, get = await server.request("HEAD", path), await server.get(path)

    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


async def test_head_of_a_stream_begins_none(server: Server) -> None:
    reply = await server.request("HEAD", "/v1/chat/stream?hang_after=1")

    assert reply.headers["X-Stream-Id"]
    assert await server.stream_count() == 0
    assert server.journal.records == []
    assert (await server.request("HEAD", "/v1/chat/stream?rate=-1")).status == 400


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [(method, path, {"GET", "HEAD"}) for path in GETS for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")]
    + [(method, path, {"POST"}) for path in POSTS for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")]
    + [("POST", "/v1/chat/ws", {"GET"}), ("HEAD", "/v1/chat/ws", {"GET"})],
)
async def test_wrong_method_is_a_405_in_json_that_says_which_are_right(
    server: Server, method: str, path: str, allowed: set[str]
) -> None:
    reply = await server.request(method, path)

    assert reply.status == 405
    assert set(reply.headers["Allow"].split(",")) == allowed
    assert reply.headers["Content-Type"].startswith("application/json")
    if method != "HEAD":
        assert reply.error["type"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/nosuch", "/v1", "/v1/chat", "/v1/chat/stream/", "/page/", "/page/nosuch.js"])
async def test_unknown_path_is_a_404_in_json(server: Server, path: str) -> None:
    reply = await server.get(path)
    assert (reply.status, reply.error["type"]) == (404, "not_found")


@pytest.mark.parametrize(
    "name",
    [
        "%2E%2E%2Fapp.py",
        "..%2F..%2Fpyproject.toml",
        "%2Fetc%2Fhostname",
        "..",
        "index.html%00.js",
        "%2e%2e%2fx.html",
        ".",
    ],
)
async def test_page_leads_to_no_file_outside_its_folder(server: Server, name: str) -> None:
    client = await server.connect()
    await client.send(f"GET /page/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert b" 404 " in (await client.read_to_end()).splitlines()[0]
    client.close()


@pytest.mark.parametrize("length", [300, 8000])
async def test_page_of_a_name_that_no_file_can_have_is_a_404(server: Server, length: int) -> None:
    reply = await server.get(f"/page/{'a' * length}.js")
    assert (reply.status, reply.error["type"]) == (404, "not_found")
    assert len(reply.error["message"]) < 200


async def test_page_serves_no_file_of_a_known_kind_from_elsewhere(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret.html"
    secret.write_text("secret")
    client = await server.connect()

    target = str(secret).replace("/", "%2F")
    await client.send(f"GET /page/{target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert b"secret\n" not in await client.read_to_end()
    assert b" 404 " in client.received.splitlines()[0]
    client.close()


PAGES = ("/", "/page/main.js", "/page/page.css", "/page/icon.svg")


@pytest.mark.parametrize("path", PAGES)
async def test_page_is_asked_about_each_time_and_sent_when_it_has_changed(server: Server, path: str) -> None:
    first = await server.get(path)
    same = await server.get(path, headers={"If-None-Match": first.headers["ETag"]})
    other = await server.get(path, headers={"If-None-Match": '"of another version"'})

    assert (first.status, same.status, other.status) == (200, 304, 200)
    assert same.body == b""
    assert other.body == first.body != b""
    for reply in (first, same, other):
        assert reply.headers["Cache-Control"] == "no-cache"
        assert reply.headers["ETag"] == first.headers["ETag"]
        assert "Content-Security-Policy" in reply.headers


@pytest.mark.parametrize("form", ["{}", "W/{}", '"another", {}', "*"])
async def test_page_that_is_known_in_any_form_is_not_sent_again(server: Server, form: str) -> None:
    etag = (await server.get("/")).headers["ETag"]
    assert (await server.get("/", headers={"If-None-Match": form.format(etag)})).status == 304


async def test_parts_of_the_page_have_names_of_their_own(server: Server) -> None:
    assert len({(await server.get(path)).headers["ETag"] for path in PAGES}) == len(PAGES)


async def test_web_socket_route_without_an_upgrade_is_a_426(server: Server) -> None:
    reply = await server.get("/v1/chat/ws")
    assert (reply.status, reply.headers["Upgrade"], reply.error["type"]) == (426, "websocket", "upgrade_required")


async def test_health_counts_the_streams(server: Server) -> None:
    async with server.opened(hang_after=1) as response:
        assert await response.content.readany()
        assert await server.stream_count() == 1
    await server.journal.all_ended(1)
    assert (await server.get("/healthz")).json == {"status": "ok", "streams": 0}


# --- The end of a stream that a browser asks for again -----------------------------------------------------------


@pytest.mark.parametrize(
    ("last_id", "status"), [("abc-end", 204), ("-end", 204), ("abc-7", 200), ("", 200), ("end", 200)]
)
async def test_reconnect_after_the_end_gets_204(server: Server, last_id: str, status: int) -> None:
    reply = await server.get("/v1/chat/stream?rate=0&count=1", headers={"Last-Event-ID": last_id})
    assert reply.status == status
    assert (reply.body == b"") == (status == 204)


async def test_id_of_the_last_event_gets_204_also_after_a_failure(server: Server) -> None:
    failed = await server.stream(fail_after=1)
    last_id = failed.events[-1].id
    assert last_id == f"{failed.headers['X-Stream-Id']}-end"
    assert (await server.get("/v1/chat/stream", headers={"Last-Event-ID": last_id})).status == 204


# --- How many ----------------------------------------------------------------------------------------------------


async def test_stream_above_the_limit_is_a_503_with_retry_after(serve: Serve) -> None:
    server = await serve(max_streams=1)
    async with server.opened(hang_after=1) as response:
        assert await response.content.readany()
        refused = [
            await server.stream(),
            await server.post("/v1/chat/completions", {"stream": False}),
            await server.post("/v1/messages", {"stream": True}),
            await server.get("/v1/chat/ws", headers=UPGRADE),
        ]
    for reply in refused:
        assert (reply.status, reply.headers["Retry-After"], reply.error["type"]) == (503, "1", "overloaded")
    await server.journal.all_ended(1)
    assert (await server.stream(count=1)).status == 200


async def test_whole_answers_and_web_sockets_count_as_streams(serve: Serve) -> None:
    server = await serve(max_streams=2)
    async with (
        server.session.ws_connect("/v1/chat/ws?hang_after=1"),
        server.opened(hang_after=0),
    ):
        assert await server.stream_count() == 2
        assert (await server.stream()).status == 503
    await server.journal.all_ended(2)


async def test_streams_do_not_wait_for_the_threads_of_others(serve: Serve) -> None:
    server = await serve(threads=1)
    async with server.opened(producers=2, strategy="suspend", reader_rate=0.01, count=10) as response:
        assert await response.content.readany()
        assert (await server.stream(source="counter")).status == 200


# --- Other origins -----------------------------------------------------------------------------------------------


async def test_no_origin_is_allowed_unless_asked_for(server: Server) -> None:
    for reply in (await server.stream(count=1), await server.get("/healthz", headers={"Origin": "http://a.example"})):
        assert not [name for name in reply.headers if name.startswith("Access-Control")]
    assert (await server.request("OPTIONS", "/v1/chat/completions")).status == 405


@pytest.mark.parametrize("origin", ["*", "http://a.example"])
async def test_origin_that_was_asked_for_is_allowed_everywhere(serve: Serve, origin: str) -> None:
    server = await serve(cors_origin=origin)
    replies = [
        await server.stream(count=1),
        await server.get("/healthz"),
        await server.get("/nosuch"),
        await server.stream(rate=-1),
        await server.get("/v1/messages"),
    ]
    assert [reply.status for reply in replies] == [200, 200, 404, 400, 405]
    for reply in replies:
        assert reply.headers["Access-Control-Allow-Origin"] == origin
        assert reply.headers["Access-Control-Expose-Headers"] == "X-Stream-Id"


async def test_preflight_allows_what_the_page_wants_to_send(serve: Serve) -> None:
    server = await serve(cors_origin="http://a.example")
    wanted = {"Origin": "http://a.example", "Access-Control-Request-Headers": "content-type,x-a"}

    reply = await server.request("OPTIONS", "/v1/chat/completions", headers=wanted)

    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == "http://a.example"
    assert reply.headers["Access-Control-Allow-Headers"] == "content-type,x-a"
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]


def test_server_listens_on_loopback_unless_asked_otherwise() -> None:
    assert (ServerSettings().host, ServerSettings().port, ServerSettings().cors_origin) == ("127.0.0.1", 8090, None)


# --- Recordings --------------------------------------------------------------------------------------------------


def recording(*parts: str) -> str:
    chunks = [{"choices": [{"index": 0, "delta": {"content": part}}], "at_ms": 1} for part in parts]
    return "\n".join(json.dumps(chunk) for chunk in chunks)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jsonl").write_text(recording("one", " two"))
    (folder / "sub" / "b.jsonl").write_text(recording("deep"))
    (folder / "bad.jsonl").write_text("{}")
    (tmp_path / "secret.jsonl").write_text(recording("secret"))
    (folder / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    return folder


async def test_recordings_of_the_folder_are_played(serve: Serve, recordings: Path) -> None:
    server = await serve(recordings=recordings)
    assert texts((await server.stream(source="recording:a.jsonl", pacing="recorded")).events) == ["one", " two"]
    assert texts((await server.stream(source="recording:sub/b.jsonl")).events) == ["deep"]


async def test_usage_and_reason_of_a_recording_are_passed_on(serve: Serve, tmp_path: Path) -> None:
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}], "usage": {"completion_tokens": 77}}
    (tmp_path / "a.jsonl").write_text(recording("one") + "\n" + json.dumps(last))
    server = await serve(recordings=tmp_path)

    reply = await server.post("/v1/chat/completions", {"messages": [], "model": "recording:a.jsonl", "rate": 0})

    assert reply.json["choices"][0]["finish_reason"] == "length"
    assert reply.json["usage"] == {"completion_tokens": 77}


@pytest.mark.parametrize(
    "file",
    [
        "nosuch.jsonl", "../secret.jsonl", "sub/../../secret.jsonl", "link.jsonl", ".", "..", "sub", "a.jsonl\0",
        "\0", "%2e%2e/secret.jsonl", "..%2Fsecret.jsonl", "a" * 280, "~/secret.jsonl", "\ud800", "bad.jsonl",
    ],
)  # fmt: skip
async def test_recording_outside_the_folder_is_refused(serve: Serve, recordings: Path, file: str) -> None:
    server = await serve(recordings=recordings)

    reply = await server.post("/v1/chat/completions", {"source": f"recording:{file}"})

    assert (reply.status, reply.error["param"]) == (400, "source")
    assert 'secret"' not in reply.error["message"]
    assert str(recordings) not in reply.error["message"]


async def test_absolute_and_percent_encoded_paths_are_refused(serve: Serve, recordings: Path) -> None:
    server = await serve(recordings=recordings)
    secret = recordings.parent / "secret.jsonl"
    for file in (str(secret), "%2e%2e%2fsecret.jsonl", str(secret).replace("/", "%2F"), "a.jsonl%00"):
        client = await server.connect()
        await client.send(
            f"GET /v1/chat/stream?source=recording:{file} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        assert b" 400 " in (await client.read_to_end()).splitlines()[0]
        client.close()


async def test_recording_that_cannot_be_read_is_refused_without_its_path(
    serve: Serve, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    server = await serve(recordings=recordings)

    reply = await server.stream(source="recording:a.jsonl")

    assert (reply.status, reply.error["param"]) == (400, "source")
    assert reply.error["message"] == "source=recording:a.jsonl cannot be read: Permission denied"


async def test_without_a_folder_there_are_no_recordings(server: Server) -> None:
    assert (await server.stream(source="recording:a.jsonl")).status == 400


async def test_models_are_the_sources_by_name(serve: Serve, recordings: Path) -> None:
    server = await serve(recordings=recordings)

    reply = await server.get("/v1/models")

    assert reply.json["object"] == "list"
    assert {model["id"] for model in reply.json["data"]} >= {"demo", "counter", "recording:a.jsonl"}
    assert all(model["object"] == "model" for model in reply.json["data"])


async def test_models_are_only_what_can_be_opened(serve: Serve, recordings: Path) -> None:
    (recordings / "folder.jsonl").mkdir()
    os.mkfifo(recordings / "pipe.jsonl")
    (recordings / "loop.jsonl").symlink_to(recordings / "loop.jsonl")
    (recordings / "nowhere.jsonl").symlink_to(recordings / "nosuch")
    (recordings / "inside.jsonl").symlink_to(recordings / "a.jsonl")
    server = await serve(recordings=recordings)

    names = [model["id"] for model in (await server.get("/v1/models")).json["data"]]

    files = [f"recording:{name}.jsonl" for name in ("a", "bad", "inside")]  # what is in bad: said when read
    assert names == ["demo", "counter", *files]


async def test_model_is_found_by_its_name(serve: Serve, recordings: Path) -> None:
    server = await serve(recordings=recordings)
    for model in (await server.get("/v1/models")).json["data"]:
        assert (await server.get(f"/v1/models/{model['id']}")).json == model


@pytest.mark.parametrize("name", ["gpt-5", "recording:link.jsonl", "upstream:a/b", "a%2Fb", "demo/", "x" * 5000])
async def test_model_that_is_not_there_is_a_404(serve: Serve, recordings: Path, name: str) -> None:
    server = await serve(recordings=recordings)

    reply = await server.get(f"/v1/models/{name}")

    assert (reply.status, reply.error["type"], reply.error["param"]) == (404, "model_not_found", "model")
    assert len(reply.error["message"]) < 200


# --- Upstream ----------------------------------------------------------------------------------------------------

NOBODY = "http://127.0.0.1:9/v1"


async def test_upstream_that_is_down_does_not_take_the_local_sources_with_it(serve: Serve) -> None:
    server = await serve(upstream_url=NOBODY)
    assert [model["id"] for model in (await server.get("/v1/models")).json["data"]] == ["demo", "counter"]


async def test_upstream_that_is_down_fails_the_stream_in_its_own_format(serve: Serve) -> None:
    server = await serve(upstream_url=NOBODY)

    streamed = await server.stream(source="upstream:m")
    whole = await server.post("/v1/chat/completions", {"messages": [], "model": "upstream:m", "max_tokens": 3})

    assert (streamed.status, streamed.events[-1].event) == (200, "error")
    assert (whole.status, whole.error["type"]) == (502, "UpstreamError")


async def test_messages_that_no_upstream_could_read_are_refused(serve: Serve) -> None:
    server = await serve(upstream_url=NOBODY)
    body = b'{"model": "upstream:m", "messages": [{"role": "user", "content": 1e999}]}'
    reply = await server.post("/v1/chat/completions", body)
    assert (reply.status, reply.error["param"]) == (400, "messages")


@pytest.mark.parametrize("name", ["producers", "count", "ttft_ms", "fail_after", "hang_after"])
async def test_what_an_upstream_cannot_do_is_refused(serve: Serve, name: str) -> None:
    server = await serve(upstream_url=NOBODY)
    reply = await server.stream(source="upstream:m", **{name: 2})
    assert (reply.status, reply.error["param"]) == (400, name)


async def test_open_files_are_closed_after_requests_of_every_kind(server: Server) -> None:
    async def ask_all() -> None:
        for path in (*GETS, "/nosuch", "/v1/chat/ws", "/v1/chat/stream?rate=-1"):
            await server.get(path)

    await ask_all()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await ask_all()
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)
