"""What a caller holds of loads while they are done: how far they are, and the means to end them early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ("INTERRUPTED", "Control")

INTERRUPTED = "interrupted"
"""What the capture of a stream says that was left because its load was ended early; its outcome is LEFT."""


class Control:
    """Counts what is done, and passes on the wish that no more be done.

    Attributes:
        begun: requests that were made.
        ended: of them, those that have ended, however.
        is_stopped: whether `stop` was called.
    """

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.is_stopped = False
        self._wake: Callable[[], object] | None = None

    def stop(self) -> None:
        """Have all that is open left, and nothing more begun. May be called from a thread or a signal's handler."""
        self.is_stopped = True
        if self._wake is not None:
            self._wake()

    async def stopped(self) -> None:
        """Wait until `stop` is called; not at all if it was. There is one waiter at a time."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(woken.set)
        try:
            if not self.is_stopped:
                await woken.wait()
        finally:
            self._wake = None
