"""Lesson 01, server-sent events by hand: what came over the wire, where the network cut it, and a browser's rules.

What a browser does when an event stream ends is said by WHATWG HTML, "Server-sent events": it connects again, sends
the last id it has seen as Last-Event-ID, and stops for good only at a status that is not 200, of which 204 is the
polite one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.teaching.plots import COLOURS, PALETTE
from servers.sse import EventStreamDecoder, ServerSentEvent
from streams.arguments import positive_int, shown

__all__ = (
    "Answer",
    "Visit",
    "all_cuts_agree",
    "cut",
    "draw_cuts",
    "event_by_event",
    "event_source",
    "fetch",
    "pieces",
    "still_open",
)

_ID: Final = "7f3a9c0d21e4"
_SHOWN_HEADERS: Final = ("Content-Type", "Cache-Control", "X-Accel-Buffering", "X-Stream-Id")
_READ_BYTES: Final = 65_536
_TRIALS: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered to one request, and how.

    The id of a stream is random. Here it is always the same, of the same length, so that a lesson shows the same bytes
    whenever it runs.
    """

    status: int
    headers: Mapping[str, str]
    """Those that say something about the stream."""
    chunks: tuple[bytes, ...]
    """The body, in the pieces in which the network handed it over."""
    closed: bool
    """Whether the server ended it; if not, the client's patience did."""

    @property
    def body(self) -> bytes:
        """All bytes of the body."""
        return b"".join(self.chunks)

    @property
    def events(self) -> list[ServerSentEvent]:
        """What a client that follows the standard makes of the body."""
        return EventStreamDecoder().feed(self.body)


async def fetch(
    address: str,
    target: str,
    *,
    last_event_id: str | None = None,
    patience_s: float = 5.0,
    stop_after: int | None = None,
) -> Answer:
    """Ask as the simplest client there is: a socket, three lines of text, and patience.

    It speaks HTTP/1.0, so that the body comes bare: no frames of chunked encoding, and the end is the end of the
    connection.

    Args:
        address: of the server, such as "http://127.0.0.1:8090".
        target: path and query.
        last_event_id: what a browser sends when it comes back; None: nothing.
        patience_s: how long to wait for the server's end, in seconds.
        stop_after: hang up after so many events; None: do not.

    Raises:
        OSError: there is no server; TimeoutError, which is one: it has not begun to answer.
        ValueError: the answer is no HTTP.
    """
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    header = "" if last_event_id is None else f"Last-Event-ID: {last_event_id}\r\n"
    writer.write(f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\n{header}\r\n".encode("latin-1"))
    decoder, chunks = EventStreamDecoder(), list[bytes]()
    head, event_count, closed = b"", 0, False
    try:
        async with asyncio.timeout(patience_s):
            head = await _read_head(reader)
            while not closed and (stop_after is None or event_count < stop_after):
                chunk = await reader.read(_READ_BYTES)
                closed = not chunk
                chunks.append(chunk)
                event_count += len(decoder.feed(chunk))
    except TimeoutError:
        if not head:
            raise
    finally:
        writer.close()
    return _answer(head.decode("latin-1"), [chunk for chunk in chunks if chunk], closed)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise ValueError(f"the answer must begin with HTTP headers; got {shown(error.partial)}") from None


def _answer(head: str, chunks: Sequence[bytes], closed: bool) -> Answer:
    status_line, *lines = head.strip().split("\r\n")
    words = status_line.split(" ")
    if len(words) < 2 or not words[1].isdecimal():
        raise ValueError(f"the answer must begin with an HTTP status; got {shown(status_line)}")
    sent = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    stream_id = sent.get("X-Stream-Id", _ID)
    headers: dict[str, str] = {name: sent[name].replace(stream_id, _ID) for name in _SHOWN_HEADERS if name in sent}
    return Answer(int(words[1]), headers, _renamed(chunks, stream_id), closed)


def _renamed(chunks: Sequence[bytes], stream_id: str) -> tuple[bytes, ...]:
    """Write the same id everywhere, also where the network cut one; the pieces keep their lengths."""
    body = b"".join(chunks)
    if len(stream_id) == len(_ID):
        body = body.replace(stream_id.encode(), _ID.encode())
    return tuple(pieces(body, _ends(chunks)[:-1]))


def _ends(chunks: Iterable[bytes]) -> list[int]:
    ends: list[int] = []
    for chunk in chunks:
        ends.append(len(chunk) + (ends[-1] if ends else 0))
    return ends


async def still_open(wait: asyncio.Future[Any] | Any, *, patience_s: float = 0.3) -> bool:
    """Say whether `wait` has still not come to its end after `patience_s` seconds. It is cancelled then."""
    try:
        async with asyncio.timeout(patience_s):
            await wait
    except TimeoutError:
        return True
    return False


# --- What a browser does ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Visit:
    """One connection of an EventSource."""

    last_event_id: str
    """What it sent as Last-Event-ID; empty: the header was left out."""
    status: int
    events: tuple[ServerSentEvent, ...]

    @property
    def texts(self) -> list[str]:
        """The data of its events."""
        return [event.data for event in self.events]


async def event_source(
    address: str, target: str, *, most_visits: int = 3, hang_up_after: int | None = None
) -> list[Visit]:
    """Do what a browser's EventSource does, but without the pause before it comes back.

    Args:
        address: of the server.
        target: path and query.
        most_visits: when to give up. A browser never does.
        hang_up_after: break the first connection after so many events, as a bad line would; None: do not.

    Returns:
        Its connections, the first one first.

    Raises:
        OSError, ValueError: as `fetch`.
    """
    positive_int("most_visits", most_visits)
    visits: list[Visit] = []
    last_event_id = ""
    while len(visits) < most_visits:
        stop_after = None if visits else hang_up_after
        answer = await fetch(address, target, last_event_id=last_event_id or None, stop_after=stop_after)
        decoder = EventStreamDecoder()
        events = tuple(decoder.feed(answer.body))[:stop_after]
        visits.append(Visit(last_event_id, answer.status, events))
        if answer.status != 200:
            break
        last_event_id = (events[-1].id if events else "") or last_event_id
    return visits


# --- Where the network cuts ----------------------------------------------------------------------------------------


def pieces(body: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut `body` at these offsets."""
    edges = [0, *sorted(cuts), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def cut(body: bytes, count: int, *, seed: int) -> list[bytes]:
    """Cut `body` into `count` pieces anywhere, as a network may. Equal seeds cut alike.

    Raises:
        TypeError, ValueError: `count` is not an int of at least 1, or there are fewer bytes than that.
    """
    positive_int("count", count)
    if len(body) < count:
        raise ValueError(f"count must be at most the number of bytes, {len(body)}; got {count}")
    return pieces(body, Random(seed).sample(range(1, len(body)), count - 1))


def event_by_event(body: bytes) -> list[bytes]:
    """Cut `body` behind each of its events: as if a network knew what an event is."""
    return pieces(body, [end for _, end, _ in _spans(body)][:-1])


def all_cuts_agree(client: Callable[[list[bytes]], Any], body: bytes) -> bool | Any:
    """Try a client on one body cut in many ways: into single bytes, not at all, and 200 times anywhere.

    Args:
        client: takes the chunks and returns the texts that it found in them; `...` is no answer yet.
        body: of an answer, whole.

    Returns:
        True if it always found what the standard's decoder finds, else False; `...` if the client says that.
    """
    truth = [event.data for event in EventStreamDecoder().feed(body)]
    cuts = [[body], pieces(body, range(1, len(body)))]
    cuts += [cut(body, 1 + seed % min(12, len(body)), seed=seed) for seed in range(_TRIALS)]
    for chunks in cuts:
        found = client(chunks)
        if found is ...:
            return ...
        if list(found) != truth:
            return False
    return True


def draw_cuts(
    axes: Any, cuttings: Mapping[str, Sequence[bytes]], found: Callable[[Sequence[bytes]], Sequence[str]]
) -> None:
    """Draw one body of events, cut in several ways: a row for each, a block for each event, a line for each cut.

    An event that `found` sees is full, one that it misses is hollow and crossed out.

    Raises:
        ValueError: the rows are not the same bytes.
    """
    bodies = {b"".join(chunks) for chunks in cuttings.values()}
    if len(bodies) != 1:
        raise ValueError(f"cuttings must be one body, cut in several ways; got {len(bodies)} bodies")
    spans = _spans(bodies.pop())
    for row, chunks in enumerate(cuttings.values()):
        seen = list(found(chunks))
        for start, end, text in spans:
            _draw_event(axes, row, start, end, text, is_seen=text in seen)
        for end in _ends(chunks)[:-1]:
            axes.plot([end, end], [row - 0.46, row + 0.46], color=COLOURS["lost"], linewidth=1.8, solid_capstyle="butt")
    axes.set_yticks(range(len(cuttings)), list(cuttings))
    axes.set_ylim(len(cuttings) - 0.4, -0.6)
    axes.set_xlim(-2, spans[-1][1] + 2)


def _spans(body: bytes) -> list[tuple[int, int, str]]:
    """Return where each event begins and ends, and its data."""
    spans: list[tuple[int, int, str]] = []
    decoder, start = EventStreamDecoder(), 0
    for end in range(1, len(body) + 1):
        for event in decoder.feed(body[end - 1 : end]):
            spans.append((start, end, event.data))
            start = end
    return spans


def _draw_event(axes: Any, row: int, start: int, end: int, text: str, *, is_seen: bool) -> None:
    face = PALETTE[0] if is_seen else "none"
    axes.barh(row, end - start - 1, left=start + 0.5, height=0.62, facecolor=face, edgecolor=PALETTE[0], linewidth=1.2)
    if not is_seen:
        axes.plot([start + 1, end - 1], [row + 0.3, row - 0.3], color=PALETTE[0], linewidth=0.8)
