"""`python -m servers`: its options, its banner, its workers, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest
from typer.testing import CliRunner

from servers.__main__ import app, banner
from servers.settings import ServerSettings
from tests.servers.serving import LONGEST_S, Process, RawClient, sample, until

__all__ = ()

pytestmark = pytest.mark.slow

Launch = Callable[..., Process]
STUCK = {"source": "counter", "count": 10**15}


async def get(port: int, target: str) -> bytes:
    client = await RawClient.connect(port)
    await client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await client.read_to_end()
    client.close()
    return answer


async def stuck_client(port: int) -> RawClient:
    """A client that asks for everything and reads nothing; returns when the server feels it."""
    client = await RawClient.connect(port, receive_buffer_bytes=4096)
    await client.ask(**STUCK)
    before = b""
    while b"data: " not in before or before != client.unread():
        before = client.unread()
        # Paced tokens for somebody else are time for everything that can still move.
        await get(port, "/v1/chat/stream?source=counter&rate=50")
    return client


async def until_refused(port: int) -> None:
    """Wait until nobody listens any more."""
    async with asyncio.timeout(LONGEST_S):
        with suppress(ConnectionError):
            while True:
                (await RawClient.connect(port)).close()


async def exit_code(process: Process) -> int:
    return await asyncio.to_thread(process.wait)


# --- The banner --------------------------------------------------------------------------------------------------


def test_banner_has_the_page_and_three_commands(server_process: Process) -> None:
    lines = server_process.lines
    assert re.fullmatch(r"tokenweir: http://127\.0\.0\.1:\d+/", lines[0])
    assert [line.split()[0] for line in lines[2:5]] == ["curl"] * 3


def test_banner_names_the_workers_and_writes_ipv6_as_urls_have_it() -> None:
    text = banner("::1", 8090, ServerSettings(workers=4))
    assert text.startswith("tokenweir: http://[::1]:8090/   (4 workers)\n")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_commands_of_the_banner_stream(server_process: Process) -> None:
    for line in server_process.lines[2:5]:
        with subprocess.Popen([*shlex.split(line), "-s", "-i"], stdout=subprocess.PIPE, text=True) as curl:
            assert curl.stdout is not None
            head = list(iter(curl.stdout.readline, "\n"))
            data = next(row for row in curl.stdout if row.startswith("data: "))
            curl.terminate()
        assert head[0] == "HTTP/1.1 200 OK\n"
        assert json.loads(data.removeprefix("data: "))


# --- Options -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "-1"], ["--port", "65536"], ["--port", "x"], ["--workers", "0"], ["--threads", "0"],
        ["--max-streams", "0"], ["--max-buffer-bytes", "0"], ["--heartbeat-s", "-1"], ["--send-timeout-s", "0"],
        ["--grace-s", "-1"], ["--recordings", "/nosuch"], ["--nosuch"], ["extra"], ["--body-timeout-s", "0"],
        ["--heartbeat-s", "nan"], ["--send-timeout-s", "inf"], ["--cors-origin", "http://a.example/"],
        ["--upstream-url", "nonsense"], ["--upstream-url", ""],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_option_is_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--grace-s", "inf"], "grace_s must be a finite number of at least 0; got inf"),
        (["--cors-origin", "a.example"], "cors_origin must be * or scheme://host"),
        (["--upstream-url", "ftp://a.example"], "base_url"),
    ],
)
def test_wrong_option_is_refused_in_words_before_anything_starts(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["--workers", "2", *arguments], env={"COLUMNS": "200"})
    assert said in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_host_that_is_none_cannot_be_listened_on() -> None:
    result = CliRunner().invoke(app, ["--host", "999.999.999.999", "--workers", "2"])
    assert (result.exit_code, result.output.count("cannot listen on 999.999.999.999:8090: ")) == (1, 1)


def test_help_names_every_option() -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout)
    for option in (
        "host", "port", "workers", "threads", "recordings", "upstream-url", "cors-origin", "max-streams",
        "max-buffer-bytes", "heartbeat-s", "send-timeout-s", "body-timeout-s", "grace-s", "high-water-bytes",
        "notsent-lowat-bytes", "sndbuf-bytes",
    ):  # fmt: skip
        assert f"--{option}" in shown


@pytest.mark.parametrize("workers", ["1", "2"])
def test_port_in_use_is_said_in_one_line(launch: Launch, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = launch("--port", port, "--workers", workers)

        assert process.wait() == 1

    assert len(process.lines) == 1
    assert process.lines[0].startswith(f"cannot listen on 127.0.0.1:{port}: ")


@pytest.mark.parametrize("has_uvloop", [True, False])
def test_server_starts_with_and_without_uvloop(monkeypatch: pytest.MonkeyPatch, has_uvloop: bool) -> None:
    if not has_uvloop:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(app, ["--port", str(taken.getsockname()[1])])
    assert (result.exit_code, result.output.count("cannot listen on 127.0.0.1:")) == (1, 1)


async def test_options_reach_the_server(launch: Launch) -> None:
    process = launch("--max-streams", "1", "--cors-origin", "*", "--sndbuf-bytes", "9000")
    await asyncio.to_thread(process.read_banner)
    answer = await get(process.port, "/v1/chat/stream?count=1&rate=0&trace=1")
    assert b"Access-Control-Allow-Origin: *" in answer
    assert b'"sndbuf_bytes": 9000' in answer


# --- The end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_the_streams_and_the_server(server_process: Process, number: int) -> None:
    client = await RawClient.connect(server_process.port)
    await client.ask(hang_after=1)
    await client.read_until(b'"Hello"')

    server_process.signal(number)

    assert b'"server_shutdown"' in await client.read_to_end()
    assert await exit_code(server_process) == 0
    assert not [line for line in server_process.lines if "Traceback" in line]
    client.close()


async def test_signal_ends_the_server_also_with_clients_that_take_nothing(launch: Launch) -> None:
    process = launch("--grace-s", "0.5")
    await asyncio.to_thread(process.read_banner)
    clients = [await stuck_client(process.port) for _ in range(3)]

    process.signal()

    assert await exit_code(process) == 0
    assert len([line for line in process.lines if '"reason": "shutdown"' in line]) == 3
    for client in clients:
        client.close()


async def test_second_signal_ends_the_server_at_once(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        upstream_url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        process = launch("--grace-s", "3600", "--upstream-url", upstream_url)
        await asyncio.to_thread(process.read_banner)
        client = await RawClient.connect(process.port)
        await client.send(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        connection, _ = await asyncio.to_thread(silent.accept)  # which never answers: the grace would be used up

        process.signal()
        await until_refused(process.port)
        process.signal()

        assert await exit_code(process) == 1
        connection.close()
    client.close()


async def test_signal_ends_the_server_also_with_a_body_that_never_comes(launch: Launch) -> None:
    process = launch("--grace-s", "3600")
    await asyncio.to_thread(process.read_banner)
    client = await RawClient.connect(process.port)
    head = "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    await client.send(head.encode())
    await client.read_until(b" 100 Continue")

    process.signal()

    assert b" 503 " in await client.read_to_end()
    assert b'"server_shutdown"' in client.received
    assert await exit_code(process) == 0
    client.close()


# --- Workers -----------------------------------------------------------------------------------------------------


async def test_workers_share_one_port_and_their_metrics_add_up(launch: Launch) -> None:
    process = launch("--workers", "2", "--grace-s", "1")
    await asyncio.to_thread(process.read_banner)

    for _ in range(40):  # spread by the kernel: one worker alone does not see them all
        assert b'"ended": true' in await get(process.port, "/v1/chat/stream?source=counter&rate=0")

    for _ in range(4):
        exposition = (await get(process.port, "/metrics")).partition(b"\r\n\r\n")[2].decode()
        assert sample(exposition, "tokenweir_tokens_total", outcome="emitted") == 400
        assert sample(exposition, "tokenweir_active_streams") == 0
    process.signal()
    assert await exit_code(process) == 0


async def test_interrupt_of_the_terminal_ends_workers_in_good_order(launch: Launch) -> None:
    process = launch("--workers", "2", "--grace-s", "1")
    await asyncio.to_thread(process.read_banner)
    client = await RawClient.connect(process.port)
    await client.ask(hang_after=1)
    await client.read_until(b'"Hello"')

    process.signal_group(signal.SIGINT)

    assert b'"server_shutdown"' in await client.read_to_end()
    assert await exit_code(process) == 0
    client.close()


async def holder(process: Process, client: RawClient) -> int:
    """Begin a stream; returns the worker that sends it, the only one that has an open connection besides its port."""
    await client.ask(hang_after=1)
    await client.read_until(b'"Hello"')
    return max(process.workers, key=lambda pid: len(os.listdir(f"/proc/{pid}/fd")))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_worker_that_dies_is_replaced_and_its_streams_are_no_longer_counted(launch: Launch) -> None:
    process = launch("--workers", "2", "--grace-s", "1")
    await asyncio.to_thread(process.read_banner)
    client = await RawClient.connect(process.port)
    victim = await holder(process, client)
    before = set(process.workers)

    os.kill(victim, signal.SIGKILL)

    await client.read_to_end()
    line = await asyncio.to_thread(process.read_line, "worker")
    assert line == f"worker {victim} was killed by signal 9: another takes its place"
    await until(lambda: len(process.workers) == 2)
    (survivor,) = before - {victim}
    assert survivor in process.workers
    exposition = (await get(process.port, "/metrics")).partition(b"\r\n\r\n")[2].decode()
    assert sample(exposition, "tokenweir_active_streams") == 0
    process.signal()
    assert await exit_code(process) == 0
    client.close()


async def test_workers_end_their_streams_and_themselves_when_their_parent_is_killed(launch: Launch) -> None:
    process = launch("--workers", "2", "--grace-s", "1")
    await asyncio.to_thread(process.read_banner)
    client = await RawClient.connect(process.port)
    await client.ask(hang_after=1)
    await client.read_until(b'"Hello"')

    process.signal(signal.SIGKILL)

    assert b'"server_shutdown"' in await client.read_to_end()
    # Its stderr is theirs too: the end of it is the end of all of them.
    assert await exit_code(process) == -signal.SIGKILL
    await until_refused(process.port)
    client.close()
