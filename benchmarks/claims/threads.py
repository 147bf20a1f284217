"""The claim that SseEmitter needs a thread per stream."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import aiohttp

from benchmarks.claims.claim import Claim, Evidence, Figure, Verdict, missing, untested
from benchmarks.claims.tools import JAVA, has, spring
from benchmarks.peers import jvm
from benchmarks.processes import ServerProcess
from streams import Emitter
from streams.pacing import play, play_in_threads
from streams.source import Pacing, Token, TokenSource

__all__ = ("CLAIM", "FULL", "Fed", "Size", "judge", "measure", "most_at_a_time", "ours", "served")

_TIMES: Final = re.compile(rb'"emitted_ns": ?(\d+)')
_TIMEOUT_S: Final = 30

Span = tuple[int, int]
"""When the first and when the last token of a stream were emitted."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is streamed.

    Attributes:
        clients: that ask at the same moment.
        threads: of the pool.
        tokens: of each stream.
        rate: tokens per second.
    """

    clients: int = 10
    threads: int = 5
    tokens: int = 20
    rate: int = 40


FULL: Final = Size()


@dataclass(frozen=True, slots=True)
class Fed:
    """How many streams one way of feeding them fed at a time.

    Attributes:
        of: whose emitters.
        way: how they were fed.
        threads: that feed.
        clients: that asked.
        at_a_time: streams that had begun and not ended.
        original: whether they are Spring's.
    """

    of: str
    way: str
    threads: int
    clients: int
    at_a_time: int
    original: bool

    @property
    def is_thread_bound(self) -> bool:
        """Whether there were no more streams than threads, though more were asked for."""
        return self.at_a_time <= self.threads < self.clients


def most_at_a_time(spans: Sequence[Span]) -> int:
    """Return how many streams were being fed at the same time, at most; one that begins as another ends is not."""
    # A stream of one token is being fed while that is emitted.
    ends = [(max(last, first + 1), -1) for first, last in spans]
    changes = sorted([(first, 1) for first, _ in spans] + ends)
    most = running = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


def judge(fed: Sequence[Fed], lacking: tuple[str, ...] = ()) -> Evidence:
    """Holds if no way fed more streams than it had threads; ours decides nothing about Spring."""
    figures = tuple(
        Figure(f"streams at a time, {each.way}", each.at_a_time, f"of {each.clients}", each.of) for each in fed
    )
    sentences = tuple(
        f"{each.of}, {each.way}: {each.clients} clients, {each.at_a_time} streams at a time"
        f"{'; the others waited.' if each.at_a_time < each.clients else '.'}"
        for each in fed
    )
    theirs = [each for each in fed if each.original]
    if not theirs:
        return untested(lacking, figures, sentences)
    bound = [each for each in theirs if each.is_thread_bound]
    if len(bound) == len(theirs):
        return Evidence(Verdict.HOLDS, figures, sentences)
    if bound:
        condition = f"with {' and '.join(each.way for each in bound)}"
        return Evidence(Verdict.CONDITIONAL, figures, sentences, condition)
    return Evidence(Verdict.REFUTED, figures, sentences)


# --- Spring's emitters -------------------------------------------------------------------------------------------


def measure(size: Size = FULL) -> list[Fed]:
    """Feed Spring's emitters both ways if Java is there, and ours in any case.

    Raises:
        RuntimeError: something could not be built or started.
        OSError: a server did not answer as it should.
    """
    fed = asyncio.run(ours(size))
    if not has(JAVA):
        return fed
    pool = jvm.command("mvc", f"--threads={size.threads}")
    with spring(("mvc", "OneThread"), beside=[pool]) as (timed, pooled):
        at_a_time = served(pooled, size)
        fed.append(Fed("SseEmitter", _pooled(size), size.threads, size.clients, at_a_time, original=True))
        at_a_time = served(timed, size)
        fed.append(Fed("SseEmitter", "one thread with a timer", 1, size.clients, at_a_time, original=True))
    return fed


def _pooled(size: Size) -> str:
    return f"{size.threads} pool threads, each with one stream to its end"


def served(server: ServerProcess, size: Size) -> int:
    """Have all clients ask a server at the same moment; how many it feeds at a time, by the times in their tokens.

    Raises:
        RuntimeError: a stream lacked tokens.
        OSError: a server did not answer as it should.
    """
    query = {"variant": "emitter", "count": size.tokens, "rate": size.rate, "trace": 1}
    url = f"http://127.0.0.1:{server.port}/v1/chat/stream?{urlencode(query)}"
    return most_at_a_time(asyncio.run(_read_all(url, size)))


async def _read_all(url: str, size: Size) -> list[Span]:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return await asyncio.gather(*(_read(session, url, size.tokens) for _ in range(size.clients)))


async def _read(session: aiohttp.ClientSession, url: str, tokens: int) -> Span:
    async with session.get(url) as response:
        response.raise_for_status()
        emitted_ns = [int(time_ns) for time_ns in _TIMES.findall(await response.read())]
    if len(emitted_ns) != tokens:
        raise RuntimeError(f"a stream brought {len(emitted_ns)} of {tokens} tokens")
    return emitted_ns[0], emitted_ns[-1]


# --- Ours --------------------------------------------------------------------------------------------------------


async def ours(size: Size) -> list[Fed]:
    """Feed our emitters from a pool, a thread each, and from the event loop."""
    with ThreadPoolExecutor(size.threads) as pool:
        pooled = await asyncio.gather(*(_feed(size, pool) for _ in range(size.clients)))
    looped = await asyncio.gather(*(_feed(size, None) for _ in range(size.clients)))
    return [
        Fed("our Emitter", _pooled(size), size.threads, size.clients, most_at_a_time(pooled), original=False),
        Fed("our Emitter", "the event loop's one thread", 1, size.clients, most_at_a_time(looped), original=False),
    ]


async def _feed(size: Size, pool: Executor | None) -> Span:
    emitted_ns: list[int] = []
    emitter = Emitter[Token]()

    async def take(tokens: list[Token]) -> None:
        emitted_ns.extend(token.emitted_ns for token in tokens)

    ended = asyncio.Event()
    emitter.on_completion(ended.set)
    emitter.attach(take)
    source = TokenSource(texts=["token"], count=size.tokens, pacing=Pacing(rate=size.rate))
    if pool is None:
        await play(source, emitter.send)
    else:
        await play_in_threads(source, emitter.send_blocking, producers=1, executor=pool)
    emitter.complete()
    await ended.wait()
    return emitted_ns[0], emitted_ns[-1]


CLAIM: Final = Claim(
    name="thread-per-stream",
    statement="SseEmitter needs a thread per stream",
    said_by="advice to move from Spring MVC to WebFlux",
    decided_by=(
        "Ten clients ask at the same moment. Their emitters are fed by the classic pool of five threads, each of which "
        "stays with a stream, and by one thread with a timer; times in the tokens say how many were fed at a time. It "
        "holds if no way feeds more streams than it has threads."
    ),
    limits="A send blocks its thread while the client's socket is full, so one slow client holds up a shared thread.",
    experiment=lambda: judge(measure(), missing(JAVA)),
    helps=JAVA,
)
