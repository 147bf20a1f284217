"""Signals that end a run, and when they have to wait."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.interrupts import held, interrupt_once, interruptible

__all__ = ()

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them"),
    pytest.mark.usefixtures("own_handlers"),
]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_interrupts_and_further_ones_do_not_disturb_the_writing(number: signal.Signals) -> None:
    interrupt_once()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    for each in SIGNALS:
        signal.raise_signal(each)


def test_behind_what_can_be_interrupted_signals_do_nothing() -> None:
    with interruptible():
        pass
    for each in SIGNALS:
        signal.raise_signal(each)


def test_signal_waits_for_the_end_of_what_is_held() -> None:
    done: list[str] = []

    def work() -> None:
        with held():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")
        done.append("more")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]


def test_held_leaves_the_handlers_as_they_were() -> None:
    interrupt_once()
    before = [signal.getsignal(each) for each in SIGNALS]
    with held():
        pass
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_error_of_what_is_held_is_raised_where_no_signal_came() -> None:
    with pytest.raises(ValueError, match="mine"), held():
        raise ValueError("mine")


def test_nothing_is_held_in_another_thread_where_no_handler_runs() -> None:
    def work() -> str:
        with held():
            return "done"

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == "done"
