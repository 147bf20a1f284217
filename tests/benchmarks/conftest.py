"""What several tests of the benchmarks share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from benchmarks.interrupts import SIGNALS
from benchmarks.load.exchange import Exchange
from benchmarks.traces.captures import Capture
from tests.benchmarks.raw import WhenTaken

__all__ = ()


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """Undo what a test does to the handlers of signals; a command ignores them at its end."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def when_taken(monkeypatch: pytest.MonkeyPatch) -> WhenTaken:
    """Act when the client has taken another piece of a stream, one that is not in chunks, and holds what is enough."""
    take_body = Exchange.take_body

    def watch(is_enough: Callable[[Capture], bool], act: Callable[[], object]) -> None:
        def take_and_look(exchange: Exchange, data: bytes, now_ns: int) -> None:
            take_body(exchange, data, now_ns)
            if is_enough(exchange.capture):
                act()

        monkeypatch.setattr(Exchange, "take_body", take_and_look)

    return watch
