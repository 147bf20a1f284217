"""What the client can do at most, and how fast a byte can be: a server that only sends, without aiohttp or a source.

    python -m benchmarks.load.null     GET /firehose?count=N        prepared frames, 64 KiB at a time
                                       GET /paced?count=N&rate=R    a frame whenever its time has come, with that time

Its frames are those of the profile completion, the paced ones as with trace=1.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final, cast
from urllib.parse import parse_qs, urlsplit

import numpy as np

from benchmarks.load.client import run
from benchmarks.load.plan import Client, LoadOrder, Mode
from benchmarks.processes import running
from benchmarks.results import NullRun
from benchmarks.scenarios.cells import Transport
from benchmarks.traces.captures import Outcome, Trace
from benchmarks.traces.parsing import parse
from servers.profiles import PROFILES, StreamIdentity
from streams.source import Token

__all__ = ("COMMAND", "delays_ns", "main", "null_run", "serving_null")

COMMAND: Final = (sys.executable, "-m", "benchmarks.load.null")
"""Starts the server; it prints its address."""

_HOST: Final = "127.0.0.1"
_STREAM_ID: Final = "null"
_TEXT: Final = " word"
_WRITE_BYTES: Final = 64 * 1024
_FIREHOSE_TOKENS: Final = 1_000_000
_PACED_TARGET: Final = "/paced?count=200&rate=400"
_TICK_S: Final = 0.001
_PHASES: Final = 64
_HEAD: Final = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    f"Connection: close\r\nX-Stream-Id: {_STREAM_ID}\r\n\r\n"
).encode()
_LAST_CHUNK: Final = b"0\r\n\r\n"


# --- What is measured ----------------------------------------------------------------------------------------------


def null_run(client: Client) -> NullRun:
    """Measure the client against a server that costs next to nothing. Blocks for two to three seconds.

    It is one stream at a time, so of several clients it says what one can do.

    Raises:
        RuntimeError: the server or the client failed.
    """
    with running(COMMAND) as server:
        counted, checked = _tokens_per_s(client, server.port, "count"), _tokens_per_s(client, server.port, "check")
        (paced,) = client.drive_all([LoadOrder(host=_HOST, port=server.port, target=_PACED_TARGET)])
    trace = parse(paced.captures[0], profile="completion", transport=Transport.SSE)
    _expect(trace.outcome is Outcome.COMPLETED, f"the paced stream: {trace.outcome.value} {trace.detail}")
    return NullRun(
        counted_tokens_per_s=counted,
        checked_tokens_per_s=checked,
        delay_p50_us=float(np.percentile(delays_ns(trace), 50)) / 1e3,
    )


def _tokens_per_s(client: Client, port: int, mode: Mode) -> float:
    target = f"/firehose?count={_FIREHOSE_TOKENS}"
    (done,) = client.drive_all([LoadOrder(host=_HOST, port=port, target=target, mode=mode)])
    counted = done.counted
    assert counted is not None  # neither mode captures
    complete = counted.tokens == _FIREHOSE_TOKENS and not (counted.missing or counted.duplicates)
    _expect(complete and done.captures[0].outcome is Outcome.COMPLETED, f"mode {mode}: {counted}")
    return counted.tokens_per_s


def _expect(as_it_should_be: bool, what_else: str) -> None:
    if not as_it_should_be:
        raise RuntimeError(f"the null run went wrong: {what_else}")


def delays_ns(trace: Trace) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return how long each token took from the moment it was written to the moment it was stamped.

    Raises:
        ValueError: the trace has no times.
    """
    if trace.emitted_ns is None:
        raise ValueError("the delay needs a trace with times")
    return trace.received_ns - trace.emitted_ns


# --- The server ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving_null() -> AsyncGenerator[int]:
    """Serve on a free port of loopback, which is given; at the end of the block whoever is connected is cut off."""
    pacer = _Pacer()
    server = await asyncio.get_running_loop().create_server(lambda: _Sender(pacer), _HOST, 0, backlog=4_096)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        pacer.stop()
        server.close()


class _Sender(asyncio.Protocol):
    """One connection: writes as long as the transport takes it, or what the pacer tells it to."""

    def __init__(self, pacer: _Pacer) -> None:
        self._pacer = pacer
        self._request = b""
        self._blocks: Iterator[bytes] = iter(())
        self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._request += data
        if not self._request.endswith(b"\r\n\r\n"):
            return
        url = urlsplit(self._request.split(b" ", 2)[1].decode())
        query = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
        self.transport.write(_HEAD)
        if url.path == "/paced":
            self._pacer.add(self, query["count"], query["rate"])
        else:
            self._blocks = itertools.chain(_firehose(query["count"]), (_end(),))
            self._pump()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._pump()

    def _pump(self) -> None:
        """Write until the transport says that it is enough, or all is written."""
        while not self._is_paused:
            block = next(self._blocks, None)
            if block is None:
                self.transport.close()
                return
            self.transport.write(block)

    def connection_lost(self, exc: Exception | None) -> None:
        self._blocks = iter(())
        self._is_paused = True


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def _end() -> bytes:
    encoder = PROFILES["completion"](StreamIdentity(_STREAM_ID))
    return _chunk(encoder.end()) + _LAST_CHUNK


@lru_cache(maxsize=1)
def _firehose(count: int) -> list[bytes]:
    """Prepare so many frames, in chunks of whole ones and of about 64 KiB."""
    encoder = PROFILES["completion"](StreamIdentity(_STREAM_ID))
    tokens = [Token(index, _TEXT, 0, 0) for index in range(count)]
    size = _WRITE_BYTES // len(encoder.tokens(tokens[-1:], 0))
    return [_chunk(encoder.tokens(tokens[at : at + size], 0)) for at in range(0, count, size)]


class _Pacer:
    """One timer for all paced streams: each gets its next frame when it is due, and then the time of the write."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, _Sender, Iterator[int], int]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, sender: _Sender, count: int, rate: int) -> None:
        """Send so many frames, so many a second. Streams that begin together are spread over one period."""
        number, period_ns = next(self._numbers), 1_000_000_000 // rate
        first_ns = time.monotonic_ns() + period_ns * (number % _PHASES) // _PHASES
        heapq.heappush(self._due, (first_ns, number, sender, iter(range(count)), period_ns))
        if self._timer is None:
            self._tick()

    def stop(self) -> None:
        """Send no more."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic_ns():
            due_ns, number, sender, indexes, period_ns = self._due[0]
            if sender.transport.is_closing():
                heapq.heappop(self._due)
            elif (index := next(indexes, None)) is None:
                heapq.heappop(self._due)
                sender.transport.write(_end())
                sender.transport.close()
            else:
                sender.transport.write(_paced_frame(index, due_ns))
                heapq.heapreplace(self._due, (due_ns + period_ns, number, sender, indexes, period_ns))
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick) if self._due else None


def _paced_frame(index: int, due_ns: int) -> bytes:
    # Written out: through the encoder it would cost several times the write, and the client is to be the limit.
    now_ns = time.monotonic_ns()
    frame = (
        f'event: message\nid: {_STREAM_ID}-{index}\ndata: {{"ended": false, "message": "{_TEXT}", "seq": {index}, '
        f'"due_ns": {due_ns}, "emitted_ns": {now_ns}, "taken_ns": {now_ns}}}\n\n'
    )
    return f"{len(frame):x}\r\n{frame}\r\n".encode()


async def _serve_forever() -> None:
    async with serving_null() as port:
        print(f"null server on http://{_HOST}:{port}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Serve until the process is ended."""
    run(_serve_forever())


if __name__ == "__main__":
    main()
