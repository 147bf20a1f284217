"""A client says when it was the limit, and why."""

from __future__ import annotations

import asyncio
import gc

import pytest

from benchmarks.load.self_check import LoopWatch, Usage, judged, undisturbed

__all__ = ()

MS = 1_000_000


@pytest.mark.parametrize(
    ("cpu_s", "lag_p99_ms", "reason"),
    [
        (0.89, 9.9, ""),
        (0.95, 1.0, "it used 95% of its core"),
        (0.10, 12.0, "its event loop was 12 ms late (p99)"),
        (1.00, 30.0, "it used 100% of its core and its event loop was 30 ms late (p99)"),
    ],
)
def test_busy_or_late_client_was_the_limit(cpu_s: float, lag_p99_ms: float, reason: str) -> None:
    check = judged(Usage(0, 5.0), Usage(1_000 * MS, 5.0 + cpu_s), lag_p99_ms, 40.0)
    assert (check.bound, check.reason, check.lag_max_ms) == (bool(reason), reason, 40.0)
    assert check.cpu_share == pytest.approx(cpu_s)


def test_cpu_of_a_moment_is_not_judged() -> None:
    assert not judged(Usage(0, 0.0), Usage(50 * MS, 0.05), 0.0, 0.0).bound


def test_usage_grows() -> None:
    before = Usage.now()
    sum(range(200_000))
    after = Usage.now()
    assert after.at_ns > before.at_ns
    assert after.share_since(before) > 0


def test_blocked_loop_counts_every_tick_that_it_missed() -> None:
    watch = LoopWatch()
    watch.note(100 * MS, 35 * MS)
    watch.note(200 * MS, -1 * MS)
    p99_ms, max_ms = watch.lags_ms(0, 150 * MS)
    assert 25 < p99_ms <= max_ms == 35
    assert watch.lags_ms(150 * MS, 250 * MS) == (0, 0)
    assert watch.lags_ms(300 * MS, 400 * MS) == (0, 0)
    # 99 ticks in time and one loop blocked for 10 s: a thousand ticks were late, not one in a hundred.
    for _ in range(99):
        watch.note(350 * MS, 0)
    watch.note(350 * MS, 10_000 * MS)
    assert watch.lags_ms(300 * MS, 400 * MS)[0] > 9_000


async def test_watch_ticks_while_it_is_used() -> None:
    ticked = asyncio.Event()

    class Watch(LoopWatch):
        def note(self, now_ns: int, lag_ns: int) -> None:
            super().note(now_ns, lag_ns)
            ticked.set()

    with Watch():
        await asyncio.wait_for(ticked.wait(), 20)


def test_garbage_collector_is_off_only_meanwhile() -> None:
    with undisturbed():
        assert not gc.isenabled()
    assert gc.isenabled()
