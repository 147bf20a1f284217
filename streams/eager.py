"""First steps: work is begun at once, in the name of a task that waits, and goes over to the task if it has to wait.

To hand one item to a task that waits for it costs two turns of the loop: one until the task wakes up and takes it, one
until the sender hears of that. Where taking it hardly ever has to wait, those turns are nearly the whole cost. So the
sender itself takes the first step, and mostly there is no second.

A coroutine must not notice: timeouts and cancel scopes keep the task they were entered in, a context variable can be
reset only in the context it was set in. Therefore the step is made as the task (`asyncio.current_task()` is it) and in
the task's own context, and what is left after the step is awaited by nobody else.

Source: "Extending asyncio" in Python's documentation, for `_enter_task` and `_leave_task`.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task  # pyright: ignore[reportPrivateUsage]
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context
from types import CoroutineType
from typing import Any, Final, Generic, TypeVar

__all__ = ("Begun", "Failed", "StandIn")

T = TypeVar("T")

_FINISHED: Final = object()
_HANDED_ON: Final = object()


class StandIn(Generic[T]):
    """Begins work in the name of one task, while that task waits.

    Args:
        task: in whose name.
        context: the one that `task` runs in.
        work: what is begun, usually a coroutine function.
    """

    __slots__ = ("_context", "_work", "loop", "task")

    def __init__(self, task: asyncio.Task[Any], context: Context, work: Callable[[T], Awaitable[object]]) -> None:
        self._context = context
        self._work = work
        self.loop = task.get_loop()
        self.task = task

    def begin(self, sender: asyncio.Task[Any], argument: T) -> Begun | Failed | None:
        """Call `work(argument)` and take its first step.

        Args:
            sender: the current task, a task of the same loop; it is the current one again when this returns.
            argument: what `work` is called with.

        Returns:
            None if that was all of it. Else what is left, for the task to await, once. That is so also where it raised:
            the exception, of whatever kind, is the task's and not the sender's.
        """
        loop, task = self.loop, self.task
        _leave_task(loop, sender)
        _enter_task(loop, task)
        try:
            return self._context.run(_first_step, self._work, argument)
        finally:
            _leave_task(loop, task)
            _enter_task(loop, sender)


class Begun(Generator[Any, None, None]):
    """What is left of work after its first step: awaited, it goes on as if it had never changed hands.

    The task first waits for what the first step began to wait for; then each step and each exception is passed on.
    """

    __slots__ = ("_cancellation", "_steps", "_waits_for")

    def __init__(self, steps: Generator[Any, None, object], waits_for: object) -> None:
        self._steps = steps
        self._waits_for = waits_for
        self._cancellation: asyncio.CancelledError | None = None
        _mark_awaited(waits_for, False)

    def cancel(self, cancellation: asyncio.CancelledError) -> None:
        """Take over the cancellation that reached the task before it awaited this.

        As in every task, what is waited for is cancelled if it can be, else the work hears of it in its next step.
        """
        if not (asyncio.isfuture(self._waits_for) and self._waits_for.cancel(*cancellation.args)):
            self._cancellation = cancellation

    def __await__(self) -> Generator[Any, None, None]:
        """Go on."""
        return self

    def send(self, value: None) -> Any:
        """Take a step."""
        waits_for, self._waits_for = self._waits_for, _HANDED_ON
        if waits_for is _HANDED_ON:
            return self._steps.send(value)
        if self._cancellation is not None:
            return self._steps.throw(self._cancellation)
        _mark_awaited(waits_for, True)
        return waits_for

    def throw(self, *error: Any) -> Any:
        """Take a step with an exception."""
        return self._steps.throw(*error)


class Failed:
    """What is left of work whose first step raised: its exception."""

    __slots__ = ("_error",)

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def cancel(self, cancellation: asyncio.CancelledError) -> None:
        """Change nothing: the work is over."""

    def __await__(self) -> Generator[Any, None, None]:
        """Raise the exception."""
        # Not in a generator, which would make a RuntimeError of StopIteration.
        raise self._error


def _first_step(work: Callable[[T], Awaitable[object]], argument: T) -> Begun | Failed | None:
    try:
        awaitable = work(argument)
        # Of nothing but a coroutine is it known that to await it is just to take its steps.
        if not isinstance(awaitable, CoroutineType):
            awaitable = _wait_for(awaitable)
        steps: Generator[Any, None, object] = awaitable.__await__()
        # next with a default is told of the end without an exception, unlike send.
        waits_for = next(steps, _FINISHED)
    except BaseException as error:  # all of them are the task's, see begin
        return Failed(error)
    return None if waits_for is _FINISHED else Begun(steps, waits_for)


async def _wait_for(awaitable: Awaitable[object]) -> None:
    await awaitable


def _mark_awaited(waits_for: object, on: bool) -> None:
    """Set the mark by which a future, that an `await` gives to a task, differs from one that is merely yielded.

    The task takes it off at once, and so must whoever keeps the future: somebody else may await it in the meantime.
    """
    if asyncio.isfuture(waits_for):
        waits_for._asyncio_future_blocking = on
