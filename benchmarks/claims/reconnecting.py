"""The claim that EventSource reconnects after the stream has ended."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import aiohttp

from benchmarks.claims.claim import Claim, Evidence, Figure, Verdict, missing, untested
from benchmarks.claims.tools import CHROMIUM, OUR_SERVER, browser
from benchmarks.peers.failures import in_words
from benchmarks.processes import ServerProcess, running, starting_all
from servers.sse import EventStreamDecoder, encode_event

__all__ = ("CLAIM", "PATHS", "Asked", "judge", "measure", "serving")

_RETRY_MS: Final = 100
_ENOUGH: Final = 4
_BROWSER_TIMEOUT_S: Final = 30.0
_LOOK_AGAIN_S: Final = 0.02
_STREAM: Final = encode_event("the only one", event="last", id="stream-end", retry_ms=_RETRY_MS)
_STATUS: Final = {200: "OK", 204: "No Content", 404: "Not Found", 500: "Internal Server Error"}

PATHS: Final = {
    "ended": "the stream ends, again and again",
    "stopped": "it ends, and 204 answers the id of its last event",
    "closed": "the page calls close() on the last event",
    "failed": "the server answers 500",
}
"""What the page opens an EventSource on."""

_PAGE: Final = b"""<!doctype html><title>EventSource</title><script>
for (const path of ["stopped", "closed", "failed", "ended"]) {
  const source = new EventSource("/" + path);
  if (path === "closed") source.addEventListener("last", () => source.close());
}
</script>"""

_ARGUMENTS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",  # without a purpose it would load the page and leave
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was seen on the server's side.

    Attributes:
        requests: by path of `PATHS`: how often a browser asked; empty: there is no browser, or it failed.
        finished_status: what our server answers to the id of a stream that has ended.
        failure: what went wrong with the browser; empty: nothing, or there is none.
    """

    requests: Mapping[str, int]
    finished_status: int
    failure: str = ""


def judge(asked: Asked, lacking: tuple[str, ...] = ()) -> Evidence:
    """Refuted if a stream that ended was asked for once; conditional if something stops the browser."""
    figures = (
        *(Figure(f"requests, {PATHS[path]}", asked.requests[path], of="browser") for path in PATHS if asked.requests),
        Figure("status for the last id of an ended stream", asked.finished_status, of="our server"),
    )
    stops = asked.finished_status == 204
    ours = (
        f"Our server answers {asked.finished_status} to the id of an ended stream, "
        f"{'by which the standard stops a client' if stops else 'after which the standard has a client go on'}.",
    )
    if asked.failure:
        return Evidence(Verdict.UNTESTED, figures, (f"The browser failed: {asked.failure}", *ours), failed=True)
    if not asked.requests:
        return untested(lacking, figures, ours)
    sentences = (*_sentences(asked.requests), *ours)
    if asked.requests["ended"] < 2:
        return Evidence(Verdict.REFUTED, figures, sentences)
    stopped = _stopping(asked.requests)
    if not stopped:
        return Evidence(Verdict.HOLDS, figures, sentences)
    return Evidence(Verdict.CONDITIONAL, figures, sentences, f"unless {' or '.join(stopped)}")


def _stopping(requests: Mapping[str, int]) -> list[str]:
    """Return what kept the browser from asking as often as it asked for the stream that only ended."""
    stops: list[str] = []
    if requests["stopped"] == 2 < requests["ended"]:  # the second request got the 204
        stops.append("the server answers 204")
    if requests["closed"] == 1:
        stops.append("the page calls close()")
    return stops


def _sentences(requests: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(
        f"Where {words}, the browser asked {requests[path]} time{'' if requests[path] == 1 else 's'}."
        for path, words in PATHS.items()
    )


# --- The experiment ----------------------------------------------------------------------------------------------


def measure() -> Asked:
    """Have a browser open the page if there is one, and ask our server about a finished stream.

    Raises:
        RuntimeError: our server could not be started.
        OSError: our server did not answer.
    """
    requests: dict[str, int] = {}
    failure = ""
    if path := browser():
        try:
            requests = asyncio.run(_browse(path))
        except (RuntimeError, OSError) as error:  # our server's half does not need it
            failure = in_words(error)
    with running(OUR_SERVER) as server:
        return Asked(requests, asyncio.run(_ask_again(f"http://127.0.0.1:{server.port}/v1/chat/stream")), failure)


async def _ask_again(url: str) -> int:
    """Read a stream of our server to its end, and ask for it again with the id of its last event."""
    query = {"source": "counter", "count": "1", "rate": "0"}
    decoder = EventStreamDecoder()
    async with aiohttp.ClientSession() as session:
        async with session.get(url, params=query) as response:
            decoder.feed(await response.read())
        headers = {"Last-Event-ID": decoder.last_event_id}
        async with session.get(url, params=query, headers=headers) as response:
            return response.status


async def _browse(path: str) -> dict[str, int]:
    """Run a browser with a profile of its own until it has asked often enough, and count."""
    async with serving() as (port, requests):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            command = (path, *_ARGUMENTS, f"--user-data-dir={profile}", f"http://127.0.0.1:{port}/")
            with starting_all([command]) as (process,):
                await _asked_enough(requests, process)
                # What the others still want to ask has the time of a whole retry.
                await asyncio.sleep(2 * _RETRY_MS / 1_000)
                return {name: requests[name] for name in PATHS}


async def _asked_enough(requests: Mapping[str, int], process: ServerProcess) -> None:
    deadline_s = time.monotonic() + _BROWSER_TIMEOUT_S
    while requests["ended"] < _ENOUGH and time.monotonic() < deadline_s:
        if process.has_ended:
            raise RuntimeError(f"it ended too early, and printed:\n{process.last_words()}")
        await asyncio.sleep(_LOOK_AGAIN_S)
    # Once is an answer, too: the browser had much longer than it was told to wait.
    if not requests["ended"]:
        raise RuntimeError(f"it did not ask within {_BROWSER_TIMEOUT_S:.0f} s, and printed:\n{process.last_words()}")


@asynccontextmanager
async def serving() -> AsyncGenerator[tuple[int, Counter[str]]]:
    """Serve the page and its streams.

    Yields:
        The port, and how often each path was asked for.
    """
    requests = Counter[str]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            name = head.split(" ", 2)[1].strip("/")
            requests[name] += 1
            writer.write(_response(name, returning="last-event-id:" in head.lower()))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], requests


def _response(name: str, *, returning: bool) -> bytes:
    if name == "failed":
        return _answer(500)
    if name == "stopped" and returning:
        return _answer(204)
    if name in PATHS:
        return _answer(200, "text/event-stream", _STREAM)
    return _answer(404) if name else _answer(200, "text/html", _PAGE)


def _answer(status: int, content_type: str = "text/plain", body: bytes = b"") -> bytes:
    lines = f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n"
    return lines.encode() + body


CLAIM: Final = Claim(
    name="reconnects",
    statement="EventSource reconnects after the stream has ended",
    said_by="reports of streams that begin again for ever",
    decided_by=(
        "A Chromium opens an EventSource on four streams of a small server, which counts how often each is asked for. "
        "It is refuted if a stream that ended is not asked for again, and holds as it stands if nothing stops that."
    ),
    limits="One browser. Without one only the server's half is seen, and the verdict is left open.",
    experiment=lambda: judge(measure(), missing((CHROMIUM,))),
    helps=(CHROMIUM,),
)
