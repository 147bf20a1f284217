"""Several clients as one: what they bring back, what they say of themselves, and what is said when one dies."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Sequence

import pytest

from benchmarks.load.group import LoadClients, crowded
from benchmarks.load.null import COMMAND
from benchmarks.load.plan import LoadOrder, LoadRun
from benchmarks.load.worker import WorkerError
from benchmarks.processes import Cores, ServerProcess, running
from benchmarks.results import ClientCheck
from benchmarks.scenarios.cells import Closed, Transport
from benchmarks.traces.captures import Outcome
from benchmarks.traces.parsing import parse

__all__ = ()


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running(COMMAND) as started:
        yield started


def order(port: int, target: str, **parts: object) -> LoadOrder:
    return LoadOrder(host="127.0.0.1", port=port, target=target, **parts)  # type: ignore[arg-type]


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
            assert captured.began_ns == counted.began_ns


@pytest.mark.slow
def test_load_of_one_stream_is_done_by_one_client(server: ServerProcess) -> None:
    with LoadClients(3) as clients:
        (run,) = clients.drive_all([order(server.port, "/firehose?count=1000", mode="count")])
    assert run.counted is not None
    assert (run.counted.tokens, len(run.captures)) == (1_000, 1)
    assert run.ended_ns == run.captures[0].times.ended_ns


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

    def driving(self, orders: Sequence[LoadOrder]) -> Scripted:
        return self

    def __enter__(self) -> object:
        return lambda: [self._run]

    def __exit__(self, *_: object) -> None:
        self._ready.close()


def judged(monkeypatch: pytest.MonkeyPatch, cores: Cores, *checks: ClientCheck, took_ns: int = 10**9) -> ClientCheck:
    """Say what is said of clients that each say `checks`."""
    monkeypatch.setattr("benchmarks.load.group.cores", lambda: cores)
    scripts = iter(
        [
            Scripted(LoadRun(captures=[], counted=None, began_ns=5, ended_ns=5 + took_ns, client=check))
            for check in checks
        ]
    )
    monkeypatch.setattr("benchmarks.load.group.LoadWorker", lambda number: next(scripts))
    clients = LoadClients(len(checks))
    (run,) = clients.drive_all([order(1, "/")])
    assert (run.began_ns, run.ended_ns) == (5, 5 + took_ns)
    return run.client


def check(share: float, reason: str = "", lag_ms: float = 1.0) -> ClientCheck:
    return ClientCheck(cpu_share=share, lag_p99_ms=lag_ms, lag_max_ms=2 * lag_ms, bound=bool(reason), reason=reason)


def test_clients_with_a_core_each_are_as_busy_as_the_busiest(monkeypatch: pytest.MonkeyPatch) -> None:
    said = judged(monkeypatch, Cores(0, (1, 2)), check(0.6, lag_ms=3.0), check(0.7))
    assert (said.cpu_share, said.lag_p99_ms, said.lag_max_ms, said.bound) == (0.7, 3.0, 6.0, False)


def test_clients_on_one_core_are_the_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    said = judged(monkeypatch, Cores(0, (1,)), check(0.45), check(0.5))
    assert (said.bound, said.reason, said.kind) == (True, "the clients of one core used 95% of it", "client")
    assert not judged(monkeypatch, Cores(0, (1,)), check(0.45), check(0.5), took_ns=10**7).bound


def test_clients_that_are_pinned_to_none_are_judged_each(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not judged(monkeypatch, Cores(), check(0.6), check(0.6)).bound


def test_who_of_them_was_the_limit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said = judged(monkeypatch, Cores(0, (1, 2, 3)), check(0.2), check(0.95, "it used 95% of its core"), check(0.1))
    assert (said.bound, said.reason) == (True, "client 2: it used 95% of its core")


@pytest.mark.parametrize(
    ("cores", "count", "words"),
    [
        (Cores(0, (1,)), 1, ""),
        (Cores(), 1, ""),
        (Cores(0, (1, 2)), 2, ""),
        (Cores(0, (1,)), 2, "2 load clients, but this machine has 1 beside the server's"),
        (Cores(), 2, "2 load clients, but this machine has none to pin them to"),
    ],
)
def test_more_clients_than_cores_are_said_to_bring_nothing(
    monkeypatch: pytest.MonkeyPatch, cores: Cores, count: int, words: str
) -> None:
    monkeypatch.setattr("benchmarks.load.group.cores", lambda: cores)
    assert crowded(count).startswith(words)
    assert bool(crowded(count)) == bool(words)
