"""`python -m servers`: its options, its banner, its workers, and how it ends."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress

import pytest
from typer.testing import CliRunner

from servers.__main__ import app, banner
from servers.settings import ServerSettings
from tests.servers.serving import LONGEST_S, Process, RawClient, sample

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
        ["--grace-s", "-1"], ["--recordings", "/nosuch"], ["--nosuch"], ["extra"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_option_is_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_help_names_every_option() -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout)
    for option in (
        "host", "port", "workers", "threads", "recordings", "upstream-url", "cors-origin", "max-streams",
        "max-buffer-bytes", "heartbeat-s", "send-timeout-s", "grace-s", "high-water-bytes",
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
    process = launch("--grace-s", "3600")
    await asyncio.to_thread(process.read_banner)
    client = await RawClient.connect(process.port)
    head = "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    await client.send(head.encode())
    await client.read_until(b" 100 Continue")  # the body that it announced never comes: the grace would be used up

    process.signal()
    await until_refused(process.port)
    process.signal()

    assert await exit_code(process) == 1
    client.close()


# --- Workers -----------------------------------------------------------------------------------------------------


async def test_workers_share_one_port_and_their_metrics_add_up(launch: Launch) -> None:
    process = launch("--workers", "2", "--grace-s", "1")
    await asyncio.to_thread(process.read_banner)
    while True:
        with suppress(ConnectionError):
            await get(process.port, "/healthz")
            break

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
    while True:
        with suppress(ConnectionError):
            client = await RawClient.connect(process.port)
            break
    await client.ask(hang_after=1)
    await client.read_until(b'"Hello"')

    process.signal_group(signal.SIGINT)

    assert b'"server_shutdown"' in await client.read_to_end()
    assert await exit_code(process) == 0
    client.close()
