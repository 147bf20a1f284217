"""Many streams of 50 tokens/s: how many one server holds with p99 from due to received under 20 ms.

A server holds N streams if of the tokens that were due in the window at least 98 % arrived, and 99 % of these within
20 ms of the time they were due: what the server's timers are late counts. N is doubled until it fails, then bisected.
A miss while the server had CPU to spare may have been the machine's, and is repeated up to twice, unless less than
half of the tokens arrived: no stall costs that many.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

from benchmarks.load.client import run
from benchmarks.load.self_check import SHARE_LIMIT, Usage, undisturbed
from benchmarks.peers.registry import Peer
from benchmarks.processes import ServerProcess, on_core, running
from benchmarks.served.client import Reader, arrivals_of, open_readers
from benchmarks.served.contenders import FLUX, NODE, SSE_STARLETTE, STARLETTE, Contender
from benchmarks.served.firehose import FirehoseSize, warm_up
from benchmarks.served.report import Result, percentile, skipped

__all__ = (
    "FULL",
    "QUICK",
    "Attempt",
    "PacedSize",
    "Search",
    "largest_that_holds",
    "lateness_ms",
    "paced",
    "search",
    "watch",
)

_CASE: Final = "paced"
_RATE: Final = 50
_ENDLESS: Final = 1_000_000_000
_P99_LIMIT_MS: Final = 20.0
_DELIVERED_LIMIT: Final = 0.98
_SPARE_SHARE: Final = 0.85
_TRIES: Final = 3
_STALL_SHARE: Final = 0.5
_GRACE_S: Final = 0.1
_GOALS: Final = ((SSE_STARLETTE, 5.0), (STARLETTE, 2.0), (NODE, 1.5))


@dataclass(frozen=True, slots=True)
class PacedSize:
    """How much is measured.

    Attributes:
        first: the number of streams to begin with.
        most: where the doubling ends.
        bisections: how often the gap between what held and what failed is halved.
        warm_up_s: from the last connection to the window; the connections are opened over as long, or longer.
        window_s: tokens that are due in it count.
        rest_s: for the server to end its streams, before the next step.
        firehose: of the streams that warm the server up first; None: none does.
    """

    first: int = 100
    most: int = 6_400
    bisections: int = 3
    warm_up_s: float = 1.0
    window_s: float = 3.0
    rest_s: float = 1.0
    firehose: FirehoseSize | None = None


FULL: Final = PacedSize()
QUICK: Final = PacedSize(first=200, most=3_200, bisections=2, window_s=1.5, rest_s=0.5)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One window with a number of streams.

    Attributes:
        streams: how many.
        p50_ms: from due to received.
        p99_ms: the same.
        delivered_share: of the tokens that were due.
        server_share: of the server's core; None: unknown.
        client_share: of the client's.
    """

    streams: int
    p50_ms: float
    p99_ms: float
    delivered_share: float
    server_share: float | None
    client_share: float

    @property
    def holds(self) -> bool:
        """Whether the rule of this case is kept."""
        return self.delivered_share >= _DELIVERED_LIMIT and self.p99_ms <= _P99_LIMIT_MS

    @property
    def may_be_the_machine(self) -> bool:
        """Whether a miss may not have been the server's; also where nobody knows its CPU share."""
        had_cpu_to_spare = self.server_share is None or self.server_share < _SPARE_SHARE
        return had_cpu_to_spare and self.delivered_share >= _STALL_SHARE


class Search(NamedTuple):
    """The largest number of streams that a server held, and how it was found."""

    largest: int
    attempts: list[Attempt]

    @property
    def _missed(self) -> list[Attempt]:
        """The misses that settled it: of the lowest number above the largest that held."""
        above = [attempt for attempt in self.attempts if attempt.streams > self.largest and not attempt.holds]
        lowest = min((attempt.streams for attempt in above), default=0)
        return [attempt for attempt in above if attempt.streams == lowest]

    @property
    def is_bound(self) -> bool:
        """Whether the true number may be higher: nothing failed, or it failed where the client was the limit."""
        return not self._missed or any(attempt.client_share > SHARE_LIMIT for attempt in self._missed)

    @property
    def note(self) -> str:
        """What a reader of the number must know."""
        if not self._missed:
            return "nothing failed: the true number is higher"
        if not self.largest:
            return "not even one stream was in time"
        return "the client was the limit where it failed" if self.is_bound else ""


def paced(size: PacedSize) -> list[Result]:
    """Measure all goals, one server after the other."""
    ours = search(FLUX, size)
    return [_result(ours, peer, goal, size) for peer, goal in _GOALS]


def search(contender: Contender, size: PacedSize) -> Search:
    """Find out for one new server.

    Raises:
        RuntimeError: it did not start.
        ConnectionError, TimeoutError: a connection or every stream was refused, or one did not close.
    """
    with running(contender.command) as server, on_core(1), undisturbed():
        if size.firehose is not None:
            warm_up(contender, server, size.firehose)
        return run(_find(contender, server, size))


async def _find(contender: Contender, server: ServerProcess, size: PacedSize) -> Search:
    attempts: list[Attempt] = []

    async def holds(streams: int) -> bool:
        for _ in range(_TRIES):
            attempts.append(await watch(contender, server, streams, size))
            await asyncio.sleep(size.rest_s)
            if attempts[-1].holds or not attempts[-1].may_be_the_machine:
                break
        return attempts[-1].holds

    return Search(await largest_that_holds(holds, size.first, size.most, size.bisections), attempts)


async def largest_that_holds(holds: Callable[[int], Awaitable[bool]], first: int, most: int, bisections: int) -> int:
    """Return the largest number found for which `holds` came true; 0 if there was none.

    Doubles from `first` until it fails or passes `most`, then halves the gap between what held and what failed:
    `bisections` times, which count from the first that held.
    """
    held, failed = 0, first
    while failed <= most and await holds(failed):
        held, failed = failed, failed * 2
    if failed > most:
        return held
    left = bisections
    while left > 0 and (middle := (held + failed) // 2) not in (held, failed):
        left -= held > 0
        if await holds(middle):
            held = middle
        else:
            failed = middle
    return held


async def watch(contender: Contender, server: ServerProcess, streams: int, size: PacedSize) -> Attempt:
    """Open so many streams, watch them for one window, and close them."""
    target = contender.target(count=_ENDLESS, rate=_RATE, trace=1)
    async with open_readers(server.port, target, streams, spread_s=size.warm_up_s) as readers:
        await asyncio.sleep(size.warm_up_s)
        for reader in readers:
            reader.forget()
        before, server_cpu_s = Usage.now(), server.cpu_s()
        await asyncio.sleep(size.window_s)
        after, server_then_s = Usage.now(), server.cpu_s()
        await asyncio.sleep(_GRACE_S)
    window_s = (after.at_ns - before.at_ns) / 1e9
    late_ms = lateness_ms(readers, before.at_ns, after.at_ns)
    return Attempt(
        streams=streams,
        p50_ms=percentile(late_ms, 50),
        p99_ms=percentile(late_ms, 99),
        delivered_share=len(late_ms) / (streams * _RATE * window_s),
        server_share=_share(server_cpu_s, server_then_s, window_s),
        client_share=after.share_since(before),
    )


def _share(before_s: float | None, after_s: float | None, window_s: float) -> float | None:
    return None if before_s is None or after_s is None else (after_s - before_s) / window_s


def lateness_ms(readers: Sequence[Reader], from_ns: int, to_ns: int) -> list[float]:
    """Return how late each token arrived that was due in [from_ns, to_ns), from due to received."""
    return [
        (arrival.received_ns - arrival.due_ns) / 1e6
        for reader in readers
        for arrival in arrivals_of(reader.stamps_ns, reader.pieces)
        if from_ns <= arrival.due_ns < to_ns
    ]


def _result(ours: Search, peer: Peer, goal: float, size: PacedSize) -> Result:
    what, wanted = f"{FLUX.name} beside {peer.name}", f">= {goal:g} x streams"
    contender = Contender.of_peer(peer)
    if contender.missing:
        return skipped(_CASE, what, wanted, contender.missing)
    theirs = search(contender, size)
    ratio = ours.largest / theirs.largest if theirs.largest else math.nan
    raw = {
        "goal_ratio": goal,
        "ratio": ratio,
        "our_attempts": [asdict(attempt) for attempt in ours.attempts],
        "peer_attempts": [asdict(attempt) for attempt in theirs.attempts],
    }
    shown = f"{ratio:.1f} x: {ours.largest:,} and {theirs.largest:,} streams of {_RATE} tokens/s"
    notes = [f"{name}: {search.note}" for name, search in ((FLUX.name, ours), (peer.name, theirs)) if search.note]
    return Result(_CASE, what, wanted, shown, ratio >= goal, "; ".join(notes), raw)
