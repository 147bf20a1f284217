"""Each variant served over loopback by a process of its own: how long 20,000 tokens take, every index checked.

The client runs here, on the second core where there is one. What is timed is the whole request.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.load.client import drive, run
from benchmarks.load.plan import Counted, LoadOrder
from benchmarks.processes import ServerProcess, on_core, running

__all__ = ()

TOKEN_COUNT = 20_000
SERVE = (sys.executable, "-m", "servers", "--host", "127.0.0.1", "--port", "0")
WAYS = {
    "emitter suspend": {"variant": "emitter", "strategy": "suspend"},
    "rx buffer unbounded": {"variant": "rx", "strategy": "buffer", "capacity": "unbounded"},
    "flux buffer 256 suspend": {"variant": "flux", "strategy": "buffer", "capacity": "256", "overflow": "suspend"},
    "flux suspend": {"variant": "flux", "strategy": "suspend"},
}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running(SERVE) as process, on_core(1):
        yield process


def ask(server: ServerProcess, way: dict[str, str], count: int, *, producers: int = 1) -> Counted:
    query = urlencode({**way, "source": "counter", "count": count, "rate": 0, "trace": 1, "producers": producers})
    order = LoadOrder(host="127.0.0.1", port=server.port, target=f"/v1/chat/stream?{query}", mode="check")
    counted = run(drive(order)).counted
    assert counted is not None
    return counted


@pytest.mark.benchmark(group=f"served: {TOKEN_COUNT} tokens")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_served_tokens_all_arrive_in_order(
    benchmark: BenchmarkFixture, server: ServerProcess, way: dict[str, str]
) -> None:
    counted = benchmark.pedantic(ask, (server, way, TOKEN_COUNT), rounds=7, warmup_rounds=1)  # type: ignore[no-untyped-call]
    assert (counted.tokens, counted.missing, counted.out_of_order, counted.duplicates) == (TOKEN_COUNT, 0, 0, 0)


@pytest.mark.benchmark(group="served: 2000 tokens of four threads")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_served_tokens_of_threads_all_arrive(
    benchmark: BenchmarkFixture, server: ServerProcess, way: dict[str, str]
) -> None:
    count = 2_000
    counted = benchmark.pedantic(  # type: ignore[no-untyped-call]
        ask, (server, way, count), {"producers": 4}, rounds=5, warmup_rounds=1
    )
    benchmark.extra_info["out_of_order"] = counted.out_of_order
    assert (counted.tokens, counted.missing, counted.duplicates) == (count, 0, 0)
