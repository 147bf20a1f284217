"""When tokens leave: the schedule of a source, and the drivers that play it, on the loop or in threads.

Both drivers keep an absolute schedule: every due time counts from the start of the play, so that lateness never
adds up, and a source that was held up by its consumer catches up as fast as it may.

An exception of `send` ends the play and is raised. So does a result FAIL_*, which is returned: the stream has ended,
and there is nobody left to emit to.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, islice, repeat
from random import Random
from typing import Final

from streams.affinity import pass_on
from streams.arguments import positive_int
from streams.clock import Clock, LoopClock, TimerHandle, sleep_until
from streams.errors import SourceFailure
from streams.source import Gaps, Pacing, Token, TokenSource
from streams.strategy import EmitResult

__all__ = ("MAX_TOKENS_PER_TURN", "play", "play_in_threads", "schedule_ns")

MAX_TOKENS_PER_TURN: Final = 64
"""How many tokens a source on the loop emits before it lets the others have a turn."""

_MAX_BURST: Final = 8
# The system refuses to wait for centuries, which a slow rate and a large index can ask for.
_LONGEST_WAIT_S: Final = 3600.0
_NS_PER_MS: Final = 1e6
_NS_PER_S: Final = 1e9
_WOULD_SUSPEND: Final = EmitResult.WOULD_SUSPEND  # an attribute of an Enum is slow to reach
_FAILURES: Final = frozenset(result for result in EmitResult if result.name.startswith("FAIL_"))


def schedule_ns(source: TokenSource) -> Iterator[int | None]:
    """Give the due time of each token of `source` in nanoseconds after the start, without an end.

    None stands for "as soon as the one before it was taken". The times never decrease, and are the same on every call.
    """
    pacing = source.pacing
    offsets = _offsets_ns(source)
    return offsets if pacing.ttft_ms is None else _with_first(round(pacing.ttft_ms * _NS_PER_MS), offsets)


def _offsets_ns(source: TokenSource) -> Iterator[int | None]:
    pacing = source.pacing
    if pacing.gaps is Gaps.RECORDED:
        return _recorded_ns(source.at_ms or (0,))
    if pacing.rate == 0:
        return repeat(None)
    if pacing.gaps is Gaps.STEADY:
        return _steady_ns(pacing.rate)
    random_gaps_ns = _poisson_ns if pacing.gaps is Gaps.POISSON else _bursty_ns
    return random_gaps_ns(pacing.rate, Random(pacing.seed))


def _with_first(first_ns: int, offsets: Iterator[int | None]) -> Iterator[int | None]:
    shift_ns = first_ns - (next(offsets) or 0)
    later = (None if offset is None else offset + shift_ns for offset in offsets)
    return chain((first_ns,), later)


def _steady_ns(rate: float) -> Iterator[int]:
    return (round(index * _NS_PER_S / rate) for index in count())


def _poisson_ns(rate: float, random: Random) -> Iterator[int]:
    offset_ns = 0.0
    while True:
        yield round(offset_ns)
        offset_ns += random.expovariate(1.0) * _NS_PER_S / rate


def _bursty_ns(rate: float, random: Random) -> Iterator[int]:
    index = 0
    while True:
        burst = random.randint(1, _MAX_BURST)
        yield from repeat(round(index * _NS_PER_S / rate), burst)
        index += burst


def _recorded_ns(at_ms: Sequence[float]) -> Iterator[int]:
    request_ms = 0.0
    while True:
        for time_ms in at_ms:
            yield round((request_ms + time_ms) * _NS_PER_MS)
        # A repetition is the same request made again as soon as the last token came.
        request_ms += at_ms[-1]


async def play(
    source: TokenSource,
    send: Callable[[Token], Awaitable[EmitResult | None]],
    *,
    offer: Callable[[Token], EmitResult | None] | None = None,
    clock: Clock | None = None,
) -> EmitResult | None:
    """Await `send(token)` for each token of `source` in order, when it is due.

    Gives the loop a turn at least every 64 tokens, also when `send` never waits: neither an unpaced source nor a
    late one starves the others. Cancelling it leaves no timer behind.

    Args:
        source: what to play, from its start.
        send: takes one token and waits until the next one may come; a sink's `send`, for example.
        offer: is asked first, if given: takes one token at once, or returns WOULD_SUSPEND, and `send` is awaited with
            it; a sink's `next`, for example. It is called on the loop in a copy of the caller's context, and mostly in
            no task, which spares the caller's a turn for each token that finds room.
        clock: times the tokens; None is the clock of the running loop.

    Returns:
        The result FAIL_* that ended the play, or None after the last token.

    Raises:
        SourceFailure: the source was told to fail (`fail_after`).
        Exception: whatever `send` or `offer` raised.
    """
    clock = LoopClock.current() if clock is None else clock
    steps = (_unpaced if _is_unpaced(source.pacing) else _paced)(source, offer or _take_nothing, clock.now_ns)
    failure = await (_play_waiting if offer is None else _play_calling)(steps, send, clock)
    if failure is None:
        await _end(source)
    return failure


def _is_unpaced(pacing: Pacing) -> bool:
    return pacing.rate == 0 and pacing.ttft_ms is None and pacing.gaps is not Gaps.RECORDED


def _take_nothing(token: Token) -> EmitResult:
    return _WOULD_SUSPEND


_Steps = Generator[int | Token | None, EmitResult | None, EmitResult | None]
"""A play that does not wait by itself: it yields a due time to wait for, None for a turn of the loop, or a token that
has to be sent, and is told of the result. It returns the result FAIL_* that ended it, or None."""


def _unpaced(source: TokenSource, offer: Callable[[Token], EmitResult | None], now_ns: Callable[[], int]) -> _Steps:
    texts = source.played_texts()
    accepted: EmitResult | None = None
    for first in range(0, source.played_count, MAX_TOKENS_PER_TURN):
        if first:
            yield None
        for index, text in zip(range(first, first + MAX_TOKENS_PER_TURN), texts, strict=False):
            emitted_ns = now_ns()
            token = Token(index, text, emitted_ns, emitted_ns)
            result = offer(token)
            # Mostly it is the object that came before, and an Enum is slow to look up.
            if result is not accepted:
                if result is _WOULD_SUSPEND:
                    result = yield token
                if result in _FAILURES:
                    return result
                accepted = result
    return None


def _paced(source: TokenSource, offer: Callable[[Token], EmitResult | None], now_ns: Callable[[], int]) -> _Steps:
    start_ns = now_ns()
    turn_index = 0
    accepted: EmitResult | None = None
    for index, text, offset_ns in zip(count(), source.played_texts(), schedule_ns(source), strict=False):
        if index - turn_index >= MAX_TOKENS_PER_TURN:
            yield None
            turn_index = index
        due_ns = emitted_ns = now_ns()
        if offset_ns is not None:
            due_ns = start_ns + offset_ns
            if emitted_ns < due_ns:
                yield due_ns
                emitted_ns = now_ns()
                turn_index = index
        token = Token(index, text, due_ns, emitted_ns)
        result = offer(token)
        if result is not accepted:  # as above
            if result is _WOULD_SUSPEND:
                result = yield token
            if result in _FAILURES:
                return result
            accepted = result
    return None


async def _play_waiting(
    steps: _Steps, send: Callable[[Token], Awaitable[EmitResult | None]], clock: Clock
) -> EmitResult | None:
    """Play in the caller's task, which waits for all there is to wait for."""
    result: EmitResult | None = None
    while True:
        try:
            step = steps.send(result)
        except StopIteration as end:
            failure: EmitResult | None = end.value
            return failure
        result = None
        if step is None:
            await asyncio.sleep(0)
        elif isinstance(step, int):
            await sleep_until(clock, step)
        else:
            result = await send(step)


async def _play_calling(
    steps: _Steps, send: Callable[[Token], Awaitable[EmitResult | None]], clock: Clock
) -> EmitResult | None:
    """Play in callbacks, which spares the task a turn for each token; the caller's task waits only to send."""
    calls = _Calls(steps, clock)
    result: EmitResult | None = None
    try:
        while isinstance(step := await calls.run(result), Token):
            result = await send(step)
        return step
    finally:
        calls.cancel()


class _Calls:
    """Takes the steps of a play in callbacks of the clock and the loop, in a copy of the caller's context."""

    __slots__ = ("_call_soon", "_clock", "_context", "_outcome", "_pending", "_step_in_context", "_steps")

    def __init__(self, steps: _Steps, clock: Clock) -> None:
        self._steps = steps
        self._clock = clock
        self._context = copy_context()
        self._step_in_context = partial(self._context.run, self._step)
        self._call_soon = asyncio.get_running_loop().call_soon
        self._outcome: asyncio.Future[Token | EmitResult | None]
        self._pending: TimerHandle | None = None

    def run(self, result: EmitResult | None) -> asyncio.Future[Token | EmitResult | None]:
        """Go on, with the result of what was sent. Returns a future of the token to send next, or of how it ended."""
        self._outcome = asyncio.get_running_loop().create_future()
        self._context.run(self._step, result)
        return self._outcome

    def cancel(self) -> None:
        """Take no further step."""
        if self._pending is not None:
            self._pending.cancel()
        del self._step_in_context  # which holds this, and would keep the source until the next garbage collection

    def _step(self, result: EmitResult | None = None) -> None:
        outcome = self._outcome
        try:
            step = self._steps.send(result)
            if outcome.done():  # an offer may have failed the stream, and that have cancelled the caller of `play`
                return
            if step is None:
                self._pending = self._call_soon(self._step, context=self._context)
            elif isinstance(step, int):
                self._pending = self._clock.call_at(step, self._step_in_context)
            else:
                outcome.set_result(step)
        except StopIteration as end:
            if not outcome.done():
                outcome.set_result(end.value)
        except BaseException as error:  # whatever it is, it is for the caller of `play`
            pass_on(error, outcome)


async def play_in_threads(
    source: TokenSource,
    send_blocking: Callable[[Token], EmitResult | None],
    *,
    producers: int,
    executor: Executor,
) -> EmitResult | None:
    """Have several threads feed one stream: token i is sent by producer i % `producers`, its order kept per producer.

    Together they send exactly the tokens of `source`. A producer that finds no free thread in `executor` starts when
    another one is through, and catches up. When one fails, gets a result FAIL_*, or this call is cancelled, the
    others stop before their next token, also while they wait for its due time; a send that is under way is not
    waited for, it ends when its stream does.

    Args:
        source: what to play, from its start. Times are those of `time.monotonic_ns()`.
        send_blocking: takes one token and blocks until the next one may come. Called from several threads at a time.
        producers: how many, at least 1.
        executor: whose threads to use, a ThreadPoolExecutor. It is not shut down.

    Returns:
        A result FAIL_* that ended the play, or None after the last token.

    Raises:
        SourceFailure: the source was told to fail (`fail_after`); raised after the tokens before it.
        Exception: whatever `send_blocking` raised first.
        TypeError, ValueError: `producers` is no int, or below 1.
    """
    positive_int("producers", producers)
    loop = asyncio.get_running_loop()
    crew = _Crew(source, send_blocking, producers, time.monotonic_ns(), threading.Event())
    runs: list[asyncio.Future[EmitResult | None]] = []
    try:
        for producer in range(producers):
            runs.append(loop.run_in_executor(executor, crew.play, producer))  # noqa: PERF401 - all begun are stopped
        for result in await asyncio.gather(*runs):
            if result is not None:
                return result
    finally:
        crew.stopped.set()
        for run in runs:
            run.cancel()
    await _end(source)
    return None


@dataclass(frozen=True, slots=True)
class _Crew:
    """What the producers of one play in threads share."""

    source: TokenSource
    send_blocking: Callable[[Token], EmitResult | None]
    producers: int
    start_ns: int
    stopped: threading.Event

    def play(self, producer: int) -> EmitResult | None:
        """Send the share of one producer; the result is the FAIL_* that stopped all of them, if one did."""
        now_ns, stopped = time.monotonic_ns, self.stopped.is_set
        tokens = zip(count(), self.source.played_texts(), schedule_ns(self.source), strict=False)
        accepted: EmitResult | None = None
        for index, text, offset_ns in islice(tokens, producer, None, self.producers):
            due_ns = emitted_ns = now_ns()
            if offset_ns is not None:
                due_ns = self.start_ns + offset_ns
                emitted_ns = self._wait_until(due_ns)
            if stopped():
                return None
            result = self.send_blocking(Token(index, text, due_ns, emitted_ns, 1, producer))
            if result is not accepted:
                if result in _FAILURES:
                    self.stopped.set()
                    return result
                accepted = result
        return None

    def _wait_until(self, due_ns: int) -> int:
        while (now_ns := time.monotonic_ns()) < due_ns:
            if self.stopped.wait(min((due_ns - now_ns) / _NS_PER_S, _LONGEST_WAIT_S)):
                break
        return now_ns


async def _end(source: TokenSource) -> None:
    """Do after the last token what the source was told to: fail, hang, or nothing."""
    if source.fail_after is not None and source.fail_after <= len(source):
        raise SourceFailure(source.fail_after)
    if source.hang_after is not None and source.hang_after <= len(source):
        await asyncio.get_running_loop().create_future()
