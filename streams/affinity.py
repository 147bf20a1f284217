"""Where code runs: the thread of one event loop, and the place for errors that have no consumer any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context
from threading import get_ident
from typing import Any

from streams.arguments import shown

__all__ = ("LOOK_AGAIN_S", "LoopThread", "pass_on", "report_undeliverable", "start_task")

LOOK_AGAIN_S = 1.0
"""How often a thread that waits for an event loop looks whether that loop has been closed."""

_LOGGER = logging.getLogger("streams")


class LoopThread:
    """The running event loop and its thread.

    Raises:
        RuntimeError: no loop is running in this thread.
    """

    __slots__ = ("_ident", "loop")

    def __init__(self, what: str = "this") -> None:
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(f"{what} needs a running event loop: call it from a coroutine") from None
        self._ident = get_ident()

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in the loop's thread."""
        return self._ident == get_ident()

    def run(self, callback: Callable[[], object]) -> bool:
        """Call `callback` in the loop's thread: now if this is it, else on one of the loop's next turns.

        Returns:
            False if the loop has been closed: `callback` is never called.
        """
        if self._ident == get_ident():
            if self.loop.is_closed():
                return False
            callback()
            return True
        try:
            self.loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def run_soon(self, callback: Callable[[], object], context: Context) -> bool:
        """Call `callback` in the loop's thread and in `context`, on one of the loop's next turns.

        Returns:
            False if the loop has been closed: `callback` is never called.
        """
        call_soon = self.loop.call_soon if self._ident == get_ident() else self.loop.call_soon_threadsafe
        try:
            call_soon(callback, context=context)
        except RuntimeError:  # the loop is closed
            return False
        return True


_RUNNING: set[asyncio.Task[None]] = set()


def start_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None], context: Context | None = None
) -> asyncio.Task[None]:
    """Run `work` as a task that lives until it is done: a loop itself keeps only weak references to its tasks.

    It runs in `context` itself, or in a copy of the caller's.
    """
    task = loop.create_task(work, context=context)
    _RUNNING.add(task)
    task.add_done_callback(_RUNNING.discard)
    return task


def pass_on(error: BaseException, outcome: asyncio.Future[Any]) -> None:
    """Let what a callback raised be raised where `outcome` is awaited; nowhere if nobody awaits it any more.

    Raises:
        KeyboardInterrupt, SystemExit: `error` is one; as from a task it goes through the loop.
    """
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error
    if not outcome.done():
        outcome.set_exception(error)


def report_undeliverable(error: BaseException) -> None:
    """Take an exception that can no longer be a signal: an error after the terminal, a consumer that raised.

    It goes to the exception handler of the loop that runs in this thread, else it is logged as a warning of the logger
    `streams`. To hear of them yourself, use `loop.set_exception_handler`. RxJava's counterpart is
    RxJavaPlugins.onError, Reactor's are the dropped hooks.

    Never raises, not even for an exception that cannot be shown.
    """
    message = f"an error that no consumer can hear: {shown(error)}"
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        _LOGGER.warning("%s", message, exc_info=error)
    else:
        loop.call_exception_handler({"message": message, "exception": error})
