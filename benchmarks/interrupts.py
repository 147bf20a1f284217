"""Signals that end a run: the first one as a KeyboardInterrupt, further ones not at all."""

from __future__ import annotations

import signal
from typing import NoReturn

__all__ = ("interrupt_once",)


def interrupt_once() -> None:
    """Let Ctrl-C, SIGTERM and a closed terminal end the run once; what was measured is then written undisturbed."""
    signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

    def interrupt(number: int, frame: object) -> NoReturn:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in signals:
        signal.signal(each, interrupt)
