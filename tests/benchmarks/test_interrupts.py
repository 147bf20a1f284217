"""Signals that end a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from benchmarks.interrupts import interrupt_once

__all__ = ()

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_interrupts_and_further_ones_do_not_disturb_the_writing(number: signal.Signals) -> None:
    interrupt_once()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    for each in SIGNALS:
        signal.raise_signal(each)
