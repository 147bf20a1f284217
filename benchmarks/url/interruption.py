"""Signals that end the measurement of an endpoint: the first one gently, the second one at once."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager

from benchmarks.interrupts import SIGNALS
from benchmarks.load.control import Control

__all__ = ("stopped_by_signals",)


@contextmanager
def stopped_by_signals(control: Control) -> Generator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal stop a load within the block, and a second one end the process.

    The first raises nothing: a KeyboardInterrupt inside a callback of the loop would be taken for the failure of one
    stream, or be lost. The second is the system's, so that it ends whatever is being done, as a long parse.
    """

    def stop(number: int, frame: object) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        control.stop()

    before = {each: signal.signal(each, stop) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
