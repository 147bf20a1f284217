"""LoopThread and report_undeliverable: where code runs, and where errors go that nobody can hear."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar
from typing import Any

import pytest

from streams.affinity import LoopThread, report_undeliverable

__all__ = ()


def in_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_loop_thread_needs_a_running_loop_and_says_for_what() -> None:
    with pytest.raises(RuntimeError, match="juggling needs a running event loop: call it from a coroutine"):
        LoopThread("juggling")


async def test_loop_thread_knows_its_loop_and_its_thread() -> None:
    thread = LoopThread()
    elsewhere: list[bool] = []
    in_thread(lambda: elsewhere.append(thread.is_here))
    assert thread.loop is asyncio.get_running_loop()
    assert (thread.is_here, elsewhere) == (True, [False])


async def test_loop_thread_runs_on_a_later_turn_in_the_context_it_is_given(
    settle: Callable[[], Awaitable[None]],
) -> None:
    name: ContextVar[str] = ContextVar("name", default="none")
    context = Context()
    context.run(name.set, "given")
    seen: list[tuple[str, int]] = []
    thread = LoopThread()

    def callback() -> None:
        seen.append((name.get(), threading.get_ident()))

    assert thread.run_soon(callback, context)
    in_thread(lambda: thread.run_soon(callback, context))
    assert seen == []
    await settle()
    assert seen == [("given", threading.get_ident())] * 2


def test_loop_thread_of_a_closed_loop_runs_nothing_soon() -> None:
    async def take() -> LoopThread:
        return LoopThread()

    thread = asyncio.run(take())
    assert not thread.run_soon(lambda: pytest.fail("it ran"), Context())


async def test_loop_thread_runs_at_once_what_comes_from_itself() -> None:
    calls: list[str] = []
    assert LoopThread().run(lambda: calls.append("ran"))
    assert calls == ["ran"]


async def test_loop_thread_runs_on_a_later_turn_what_comes_from_another(settle: Callable[[], Awaitable[None]]) -> None:
    thread = LoopThread()
    accepted: list[bool] = []
    ran_in: list[int] = []
    in_thread(lambda: accepted.append(thread.run(lambda: ran_in.append(threading.get_ident()))))
    assert (accepted, ran_in) == ([True], [])
    await settle()
    assert ran_in == [threading.get_ident()]


@pytest.mark.parametrize("run", [in_thread, lambda work: work()], ids=["another thread", "the same thread"])
def test_loop_thread_of_a_closed_loop_runs_nothing(run: Callable[[Callable[[], object]], object]) -> None:
    async def main() -> LoopThread:
        return LoopThread()

    thread = asyncio.run(main())
    calls: list[object] = []
    run(lambda: calls.append(thread.run(lambda: calls.append("ran"))))
    assert calls == [False]


def test_undeliverable_error_is_logged_as_a_warning_where_no_loop_runs(caplog: pytest.LogCaptureFixture) -> None:
    error = LookupError("lost")
    report_undeliverable(error)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("streams", "WARNING")
    assert "lost" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


class UnspeakableError(Exception):
    def __repr__(self) -> str:
        raise LookupError("no words")


def test_undeliverable_error_that_cannot_be_shown_is_logged_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    report_undeliverable(UnspeakableError())
    (record,) = caplog.records
    assert record.getMessage().endswith("<UnspeakableError that cannot be shown>")


async def test_undeliverable_error_that_cannot_be_shown_goes_to_the_loop_all_the_same(
    loop_errors: list[dict[str, Any]],
) -> None:
    error = UnspeakableError()
    report_undeliverable(error)
    (context,) = loop_errors
    assert context["exception"] is error
    assert context["message"].endswith("<UnspeakableError that cannot be shown>")


async def test_undeliverable_error_goes_to_the_exception_handler_of_the_running_loop(
    loop_errors: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    error = LookupError("lost")
    report_undeliverable(error)
    (context,) = loop_errors
    assert context["exception"] is error
    assert "lost" in context["message"]
    assert caplog.records == []
