"""Workers: started, replaced when they die, given up when that does not help, and ended together."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from servers.workers import MOST_RESTARTS, Workers

__all__ = ()

pytestmark = pytest.mark.slow

READY = "print('ready', flush=True)"
UNTIL_PARENT_GOES = f"import sys; {READY}; sys.stdin.read()"
ENDS_BADLY = f"import os, signal, sys; signal.signal(signal.SIGTERM, lambda *_: os._exit(2)); {READY}; sys.stdin.read()"
DIES_AT_ONCE = "raise SystemExit(3)"
DIES_WHEN_READY = f"{READY}; import os; os.abort()"


Make = Callable[..., Workers]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(program: str, *, count: int = 2) -> Workers:
        command = [sys.executable, "-I", "-S", "-c", program]
        return Workers(command, {}, count=count, metrics_folder=str(tmp_path))

    return make


async def test_ready_is_said_once_when_all_listen_and_stop_ends_them(make: Make) -> None:
    workers = make(UNTIL_PARENT_GOES, count=3)
    calls: list[str] = []

    def ready() -> None:
        calls.append("ready")
        workers.stop()

    assert await workers.run(ready) == 0
    assert calls == ["ready"]


@pytest.mark.parametrize(
    ("program", "how"),
    [(DIES_AT_ONCE, "ended with exit code 3"), (DIES_WHEN_READY, f"was killed by signal {signal.SIGABRT:d}")],
)
async def test_one_that_dies_again_and_again_is_replaced_some_times_and_then_given_up(
    make: Make, capfd: pytest.CaptureFixture[str], program: str, how: str
) -> None:
    workers = make(program, count=1)

    assert await workers.run(lambda: None) == 1

    lines = [re.sub(r"\d+", "PID", line, count=1) for line in capfd.readouterr().err.splitlines() if "worker" in line]
    assert lines == [
        *[f"worker PID {how}: another takes its place"] * MOST_RESTARTS,
        f"worker PID {how}: 5 restarts within 60 s have not helped, giving up",
    ]


async def test_others_are_ended_when_one_is_given_up(
    make: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # The first to make the folder lives; whoever finds it there dies.
    program = f"import os; os.mkdir({str(tmp_path / 'taken')!r}); {UNTIL_PARENT_GOES}"

    assert await make(program).run(lambda: pytest.fail("one of them never listens")) == 1

    assert "giving up" in capfd.readouterr().err.splitlines()[-1]


async def test_one_that_fails_to_end_in_good_order_makes_the_exit_code_1(make: Make) -> None:
    workers = make(ENDS_BADLY)
    assert await workers.run(workers.stop) == 1


@pytest.mark.parametrize("turns", [1, 2, 3, 4])
async def test_stop_while_they_start_ends_them_too(make: Make, turns: int) -> None:
    workers = make(UNTIL_PARENT_GOES)
    running = asyncio.ensure_future(workers.run(lambda: None))
    for _ in range(turns):
        await asyncio.sleep(0)

    workers.stop()

    assert await running == 0


async def test_gauges_of_one_that_died_are_forgotten(make: Make, tmp_path: Path) -> None:
    program = f"import os; open({str(tmp_path)!r} + f'/gauge_livesum_{{os.getpid()}}.db', 'w'); {DIES_AT_ONCE}"

    await make(program).run(lambda: None)

    assert os.listdir(tmp_path) == []
