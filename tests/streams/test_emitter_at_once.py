"""Emitter whose handler need not wait: the sender takes the handler's first step, and nobody may notice."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest
import uvloop

from streams import Emitter, StreamClosedError, StreamStatistics
from streams.testing import VirtualClock
from tests.streams.emitters import adds_up, record

__all__ = ()

Settle = Callable[[], Awaitable[None]]
Errors = list[dict[str, Any]]
Handle = Callable[[list[str]], Awaitable[object]]

PATIENCE_S = 10.0
"""How long a thread waits for what must come."""


async def attached(handler: Handle, emitter: Emitter[str] | None = None) -> Emitter[str]:
    """Give an emitter its handler, and the loop the turn in which the emitter comes to wait for items."""
    emitter = Emitter() if emitter is None else emitter
    emitter.attach(handler)
    await asyncio.sleep(0)
    return emitter


async def end(emitter: Emitter[str]) -> None:
    emitter.complete()
    await emitter.wait_closed()


class Gate:
    """A handler that waits for the test in every call."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = asyncio.Event()
        self.was_cancelled = False

    async def __call__(self, items: list[str]) -> None:
        self.batches.append(items)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


# A handler that does not wait.


async def test_send_to_a_handler_that_does_not_wait_gives_the_loop_no_turn() -> None:
    taken: list[str] = []
    turns: list[str] = []

    async def handler(items: list[str]) -> None:
        taken.extend(items)

    emitter = await attached(handler)
    asyncio.get_running_loop().call_soon(turns.append, "turn")
    for item in "abc":
        await emitter.send(item)
    assert (taken, turns) == (["a", "b", "c"], [])
    counts = emitter.statistics
    assert (counts.emitted, counts.delivered, counts.held, counts.peak_held) == (3, 3, 0, 1)
    await end(emitter)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_every_loop_takes_items_at_once_and_finishes_what_has_to_wait(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def handler(items: list[str]) -> None:
            seen.extend(items)
            if items == ["b"]:
                async with asyncio.timeout(PATIENCE_S):
                    await asyncio.sleep(0)
                seen.append("waited")

        emitter = await attached(handler)
        for item in "abc":
            await emitter.send(item)
        await end(emitter)
        return seen

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(main()) == ["a", "b", "waited", "c"]


async def test_result_of_the_handler_is_ignored() -> None:
    async def handler(items: list[str]) -> int:
        return len(items)

    emitter = await attached(handler)
    await emitter.send("a")
    assert emitter.statistics.delivered == 1
    await end(emitter)


async def test_handler_may_change_the_list_it_is_given() -> None:
    async def handler(items: list[str]) -> None:
        items.clear()
        assert emitter.statistics.held == 1

    emitter = await attached(handler)
    await emitter.send("a")
    assert emitter.statistics.delivered == 1
    await end(emitter)


async def test_item_is_held_while_the_handler_takes_it() -> None:
    seen: list[StreamStatistics] = []

    async def handler(_: list[str]) -> None:
        seen.append(emitter.statistics)
        await asyncio.sleep(0)
        seen.append(emitter.statistics)

    emitter = await attached(handler)
    await emitter.send("a")
    seen.append(emitter.statistics)
    assert all(adds_up(counts) for counts in seen)
    assert [(counts.emitted, counts.held, counts.delivered) for counts in seen] == [(1, 1, 0), (1, 1, 0), (1, 0, 1)]
    await end(emitter)


# One task and one context from the first step to the last.


async def test_handler_runs_in_one_task_which_is_not_the_sender() -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    async def handler(items: list[str]) -> None:
        tasks.append(asyncio.current_task())
        if items == ["b"]:
            await asyncio.sleep(0)
            tasks.append(asyncio.current_task())

    emitter = Emitter[str]()
    await emitter.send("early")
    await attached(handler, emitter)
    await emitter.send("a")
    here = asyncio.current_task()
    await emitter.send("b")
    assert asyncio.current_task() is here
    assert len(tasks) == 4
    assert len(set(tasks)) == 1
    assert here not in tasks
    await end(emitter)


async def test_handler_runs_in_the_context_of_attach_in_every_step() -> None:
    place: ContextVar[str] = ContextVar("place")
    seen: list[str] = []

    async def handler(items: list[str]) -> None:
        token = place.set(f"{place.get()} {items[0]}")
        await asyncio.sleep(0)
        seen.append(place.get())
        place.reset(token)

    place.set("attach")
    emitter = await attached(handler)
    place.set("sender")
    await emitter.send("a")
    await emitter.send("b")
    assert seen == ["attach a", "attach b"]
    assert place.get() == "sender"
    await end(emitter)


async def test_what_the_handler_leaves_in_its_context_stays_there() -> None:
    count: ContextVar[int] = ContextVar("count", default=0)

    async def handler(_: list[str]) -> None:
        count.set(count.get() + 1)

    emitter = await attached(handler)
    for item in "abc":
        await emitter.send(item)
    assert count.get() == 0
    await end(emitter)


async def test_timeout_that_has_passed_before_the_task_goes_on_ends_the_wait_of_the_handler() -> None:
    seen: list[str] = []

    async def handler(_: list[str]) -> None:
        try:
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            await asyncio.sleep(0)
            seen.append("timeout")

    emitter = await attached(handler)
    await emitter.send("a")
    await emitter.send("b")
    assert seen == ["timeout", "timeout"]
    await end(emitter)


async def test_future_that_somebody_else_awaits_too_is_still_awaited_by_the_handler(settle: Settle) -> None:
    shared: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    seen: list[str] = []

    async def handler(items: list[str]) -> None:
        seen.extend(items)
        # This one starts to wait after the handler's first step and before its second.
        others.append(asyncio.create_task(note()))
        seen.append(await shared)

    async def note() -> None:
        seen.append(await shared)

    others: list[asyncio.Task[None]] = []
    emitter = await attached(handler)
    send = asyncio.create_task(emitter.send("a"))
    await settle()
    shared.set_result("b")
    await asyncio.gather(send, *others)
    assert seen == ["a", "b", "b"]
    await end(emitter)


# A handler that has to wait after all.


async def test_send_waits_as_long_as_the_handler(settle: Settle) -> None:
    gate = Gate()
    emitter = await attached(gate)
    sends = [asyncio.create_task(emitter.send(item)) for item in "abc"]
    await settle()
    assert (gate.batches, [send.done() for send in sends]) == ([["a"]], [False, False, False])
    gate.open.set()
    await asyncio.gather(*sends)
    assert gate.batches == [["a"], ["b", "c"]]
    await end(emitter)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_cancelled_send_does_not_cancel_the_handler(turns: int, settle: Settle) -> None:
    gate = Gate()
    emitter = await attached(gate)
    send = asyncio.create_task(emitter.send("a"))
    await asyncio.sleep(0)
    assert gate.batches == [["a"]]
    for _ in range(turns):
        await asyncio.sleep(0)
    send.cancel()
    await settle()
    assert send.cancelled()
    assert emitter.statistics.held == 1
    gate.open.set()
    await settle()
    assert (gate.was_cancelled, emitter.statistics.delivered) == (False, 1)
    await end(emitter)


async def test_sender_that_the_handler_cancels_hears_of_it_at_its_next_wait() -> None:
    async def handler(_: list[str]) -> None:
        send.cancel()

    async def produce() -> None:
        await emitter.send("a")
        await asyncio.sleep(0)

    emitter = await attached(handler)
    send = asyncio.create_task(produce())
    with pytest.raises(asyncio.CancelledError):
        await send
    assert emitter.statistics.delivered == 1
    await end(emitter)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_cancel_reaches_the_handler_at_work_however_far_it_is(turns: int, settle: Settle) -> None:
    gate = Gate()
    emitter = await attached(gate)
    send = asyncio.create_task(emitter.send("a"))
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    emitter.cancel()
    with pytest.raises(StreamClosedError, match="has ended"):
        await send
    await settle()
    assert gate.was_cancelled
    counts = emitter.statistics
    assert (counts.emitted, counts.dropped, counts.peak_held) == (1, 1, 1)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_cancel_reaches_the_task_that_the_handler_waits_for(turns: int, settle: Settle) -> None:
    gate = Gate()

    async def handler(items: list[str]) -> None:
        await asyncio.create_task(gate(items))

    emitter = await attached(handler)
    send = asyncio.create_task(emitter.send("a"))
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    emitter.cancel()
    with pytest.raises(StreamClosedError):
        await send
    await settle()
    # A task that had not yet begun never does.
    assert gate.was_cancelled or not gate.batches


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_handler_may_survive_a_cancellation(turns: int, settle: Settle) -> None:
    seen: list[str] = []
    tasks: list[asyncio.Task[Any]] = []

    async def handler(_: list[str]) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as cancellation:
            task.uncancel()
            seen.extend(cancellation.args)
        await asyncio.sleep(0)
        seen.append("went on")

    emitter = await attached(handler)
    send = asyncio.create_task(emitter.send("a"))
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    tasks[0].cancel("why")
    await send
    await settle()
    assert seen[-1] == "went on"
    assert emitter.statistics.delivered == 1
    await end(emitter)


# Order.


async def test_what_another_loop_sends_during_the_step_comes_behind_it_and_before_what_is_sent_after() -> None:
    batches: list[list[str]] = []
    accepted = threading.Event()

    async def send_and_tell() -> None:
        send = asyncio.create_task(emitter.send("b"))
        await asyncio.sleep(0)
        accepted.set()
        await send

    other = threading.Thread(target=lambda: asyncio.run(send_and_tell()), daemon=True)

    async def handler(items: list[str]) -> None:
        batches.append(items)
        if items == ["a"]:
            other.start()
            assert accepted.wait(PATIENCE_S)

    emitter = await attached(handler)
    await emitter.send("a")
    await emitter.send("c")
    await emitter.send("d")
    assert batches == [["a"], ["b", "c"], ["d"]]
    await asyncio.to_thread(other.join)
    assert emitter.statistics.delivered == 4
    await end(emitter)


async def test_what_waits_goes_before_a_send_that_need_not_wait(settle: Settle) -> None:
    gate = Gate()
    emitter = await attached(gate)
    sends = [asyncio.create_task(emitter.send(item)) for item in "ab"]
    await settle()
    gate.open.set()
    sends.append(asyncio.create_task(emitter.send("c")))
    await asyncio.gather(*sends)
    await emitter.send("d")
    assert [item for batch in gate.batches for item in batch] == ["a", "b", "c", "d"]
    await end(emitter)


async def test_complete_from_a_thread_during_the_step_lets_the_item_be_taken() -> None:
    async def handler(_: list[str]) -> None:
        thread = threading.Thread(target=emitter.complete)
        thread.start()
        thread.join()

    emitter = await attached(handler)
    calls = record(emitter)
    await emitter.send("a")
    with pytest.raises(StreamClosedError):
        await emitter.send("b")
    await emitter.wait_closed()
    assert calls == ["completion"]
    assert (emitter.statistics.delivered, emitter.statistics.rejected) == (1, 1)


async def test_threads_and_the_loop_send_at_the_same_time_and_all_arrives_in_the_order_of_each() -> None:
    taken: list[tuple[str, int]] = []

    async def handler(items: list[tuple[str, int]]) -> None:
        taken.extend(items)

    emitter = Emitter[tuple[str, int]]()
    emitter.attach(handler)

    def feed(name: str) -> None:
        for number in range(100):
            emitter.send_blocking((name, number))

    feeding = [asyncio.ensure_future(asyncio.to_thread(feed, name)) for name in ("x", "y")]
    for number in range(1000):
        await emitter.send(("here", number))
        await asyncio.sleep(0)
    await asyncio.gather(*feeding)
    for name, count in (("x", 100), ("y", 100), ("here", 1000)):
        assert [number for who, number in taken if who == name] == list(range(count))
    assert emitter.statistics.delivered == 1200
    emitter.complete()
    await emitter.wait_closed()


# Sends from within.


async def test_send_in_the_first_step_of_the_handler_is_refused() -> None:
    async def handler(items: list[str]) -> None:
        await emitter.send("more")

    emitter = await attached(handler)
    with pytest.raises(RuntimeError, match="wait for itself"):
        await emitter.send("a")
    assert emitter.statistics.dropped == 1


async def test_task_that_the_handler_starts_may_send() -> None:
    seen: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    async def handler(items: list[str]) -> None:
        seen.extend(items)
        if items == ["a"]:
            tasks.append(asyncio.create_task(emitter.send("b")))

    emitter = await attached(handler)
    await emitter.send("a")
    await tasks[0]
    assert seen == ["a", "b"]
    await end(emitter)


async def test_handler_may_send_to_another_emitter() -> None:
    tasks: dict[str, asyncio.Task[Any] | None] = {}
    seen: list[str] = []

    async def last(items: list[str]) -> None:
        seen.extend(items)
        tasks["last"] = asyncio.current_task()

    async def first(items: list[str]) -> None:
        tasks["before"] = asyncio.current_task()
        await second_emitter.send(items[0] * 2)
        tasks["after"] = asyncio.current_task()

    second_emitter = await attached(last)
    emitter = await attached(first)
    await emitter.send("a")
    assert seen == ["aa"]
    assert tasks["before"] is tasks["after"]
    assert len({*tasks.values(), asyncio.current_task()}) == 3
    await end(emitter)
    await end(second_emitter)


async def test_send_outside_of_any_task_goes_through_the_loop(settle: Settle) -> None:
    taken: list[str] = []

    async def handler(items: list[str]) -> None:
        taken.extend(items)

    emitter = await attached(handler)
    send = emitter.send("a")
    asyncio.get_running_loop().call_soon(send.send, None)
    await asyncio.sleep(0)
    assert taken == []
    await settle()
    assert taken == ["a"]
    with pytest.raises(StopIteration):
        send.send(None)
    await end(emitter)


if sys.version_info >= (3, 12):

    async def test_loop_with_eager_tasks_refuses_a_send_in_the_handler_of_early_items(loop_errors: Errors) -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        emitter = Emitter[str]()
        await emitter.send("early")

        async def handler(_: list[str]) -> None:
            await emitter.send("more")

        emitter.attach(handler)
        await emitter.wait_closed()
        assert ["wait for itself" in str(context["exception"]) for context in loop_errors] == [True]

    async def test_eager_task_that_the_handler_starts_waits_for_its_turn() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        batches: list[list[str]] = []
        tasks: list[asyncio.Task[None]] = []

        async def handler(items: list[str]) -> None:
            if items == ["a"]:
                tasks.append(asyncio.create_task(emitter.send("b")))
            batches.append(items)

        emitter = await attached(handler)
        await asyncio.create_task(emitter.send("a"))
        await emitter.send("c")
        await asyncio.gather(*tasks)
        assert batches == [["a"], ["b", "c"]]
        await end(emitter)


# A handler that fails.


@pytest.mark.parametrize("waits", [False, True])
async def test_error_of_the_handler_is_raised_to_the_sender_and_told_in_its_task(waits: bool) -> None:
    tasks: list[asyncio.Task[Any] | None] = []
    error = LookupError("cannot take it")

    async def handler(_: list[str]) -> None:
        tasks.append(asyncio.current_task())
        if waits:
            await asyncio.sleep(0)
        raise error

    emitter = await attached(handler)
    calls = record(emitter)
    emitter.on_completion(lambda: tasks.append(asyncio.current_task()))
    with pytest.raises(LookupError) as raised:
        await emitter.send("a")
    assert raised.value is error
    assert calls == ["LookupError", "completion"]
    assert tasks[0] is tasks[1]
    counts = emitter.statistics
    assert (counts.emitted, counts.dropped) == (1, 1)
    with pytest.raises(StreamClosedError):
        await emitter.send("b")


async def test_item_of_a_handler_that_raised_is_held_until_the_emitter_has_failed() -> None:
    async def handler(_: list[str]) -> None:
        raise LookupError

    emitter = await attached(handler)
    seen: list[StreamStatistics] = []
    asyncio.get_running_loop().call_soon(lambda: seen.append(emitter.statistics))
    with pytest.raises(LookupError):
        await emitter.send("a")
    assert [(counts.emitted, counts.held) for counts in seen] == [(1, 1)]


async def test_stop_iteration_of_the_handler_is_no_end_of_it() -> None:
    def handler(_: list[str]) -> Awaitable[None]:
        raise StopIteration

    emitter = await attached(handler)
    calls = record(emitter)
    with pytest.raises(RuntimeError, match="the handler raised StopIteration"):
        await emitter.send("a")
    assert calls == ["StopIteration", "completion"]


async def test_cancelled_error_that_the_handler_raises_ends_the_emitter_not_the_sender() -> None:
    async def handler(_: list[str]) -> None:
        raise asyncio.CancelledError

    emitter = await attached(handler)
    calls = record(emitter)
    with pytest.raises(StreamClosedError, match="was cancelled"):
        await emitter.send("a")
    assert calls == ["StreamClosedError", "completion"]
    assert emitter.statistics.dropped == 1


async def test_task_that_the_handler_cancels_hands_over_no_more(settle: Settle) -> None:
    async def handler(_: list[str]) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    emitter = await attached(handler)
    calls = record(emitter)
    await emitter.send("a")
    await settle()
    assert calls == ["StreamClosedError", "completion"]
    assert emitter.statistics.delivered == 1


async def test_cancellation_that_comes_when_the_handler_has_failed_changes_nothing() -> None:
    async def handler(_: list[str]) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        raise LookupError

    emitter = await attached(handler)
    with pytest.raises(LookupError):
        await emitter.send("a")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_interruption_of_the_handler_passes_through_the_loop(interruption: type[BaseException]) -> None:
    sends: list[asyncio.Task[None]] = []

    async def handler(_: list[str]) -> None:
        raise interruption

    async def main() -> None:
        emitter = await attached(handler)
        sends.append(asyncio.create_task(emitter.send("a")))
        await asyncio.gather(*sends)

    async def hear() -> BaseException | None:
        await asyncio.wait(sends)
        return sends[0].exception()

    loop = asyncio.new_event_loop()
    running = loop.create_task(main())
    with pytest.raises(interruption):
        loop.run_until_complete(running)
    assert isinstance(loop.run_until_complete(hear()), StreamClosedError)
    assert isinstance(running.exception(), StreamClosedError)
    loop.close()


# A handler that is no coroutine function.


async def test_handler_may_return_a_future(settle: Settle) -> None:
    futures: list[asyncio.Future[None]] = []

    def handler(_: list[str]) -> Awaitable[None]:
        futures.append(asyncio.get_running_loop().create_future())
        return futures[-1]

    emitter = await attached(handler)
    send = asyncio.create_task(emitter.send("a"))
    await settle()
    assert not send.done()
    futures[0].set_result(None)
    await send
    assert emitter.statistics.delivered == 1
    await end(emitter)


async def test_future_that_the_handler_returned_is_cancelled_with_the_emitter() -> None:
    futures: list[asyncio.Future[None]] = []

    def handler(_: list[str]) -> Awaitable[None]:
        futures.append(asyncio.get_running_loop().create_future())
        return futures[-1]

    emitter = await attached(handler)
    send = asyncio.create_task(emitter.send("a"))
    await asyncio.sleep(0)
    emitter.cancel()
    with pytest.raises(StreamClosedError):
        await send
    assert futures[0].cancelled()


async def test_handler_that_returns_nothing_to_await_fails() -> None:
    def handler(_: list[str]) -> Any:
        return None

    emitter = await attached(handler)
    with pytest.raises(TypeError, match="await"):
        await emitter.send("a")


# A handler that ends the emitter.


async def test_handler_that_completes_has_taken_its_item() -> None:
    async def handler(_: list[str]) -> None:
        emitter.complete()

    emitter = await attached(handler)
    calls = record(emitter)
    await emitter.send("a")
    with pytest.raises(StreamClosedError):
        await emitter.send("b")
    await emitter.wait_closed()
    assert calls == ["completion"]
    assert (emitter.statistics.delivered, emitter.statistics.rejected) == (1, 1)


@pytest.mark.parametrize("then", ["returns", "waits", "raises"])
@pytest.mark.parametrize("way", ["cancel", "timeout"])
async def test_handler_that_ends_the_emitter_at_once_drops_its_item(
    way: str, then: str, loop_errors: Errors, settle: Settle
) -> None:
    clock = VirtualClock()
    seen: list[str] = []

    async def handler(_: list[str]) -> None:
        if way == "cancel":
            emitter.cancel()
        else:
            clock.advance(1000)
        if then == "raises":
            raise LookupError
        if then == "waits":
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

    emitter = Emitter[str](timeout_s=1, clock=clock)
    calls: list[str] = []
    emitter.on_timeout(lambda: calls.append("timeout"))
    emitter.on_completion(lambda: calls.append("completion"))
    await attached(handler, emitter)
    with pytest.raises(StreamClosedError, match="has ended" if way == "cancel" else "timed out"):
        await emitter.send("a")
    await settle()
    assert calls == (["completion"] if way == "cancel" else ["timeout", "completion"])
    assert seen == (["cancelled"] if then == "waits" else [])
    counts = emitter.statistics
    assert (counts.emitted, counts.delivered, counts.dropped, counts.peak_held) == (1, 0, 1, 1)
    assert [type(context["exception"]) for context in loop_errors] == ([LookupError] if then == "raises" else [])


async def test_cancel_right_after_attach_leaves_nothing_running(settle: Settle) -> None:
    gate = Gate()
    emitter = Emitter[str]()
    emitter.attach(gate)
    emitter.cancel()
    await settle()
    assert gate.batches == []
    assert len(asyncio.all_tasks()) == 1
