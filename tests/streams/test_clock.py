"""The real clock of a loop, the virtual one, and waiting on either."""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import re
import time
import tracemalloc
import weakref
from collections.abc import Callable, Coroutine
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from streams.clock import LoopClock, TimerHandle, sleep_until
from streams.testing import VirtualClock

__all__ = ()

NS_PER_MS = 1_000_000


def loop_factories() -> list[Callable[[], asyncio.AbstractEventLoop]]:
    """The standard loop, and uvloop where it is installed: it rounds delays otherwise."""
    factories = [asyncio.new_event_loop]
    if importlib.util.find_spec("uvloop") is not None:
        factories.append(importlib.import_module("uvloop").new_event_loop)
    return factories


@pytest.fixture(params=loop_factories(), ids=lambda factory: factory.__module__.split(".")[0])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    def run_on_loop(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(coroutine)

    return run_on_loop


def count_loop_timers(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.TimerHandle]:
    """Collect the timers that the running loop is asked for."""
    loop = asyncio.get_running_loop()
    handles: list[asyncio.TimerHandle] = []
    call_later = loop.call_later

    def counting_call_later(*args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        handles.append(call_later(*args, **kwargs))
        return handles[-1]

    monkeypatch.setattr(loop, "call_later", counting_call_later)
    return handles


def pending(handles: list[asyncio.TimerHandle]) -> int:
    return sum(not handle.cancelled() for handle in handles)


# The real clock.


def test_loop_clock_is_refused_without_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="needs a running event loop"):
        LoopClock.current()


async def test_loop_clock_is_one_per_loop() -> None:
    assert LoopClock.current() is LoopClock.current()


def test_loop_clock_of_another_loop_is_refused() -> None:
    async def get() -> LoopClock:
        return LoopClock.current()

    async def misuse(clock: LoopClock) -> None:
        assert LoopClock.current() is not clock
        with pytest.raises(RuntimeError, match="belongs to another event loop"):
            clock.call_at(0, print)

    with asyncio.Runner() as first, asyncio.Runner() as second:
        second.run(misuse(first.run(get())))


async def test_loop_clock_reads_the_monotonic_clock() -> None:
    before_ns = time.monotonic_ns()
    assert before_ns <= LoopClock.current().now_ns() <= time.monotonic_ns()


def test_loop_clock_never_fires_early(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def wait_for_odd_times() -> None:
        clock = LoopClock.current()
        start_ns = clock.now_ns()

        async def lateness_ns(due_ns: int) -> int:
            await sleep_until(clock, due_ns)
            return clock.now_ns() - due_ns

        late_ns = await asyncio.gather(*(lateness_ns(start_ns + step * 170_001) for step in range(60)))
        assert min(late_ns) >= 0

    run(wait_for_odd_times())


async def test_loop_clock_waits_on_when_its_loop_wakes_it_early(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, clock = asyncio.get_running_loop(), LoopClock.current()

    def call_at_once(_delay_s: float, callback: Callable[[], object], **kwargs: Any) -> asyncio.Handle:
        return loop.call_soon(callback, **kwargs)

    monkeypatch.setattr(loop, "call_later", call_at_once)
    due_ns = clock.now_ns() + 3 * NS_PER_MS
    await sleep_until(clock, due_ns)
    assert clock.now_ns() >= due_ns


async def test_loop_clock_does_not_call_back_inside_call_at() -> None:
    fired: list[str] = []
    LoopClock.current().call_at(0, lambda: fired.append("late"))
    assert fired == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert fired == ["late"]


async def test_loop_clock_shares_one_loop_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, handles = LoopClock.current(), count_loop_timers(monkeypatch)
    start_ns = clock.now_ns() + 60_000 * NS_PER_MS
    timers = [clock.call_at(start_ns + (index % 40) * NS_PER_MS, print) for index in range(4000)]
    assert len(handles) == 1
    for timer in timers:
        timer.cancel()
    assert pending(handles) == 0


async def test_loop_clock_moves_its_loop_timer_to_an_earlier_due_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, handles = LoopClock.current(), count_loop_timers(monkeypatch)
    now_ns = clock.now_ns()
    later = clock.call_at(now_ns + 60_000 * NS_PER_MS, print)
    earlier = clock.call_at(now_ns + 30_000 * NS_PER_MS, print)
    assert [handle.cancelled() for handle in handles] == [True, False]
    earlier.cancel()
    later.cancel()
    assert pending(handles) == 0


async def test_loop_clock_fires_in_due_order_then_in_call_order() -> None:
    clock, fired = LoopClock.current(), list[str]()
    done = asyncio.Event()
    tick_ns = (clock.now_ns() // NS_PER_MS + 2) * NS_PER_MS
    clock.call_at(tick_ns + NS_PER_MS, done.set)
    clock.call_at(tick_ns - 1, lambda: fired.append("second"))
    clock.call_at(tick_ns - 1, lambda: fired.append("third"))
    clock.call_at(tick_ns - 900_000, lambda: fired.append("first"))
    await done.wait()
    assert fired == ["first", "second", "third"]


async def test_loop_clock_cancel_is_idempotent_and_final() -> None:
    clock, fired, done = LoopClock.current(), list[str](), asyncio.Event()
    cancelled = clock.call_at(clock.now_ns() + NS_PER_MS, lambda: fired.append("cancelled"))
    kept = clock.call_at(clock.now_ns() + NS_PER_MS, done.set)
    cancelled.cancel()
    cancelled.cancel()
    await done.wait()
    kept.cancel()
    assert fired == []


async def test_loop_clock_skips_a_timer_cancelled_by_one_due_with_it() -> None:
    clock, fired, done = LoopClock.current(), list[str](), asyncio.Event()
    clock.call_at(1, lambda: victim.cancel())
    victim = clock.call_at(2, lambda: fired.append("victim"))
    clock.call_at(3, done.set)
    await done.wait()
    assert fired == []


async def test_loop_clock_cancel_after_its_tick_was_used_again_spares_the_newer_timer() -> None:
    clock, fired, done = LoopClock.current(), list[str](), asyncio.Event()

    def replace() -> None:
        clock.call_at(2, done.set)
        victim.cancel()

    clock.call_at(1, replace)
    victim = clock.call_at(2, lambda: fired.append("victim"))
    await done.wait()
    assert fired == []


async def test_loop_clock_keeps_its_turn_when_all_buckets_are_cancelled_in_a_callback() -> None:
    clock, fired, done = LoopClock.current(), list[int](), asyncio.Event()
    far = clock.call_at(clock.now_ns() + 60_000 * NS_PER_MS, print)

    def cancel_far() -> None:
        clock.call_at(clock.now_ns() + 30_000 * NS_PER_MS, print).cancel()
        far.cancel()

    clock.call_at(0, cancel_far)
    for index in range(600):
        clock.call_at(0, partial(fired.append, index))
    clock.call_at(0, done.set)
    await done.wait()
    assert fired == list(range(600))


async def test_loop_clock_reports_a_failing_callback_and_runs_the_others(loop_errors: list[dict[str, Any]]) -> None:
    clock, done, failure = LoopClock.current(), asyncio.Event(), LookupError("lost")

    def fail() -> None:
        raise failure

    clock.call_at(7, fail)
    clock.call_at(8, done.set)
    await done.wait()
    assert [context["exception"] for context in loop_errors] == [failure]
    assert "due at 7 ns" in loop_errors[0]["message"]


def test_loop_clock_lets_an_interrupt_through_and_runs_the_others() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    async def wait_for_the_other() -> str:
        clock, done = LoopClock.current(), asyncio.Event()
        clock.call_at(1, interrupt)
        clock.call_at(2, done.set)
        await done.wait()
        return "done"

    with closing(asyncio.new_event_loop()) as loop:
        task = loop.create_task(wait_for_the_other())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        assert loop.run_until_complete(task) == "done"


async def test_loop_clock_gives_the_loop_its_turns_while_many_are_due() -> None:
    clock, fired, done = LoopClock.current(), list[int](), asyncio.Event()
    for index in range(1000):
        clock.call_at(0, partial(fired.append, index))
    clock.call_at(0, done.set)
    fired_by_turn: list[int] = []
    while not done.is_set():
        before_count = len(fired)
        await asyncio.sleep(0)
        fired_by_turn.append(len(fired) - before_count)
    assert sum(fired_by_turn) == 1000
    assert max(fired_by_turn) == 16


async def test_loop_clock_gives_the_loop_its_turns_when_a_due_callback_renews_itself() -> None:
    clock, timers = LoopClock.current(), list[TimerHandle]()

    def renew() -> None:
        timers.append(clock.call_at(0, renew))

    renew()
    for _ in range(10):
        await asyncio.sleep(0)
    timers[-1].cancel()
    assert 2 < len(timers) <= 11


async def test_loop_clock_forgets_cancelled_timers() -> None:
    class Callback:
        def __call__(self) -> None: ...

    clock = LoopClock.current()
    callback = Callback()
    gone = weakref.ref(callback)
    far = clock.call_at(clock.now_ns() + 60_000 * NS_PER_MS, callback)
    near = clock.call_at(clock.now_ns() + 50_000 * NS_PER_MS, print)
    far.cancel()
    del callback
    assert gone() is None
    near.cancel()


async def test_loop_clock_does_not_grow_with_cancelled_timers() -> None:
    clock, done = LoopClock.current(), asyncio.Event()
    # Those cancelled lie behind it, where the passing of time would not clear them away soon.
    keep = clock.call_at(clock.now_ns() + 30_000 * NS_PER_MS, print)
    tracemalloc.start()
    try:
        before_bytes, _ = tracemalloc.get_traced_memory()
        for index in range(5000):
            clock.call_at(clock.now_ns() + (60_000 + index) * NS_PER_MS, print).cancel()
        after_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The due times alone would take 200,000 bytes.
    assert after_bytes - before_bytes < 20_000
    clock.call_at(clock.now_ns(), done.set)
    await done.wait()
    keep.cancel()


async def test_loop_clock_is_not_woken_for_times_whose_timers_were_all_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, handles, done = LoopClock.current(), count_loop_timers(monkeypatch), asyncio.Event()
    clock.call_at(0, done.set)
    emptied = clock.call_at(clock.now_ns() + 30_000 * NS_PER_MS, print)
    kept = clock.call_at(clock.now_ns() + 60_000 * NS_PER_MS, print)
    emptied.cancel()
    before_s = asyncio.get_running_loop().time()
    await done.wait()
    assert handles[-1].when() > before_s + 45
    kept.cancel()


def test_loop_clock_keeps_no_loop_alive() -> None:
    async def use() -> None:
        await sleep_until(LoopClock.current(), LoopClock.current().now_ns() + NS_PER_MS)

    loop = asyncio.new_event_loop()
    gone = weakref.ref(loop)
    loop.run_until_complete(use())
    loop.close()
    del loop
    gc.collect()
    assert gone() is None


# Waiting.


async def test_sleep_until_a_time_that_has_passed_returns_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    handles = count_loop_timers(monkeypatch)
    await sleep_until(LoopClock.current(), 0)
    assert handles == []


async def test_sleep_until_cancelled_withdraws_its_timer() -> None:
    clock = VirtualClock()
    waiting = asyncio.create_task(sleep_until(clock, NS_PER_MS))
    await asyncio.sleep(0)
    assert clock.scheduled_count == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert clock.scheduled_count == 0


async def test_sleep_until_cancelled_in_the_turn_in_which_it_is_due_stays_cancelled() -> None:
    clock = VirtualClock()
    waiting = asyncio.create_task(sleep_until(clock, NS_PER_MS))
    await asyncio.sleep(0)
    waiting.cancel()
    clock.advance(1)
    with pytest.raises(asyncio.CancelledError):
        await waiting


# The virtual clock.


def test_virtual_clock_fires_in_due_order_at_the_due_times() -> None:
    clock, fired = VirtualClock(start_ns=100), list[tuple[str, int]]()

    def note(name: str) -> None:
        fired.append((name, clock.now_ns()))

    for name, due_ns in (("c", 400), ("a", 200), ("b", 200), ("early", 50), ("out of reach", 501)):
        clock.call_at(due_ns, partial(note, name))
    clock.advance_to(500)
    assert fired == [("early", 100), ("a", 200), ("b", 200), ("c", 400)]
    assert clock.now_ns() == 500
    assert clock.next_due_ns == 501


def test_virtual_clock_advance_counts_milliseconds() -> None:
    clock, fired = VirtualClock(), list[int]()
    clock.call_at(1_500_000, lambda: fired.append(clock.now_ns()))
    clock.advance(1)
    assert fired == []
    clock.advance(0.5)
    assert fired == [1_500_000]


def test_virtual_clock_cancelled_callback_does_not_fire() -> None:
    clock, fired = VirtualClock(), list[str]()
    cancelled = clock.call_at(1, lambda: fired.append("cancelled"))
    clock.call_at(2, lambda: fired.append("kept"))
    cancelled.cancel()
    cancelled.cancel()
    assert clock.scheduled_count == 1
    clock.run()
    assert fired == ["kept"]
    assert clock.next_due_ns is None


def test_virtual_clock_runs_what_callbacks_schedule() -> None:
    clock, fired = VirtualClock(), list[int]()

    def renew() -> None:
        fired.append(clock.now_ns())
        if len(fired) < 3:
            clock.call_at(clock.now_ns() + 10, renew)

    clock.call_at(5, renew)
    clock.run()
    assert fired == [5, 15, 25]


def test_virtual_clock_run_refuses_a_timer_that_renews_itself_for_ever() -> None:
    clock = VirtualClock()

    def renew() -> None:
        clock.call_at(clock.now_ns() + 1, renew)

    renew()
    with pytest.raises(RuntimeError, match="100 times moved and still something scheduled"):
        clock.run(max_callbacks=100)


def test_virtual_clock_run_may_use_up_its_limit_exactly() -> None:
    clock = VirtualClock()
    clock.call_at(1, lambda: None)
    clock.run(max_callbacks=1)
    assert clock.now_ns() == 1


def test_virtual_clock_raises_what_a_callback_raises_and_keeps_the_others() -> None:
    clock, fired = VirtualClock(), list[str]()

    def fail() -> None:
        raise LookupError("lost")

    clock.call_at(1, fail)
    clock.call_at(2, lambda: fired.append("other"))
    with pytest.raises(LookupError, match="lost"):
        clock.advance(1)
    clock.advance(1)
    assert fired == ["other"]


@pytest.mark.parametrize(
    ("duration_ms", "error"),
    [
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (1e13, ValueError),
        ("1", TypeError),
        (True, TypeError),
    ],
)
async def test_virtual_clock_refuses_what_is_no_duration(duration_ms: float, error: type[Exception]) -> None:
    clock = VirtualClock(start_ns=10)
    refusal = re.escape(f"duration_ms must be a number of milliseconds from 0 to 1e12; got {duration_ms!r}")
    with pytest.raises(error, match=refusal):
        clock.advance(duration_ms)
    with pytest.raises(error, match=refusal):
        await clock.advance_async(duration_ms)
    assert clock.now_ns() == 10


def test_virtual_clock_never_runs_backwards() -> None:
    clock = VirtualClock(start_ns=10)
    with pytest.raises(ValueError, match=r"target_ns must be at least now_ns\(\) = 10; got 9"):
        clock.advance_to(9)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: VirtualClock("x"), TypeError, "start_ns must be an int >= 0; got 'x'"),  # type: ignore[arg-type]
        (lambda: VirtualClock(-1), ValueError, "start_ns must be an int >= 0; got -1"),
        (lambda: VirtualClock(settle_turns=0), ValueError, "settle_turns must be an int >= 1; got 0"),
        (lambda: VirtualClock().advance_to(0.5), TypeError, "target_ns must be an int >= 0; got 0.5"),  # type: ignore[arg-type]
    ],
)
def test_virtual_clock_refuses_what_is_no_time_by_name(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


async def wait_often(clock: VirtualClock, step_ns: int, log: list[int]) -> None:
    due_ns = 0
    for _ in range(3):
        due_ns += step_ns
        await sleep_until(clock, due_ns)
        log.append(clock.now_ns())


async def test_virtual_clock_advance_async_lets_coroutines_wait_again() -> None:
    clock, log = VirtualClock(), list[int]()
    tasks = [asyncio.create_task(wait_often(clock, step_ms * NS_PER_MS, log)) for step_ms in (2, 3)]
    await clock.advance_async(6)
    assert log == [step_ms * NS_PER_MS for step_ms in (2, 3, 4, 6, 6)]
    await clock.advance_async(4)
    assert clock.now_ns() == 10 * NS_PER_MS
    await asyncio.gather(*tasks)


async def test_virtual_clock_run_until_idle_lets_coroutines_end() -> None:
    clock, log = VirtualClock(), list[int]()
    task = asyncio.create_task(wait_often(clock, NS_PER_MS, log))
    await clock.run_until_idle()
    assert task.done()
    assert log == [1 * NS_PER_MS, 2 * NS_PER_MS, 3 * NS_PER_MS]


async def test_virtual_clock_run_until_idle_refuses_a_timer_that_renews_itself_for_ever() -> None:
    clock = VirtualClock(settle_turns=1)

    def renew() -> None:
        clock.call_at(clock.now_ns() + 1, renew)

    renew()
    with pytest.raises(RuntimeError, match="5 times moved"):
        await clock.run_until_idle(max_moves=5)


async def test_virtual_clock_settles_through_as_many_turns_as_it_is_told() -> None:
    clock, log = VirtualClock(settle_turns=200), list[int]()

    async def be_slow() -> None:
        for _ in range(190):
            await asyncio.sleep(0)
        await sleep_until(clock, 1)
        log.append(clock.now_ns())

    task = asyncio.create_task(be_slow())
    clock.call_at(2, lambda: log.append(clock.now_ns()))
    await clock.run_until_idle()
    await task
    assert log == [1, 2]
