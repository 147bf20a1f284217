"""What every test is held to: nothing left running, nothing failed unseen, nothing skipped unnoticed."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any

import hypothesis
import pytest

from benchmarks.claims.tools import browser as find_chromium

__all__ = ()

MAX_TURNS = 10_000
THREAD_GRACE_S = 1.0

_BROWSER_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_IN_CI = os.environ.get("CI") == "true"
_THREADS = pytest.StashKey[set[threading.Thread]]()

hypothesis.settings.register_profile("tokenweir", deadline=None, derandomize=_IN_CI)
hypothesis.settings.load_profile("tokenweir")


async def run_until_idle() -> None:
    """Run loop turns until one passes in which nothing else was scheduled.

    Waits for no timer, socket or thread. Fails the test if the loop never comes to rest.
    """
    loop = asyncio.get_running_loop()
    scheduled = 0

    def counting(schedule: Callable[..., asyncio.Handle]) -> Callable[..., asyncio.Handle]:
        def schedule_and_count(*args: Any, **kwargs: Any) -> asyncio.Handle:
            nonlocal scheduled
            scheduled += 1
            return schedule(*args, **kwargs)

        return schedule_and_count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "call_soon", counting(loop.call_soon))
        patch.setattr(loop, "call_soon_threadsafe", counting(loop.call_soon_threadsafe))
        for _ in range(MAX_TURNS):
            own_turn = scheduled + 1
            await asyncio.sleep(0)
            if scheduled == own_turn:
                return
    pytest.fail(f"the loop was still busy after {MAX_TURNS} turns")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Give the tests of a file one headless Chromium, which asks for nothing by itself."""
    sync_api: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium was found: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(_BROWSER_ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def settle() -> Callable[[], Awaitable[None]]:
    """Give the test `run_until_idle`."""
    return run_until_idle


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Put the clock of the running loop forward, so that timeouts pass without waiting."""
    jumped_s = 0.0

    def put_forward(seconds: float) -> None:
        nonlocal jumped_s
        if not jumped_s:
            loop = asyncio.get_running_loop()
            original = loop.time
            monkeypatch.setattr(loop, "time", lambda: original() + jumped_s)
        jumped_s += seconds

    return put_forward


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Give the test a port of loopback at which nobody listens, and nobody can meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
async def _clean_loop(request: pytest.FixtureRequest) -> AsyncIterator[list[dict[str, Any]]]:
    """Fail the test if its loop is left with a task, or heard of an error that the test does not expect."""
    loop = asyncio.get_running_loop()
    errors: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    before = asyncio.all_tasks()
    yield errors
    await run_until_idle()
    # An exception that nobody retrieved is reported when its task or future is collected.
    gc.collect()
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks left running: {left}"
    if "loop_errors" not in request.fixturenames:
        assert not errors, f"errors that reached the loop's exception handler: {errors}"


@pytest.fixture
def loop_errors(_clean_loop: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Contexts given to the loop's exception handler. A test that takes this expects some, any other fails on them."""
    return _clean_loop


@pytest.fixture(autouse=True)
def _clean_loop_if_async(request: pytest.FixtureRequest) -> None:
    # A test without a loop must not be given one.
    if request.node.get_closest_marker("asyncio"):
        request.getfixturevalue("_clean_loop")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Note which threads run before the test."""
    item.stash[_THREADS] = set(threading.enumerate())
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Fail the test if a thread that it started outlives it and its fixtures."""
    result = yield
    # A test whose fixtures failed was never called.
    before = item.stash.get(_THREADS, None)
    started = [] if before is None else [thread for thread in threading.enumerate() if thread not in before]
    for thread in started:
        thread.join(THREAD_GRACE_S)
    left = [thread.name for thread in started if thread.is_alive()]
    assert not left, f"threads left running: {left}"
    return result


def pytest_collection_finish() -> None:
    """Keep what was imported out of the collections after each test, which would take most of the tests' time."""
    gc.collect()
    gc.freeze()


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if _IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"a skip is a failure under CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one under CI."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped module into a failed one under CI."""
    report = yield
    _refuse_skip(report)
    return report
