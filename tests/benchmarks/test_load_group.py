"""Several clients as one: what they bring back, what they say of themselves, and what is said when one dies."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest

from benchmarks.load.group import LoadClients, crowded
from benchmarks.load.null import COMMAND
from benchmarks.load.plan import LoadOrder, LoadRun
from benchmarks.load.worker import LoadWorker, WorkerError
from benchmarks.processes import Cores, ServerProcess, running
from benchmarks.results import ClientCheck
from benchmarks.scenarios.cells import Closed, Transport
from benchmarks.traces.captures import Capture, Outcome, Times
from benchmarks.traces.parsing import parse

__all__ = ()


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running(COMMAND) as started:
        yield started


def order(port: int, target: str, **parts: object) -> LoadOrder:
    return LoadOrder(host="127.0.0.1", port=port, target=target, **parts)  # type: ignore[arg-type]


@contextmanager
def pid_ended(pid: int) -> Iterator[Callable[[], object]]:
    """Give what waits for the end of a process that is nobody's child here."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("needs Linux: the end of another's child is told by a pidfd")
    number = os.pidfd_open(pid)
    try:
        yield lambda: select.select([number], [], [])
    finally:
        os.close(number)


# --- Real ones ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_clients_do_one_load_together(server: ServerProcess) -> None:
    paced = order(server.port, "/paced?count=20&rate=1000", load=Closed(5, ramp_s=0.01))
    checked = order(server.port, "/firehose?count=3000", load=Closed(3, requests=7), mode="check")
    with LoadClients(2) as clients:
        for _ in range(2):  # they are as good as new for the next load
            captured, counted = clients.drive_all([paced, checked])
            traces = [parse(capture, profile="completion", transport=Transport.SSE) for capture in captured.captures]
            assert [(trace.outcome, len(trace.received_ns)) for trace in traces] == [(Outcome.COMPLETED, 20)] * 5
            due = [capture.times.scheduled_ns - captured.began_ns for capture in captured.captures]
            assert due == [0, 2_000_000, 4_000_000, 6_000_000, 8_000_000]
            assert counted.counted is not None
            assert (counted.counted.tokens, counted.counted.checked) == (21_000, 21_000)
            assert len(counted.captures) == 7
            for run in (captured, counted):
                assert run.client.cpu_share < 1.5  # of the clients on one core, not of each one's moment
            assert captured.began_ns == counted.began_ns


@pytest.mark.slow
def test_loads_of_one_stream_are_done_by_one_client_each(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    dealt: list[list[int]] = []
    single = order(server.port, "/paced?count=40&rate=200")
    with LoadClients(3) as clients:
        monkeypatch.setattr(clients, "_merged", lambda runs: dealt.append([len(run.captures) for run in runs]))
        clients.drive_all([single, single, single, single])
    assert dealt == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]


@pytest.mark.slow
def test_client_is_not_the_limit_of_a_stream_that_costs_it_nothing(server: ServerProcess) -> None:
    with LoadClients(3) as clients:
        (run,) = clients.drive_all([order(server.port, "/paced?count=100&rate=200")])
    assert run.client.cpu_share < 0.5
    assert run.ended_ns == run.captures[0].times.ended_ns


@pytest.mark.slow
def test_requests_are_due_when_all_clients_are_ready(server: ServerProcess) -> None:
    """Nobody's start counts as the server's time: what the first one is due at lies behind the last one's readiness."""
    ready_ns: list[int] = []
    wait_ready = LoadWorker.wait_ready

    def noted(worker: LoadWorker) -> None:
        wait_ready(worker)
        ready_ns.append(time.monotonic_ns())

    with pytest.MonkeyPatch.context() as patch, LoadClients(3) as clients:
        patch.setattr(LoadWorker, "wait_ready", noted)
        (run,) = clients.drive_all([order(server.port, "/paced?count=1&rate=1000", load=Closed(3))])
    assert len(ready_ns) == 3
    assert run.began_ns > max(ready_ns)


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [True, False])
def test_stop_leaves_what_is_open_also_of_clients_that_are_starting(server: ServerProcess, at_once: bool) -> None:
    endless = order(server.port, "/paced?count=1000000&rate=1", load=Closed(2))
    with LoadClients(2) as clients, ThreadPoolExecutor(1) as threads:
        if not at_once:
            clients.drive_all([order(server.port, "/firehose?count=1")])
        driving = threads.submit(clients.drive_all, [endless])
        clients.stop()
        (run,) = driving.result()
        assert {capture.outcome for capture in run.captures} <= {Outcome.LEFT}
        (after,) = clients.drive_all([endless])
        assert after.captures == []


@pytest.mark.slow
def test_clients_end_with_a_parent_that_is_killed(server: ServerProcess) -> None:
    program = (
        "import sys, time\n"
        "from benchmarks.load.group import LoadClients\n"
        "from benchmarks.load.plan import LoadOrder\n"
        "from benchmarks.scenarios.cells import Closed\n"
        "with LoadClients(2) as clients:\n"
        "    print(*clients.pids, flush=True)\n"
        f"    clients.drive_all([LoadOrder(host='127.0.0.1', port={server.port},\n"
        "                                 target='/paced?count=1000000&rate=1', load=Closed(2))])\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        with ExitStack() as stack:
            ended = [stack.enter_context(pid_ended(pid)) for pid in pids]
            parent.kill()
            for wait in ended:
                wait()


@pytest.mark.slow
def test_one_that_dies_is_an_error_of_all(server: ServerProcess) -> None:
    with LoadClients(2) as clients:
        os.kill(clients.pids[1], signal.SIGKILL)
        with pytest.raises(WorkerError, match=rf"process {clients.pids[1]}\) ended with code -9"):
            clients.drive_all([order(server.port, "/paced?count=1000000&rate=1", load=Closed(2))])
    for pid in clients.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


# --- What they say of themselves ----------------------------------------------------------------------------------


class Scripted:
    """A client that hands back what it was made with."""

    def __init__(self, run: LoadRun) -> None:
        self._run = run
        self._ready, self._writer = socket.socketpair()
        self._writer.close()

    def fileno(self) -> int:
        return self._ready.fileno()

    def driving(self, orders: Sequence[LoadOrder]) -> AbstractContextManager[object]:
        return self._ready

    def wait_ready(self) -> None:
        """Be ready."""

    def begin(self, at_ns: int) -> None:
        """Do nothing."""

    def runs(self) -> list[LoadRun]:
        return [self._run]


def run_of(took_ns: int, said: ClientCheck, streams: int = 1) -> LoadRun:
    captures = [Capture(Times(5)) for _ in range(streams)]
    return LoadRun(captures=captures, counted=None, began_ns=5, ended_ns=5 + took_ns, client=said)


def judged(monkeypatch: pytest.MonkeyPatch, cores: Cores, *runs: LoadRun) -> ClientCheck:
    """Say what is said of clients with such runs."""
    monkeypatch.setattr("benchmarks.load.group.cores", lambda: cores)
    scripts = iter(runs)
    monkeypatch.setattr("benchmarks.load.group.LoadWorker", lambda number: Scripted(next(scripts)))
    clients = LoadClients(len(runs))
    (run,) = clients.drive_all([order(1, "/")])
    return run.client


SECOND = 10**9


def check(share: float, reason: str = "", lag_ms: float = 1.0) -> ClientCheck:
    return ClientCheck(cpu_share=share, lag_p99_ms=lag_ms, lag_max_ms=2 * lag_ms, bound=bool(reason), reason=reason)


def test_clients_with_a_core_each_are_as_busy_as_the_busiest(monkeypatch: pytest.MonkeyPatch) -> None:
    said = judged(monkeypatch, Cores(0, (1, 2)), run_of(SECOND, check(0.6, lag_ms=3.0)), run_of(SECOND, check(0.7)))
    assert (said.cpu_share, said.lag_p99_ms, said.lag_max_ms, said.bound) == (0.7, 3.0, 6.0, False)


def test_clients_on_one_core_are_the_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = check(0.45), check(0.5)
    said = judged(monkeypatch, Cores(0, (1,)), *(run_of(SECOND, each) for each in checks))
    assert (said.bound, said.reason, said.kind) == (True, "the clients of one core used 95% of it", "client")
    assert not judged(monkeypatch, Cores(0, (1,)), *(run_of(SECOND // 100, each) for each in checks)).bound


def test_what_a_client_used_counts_for_as_long_as_it_was_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    said = judged(monkeypatch, Cores(0, (1,)), run_of(10 * SECOND, check(0.5)), run_of(SECOND, check(0.6)))
    assert said.cpu_share == pytest.approx(0.56)
    assert not said.bound


def test_client_without_a_stream_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = run_of(1_000, check(1.1, "it used 110% of its core"), streams=0)
    said = judged(monkeypatch, Cores(0, (1,)), run_of(SECOND, check(0.1)), idle)
    assert (said.cpu_share, said.bound) == (0.1, False)


def test_clients_that_are_pinned_to_none_are_judged_each(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not judged(monkeypatch, Cores(), run_of(SECOND, check(0.6)), run_of(SECOND, check(0.6))).bound


def test_who_of_them_was_the_limit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [run_of(SECOND, each) for each in (check(0.2), check(0.95, "it used 95% of its core"), check(0.1))]
    said = judged(monkeypatch, Cores(0, (1, 2, 3)), *runs)
    assert (said.bound, said.reason) == (True, "client 2 of 3: it used 95% of its core")
    said = judged(monkeypatch, Cores(0, (1, 2)), *[run_of(SECOND, check(0.9, "it was late"))] * 2)
    assert said.reason == "2 clients were the limit, the first of them client 1 of 2: it was late"


@pytest.mark.parametrize(
    ("cores", "count", "words"),
    [
        (Cores(0, (1,)), 1, ""),
        (Cores(), 1, ""),
        (Cores(0, (1, 2)), 2, ""),
        (Cores(0, (1,)), 2, "2 load clients, but this machine has 1 beside the server's"),
        (Cores(), 2, ""),
    ],
)
def test_more_clients_than_cores_are_said_to_bring_nothing(
    monkeypatch: pytest.MonkeyPatch, cores: Cores, count: int, words: str
) -> None:
    monkeypatch.setattr("benchmarks.load.group.cores", lambda: cores)
    assert crowded(count).startswith(words)
    assert bool(crowded(count)) == bool(words)


def test_clients_of_a_server_elsewhere_have_its_core_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.load.group.cores", lambda: Cores(0, (1,)))
    pinned: list[int] = []
    monkeypatch.setattr("benchmarks.load.group.LoadWorker", pinned.append)
    LoadClients(3)
    LoadClients(3, beside_server=False)
    assert pinned == [1, 1, 1, 1, 0, 1]
    assert crowded(2, beside_server=False) == ""
    assert crowded(3, beside_server=False).startswith("3 load clients, but this machine has 2 cores")


@pytest.mark.parametrize("count", [0, -1, True, 1.5])
def test_count_that_is_none_is_refused(count: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="count must be an int >= 1"):
        LoadClients(count)
