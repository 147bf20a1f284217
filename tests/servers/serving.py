"""A server on a free port of loopback, what it says at the end of each stream, and clients that misbehave."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from servers.listening import serving
from servers.settings import ServerSettings
from servers.sse import EventStreamDecoder, ServerSentEvent

__all__ = (
    "LONGEST_S",
    "Journal",
    "Process",
    "RawClient",
    "Reply",
    "Server",
    "decoded",
    "sample",
    "texts",
    "until",
)

ROOT: Final = Path(__file__).parents[2]
LONGEST_S: Final = 20.0
"""No condition takes longer; only a test that fails waits so long."""
STREAM: Final = "/v1/chat/stream"


async def until(condition: Callable[[], object]) -> None:
    """Run loop turns until `condition()` is true."""
    async with asyncio.timeout(LONGEST_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)


class Journal(logging.Handler):
    """What the server logs: one JSON object for each stream that has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(json.loads(record.getMessage()))

    async def ended(self, stream_id: str) -> dict[str, Any]:
        """Wait for the record of one stream."""
        await until(lambda: self._of(stream_id))
        return self._of(stream_id)[0]

    async def all_ended(self, count: int) -> list[dict[str, Any]]:
        """Wait until `count` streams have ended."""
        await until(lambda: len(self.records) >= count)
        return self.records

    def _of(self, stream_id: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["stream"] == stream_id]


@dataclass(frozen=True)
class Reply:
    """The whole answer to one request."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[ServerSentEvent]:
        return decoded(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error


def decoded(body: bytes) -> list[ServerSentEvent]:
    """Return the events of an event stream."""
    return EventStreamDecoder().feed(body)


def texts(events: Iterable[ServerSentEvent]) -> list[str]:
    """Return the texts of the tokens in a stream of the profile completion."""
    payloads = [json.loads(event.data) for event in events if event.event == "message"]
    return [payload["message"] for payload in payloads if not payload["ended"]]


def sample(exposition: str, name: str, **labels: str) -> float:
    """Return the sum of all samples `name` that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


class Server:
    """A server in this process, on a free port whatever its settings say, with a client of its own."""

    def __init__(self, settings: ServerSettings, journal: Journal, *, handler_cancellation: bool) -> None:
        self.journal = journal
        self._serving = serving(replace(settings, port=0), handler_cancellation=handler_cancellation)
        self._running = AsyncExitStack()

    async def start(self) -> None:
        self.port = await self._running.enter_async_context(self._serving)
        self.session = aiohttp.ClientSession(
            f"http://127.0.0.1:{self.port}", connector=aiohttp.TCPConnector(limit=0, force_close=True)
        )

    async def stop(self) -> None:
        await self._running.aclose()
        await self.session.close()

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        async with self.session.request(method, path, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.request("GET", path, **options)

    async def post(self, path: str, body: object) -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.request("POST", path, data=data)

    async def stream(self, **query: object) -> Reply:
        """Read one stream to its end; as fast as possible unless `rate` is given."""
        return await self.get(f"{STREAM}?{urlencode({'rate': 0, **query})}")

    def opened(self, **query: object) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Begin a stream, and leave it at the end of the block."""
        return self.session.get(f"{STREAM}?{urlencode({'rate': 0, **query})}")

    async def metric(self, name: str, **labels: str) -> float:
        return sample((await self.get("/metrics")).body.decode(), name, **labels)

    async def stream_count(self) -> int:
        count: int = (await self.get("/healthz")).json["streams"]
        return count

    async def connect(self, *, receive_buffer_bytes: int | None = None) -> RawClient:
        return await RawClient.connect(self.port, receive_buffer_bytes=receive_buffer_bytes)


class RawClient:
    """A client that is only a socket: for bytes, and for bad manners."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.received = b""

    @classmethod
    async def connect(cls, port: int, *, receive_buffer_bytes: int | None = None) -> RawClient:
        connection = socket.socket()
        connection.setblocking(False)
        if receive_buffer_bytes is not None:  # before the connection is made: it decides the window
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except ConnectionError:
            connection.close()
            raise
        return cls(connection)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def ask(self, **query: object) -> None:
        """Ask for a stream; as fast as possible unless `rate` is given."""
        target = f"{STREAM}?{urlencode({'rate': 0, **query})}"
        await self.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    async def post(self, path: str, body: bytes) -> None:
        await self.send(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )

    async def read(self) -> bytes:
        """Read what is there; b"" at the end."""
        data: bytes = await asyncio.get_running_loop().sock_recv(self._socket, 65_536)
        self.received += data
        return data

    async def read_until(self, marker: bytes) -> None:
        async with asyncio.timeout(LONGEST_S):
            while marker not in self.received:
                assert await self.read(), f"the connection ended before {marker!r}: {self.received[-200:]!r}"

    async def read_to_end(self) -> bytes:
        """Read until the server closes the connection, in whatever way."""
        async with asyncio.timeout(LONGEST_S):
            with suppress(ConnectionError):
                while await self.read():
                    pass
        return self.received

    async def stream_id(self) -> str:
        """Read the headers, and return the name of the stream."""
        await self.read_until(b"\r\n\r\n")
        return self.received.partition(b"X-Stream-Id: ")[2].partition(b"\r\n")[0].decode()

    def unread(self) -> bytes:
        """Return what lies in the kernel's receive buffer, and leave it there."""
        try:
            return self._socket.recv(1 << 22, socket.MSG_PEEK)
        except BlockingIOError:
            return b""

    def say_no_more(self) -> None:
        """Close this side only."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Vanish: what is under way is answered with RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


class Process:
    """`python -m servers` as a process of its own."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "servers", *arguments]
        # In a session of its own, so that a signal to its group reaches nobody else.
        self._process = subprocess.Popen(
            command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ}
        )
        self.pid = self._process.pid
        self.lines: list[str] = []

    def read_banner(self) -> list[str]:
        """Wait for the banner, which ends with an empty line; returns its lines."""
        assert self._process.stderr is not None
        while not (len(self.lines) > 3 and not self.lines[-1]):
            line = self._process.stderr.readline()
            assert line, f"the server ended: {self.lines}"
            self.lines.append(line.rstrip("\n"))
        return self.lines

    def read_line(self, containing: str) -> str:
        """Wait for a line on stderr that has `containing` in it."""
        assert self._process.stderr is not None
        while not (self.lines and containing in self.lines[-1]):
            line = self._process.stderr.readline()
            assert line, f"the server ended: {self.lines}"
            self.lines.append(line.rstrip("\n"))
        return self.lines[-1]

    @property
    def workers(self) -> list[int]:
        """The processes that it has started and that are there."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    @property
    def port(self) -> int:
        return int(self.lines[0].partition("127.0.0.1:")[2].partition("/")[0])

    def signal(self, number: int = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    def signal_group(self, number: int) -> None:
        os.killpg(self.pid, number)

    def wait(self) -> int:
        """Wait for the exit; what was still said on stderr is added to `lines`."""
        self.lines += self._process.communicate(timeout=LONGEST_S)[1].splitlines()
        return self._process.returncode

    def end(self) -> None:
        """Make sure that it has ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        elif self._process.stderr is not None:
            self._process.stderr.close()
