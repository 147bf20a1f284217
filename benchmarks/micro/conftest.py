"""What the suites share: the measuring of a race, and the table at the end of the run, which fails nothing."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro.race import Contender, Race, Row, Speed, table

__all__ = ()

ROUNDS = 11
SMOKE_COUNT = 1_000
"""Items of the one round that is run when benchmarks are disabled."""

_ROWS = pytest.StashKey[list[Row]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the table."""
    config.stash[_ROWS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of the rows that were measured."""
    rows = config.stash[_ROWS]
    if rows:
        terminalreporter.section("beside the peers: each round of ours right after one of the peer")
        for line in table(rows):
            terminalreporter.write_line(line)


@pytest.fixture
def is_measuring(request: pytest.FixtureRequest) -> bool:
    """Whether this run is for figures, and not only to see that everything works."""
    return not request.config.getoption("benchmark_disable")


@pytest.fixture
def note(request: pytest.FixtureRequest, is_measuring: bool) -> Callable[[Row], None]:
    """Give the test a function that adds a row to the table."""
    return request.config.stash[_ROWS].append if is_measuring else lambda row: None


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """Give the test an event loop that lasts for all rounds."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def race(benchmark: BenchmarkFixture, is_measuring: bool, note: Callable[[Row], None]) -> Race:
    """Give the test `race(ours, peer, goal=None)`: measure both in turn, and check that no item is missing."""

    def rate(contender: Contender) -> float:
        item_count = contender.item_count if is_measuring else SMOKE_COUNT
        gc.collect()
        start_ns = time.perf_counter_ns()
        moved = contender.move(item_count)
        duration_ns = time.perf_counter_ns() - start_ns
        assert moved == item_count, f"{contender.name}: {moved} of {item_count} items"
        return item_count / duration_ns * 1e9

    def run(ours: Contender, peer: Contender, goal: float | None = None) -> None:
        rates: list[float] = []
        peer_rates: list[float] = []
        benchmark.pedantic(  # type: ignore[no-untyped-call]
            lambda: rates.append(rate(ours)),
            setup=lambda: peer_rates.append(rate(peer)),
            rounds=ROUNDS,
        )
        note(Speed(ours.name, tuple(rates), peer.name, tuple(peer_rates), goal))

    return run
