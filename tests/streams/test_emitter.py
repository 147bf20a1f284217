"""Emitter by example: early sends, waiting, ends and callbacks, as in Spring's ResponseBodyEmitter, and threads."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from streams import Emitter, StreamClosedError
from streams.testing import VirtualClock
from tests.streams.emitters import adds_up, record

__all__ = ()

Settle = Callable[[], Awaitable[None]]
Errors = list[dict[str, Any]]

EARLY_SENDS = 256


class Handler:
    """A consumer that notes its batches, and takes each only when the test lets it go on."""

    def __init__(self, *, open_gate: bool = True) -> None:
        self.batches: list[list[Any]] = []
        self.gate = asyncio.Event()
        if open_gate:
            self.gate.set()

    async def __call__(self, items: list[Any]) -> None:
        self.batches.append(items)
        await self.gate.wait()


async def failing_handler(items: list[Any]) -> None:
    raise LookupError(f"cannot take {items}")


@pytest.fixture
def hasty_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


# Before there is a handler.


async def test_early_sends_return_at_once_and_are_handed_over_first_as_one_batch(settle: Settle) -> None:
    emitter, handler = Emitter[str](), Handler()
    for item in ("a", "b", "b"):
        await emitter.send(item)
    assert emitter.statistics.held == 3
    emitter.attach(handler)
    await emitter.send("c")
    assert handler.batches == [["a", "b", "b"], ["c"]]
    emitter.complete()
    await settle()


async def test_early_sends_wait_beyond_256(settle: Settle) -> None:
    emitter, handler = Emitter[int](), Handler()
    sends = [asyncio.create_task(emitter.send(number)) for number in range(EARLY_SENDS + 2)]
    await settle()
    assert [send.done() for send in sends] == [True] * EARLY_SENDS + [False] * 2
    assert emitter.statistics.held == EARLY_SENDS
    emitter.attach(handler)
    await asyncio.gather(*sends)
    assert handler.batches == [list(range(EARLY_SENDS)), [EARLY_SENDS, EARLY_SENDS + 1]]
    emitter.complete()
    await settle()


async def test_early_complete_is_applied_behind_the_batch(settle: Settle) -> None:
    emitter, handler = Emitter[str](), Handler()
    calls = record(emitter)
    await emitter.send("a")
    emitter.complete()
    assert calls == []
    with pytest.raises(StreamClosedError):
        await emitter.send("b")
    emitter.attach(handler)
    await settle()
    assert handler.batches == [["a"]]
    assert calls == ["completion"]


async def test_early_error_is_applied_behind_the_batch(settle: Settle) -> None:
    emitter, handler = Emitter[str](), Handler()
    calls = record(emitter)
    await emitter.send("a")
    emitter.complete_with_error(LookupError())
    emitter.attach(handler)
    await settle()
    assert handler.batches == [["a"]]
    assert calls == ["LookupError", "completion"]


@pytest.mark.parametrize("error", [None, LookupError()])
async def test_complete_before_attach_with_nothing_sent_ends_at_once(error: Exception | None, settle: Settle) -> None:
    emitter, handler = Emitter[str](timeout_s=1, clock=VirtualClock()), Handler()
    calls = record(emitter)
    if error is None:
        emitter.complete()
    else:
        emitter.complete_with_error(error)
    assert calls == (["completion"] if error is None else ["LookupError", "completion"])
    emitter.attach(handler)
    await settle()
    assert handler.batches == []


async def test_early_sends_fail_when_the_handler_does(settle: Settle) -> None:
    emitter = Emitter[str]()
    calls = record(emitter)
    await emitter.send("a")
    emitter.attach(failing_handler)
    await settle()
    assert calls == ["LookupError", "completion"]
    assert emitter.statistics.dropped == 1


# With a handler.


async def test_send_returns_when_the_handler_has_taken_the_item(settle: Settle) -> None:
    emitter, handler = Emitter[str](), Handler(open_gate=False)
    emitter.attach(handler)
    send = asyncio.create_task(emitter.send("a"))
    await settle()
    assert handler.batches == [["a"]]
    assert not send.done()
    handler.gate.set()
    await send
    emitter.complete()
    await settle()


async def test_slow_handler_makes_the_producer_wait(settle: Settle) -> None:
    emitter, handler = Emitter[int](), Handler(open_gate=False)
    emitter.attach(handler)
    sent: list[int] = []

    async def producer() -> None:
        for number in range(3):
            await emitter.send(number)
            sent.append(number)
        emitter.complete()

    producing = asyncio.create_task(producer())
    await settle()
    assert (handler.batches, sent) == ([[0]], [])
    handler.gate.set()
    await producing
    assert (handler.batches, sent) == ([[0], [1], [2]], [0, 1, 2])
    await emitter.wait_closed()


async def test_sends_that_wait_together_are_handed_over_together_in_order(settle: Settle) -> None:
    emitter, handler = Emitter[str](), Handler(open_gate=False)
    emitter.attach(handler)
    sends = [asyncio.create_task(emitter.send("a"))]
    await settle()
    sends += [asyncio.create_task(emitter.send(item)) for item in "bcd"]
    await settle()
    handler.gate.set()
    await asyncio.gather(*sends)
    assert handler.batches == [["a"], ["b", "c", "d"]]
    emitter.complete()
    await settle()


async def test_none_is_an_item(settle: Settle) -> None:
    emitter, handler = Emitter[None](), Handler()
    emitter.attach(handler)
    await emitter.send(None)
    assert handler.batches == [[None]]
    emitter.complete()
    await settle()


async def test_second_handler_is_refused(settle: Settle) -> None:
    emitter = Emitter[str]()
    emitter.attach(Handler())
    with pytest.raises(RuntimeError, match="has its handler already"):
        emitter.attach(Handler())
    emitter.complete()
    await settle()


def test_attach_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="attaching a handler needs a running event loop"):
        Emitter[str]().attach(failing_handler)


@pytest.mark.parametrize("handler", [None, "handler"])
async def test_attach_refuses_what_is_no_function(handler: Any) -> None:
    with pytest.raises(TypeError, match="handler must be a coroutine function"):
        Emitter[str]().attach(handler)


# A handler that fails.


async def test_handler_error_is_raised_to_the_sender_then_told_to_the_callbacks() -> None:
    emitter = Emitter[str]()
    calls = record(emitter)
    emitter.attach(failing_handler)
    with pytest.raises(LookupError, match=r"cannot take \['a'\]"):
        await emitter.send("a")
    assert calls == ["LookupError", "completion"]
    with pytest.raises(StreamClosedError):
        await emitter.send("b")
    counts = emitter.statistics
    assert (counts.emitted, counts.dropped, counts.rejected) == (2, 1, 1)


async def test_handler_error_ends_the_sends_behind_it(settle: Settle) -> None:
    emitter = Emitter[str]()
    gate = asyncio.Event()

    async def handler(_: list[str]) -> None:
        await gate.wait()
        raise LookupError

    emitter.attach(handler)
    sends = [asyncio.create_task(emitter.send("a"))]
    await settle()
    sends.append(asyncio.create_task(emitter.send("b")))
    await settle()
    gate.set()
    results = await asyncio.gather(*sends, return_exceptions=True)
    assert [type(result) for result in results] == [LookupError, StreamClosedError]
    counts = emitter.statistics
    assert (counts.emitted, counts.dropped, counts.rejected) == (2, 1, 1)


async def test_complete_after_a_handler_error_does_nothing(loop_errors: Errors) -> None:
    emitter = Emitter[str]()
    emitter.attach(failing_handler)
    calls = record(emitter)
    with pytest.raises(LookupError):
        await emitter.send("a")
    emitter.complete()
    assert calls == ["LookupError", "completion"]
    assert loop_errors == []


async def test_handler_whose_task_is_cancelled_ends_the_emitter(settle: Settle) -> None:
    emitter = Emitter[str]()
    calls = record(emitter)

    async def handler(_: list[str]) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    emitter.attach(handler)
    with pytest.raises(StreamClosedError, match="cancelled"):
        await emitter.send("a")
    assert calls == ["StreamClosedError", "completion"]
    await settle()


# Ends.


async def test_complete_lets_what_was_sent_go_first(settle: Settle) -> None:
    emitter, handler = Emitter[str](), Handler(open_gate=False)
    calls = record(emitter)
    emitter.attach(handler)
    sends = [asyncio.create_task(emitter.send("a"))]
    await settle()
    sends.append(asyncio.create_task(emitter.send("b")))
    await settle()
    emitter.complete()
    assert calls == []
    handler.gate.set()
    await asyncio.gather(*sends)
    await settle()
    assert handler.batches == [["a"], ["b"]]
    assert calls == ["completion"]


async def test_complete_is_idempotent(settle: Settle) -> None:
    emitter = Emitter[str]()
    calls = record(emitter)
    emitter.attach(Handler())
    emitter.complete()
    emitter.complete()
    await settle()
    emitter.complete()
    assert calls == ["completion"]


@pytest.mark.parametrize("error", [None, LookupError()])
async def test_send_after_the_end_is_refused_and_counted(error: Exception | None, settle: Settle) -> None:
    emitter = Emitter[str]()
    emitter.attach(Handler())
    if error is None:
        emitter.complete()
    else:
        emitter.complete_with_error(error)
    for _ in range(2):
        with pytest.raises(StreamClosedError):
            await emitter.send("a")
        await settle()
    assert emitter.statistics.rejected == 2


async def test_second_error_is_reported(loop_errors: Errors) -> None:
    emitter = Emitter[str]()
    calls = record(emitter)
    emitter.complete_with_error(LookupError())
    late = ValueError()
    emitter.complete_with_error(late)
    assert calls == ["LookupError", "completion"]
    assert [context["exception"] for context in loop_errors] == [late]


@pytest.mark.parametrize("error", [None, "text", LookupError, asyncio.CancelledError()])
def test_complete_with_error_refuses_what_is_no_exception(error: Any) -> None:
    with pytest.raises(TypeError, match="error must be an instance of Exception"):
        Emitter[str]().complete_with_error(error)


async def test_cancel_ends_at_once_and_sends_that_wait_raise(settle: Settle) -> None:
    emitter, handler = Emitter[str](), Handler(open_gate=False)
    calls = record(emitter)
    emitter.attach(handler)
    sends = [asyncio.create_task(emitter.send("a"))]
    await settle()
    sends.append(asyncio.create_task(emitter.send("b")))
    await settle()
    emitter.cancel()
    emitter.cancel()
    assert calls == ["completion"]
    results = await asyncio.gather(*sends, return_exceptions=True)
    assert [type(result) for result in results] == [StreamClosedError, StreamClosedError]
    assert (emitter.statistics.dropped, emitter.statistics.rejected) == (1, 1)
    await settle()


async def test_cancel_before_there_is_a_handler_drops_the_early_sends() -> None:
    emitter = Emitter[str]()
    calls = record(emitter)
    await emitter.send("a")
    emitter.cancel()
    assert calls == ["completion"]
    assert emitter.statistics.dropped == 1


# Timeout, on virtual time.


async def test_timeout_counts_from_attach_and_ends_the_emitter(settle: Settle) -> None:
    clock = VirtualClock()
    emitter, handler = Emitter[str](timeout_s=2, clock=clock), Handler(open_gate=False)
    calls = record(emitter)
    clock.advance(60_000)
    emitter.attach(handler)
    sends = [asyncio.create_task(emitter.send(item)) for item in "ab"]
    await settle()
    clock.advance(1999)
    assert calls == []
    clock.advance(1)
    assert calls == ["timeout", "completion"]
    results = await asyncio.gather(*sends, return_exceptions=True)
    assert [type(result) for result in results] == [StreamClosedError, StreamClosedError]
    with pytest.raises(StreamClosedError):
        await emitter.send("c")
    assert adds_up(emitter.statistics)
    await settle()


async def test_timeout_cancels_the_handler_at_work(settle: Settle) -> None:
    clock = VirtualClock()
    emitter = Emitter[str](timeout_s=1, clock=clock)
    cancelled: list[bool] = []

    async def handler(_: list[str]) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    await emitter.send("a")
    emitter.attach(handler)
    await settle()
    clock.advance(1000)
    await settle()
    assert cancelled == [True]
    assert emitter.statistics.dropped == 1


async def test_timer_is_withdrawn_at_the_end(settle: Settle) -> None:
    clock = VirtualClock()
    emitter = Emitter[str](timeout_s=1, clock=clock)
    calls = record(emitter)
    emitter.attach(Handler())
    emitter.complete()
    await settle()
    assert clock.scheduled_count == 0
    clock.advance(5000)
    assert calls == ["completion"]


async def test_timeout_at_the_very_end_is_too_late(settle: Settle) -> None:
    class KeepingClock(VirtualClock):
        """A clock whose timers cannot be withdrawn any more."""

        def call_at(self, due_ns: int, callback: Callable[[], object]) -> Any:
            super().call_at(due_ns, callback)
            return super().call_at(due_ns, lambda: None)

    clock = KeepingClock()
    emitter = Emitter[str](timeout_s=1, clock=clock)
    calls = record(emitter)
    emitter.attach(Handler())
    emitter.complete()
    await settle()
    clock.advance(5000)
    assert calls == ["completion"]


async def test_timeout_without_a_clock_uses_the_one_of_the_loop(settle: Settle) -> None:
    emitter = Emitter[str](timeout_s=3600)
    calls = record(emitter)
    emitter.attach(Handler())
    emitter.complete()
    await settle()
    assert calls == ["completion"]


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf")])
def test_timeout_out_of_range_is_refused(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s must be a number"):
        Emitter[str](timeout_s)


@pytest.mark.parametrize("timeout_s", ["1", True])
def test_timeout_that_is_no_number_is_refused(timeout_s: Any) -> None:
    with pytest.raises(TypeError, match="timeout_s must be a number"):
        Emitter[str](timeout_s)


# Callbacks.


async def test_callbacks_run_in_the_order_of_registration_error_before_completion() -> None:
    emitter = Emitter[str]()
    calls: list[str] = []
    for name in ("first", "second"):
        emitter.on_completion(lambda name=name: calls.append(f"{name} completion"))  # type: ignore[misc]
        emitter.on_error(lambda _, name=name: calls.append(f"{name} error"))  # type: ignore[misc]
        emitter.on_timeout(lambda name=name: calls.append(f"{name} timeout"))  # type: ignore[misc]
    emitter.complete_with_error(LookupError())
    assert calls == ["first error", "second error", "first completion", "second completion"]


async def test_callback_that_raises_does_not_stop_the_others(loop_errors: Errors) -> None:
    def fail() -> None:
        raise LookupError

    emitter = Emitter[str]()
    emitter.on_completion(fail)
    calls = record(emitter)
    emitter.complete()
    assert calls == ["completion"]
    assert [type(context["exception"]) for context in loop_errors] == [LookupError]


async def test_on_completion_after_the_end_runs_at_once() -> None:
    emitter = Emitter[str]()
    emitter.complete()
    assert record(emitter) == ["completion"]


async def test_emitter_is_closed_when_its_callbacks_run() -> None:
    emitter = Emitter[str]()
    sends: list[asyncio.Task[None]] = []
    emitter.on_completion(lambda: sends.append(asyncio.create_task(emitter.send("a"))))
    emitter.complete()
    with pytest.raises(StreamClosedError):
        await sends[0]


async def test_failure_on_early_items_that_nobody_waits_for_is_reported(loop_errors: Errors) -> None:
    emitter: Emitter[str] = Emitter()
    await emitter.send("early")

    async def handler(items: list[str]) -> None:
        raise LookupError("the handler failed")

    emitter.attach(handler)
    await emitter.wait_closed()
    assert [str(context["exception"]) for context in loop_errors] == ["the handler failed"]


async def test_handler_that_sends_is_refused() -> None:
    emitter: Emitter[str] = Emitter()

    async def handler(items: list[str]) -> None:
        await emitter.send("more")

    emitter.attach(handler)
    with pytest.raises(RuntimeError, match="wait for itself"):
        await emitter.send("a")


async def test_wait_closed_returns_when_the_emitter_has_ended() -> None:
    emitter = Emitter[str]()
    waiting = asyncio.create_task(emitter.wait_closed())
    await asyncio.sleep(0)
    assert not waiting.done()
    emitter.complete_with_error(LookupError())
    await waiting
    await emitter.wait_closed()


# Sends that are given up.


async def test_cancelled_send_that_waits_is_withdrawn(settle: Settle) -> None:
    emitter, handler = Emitter[str](), Handler(open_gate=False)
    emitter.attach(handler)
    sends = {item: asyncio.create_task(emitter.send(item)) for item in "a"}
    await settle()
    sends |= {item: asyncio.create_task(emitter.send(item)) for item in "bcd"}
    await settle()
    sends["c"].cancel()
    await settle()
    handler.gate.set()
    await asyncio.gather(*sends.values(), return_exceptions=True)
    assert handler.batches == [["a"], ["b", "d"]]
    assert emitter.statistics.emitted == 3
    emitter.complete()
    await settle()


async def test_cancelled_send_whose_item_is_being_taken_changes_nothing(settle: Settle) -> None:
    emitter, handler = Emitter[str](), Handler(open_gate=False)
    emitter.attach(handler)
    send = asyncio.create_task(emitter.send("a"))
    await settle()
    send.cancel()
    await settle()
    assert send.cancelled()
    handler.gate.set()
    await settle()
    assert emitter.statistics.delivered == 1
    emitter.complete()
    await settle()


# Statistics.


async def test_statistics_add_up_at_every_step(settle: Settle) -> None:
    emitter, handler = Emitter[str](), Handler(open_gate=False)
    seen = [emitter.statistics]
    await emitter.send("a")
    seen.append(emitter.statistics)
    emitter.attach(handler)
    send = asyncio.create_task(emitter.send("b"))
    await settle()
    seen.append(emitter.statistics)
    handler.gate.set()
    await send
    seen.append(emitter.statistics)
    emitter.complete()
    await settle()
    with pytest.raises(StreamClosedError):
        await emitter.send("c")
    seen.append(emitter.statistics)
    assert all(adds_up(counts) for counts in seen)
    assert [(c.emitted, c.delivered, c.rejected, c.held, c.peak_held) for c in seen] == [
        (0, 0, 0, 0, 0),
        (1, 0, 0, 1, 1),
        (1, 0, 0, 1, 1),
        (2, 2, 0, 0, 1),
        (3, 2, 1, 0, 1),
    ]


# Threads.


def start_thread(work: Callable[[], object]) -> asyncio.Future[Any]:
    return asyncio.ensure_future(asyncio.to_thread(work))


@pytest.mark.usefixtures("hasty_switches")
async def test_send_blocking_from_threads_keeps_the_order_of_each() -> None:
    emitter, handler = Emitter[tuple[int, int]](), Handler()

    def feed(name: int) -> None:
        for number in range(100):
            emitter.send_blocking((name, number))

    feeding = [start_thread(lambda name=name: feed(name)) for name in range(3)]  # type: ignore[misc]
    emitter.attach(handler)
    await asyncio.gather(*feeding)
    taken = [item for batch in handler.batches for item in batch]
    for name in range(3):
        assert [number for who, number in taken if who == name] == list(range(100))
    counts = emitter.statistics
    assert (counts.emitted, counts.delivered) == (300, 300)
    emitter.complete()
    await emitter.wait_closed()


async def test_send_blocking_raises_what_the_handler_raised() -> None:
    emitter = Emitter[str]()
    emitter.attach(failing_handler)
    with pytest.raises(LookupError):
        await start_thread(lambda: emitter.send_blocking("a"))


async def test_send_blocking_that_waits_hears_of_the_end() -> None:
    clock = VirtualClock()
    emitter, handler = Emitter[str](timeout_s=1, clock=clock), Handler(open_gate=False)
    taken = asyncio.Event()

    async def noting_handler(items: list[str]) -> None:
        taken.set()
        await handler(items)

    emitter.attach(noting_handler)
    sending = start_thread(lambda: emitter.send_blocking("a"))
    await taken.wait()
    clock.advance(1000)
    with pytest.raises(StreamClosedError, match="timed out"):
        await sending


async def test_send_blocking_in_the_thread_of_a_loop_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"await emitter\.send"):
        Emitter[str]().send_blocking("a")


def test_send_blocking_needs_no_loop_while_there_is_no_handler() -> None:
    emitter = Emitter[str]()
    emitter.send_blocking("a")
    emitter.complete()
    with pytest.raises(StreamClosedError):
        emitter.send_blocking("b")


async def test_complete_from_a_thread_runs_the_callbacks_on_the_loop(settle: Settle) -> None:
    emitter = Emitter[str]()
    called_in: list[int] = []
    emitter.on_completion(lambda: called_in.append(threading.get_ident()))
    emitter.attach(Handler())
    await start_thread(emitter.complete)
    await emitter.wait_closed()
    assert called_in == [threading.get_ident()]
    await settle()


def attached_to_a_closed_loop() -> tuple[Emitter[str], object]:
    """Leave an emitter whose handler's loop was closed without ending it."""
    emitter = Emitter[str]()

    async def main() -> object:
        handler = Handler()
        emitter.attach(handler)
        await asyncio.sleep(0)
        return asyncio.all_tasks()

    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(main())
    loop.close()
    return emitter, tasks


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("in_other_thread", [False, True])
def test_send_to_a_vanished_loop_ends_the_emitter(in_other_thread: bool) -> None:
    emitter, tasks = attached_to_a_closed_loop()
    calls = record(emitter)
    raised: list[BaseException] = []

    def send() -> None:
        try:
            emitter.send_blocking("a")
        except StreamClosedError as error:
            raised.append(error)

    if in_other_thread:
        thread = threading.Thread(target=send)
        thread.start()
        thread.join()
    else:
        send()
    assert len(raised) == 1
    assert calls == ["StreamClosedError", "completion"]
    assert emitter.statistics.rejected == 1
    del tasks


async def test_answer_for_a_sender_whose_loop_is_gone_is_dropped(settle: Settle) -> None:
    emitter, handler = Emitter[str](), Handler()

    def send_on_a_loop_of_its_own() -> None:
        async def give_up() -> object:
            sending = asyncio.ensure_future(emitter.send("a"))
            await asyncio.sleep(0)
            return sending

        loop = asyncio.new_event_loop()
        kept.append(loop.run_until_complete(give_up()))
        loop.close()

    kept: list[Any] = []
    emitter.attach(handler)
    thread = threading.Thread(target=send_on_a_loop_of_its_own)
    thread.start()
    thread.join()
    await settle()
    assert handler.batches == [["a"]]
    assert emitter.statistics.delivered == 1
    emitter.complete()
    await settle()
    kept[0]._log_destroy_pending = False  # noqa: SLF001 - asyncio's own way to forget a task
