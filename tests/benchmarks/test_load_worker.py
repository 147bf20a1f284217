"""A client in a process of its own: what it brings back, and what is said when it dies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.load.null import COMMAND, null_run
from benchmarks.load.plan import LoadOrder, LoadRun
from benchmarks.load.worker import LoadWorker, WorkerError
from benchmarks.processes import running
from benchmarks.scenarios.cells import Closed, Transport
from benchmarks.traces.captures import Outcome
from benchmarks.traces.parsing import parse
from tests.servers.serving import LONGEST_S

__all__ = ()

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def worker() -> Iterator[LoadWorker]:
    with LoadWorker() as started:
        yield started


def test_captures_come_back_from_the_worker(worker: LoadWorker) -> None:
    with running(COMMAND) as server:
        order = LoadOrder(host="127.0.0.1", port=server.port, target="/firehose?count=5000", load=Closed(2))
        runs = worker.drive_all([order, order])
    assert len(runs) == 2
    for run in runs:
        for capture in run.captures:
            trace = parse(capture, profile="completion", transport=Transport.SSE)
            assert (trace.outcome, len(trace.received_ns)) == (Outcome.COMPLETED, 5_000)
            assert run.began_ns <= capture.times.scheduled_ns <= run.ended_ns


def test_null_run_says_what_the_client_can_do(worker: LoadWorker) -> None:
    found = null_run(worker)
    # Wall clocks differ; that all tokens came, in order, is checked inside.
    assert found.counted_tokens_per_s > 0
    assert found.checked_tokens_per_s > 0
    assert found.delay_p50_us > 0


def test_worker_survives_an_order_that_it_cannot_do(worker: LoadWorker) -> None:
    with pytest.raises(WorkerError, match=r"failed:(?s:.*)AttributeError"):
        worker.drive_all([None])  # type: ignore[list-item]
    assert worker.drive_all([]) == []


def test_worker_that_dies_is_an_error_in_words() -> None:
    with LoadWorker() as dying:
        os.kill(dying.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match=rf"process {dying.pid}\) ended with code -9"):
            dying.drive_all([LoadOrder(host="127.0.0.1", port=1, target="/")])


def test_worker_is_ended_whatever_it_is_doing() -> None:
    busy = threading.Event()

    def drive(started: LoadWorker, order: LoadOrder) -> list[LoadRun]:
        with started.driving([order]):
            started.wait_ready()
            started.begin()
            busy.set()
            return started.runs()

    with running(COMMAND) as server, ThreadPoolExecutor(1) as threads:
        with LoadWorker() as started:
            order = LoadOrder(host="127.0.0.1", port=server.port, target="/paced?count=1000000&rate=1")
            driving = threads.submit(drive, started, order)
            assert busy.wait(LONGEST_S)
        with pytest.raises(WorkerError, match="ended with code -9"):
            driving.result()
    with pytest.raises(ProcessLookupError):
        os.kill(started.pid, 0)


def test_worker_that_has_been_ended_is_an_error_in_words() -> None:
    with LoadWorker() as ended:
        pass
    with pytest.raises(WorkerError, match=rf"process {ended.pid}\) ended with code -9"):
        ended.drive_all([])
