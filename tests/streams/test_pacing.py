"""The schedules of sources, and the two drivers that play them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.clock import TimerHandle
from streams.errors import SourceFailure
from streams.pacing import MAX_TOKENS_PER_TURN, play, play_in_threads, schedule_ns
from streams.source import Gaps, Pacing, Token, TokenSource, parse_source
from streams.strategy import EmitResult
from streams.testing import VirtualClock

__all__ = ()

NS_PER_MS = 1_000_000
TEXTS = ("a", "b", "c", "d")
RANDOM_GAPS = (Gaps.POISSON, Gaps.BURSTY)


def counted(count: int, **pacing: object) -> TokenSource:
    return parse_source("counter", count=count, pacing=Pacing(**pacing))  # type: ignore[arg-type]


def due_ms(source: TokenSource, count: int) -> list[float]:
    return [offset / NS_PER_MS for offset in islice(schedule_ns(source), count) if offset is not None]


class Collector:
    """A consumer that notes what it was sent, and answers as it was told."""

    def __init__(self, *answers: EmitResult | None) -> None:
        self.tokens: list[Token] = []
        self.answers = answers

    def take(self, token: Token) -> EmitResult | None:
        self.tokens.append(token)
        return self.answers[len(self.tokens) - 1] if len(self.tokens) <= len(self.answers) else None

    async def send(self, token: Token) -> EmitResult | None:
        return self.take(token)

    @property
    def texts(self) -> list[str]:
        return [token.text for token in self.tokens]


class HastyClock(VirtualClock):
    """A clock that has left every schedule behind after its first reading, so that all tokens are late."""

    reading_count = 0

    def now_ns(self) -> int:
        self.reading_count += 1
        return 0 if self.reading_count == 1 else 10**12


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(5) as executor:
        yield executor


# The schedule.


def test_schedule_without_rate_has_no_due_times() -> None:
    assert list(islice(schedule_ns(counted(3)), 3)) == [None, None, None]


def test_schedule_steady_has_equal_gaps_from_the_start() -> None:
    assert due_ms(counted(4, rate=20), 4) == [0, 50, 100, 150]


def test_schedule_steady_does_not_drift() -> None:
    last_ns = next(islice(schedule_ns(counted(1, rate=3)), 30_000, None))
    assert last_ns == 10_000 * 1000 * NS_PER_MS


def test_schedule_ttft_moves_all_tokens_and_keeps_their_gaps() -> None:
    assert due_ms(counted(3, rate=20, ttft_ms=400), 3) == [400, 450, 500]


def test_schedule_ttft_alone_delays_only_the_first_token() -> None:
    assert list(islice(schedule_ns(counted(3, ttft_ms=1.5)), 3)) == [1_500_000, None, None]


@pytest.mark.parametrize("gaps", RANDOM_GAPS)
def test_schedule_random_gaps_depend_on_the_seed_alone(gaps: Gaps) -> None:
    def first_due_ms(seed: int) -> list[float]:
        return due_ms(counted(50, rate=20, gaps=gaps, seed=seed), 50)

    assert first_due_ms(1) == first_due_ms(1)
    assert first_due_ms(1) != first_due_ms(2)


@pytest.mark.parametrize("gaps", RANDOM_GAPS)
def test_schedule_random_gaps_keep_the_rate_in_the_mean(gaps: Gaps) -> None:
    due = due_ms(counted(1, rate=100, gaps=gaps, seed=3), 20_000)
    assert due[0] == 0
    assert due[-1] / 19_999 == pytest.approx(10, rel=0.03)


def test_schedule_bursty_has_bursts_of_one_to_eight() -> None:
    due = due_ms(counted(1, rate=100, gaps=Gaps.BURSTY), 4000)
    sizes = {due.count(start) for start in set(due[:1000])}
    assert sizes == set(range(1, 9))


def test_schedule_recorded_has_the_times_of_the_recording_and_starts_anew_after_them() -> None:
    source = TokenSource(("a", "b"), 5, Pacing(rate=1, gaps=Gaps.RECORDED), at_ms=(100, 130))
    assert due_ms(source, 5) == [100, 130, 230, 260, 360]


def test_schedule_recorded_with_ttft_keeps_the_gaps() -> None:
    source = TokenSource(("a", "b"), pacing=Pacing(gaps=Gaps.RECORDED, ttft_ms=5), at_ms=(100, 130))
    assert due_ms(source, 2) == [5, 35]


@given(
    rate=st.floats(0.001, 1e9),
    gaps=st.sampled_from([Gaps.STEADY, Gaps.POISSON, Gaps.BURSTY]),
    ttft_ms=st.none() | st.floats(0, 86_400_000),
    seed=st.integers(),
)
def test_schedule_never_goes_backwards(rate: float, gaps: Gaps, ttft_ms: float | None, seed: int) -> None:
    due = due_ms(counted(1, rate=rate, gaps=gaps, ttft_ms=ttft_ms, seed=seed), 40)
    assert len(due) == 40
    assert all(before <= after for before, after in pairwise((0, *due)))


# On the loop.


async def test_play_sends_every_token_in_order() -> None:
    consumer = Collector()
    assert await play(TokenSource(TEXTS, 6), consumer.send) is None
    assert consumer.texts == ["a", "b", "c", "d", "a", "b"]
    assert [token.index for token in consumer.tokens] == list(range(6))
    assert all(token.merged == 1 and token.producer is None for token in consumer.tokens)


async def test_play_unpaced_is_due_when_it_is_emitted() -> None:
    consumer, before_ns = Collector(), time.monotonic_ns()
    await play(counted(200), consumer.send)
    times_ns = [token.due_ns for token in consumer.tokens]
    assert times_ns == [token.emitted_ns for token in consumer.tokens]
    assert times_ns == sorted(times_ns)
    assert before_ns <= times_ns[0] <= times_ns[-1] <= time.monotonic_ns()


@pytest.mark.parametrize("rate", [0, 1e9], ids=["unpaced", "paced"])
async def test_play_offers_first_and_sends_what_would_suspend(rate: float) -> None:
    offered, sent = Collector(), Collector()
    results = [EmitResult.OK, EmitResult.OK, EmitResult.DROPPED, EmitResult.WOULD_SUSPEND]

    def offer(token: Token) -> EmitResult:
        result = results[token.index]
        if result is not EmitResult.WOULD_SUSPEND:
            offered.tokens.append(token)
        return result

    assert await play(counted(4, rate=rate), sent.send, offer=offer) is None

    assert ([token.index for token in offered.tokens], [token.index for token in sent.tokens]) == ([0, 1, 2], [3])


@pytest.mark.parametrize("rate", [0, 1e9], ids=["unpaced", "paced"])
async def test_play_ends_when_an_offer_or_a_send_says_that_the_stream_has_ended(rate: float) -> None:
    consumer = Collector()

    async def send(token: Token) -> EmitResult:
        await consumer.send(token)
        return EmitResult.FAIL_CANCELLED

    ended = await play(counted(4, rate=rate), send, offer=lambda token: EmitResult.WOULD_SUSPEND)
    assert (ended, consumer.texts) == (EmitResult.FAIL_CANCELLED, ["0"])

    ended = await play(counted(4, rate=rate), send, offer=lambda token: EmitResult.FAIL_OVERFLOW)
    assert (ended, consumer.texts) == (EmitResult.FAIL_OVERFLOW, ["0"])


async def test_play_offers_each_token_when_it_is_due() -> None:
    clock, consumer = VirtualClock(start_ns=7), Collector()
    task = asyncio.create_task(play(counted(3, rate=20, ttft_ms=100), consumer.send, offer=consumer.take, clock=clock))
    await clock.run_until_idle()
    assert [(token.due_ns - 7, token.emitted_ns - 7) for token in consumer.tokens] == [
        (due * NS_PER_MS, due * NS_PER_MS) for due in (100, 150, 200)
    ]
    assert await task is None


@pytest.mark.parametrize("pacing", [Pacing(), Pacing(rate=1e9)], ids=["unpaced", "late"])
async def test_play_that_offers_lets_others_have_a_turn_every_64_tokens(pacing: Pacing) -> None:
    consumer, clock, turns = Collector(), HastyClock(), list[int]()
    source = parse_source("counter", count=1000, pacing=pacing)
    task = asyncio.create_task(play(source, consumer.send, offer=consumer.take, clock=clock))
    while not task.done():
        await asyncio.sleep(0)
        turns.append(len(consumer.tokens))
    assert max(after - before for before, after in pairwise((0, *turns))) == MAX_TOKENS_PER_TURN
    assert len(consumer.tokens) == 1000


@pytest.mark.parametrize("ttft_ms", [None, 100.0], ids=["in its task", "in a callback"])
async def test_play_raises_what_an_offer_raises(ttft_ms: float | None) -> None:
    def offer(token: Token) -> None:
        raise LookupError(token.text)

    clock = VirtualClock()
    task = asyncio.create_task(play(counted(3, ttft_ms=ttft_ms), Collector().send, offer=offer, clock=clock))
    await clock.run_until_idle()
    with pytest.raises(LookupError, match="0"):
        await task


async def test_play_cancelled_between_two_offers_leaves_no_timer() -> None:
    clock, consumer = VirtualClock(), Collector()
    task = asyncio.create_task(play(counted(3, rate=20), consumer.send, offer=consumer.take, clock=clock))
    await clock.advance_async(60)
    task.cancel()
    await asyncio.wait([task])
    assert (clock.scheduled_count, consumer.texts) == (0, ["0", "1"])


@pytest.mark.parametrize("then", ["go on", "end", "raise"])
async def test_offer_may_cancel_the_task_that_plays(then: str) -> None:
    clock, consumer = VirtualClock(), Collector()

    def offer(token: Token) -> EmitResult | None:
        consumer.take(token)
        if token.index == 0:
            return None
        task.cancel()
        if then == "raise":
            raise LookupError(token.text)
        return EmitResult.FAIL_OVERFLOW if then == "end" else None

    task = asyncio.create_task(play(counted(3, rate=20), consumer.send, offer=offer, clock=clock))
    await clock.run_until_idle()
    await asyncio.wait([task])
    assert task.cancelled()
    assert clock.scheduled_count == 0


async def test_cancellation_that_an_offer_raises_is_for_the_caller() -> None:
    def offer(token: Token) -> None:
        raise asyncio.CancelledError

    clock = VirtualClock()
    task = asyncio.create_task(play(counted(3, ttft_ms=100), Collector().send, offer=offer, clock=clock))
    await clock.run_until_idle()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_interruption_of_an_offer_passes_through() -> None:
    def offer(token: Token) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await play(counted(3), Collector().send, offer=offer)


async def test_play_raises_what_its_clock_raises() -> None:
    class Stopped(VirtualClock):
        def call_at(self, due_ns: int, callback: Callable[[], object]) -> TimerHandle:
            raise LookupError("the clock has stopped")

    with pytest.raises(LookupError, match="the clock has stopped"):
        await play(counted(3, rate=20), Collector().send, offer=Collector().take, clock=Stopped())


async def test_play_offers_in_the_context_of_its_caller() -> None:
    name: ContextVar[str] = ContextVar("name")
    clock, seen = VirtualClock(), list[str]()
    name.set("caller")
    task = asyncio.create_task(
        play(counted(2, rate=20), Collector().send, offer=lambda token: seen.append(name.get()), clock=clock)
    )
    name.set("driver of the clock")
    await clock.run_until_idle()
    await task
    assert seen == ["caller", "caller"]


async def test_play_with_a_first_token_later_sends_the_others_as_they_are_taken() -> None:
    clock, consumer = VirtualClock(), Collector()
    task = asyncio.create_task(play(counted(3, ttft_ms=100), consumer.send, clock=clock))
    await clock.advance_async(100)
    assert await task is None
    assert [(token.due_ns, token.emitted_ns) for token in consumer.tokens] == [(100 * NS_PER_MS, 100 * NS_PER_MS)] * 3


async def test_play_paced_sends_each_token_when_it_is_due() -> None:
    clock, consumer = VirtualClock(start_ns=7), Collector()
    task = asyncio.create_task(play(counted(3, rate=20, ttft_ms=100), consumer.send, clock=clock))
    await clock.advance_async(99)
    assert consumer.texts == []
    await clock.advance_async(1)
    assert consumer.texts == ["0"]
    await clock.run_until_idle()
    assert [(token.due_ns - 7, token.emitted_ns - 7) for token in consumer.tokens] == [
        (due * NS_PER_MS, due * NS_PER_MS) for due in (100, 150, 200)
    ]
    assert await task is None


async def test_play_on_the_real_clock_is_never_early() -> None:
    consumer = Collector()
    await play(counted(5, rate=1000), consumer.send)
    assert [after.due_ns - before.due_ns for before, after in pairwise(consumer.tokens)] == [NS_PER_MS] * 4
    assert all(token.emitted_ns >= token.due_ns for token in consumer.tokens)


async def test_play_held_up_by_its_consumer_catches_up_on_the_same_schedule() -> None:
    clock, tokens = VirtualClock(), list[Token]()
    room = asyncio.Event()

    async def send(token: Token) -> None:
        tokens.append(token)
        if token.index == 1:
            await room.wait()

    task = asyncio.create_task(play(counted(6, rate=100), send, clock=clock))
    await clock.advance_async(35)
    room.set()
    await clock.run_until_idle()
    await task
    assert [token.due_ns // NS_PER_MS for token in tokens] == [0, 10, 20, 30, 40, 50]
    assert [token.emitted_ns // NS_PER_MS for token in tokens] == [0, 10, 35, 35, 40, 50]


@pytest.mark.parametrize("pacing", [Pacing(), Pacing(rate=1e9)], ids=["unpaced", "late"])
async def test_play_lets_others_have_a_turn_every_64_tokens(pacing: Pacing) -> None:
    consumer, clock, turns = Collector(), HastyClock(), list[int]()
    task = asyncio.create_task(play(parse_source("counter", count=1000, pacing=pacing), consumer.send, clock=clock))
    while not task.done():
        await asyncio.sleep(0)
        turns.append(len(consumer.tokens))
    assert max(after - before for before, after in pairwise((0, *turns))) == MAX_TOKENS_PER_TURN
    assert len(consumer.tokens) == 1000


@pytest.mark.parametrize("failure", [EmitResult.FAIL_CANCELLED, EmitResult.FAIL_OVERFLOW, EmitResult.FAIL_TERMINATED])
async def test_play_ends_with_the_first_failing_result(failure: EmitResult) -> None:
    consumer = Collector(EmitResult.OK, EmitResult.DROPPED, EmitResult.MERGED, failure)
    assert await play(parse_source("counter", fail_after=4), consumer.send) is failure
    assert consumer.texts == ["0", "1", "2", "3"]


async def test_play_raises_what_send_raises() -> None:
    async def send(token: Token) -> None:
        raise LookupError(token.text)

    with pytest.raises(LookupError, match="0"):
        await play(counted(3), send)


@pytest.mark.parametrize(("fail_after", "texts"), [(0, []), (2, ["0", "1"]), (3, ["0", "1", "2"])])
async def test_play_fails_after_so_many_tokens(fail_after: int, texts: list[str]) -> None:
    consumer = Collector()
    with pytest.raises(SourceFailure) as caught:
        await play(parse_source("counter", count=3, fail_after=fail_after), consumer.send)
    assert caught.value.token_count == fail_after
    assert consumer.texts == texts


async def test_play_ends_before_a_fault_beyond_its_end() -> None:
    await play(parse_source("counter", count=3, fail_after=4), Collector().send)
    await play(parse_source("counter", count=3, hang_after=4), Collector().send)


async def test_play_hangs_after_so_many_tokens_until_it_is_cancelled() -> None:
    consumer, clock = Collector(), VirtualClock()
    task = asyncio.create_task(play(parse_source("counter", hang_after=2), consumer.send, clock=clock))
    await clock.run_until_idle()
    assert consumer.texts == ["0", "1"]
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_play_cancelled_leaves_no_timer() -> None:
    clock = VirtualClock()
    task = asyncio.create_task(play(counted(3, rate=1, ttft_ms=500), Collector().send, clock=clock))
    await clock.advance_async(100)
    assert clock.scheduled_count == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.scheduled_count == 0


# In threads.


@pytest.mark.parametrize("producers", [1, 3, 5, 12])
async def test_play_in_threads_sends_exactly_the_source(producers: int, pool: ThreadPoolExecutor) -> None:
    consumer = Collector()
    assert await play_in_threads(counted(100), consumer.take, producers=producers, executor=pool) is None
    by_index = sorted(consumer.tokens, key=lambda token: token.index)
    assert [(token.index, token.text) for token in by_index] == [(index, str(index)) for index in range(100)]
    assert all(token.producer == token.index % producers for token in by_index)
    assert all(token.due_ns == token.emitted_ns for token in by_index)
    for producer in range(producers):
        indices = [token.index for token in consumer.tokens if token.producer == producer]
        assert indices == sorted(indices)


async def test_play_in_threads_takes_turns_when_threads_are_few() -> None:
    consumer = Collector()
    with ThreadPoolExecutor(1) as pool:
        await play_in_threads(counted(9), consumer.take, producers=3, executor=pool)
    assert [token.index for token in consumer.tokens] == [0, 3, 6, 1, 4, 7, 2, 5, 8]


async def test_play_in_threads_with_more_producers_than_tokens(pool: ThreadPoolExecutor) -> None:
    consumer = Collector()
    await play_in_threads(counted(2), consumer.take, producers=5, executor=pool)
    assert sorted(consumer.texts) == ["0", "1"]


async def test_play_in_threads_paced_is_never_early(pool: ThreadPoolExecutor) -> None:
    consumer = Collector()
    await play_in_threads(counted(10, rate=1000), consumer.take, producers=3, executor=pool)
    by_index = sorted(consumer.tokens, key=lambda token: token.index)
    assert [token.due_ns - by_index[0].due_ns for token in by_index] == [index * NS_PER_MS for index in range(10)]
    assert all(token.emitted_ns >= token.due_ns for token in by_index)


async def test_play_in_threads_stops_all_when_one_is_refused(pool: ThreadPoolExecutor) -> None:
    def take(token: Token) -> EmitResult | None:
        return EmitResult.FAIL_CANCELLED if token.producer == 1 else EmitResult.OK

    # At one token an hour only the first of producer 1 comes soon: the others end because it stops them.
    source = TokenSource(TEXTS, 100, Pacing(gaps=Gaps.RECORDED), at_ms=(0, 1, 3_600_000, 3_600_000))
    result = await play_in_threads(source, take, producers=3, executor=pool)
    assert result is EmitResult.FAIL_CANCELLED


async def test_play_in_threads_raises_the_first_failure_and_stops_all(pool: ThreadPoolExecutor) -> None:
    sent: list[Token] = []

    def take(token: Token) -> None:
        sent.append(token)
        if token.producer == 1:
            raise LookupError("lost")

    source = TokenSource(TEXTS, 100, Pacing(gaps=Gaps.RECORDED), at_ms=(0, 1, 3_600_000, 3_600_000))
    with pytest.raises(LookupError, match="lost"):
        await play_in_threads(source, take, producers=3, executor=pool)
    pool.shutdown()
    assert {1} <= {token.index for token in sent} <= {0, 1}


async def test_play_in_threads_cancelled_stops_paced_and_queued_producers(pool: ThreadPoolExecutor) -> None:
    loop, first, sent = asyncio.get_running_loop(), asyncio.Event(), list[int]()

    def take(token: Token) -> None:
        sent.append(token.index)
        loop.call_soon_threadsafe(first.set)

    source = TokenSource(TEXTS, 100, Pacing(gaps=Gaps.RECORDED), at_ms=(0, 3_600_000, 3_600_000, 3_600_000))
    task = asyncio.create_task(play_in_threads(source, take, producers=8, executor=pool))
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pool.shutdown()
    assert sent == [0]


async def test_play_in_threads_cancelled_does_not_wait_for_a_blocked_send(pool: ThreadPoolExecutor) -> None:
    loop, blocked, stream_ended = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    sent: list[int] = []

    def take(token: Token) -> EmitResult:
        sent.append(token.index)
        loop.call_soon_threadsafe(blocked.set)
        stream_ended.wait()
        return EmitResult.FAIL_CANCELLED

    task = asyncio.create_task(play_in_threads(counted(9), take, producers=1, executor=pool))
    await blocked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stream_ended.set()
    pool.shutdown()
    assert sent == [0]


async def test_play_in_threads_waits_on_however_long_the_schedule_is(
    pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits_s: list[float] = []
    start_ns = time.monotonic_ns()

    class LeapingEvent(threading.Event):
        """Waiting on it with a timeout passes some 30 years at once."""

        def wait(self, timeout: float | None = None) -> bool:
            if timeout is None:
                return super().wait()
            waits_s.append(timeout)
            monkeypatch.setattr(time, "monotonic_ns", lambda: start_ns + len(waits_s) * 10**18)
            return False

    monkeypatch.setattr(threading, "Event", LeapingEvent)
    consumer = Collector()
    source = TokenSource(TEXTS, 2, Pacing(gaps=Gaps.RECORDED), at_ms=(0, 1.5e12, 1.5e12, 1.5e12))
    await play_in_threads(source, consumer.take, producers=1, executor=pool)
    assert waits_s == [3600, 3600]
    assert consumer.texts == ["a", "b"]


async def test_play_in_threads_fails_after_so_many_tokens(pool: ThreadPoolExecutor) -> None:
    consumer = Collector()
    with pytest.raises(SourceFailure):
        await play_in_threads(parse_source("counter", fail_after=7), consumer.take, producers=3, executor=pool)
    assert sorted(consumer.texts) == [str(index) for index in range(7)]


async def test_play_in_threads_hangs_without_keeping_a_thread(pool: ThreadPoolExecutor) -> None:
    loop, last, sent = asyncio.get_running_loop(), asyncio.Event(), list[int]()

    def take(token: Token) -> None:
        sent.append(token.index)
        if len(sent) == 7:
            loop.call_soon_threadsafe(last.set)

    task = asyncio.create_task(play_in_threads(parse_source("counter", hang_after=7), take, producers=8, executor=pool))
    await last.wait()
    pool.shutdown()
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(sent) == list(range(7))


async def test_play_in_threads_stops_those_begun_when_the_pool_closes(pool: ThreadPoolExecutor) -> None:
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures"):
        await play_in_threads(counted(3), Collector().take, producers=2, executor=pool)


@pytest.mark.parametrize(("producers", "error"), [(0, ValueError), (True, TypeError), (2.0, TypeError)])
async def test_play_in_threads_refuses_other_numbers_of_producers(
    producers: int, error: type[Exception], pool: ThreadPoolExecutor
) -> None:
    with pytest.raises(error, match="producers must be an int >= 1"):
        await play_in_threads(counted(3), Collector().take, producers=producers, executor=pool)
