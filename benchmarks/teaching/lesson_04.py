"""Lesson 04, from the operator to the socket: where tokens wait behind the boundary, seen over real TCP.

    boundary  ->  transport       ->  the server's kernel  ->  the client's kernel  ->  the program that reads
    (ours)        (the program's)     (SO_SNDBUF)              (SO_RCVBUF)

What the kernels hold is read from Linux's /proc/net/tcp while a reader stands still. Elsewhere it is not known, and
the lesson does with what the tokens themselves tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

import numpy as np

from benchmarks.load.client import drive
from benchmarks.load.plan import LoadOrder, LoadRun
from benchmarks.scenarios.cells import Transport
from benchmarks.scenarios.readers import FAST, Paced, ReaderProfile, Stalled
from benchmarks.teaching.display import drawing_of, show
from benchmarks.teaching.plots import PALETTE
from benchmarks.teaching.serving import server
from benchmarks.traces.captures import Trace
from benchmarks.traces.parsing import parse
from servers.response import BufferSizes
from streams import BackpressureStrategy
from streams.arguments import positive_int
from streams.marbles import Diagram, Held, Lane, RecordedItem, describe, diagram_of, diagram_of_recording
from streams.simulate import DemandSchedule, SourceSchedule, simulate

__all__ = (
    "AS_USUAL",
    "OURS",
    "PLACES",
    "Ages",
    "Look",
    "Queued",
    "ages_of",
    "arrivals",
    "beginning",
    "draw_ages",
    "draw_lowat",
    "draw_places",
    "gone_with",
    "look_at",
    "queued_in",
    "read_behind",
    "read_slowly",
    "show_beginnings",
    "speeds",
    "stand_still",
)

AS_USUAL: Final = ("--high-water-bytes", "65536", "--notsent-lowat-bytes", "0")
"""Options for our server that give it the buffers of a plain aiohttp server: 64 KiB in the transport, and what the
kernel likes."""

OURS: Final = ("--high-water-bytes", "0", "--notsent-lowat-bytes", "4096")
"""The same with the sizes that our server takes without being told."""

PLACES: Final = ("transport", "server's kernel", "client's kernel")
"""Where a token can wait that no strategy can reach any more, in the order in which it passes."""

_HOST: Final = "127.0.0.1"
_STREAM: Final = "/v1/chat/stream"
_SOCKETS: Final = Path("/proc/net/tcp")
_ESTABLISHED: Final = "01"
_STALLS_S: Final = (0.8, 2.0, 6.0)
_LOOK_AFTER: Final = 0.7
_MANY: Final = 60_000
_FIREHOSE: Final = 100_000


# --- A reader who stands still -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """What was where while a reader stood still.

    Attributes:
        gone: tokens that had left the boundary, none of which the reader had seen: no strategy could reach them.
        token_bytes: how long a token is on the wire, on average.
        waiting: tokens in each of `PLACES`, about: bytes divided by `token_bytes`. Empty where it is not known.
    """

    gone: int
    token_bytes: float
    waiting: Mapping[str, int]


async def stand_still(port: int, *, strategy: str = "drop", receive_buffer_bytes: int = 4096) -> Look:
    """Ask for 60,000 tokens as fast as they come, read nothing for a while, look around, then read it all.

    It is looked at when nothing moves any more; on a busy machine that takes longer, and is tried again.

    Args:
        port: where our server listens on this machine.
        strategy: any that needs no further parameter.
        receive_buffer_bytes: what the reader asks of its own kernel, which doubles it.

    Raises:
        RuntimeError: no stream came, or it did not come to rest within seconds.
    """
    for stall_s in _STALLS_S:
        order = _order(port, Stalled(stall_s), strategy, _MANY, 0, receive_buffer_bytes=receive_buffer_bytes)
        reading = asyncio.create_task(drive(order))
        await asyncio.sleep(stall_s * _LOOK_AFTER)
        looked_ns = time.monotonic_ns()
        queued = _queued_bytes(port)
        look = look_at(_trace(await reading), looked_ns, stall_s, queued)
        if look is not None:
            return look
    raise RuntimeError(f"the stream did not come to rest within {_STALLS_S[-1]} s")


def look_at(trace: Trace, looked_ns: int, stall_s: float, queued: Queued | None) -> Look | None:
    """Say what had left the boundary at `looked_ns`; None: it was too early, or too late.

    Too early: there was nothing yet, or more went before the reader began to read. Too late: it had begun.

    Args:
        trace: of a stream that was asked for with trace=1.
        looked_ns: when the kernels were asked.
        stall_s: how long the reader read nothing.
        queued: what they said.
    """
    assert trace.taken_ns is not None
    assert trace.times.sent_ns is not None
    resumed_ns = trace.times.sent_ns + round(stall_s * 1e9)
    gone = int((trace.taken_ns <= looked_ns).sum())
    if looked_ns >= resumed_ns or not gone or gone != (trace.taken_ns <= resumed_ns).sum():
        return None
    token_bytes = trace.bytes_received / len(trace.received_ns)
    return Look(gone, token_bytes, {} if queued is None else _shared(gone, token_bytes, queued))


async def gone_with(buffers: BufferSizes) -> int:
    """Return how many tokens leave the boundary for a reader who stands still, with a server in this process.

    Raises:
        RuntimeError: no stream came.
    """
    async with server(buffers=buffers) as address:
        port = urlsplit(address).port
        assert port is not None
        return (await stand_still(port)).gone


class Queued(NamedTuple):
    """Bytes in both kernels.

    Attributes:
        server: not sent, or not confirmed.
        client: not read.
    """

    server: int
    client: int


def _queued_bytes(port: int) -> Queued | None:
    """Return what the kernel holds for the connections to one port of this machine; None: it does not say."""
    with suppress(OSError):
        return queued_in(_SOCKETS.read_text(), port)
    return None


def queued_in(text: str, port: int) -> Queued:
    """Add up the queues of both ends in the words of /proc/net/tcp: addresses and sizes are hexadecimal."""
    server = client = 0
    for line in text.splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        to_send, to_read = (int(size, 16) for size in queues.split(":"))
        if state == _ESTABLISHED and _port(local) == port:
            server += to_send
        elif state == _ESTABLISHED and _port(remote) == port:
            client += to_read
    return Queued(server, client)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _shared(gone: int, token_bytes: float, queued: Queued) -> dict[str, int]:
    """Say how many tokens are where. What neither kernel has is still in the server's program."""
    server, client = (round(size / token_bytes) for size in queued)
    server = min(server, gone)
    client = min(client, gone - server)
    return dict(zip(PLACES, (gone - server - client, server, client), strict=True))


# --- A reader who is slow ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ages:
    """How old each token was when the reader had it.

    Attributes:
        at_s: when it was read, from the first token on.
        age_s: since it had left the source.
        last_index: of the last token that was read.
    """

    at_s: Sequence[float]
    age_s: Sequence[float]
    last_index: int

    @property
    def missed(self) -> int:
        """How many tokens before the last one never came."""
        return self.last_index + 1 - len(self.at_s)

    @property
    def settled_s(self) -> float:
        """The age at the end: the median of the last fifth."""
        return median(self.age_s[-max(1, len(self.age_s) // 5) :])


async def read_slowly(
    port: int,
    *,
    strategy: str = "latest",
    per_s: float = 1000,
    reader_per_s: float = 200,
    seconds: float = 2.5,
    receive_buffer_bytes: int = 4096,
) -> Trace:
    """Read a stream slowly over TCP for a while, leave, and return what came.

    Args:
        port: where our server listens on this machine.
        strategy: any that needs no further parameter.
        per_s: tokens a second that the source emits.
        reader_per_s: tokens a second that the reader takes from its socket.
        seconds: how long.
        receive_buffer_bytes: what the reader asks of its own kernel, which doubles it.

    Raises:
        RuntimeError: no stream came.
    """
    count = round(per_s * seconds) + 1000
    reader = Paced(tokens_per_s=reader_per_s)
    order = _order(port, reader, strategy, count, per_s, window_s=seconds, receive_buffer_bytes=receive_buffer_bytes)
    return _trace(await drive(order))


def ages_of(trace: Trace) -> Ages:
    """Return the ages of the tokens of a stream that was asked for with trace=1."""
    assert trace.emitted_ns is not None
    assert trace.seq is not None
    at_s = (trace.received_ns - trace.received_ns[0]) / 1e9
    age_s = (trace.received_ns - trace.emitted_ns) / 1e9
    return Ages(at_s.tolist(), age_s.tolist(), int(trace.seq[-1]))


async def speeds(ports: Mapping[str, int], *, rounds: int = 3) -> dict[str, float]:
    """Return how many tokens a second a fast reader gets of each server, the median of some rounds taken in turn.

    Raises:
        RuntimeError: no stream came.
    """
    positive_int("rounds", rounds)
    found: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(rounds):
        for name, port in ports.items():
            order = LoadOrder(host=_HOST, port=port, target=_firehose(), reader=FAST, mode="count")
            counted = (await drive(order)).counted
            if counted is None or not counted.tokens_per_s:
                raise RuntimeError("no stream came: is the server still running?")
            found[name].append(counted.tokens_per_s)
    return {name: median(values) for name, values in found.items()}


def _firehose() -> str:
    asked = {"source": "counter", "count": _FIREHOSE, "rate": 0, "strategy": "suspend", "capacity": 256}
    return f"{_STREAM}?{urlencode(asked)}"


def beginning(trace: Trace, until_ms: float) -> Diagram:
    """Return the first milliseconds of a stream as a marble diagram, up to the first token that was taken later.

    Of that one only the emission is drawn. The trace must reach beyond all that was taken by `until_ms`.
    """
    assert trace.emitted_ns is not None
    assert trace.taken_ns is not None
    assert trace.seq is not None
    columns = (trace.emitted_ns, trace.taken_ns, trace.received_ns)
    times = np.stack([(column - trace.emitted_ns[0]) / 1e6 for column in columns], axis=1).tolist()
    items: list[RecordedItem] = []
    for index, (emitted_ms, taken_ms, received_ms) in zip(trace.seq.tolist(), times, strict=True):
        if taken_ms > until_ms:
            # It was not taken yet; when it was emitted tells when those that were lost before it were.
            items.append(RecordedItem(index, 1, emitted_ms))
            break
        items.append(RecordedItem(index, 1, emitted_ms, taken_ms, received_ms if received_ms <= until_ms else None))
    seen = {item.index for item in items}
    return diagram_of_recording(items, missing=sorted(set(range(max(seen))) - seen), span_ms=until_ms)


def _order(
    port: int,
    reader: ReaderProfile,
    strategy: str,
    count: int,
    rate: float,
    *,
    window_s: float | None = None,
    receive_buffer_bytes: int = 4096,
) -> LoadOrder:
    asked = {"variant": "flux", "strategy": strategy, "source": "counter", "count": count, "rate": rate, "trace": 1}
    return LoadOrder(
        host=_HOST,
        port=port,
        target=f"{_STREAM}?{urlencode(asked)}",
        reader=reader,
        window_s=window_s,
        receive_buffer_bytes=receive_buffer_bytes,
    )


def _trace(run: LoadRun) -> Trace:
    """Return the tokens of the one stream.

    Raises:
        RuntimeError: there is none.
    """
    (capture,) = run.captures
    trace = parse(capture, profile="completion", transport=Transport.SSE)
    if not len(trace.received_ns):
        raise RuntimeError(f"no stream came: {trace.outcome.value} {trace.detail}".rstrip())
    return trace


# --- The same on paper ---------------------------------------------------------------------------------------------


def read_behind(
    strategy: BackpressureStrategy, source: SourceSchedule, *, hidden: int, read_every_ms: float
) -> Diagram:
    """Put a place for `hidden` items between the boundary and a slow reader, and return what happens.

    Such a place is demand given away in advance: the boundary hands items on until it is full, and one more for each
    that the reader takes out of it. The strategy is asked when no demand is left. The reader takes an item if there is
    one, and is busy with it for `read_every_ms`.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.
    """
    positive_int("hidden", hidden, minimum=0)
    requests: list[tuple[float, int]] = [(0.0, hidden + 1)]
    while True:
        trace = simulate(strategy, source, DemandSchedule(requests))
        drawn = diagram_of(trace)
        read_ms = _reads([marble.at_ms for marble in drawn.lanes[-1].marbles], read_every_ms)
        asked = [(0.0, hidden + 1), *((at_ms + read_every_ms, 1) for at_ms in read_ms)]
        if asked == requests:  # what is asked depends on what was read before: each round settles at least one more
            return _with_client(drawn, read_ms, hidden)
        requests = asked


def _reads(taken_ms: Sequence[float], read_every_ms: float) -> list[float]:
    read_ms: list[float] = []
    for at_ms in taken_ms:
        read_ms.append(max(at_ms, read_ms[-1] + read_every_ms) if read_ms else at_ms)
    return read_ms


def _with_client(drawn: Diagram, read_ms: Sequence[float], hidden: int) -> Diagram:
    """Let the last lane be the socket, with what it hides, and put the client behind it."""
    source, boundary, taken = drawn.lanes
    changes = sorted([(marble.at_ms, 1) for marble in taken.marbles] + [(at_ms, -1) for at_ms in read_ms])
    counts = accumulate(change for _, change in changes)
    held = Held(tuple((at_ms, max(0, count)) for (at_ms, _), count in zip(changes, counts, strict=True)), hidden)
    ended_ms = max([*read_ms[-1:], *(bar.at_ms for bar in taken.bars)], default=0.0)
    marbles = tuple(replace(marble, at_ms=at_ms) for marble, at_ms in zip(taken.marbles, read_ms, strict=True))
    socket = replace(taken, name="socket", verb="written", held=held)
    client = Lane("client", "read", marbles, tuple(replace(bar, at_ms=ended_ms) for bar in taken.bars))
    return Diagram((source, boundary, socket, client), drawn.noun)


def arrivals(drawn: Diagram) -> list[str]:
    """Return what is written on the marbles of the last lane."""
    return [marble.label for marble in drawn.lanes[-1].marbles]


# --- Plots ---------------------------------------------------------------------------------------------------------


def draw_places(axes: Any, looks: Mapping[str, Look]) -> None:
    """Draw how many tokens wait in each place: a row for each place, a bar for each look, on a logarithmic scale."""
    height = 0.8 / len(looks)
    for number, (name, look) in enumerate(looks.items()):
        waiting = look.waiting or {"somewhere": look.gone}
        rows = [len(waiting) - 1 - row - (number - (len(looks) - 1) / 2) * height for row in range(len(waiting))]
        bars = axes.barh(rows, [max(count, 0.5) for count in waiting.values()], height * 0.9, label=name)
        axes.bar_label(bars, [f" {count:,}" for count in waiting.values()], fontsize=9)
        axes.set_yticks(range(len(waiting)), list(waiting)[::-1])
    axes.set_xscale("log")
    axes.set_xlim(0.5, 10 * max(look.gone for look in looks.values()))
    axes.grid(axis="y", visible=False)


def draw_ages(axes: Any, found: Mapping[str, Ages]) -> None:
    """Draw how old the token is that the reader has just had, over time: a line for each stream."""
    for name, each in found.items():
        axes.plot(each.at_s, each.age_s, label=name)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)


def draw_lowat(axes: Any, gone: Mapping[int | None, int]) -> None:
    """Draw how many tokens leave the boundary for each TCP_NOTSENT_LOWAT, the largest first; None: without it."""
    names = ["not set" if bytes_ is None else f"{bytes_:,} B" for bytes_ in gone]
    bars = axes.bar(names, list(gone.values()), 0.6, color=PALETTE[0])
    axes.bar_label(bars, [f"{count:,}" for count in gone.values()], fontsize=9)
    axes.set_yscale("log")
    axes.set_ylim(10, 4 * max(gone.values()))
    axes.grid(axis="x", visible=False)


def show_beginnings(traces: Mapping[str, Trace], until_ms: float) -> None:
    """Display the first milliseconds of each stream as a marble diagram, one below the other."""
    for name, trace in traces.items():
        diagram = beginning(trace, until_ms)
        # As text, hundreds of tokens would fill pages: the description says it.
        show({**drawing_of([(name, diagram)], columns=1, width=560), "text/plain": f"{name}\n{describe(diagram)}"})
