"""Signals that end a run: as one KeyboardInterrupt, at a moment when it leaves nothing behind.

While something is measured (`interruptible`) the first signal is a KeyboardInterrupt. From then on, and after the
block, there is none: what was measured is written and printed undisturbed. Between the start of a process and the note
of its id it has to wait (`held`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, NoReturn

__all__ = ("INTERRUPTED_EXIT", "SIGNALS", "held", "interrupt_once", "interruptible")

INTERRUPTED_EXIT: Final = 130
"""Of a command that was interrupted, as a shell says it of Ctrl-C."""

SIGNALS: Final = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__
)
"""Those that end a run: Ctrl-C, a polite kill, a closed terminal; as far as the system has them."""


def interrupt_once() -> None:
    """Let Ctrl-C, SIGTERM and a closed terminal raise KeyboardInterrupt once, and do nothing from then on."""

    def interrupt(number: int, frame: object) -> NoReturn:
        _ignore()
        raise KeyboardInterrupt

    for each in SIGNALS:
        signal.signal(each, interrupt)


@contextmanager
def interruptible() -> Generator[None]:
    """Do as `interrupt_once` within the block; behind it signals are ignored for the rest of the process."""
    interrupt_once()
    try:
        yield
    finally:
        _ignore()


def _ignore() -> None:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)


@contextmanager
def held() -> Generator[None]:
    """Let a signal that has a handler in Python wait until the end of the block.

    Blocking it for this thread would not do: another thread takes it, and the handler runs in this one all the same. In
    other threads than the main one nothing is done, as no handler ever runs there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {each: handler for each in SIGNALS if callable(handler := signal.getsignal(each))}
    for each in handlers:
        signal.signal(each, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        if came:
            signal.raise_signal(came[0])
