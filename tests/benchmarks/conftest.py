"""What several tests of the benchmarks share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from benchmarks.interrupts import SIGNALS

__all__ = ()


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """Undo what a test does to the handlers of signals; a command ignores them at its end."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
