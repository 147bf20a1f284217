"""First steps in the name of a task: what the work sees, what is left of it, and how that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from types import coroutine
from typing import Any

import pytest

from streams.affinity import start_task
from streams.eager import Begun, Failed, StandIn

__all__ = ()

Work = Callable[[str], Awaitable[object]]
Left = Begun | Failed


class Worker:
    """A task that waits for what is left of work and awaits it."""

    def __init__(self) -> None:
        self.context: Context = copy_context()
        self.left: asyncio.Future[Left] = asyncio.get_running_loop().create_future()
        self.task = start_task(asyncio.get_running_loop(), self._run(), self.context)

    async def _run(self) -> None:
        # Kept from this task's cancellation: what is left takes that over.
        while not self.left.done():
            try:
                await asyncio.shield(self.left)
            except asyncio.CancelledError as cancellation:
                self.left.result().cancel(cancellation)
        await self.left.result()

    def begin(self, work: Work, argument: str = "") -> Left | None:
        """Begin the work as the current task, which is the test's."""
        sender = asyncio.current_task()
        assert sender is not None
        left = StandIn(self.task, self.context, work).begin(sender, argument)
        assert asyncio.current_task() is sender
        return left

    def hand_over(self, work: Work) -> None:
        """Begin work that has to be left to the task, and leave it."""
        left = self.begin(work)
        assert left is not None
        self.left.set_result(left)


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker()
    await asyncio.sleep(0)
    yield worker
    if not worker.left.done():
        worker.left.set_result(Failed(asyncio.CancelledError()))
    await asyncio.wait([worker.task])


async def test_work_that_does_not_wait_is_over_with_its_first_step(worker: Worker) -> None:
    seen: list[object] = []

    async def work(argument: str) -> str:
        seen.extend([argument, asyncio.current_task()])
        return "ignored"

    assert worker.begin(work, "argument") is None
    assert seen == ["argument", worker.task]


async def test_work_that_waits_goes_on_in_the_task_and_its_context(worker: Worker) -> None:
    mark: ContextVar[str] = ContextVar("mark")
    seen: list[object] = []

    async def work(_: str) -> None:
        token = mark.set("set")
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())
        mark.reset(token)
        seen.append("over")

    worker.hand_over(work)
    assert mark.get("unset") == "unset"
    await worker.task
    assert seen == [worker.task, worker.task, "over"]


@pytest.mark.parametrize("error", [LookupError(), StopIteration(), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_exception_of_the_first_step_is_left_to_the_task(worker: Worker, error: BaseException) -> None:
    def work(_: str) -> Awaitable[None]:
        raise error

    left = worker.begin(work)
    assert isinstance(left, Failed)
    left.cancel(asyncio.CancelledError())
    with pytest.raises(type(error)) as raised:
        left.__await__()
    assert raised.value is error


async def test_what_is_no_coroutine_is_awaited_as_await_does(worker: Worker) -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    worker.hand_over(lambda _: future)
    assert not worker.task.done()
    future.set_result("over")
    await worker.task


async def test_coroutine_made_of_a_generator_is_awaited_as_await_does(worker: Worker) -> None:
    seen: list[str] = []

    @coroutine
    def work(_: str) -> Any:
        seen.append("first")
        yield
        seen.append("second")

    worker.hand_over(work)
    await worker.task
    assert seen == ["first", "second"]


async def test_cancellation_before_the_task_goes_on_cancels_what_is_waited_for(worker: Worker) -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reasons: list[object] = []

    async def work(_: str) -> None:
        try:
            await future
        except asyncio.CancelledError as cancellation:
            reasons.extend(cancellation.args)

    worker.hand_over(work)
    worker.task.cancel("reason")
    await worker.task
    assert future.cancelled()
    assert reasons == ["reason"]


async def test_cancellation_before_the_task_goes_on_is_thrown_where_nothing_can_be_cancelled(worker: Worker) -> None:
    reasons: list[object] = []

    async def work(_: str) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as cancellation:
            reasons.extend(cancellation.args)

    worker.hand_over(work)
    worker.task.cancel("reason")
    await worker.task
    assert reasons == ["reason"]


async def test_what_has_been_done_in_the_meantime_is_not_lost_to_a_cancellation(worker: Worker) -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reasons: list[object] = []

    async def work(_: str) -> None:
        try:
            await future
        except asyncio.CancelledError as cancellation:
            reasons.extend([*cancellation.args, future.result()])

    worker.hand_over(work)
    future.set_result("done")
    worker.task.cancel("reason")
    await worker.task
    assert reasons == ["reason", "done"]


async def test_cancellation_after_the_task_went_on_is_an_ordinary_one(worker: Worker) -> None:
    seen: list[str] = []

    async def work(_: str) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("cleaned up")
            raise

    worker.hand_over(work)
    for _ in range(3):
        await asyncio.sleep(0)
    worker.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker.task
    assert seen == ["cleaned up"]


async def test_what_is_left_and_never_awaited_is_closed(worker: Worker) -> None:
    seen: list[str] = []

    async def work(_: str) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            seen.append("closed")

    left = worker.begin(work)
    assert isinstance(left, Begun)
    left.close()
    assert seen == ["closed"]
