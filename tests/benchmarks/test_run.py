"""A run over real sockets with few tokens, and with servers and clients that fail."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import pytest

from benchmarks.load.group import crowded
from benchmarks.load.plan import Counted, LoadOrder, LoadRun
from benchmarks.load.worker import LoadWorker
from benchmarks.measures.computing import MEASURES
from benchmarks.processes import HAS_PROC, starting_all
from benchmarks.progress import Silent
from benchmarks.results import ClientCheck
from benchmarks.running.measuring import Measured, measure_step, order_of
from benchmarks.running.run import Order, Run, measure_all, run
from benchmarks.scenarios.cells import Cell, Closed, Open, Scenario, Transport
from benchmarks.scenarios.readers import Leaving
from benchmarks.scenarios.schedule import Placed, Step, steps_of

__all__ = ()

STREAM = {"source": "counter", "rate": 2_000, "count": 60}
SUSPEND = Cell("flux", {"strategy": "suspend"}, STREAM)
LEAVING = Cell("emitter", {"strategy": "suspend"}, STREAM, Leaving(after_tokens=20))
SOCKET = Cell("rx", {"strategy": "reduce"}, STREAM, transport=Transport.WEBSOCKET)
FIREHOSE = Cell("flux", {"strategy": "reduce"}, {**STREAM, "rate": 0, "count": 500}, trace=False, alone=True)
BROKEN = (sys.executable, "-c", "raise SystemExit('no server today')")


@pytest.fixture(autouse=True)
def _no_null_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A null run takes seconds, and is its own module's subject."""

    def refuse(_: object) -> None:
        raise RuntimeError("not here")

    monkeypatch.setattr("benchmarks.running.run.null_run", refuse)


class Noted(Silent):
    """Keeps what a user is told."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []

    def step(self, title: str) -> None:
        """Keep it."""
        self.steps.append(title)

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


def order(*cells: Cell, repeats: int = 1, server: Sequence[str] | None = None) -> Order:
    scenarios = (Scenario("mixed", "Does it run?", cells),)
    made = Order("test", scenarios, repeats, command="python -m benchmarks run test")
    return made if server is None else Order("test", scenarios, repeats, server=server)


@pytest.mark.slow
def test_every_cell_is_measured_by_a_server_and_a_client_of_its_own_and_adds_up() -> None:
    noted = Noted()
    came = run(order(SUSPEND, LEAVING, SOCKET, FIREHOSE), noted)
    results = came.results
    assert [cell.error for cell in results.cells] == [""] * 4
    (suspended,), (left,), (socket,), (firehose,) = [cell.repeats for cell in results.cells]
    assert [repeat.accounting for repeat in (suspended, left, socket, firehose)] == [[]] * 4
    assert [repeat.outcomes for repeat in (suspended, left, socket, firehose)] == [
        {"completed": 1},
        {"left": 1},
        {"completed": 1},
        {"completed": 1},
    ]
    assert (suspended.counts["emitted"], suspended.counts["received"]) == (60, 60)
    assert firehose.counts["emitted"] == 500
    assert suspended.measures.keys() == MEASURES.keys()
    assert firehose.measures.keys() == MEASURES.keys()
    assert firehose.measures["tokens_per_s"]
    assert bool(suspended.memory) == HAS_PROC
    assert came.traces.keys() == {("mixed", cell.name) for cell in (SUSPEND, LEAVING, SOCKET)}
    assert noted.steps == [
        "what the load client can do at most",
        "mixed: 3 cells side by side",
        "mixed: flux reduce fast",
    ]
    assert [note for note in noted.notes if "CLIENT-BOUND" not in note and "MACHINE BUSY" not in note] == [
        "ERROR: the client's own floor could not be measured: RuntimeError: not here"
    ]


@pytest.mark.slow
def test_clients_share_the_streams_of_a_cell_and_it_adds_up() -> None:
    noted = Noted()
    many = replace(SUSPEND, load=Closed(5))
    results = run(replace(order(many, FIREHOSE), clients=2), noted).results
    (shared,), (firehose,) = [cell.repeats for cell in results.cells]
    assert (results.clients, shared.outcomes, shared.counts["received"]) == (2, {"completed": 5}, 300)
    assert (firehose.outcomes, firehose.counts["received"]) == ({"completed": 1}, 500)
    assert shared.accounting == firehose.accounting == []
    assert noted.notes[:1] == [said for said in [crowded(2)] if said]


@pytest.mark.slow
def test_server_that_does_not_start_is_an_error_of_its_cells_and_the_run_goes_on() -> None:
    noted = Noted()
    results = run(order(SUSPEND, FIREHOSE, repeats=2, server=BROKEN), noted).results
    assert ["no server today" in cell.error for cell in results.cells] == [True, True]
    assert [cell.repeats for cell in results.cells] == [[], []]
    assert len(noted.steps) == 5
    assert not results.interrupted


class Scripted:
    """A client that does what a script says at each call."""

    def __init__(self, *script: BaseException) -> None:
        self._script = list(script)
        self.orders: list[Sequence[LoadOrder]] = []

    def drive_all(self, orders: Sequence[LoadOrder]) -> list[LoadRun]:
        """Raise the next of the script."""
        self.orders.append(orders)
        raise self._script.pop(0)


LISTENING = (sys.executable, "-c", "import time; print('http://127.0.0.1:1', flush=True); time.sleep(60)")


def test_client_that_dies_is_an_error_of_the_step_and_the_next_one_is_tried() -> None:
    made = order(SUSPEND, repeats=2, server=LISTENING)
    client = Scripted(RuntimeError("it died"), RuntimeError("again"))
    kept: list[Measured] = []
    measure_all(made, steps_of(made.scenarios, 2, seed=0), client, kept.append, Silent())
    assert [(each.repeat, each.error) for each in kept] == [(1, "RuntimeError: it died"), (2, "RuntimeError: again")]


def test_interrupt_keeps_what_was_measured_before() -> None:
    made = order(SUSPEND, repeats=3, server=LISTENING)
    client = Scripted(RuntimeError("it died"), KeyboardInterrupt())
    kept: list[Measured] = []
    with pytest.raises(KeyboardInterrupt):
        measure_all(made, steps_of(made.scenarios, 3, seed=0), client, kept.append, Silent())
    assert [each.repeat for each in kept] == [1]


def test_interrupt_while_cells_are_kept_loses_none_of_them() -> None:
    made = order(SUSPEND, LEAVING, server=LISTENING)
    kept: list[str] = []

    def keep(measured: Measured) -> None:
        if not kept:
            signal.raise_signal(signal.SIGINT)
        kept.append(measured.placed.cell.name)

    with pytest.raises(KeyboardInterrupt):
        measure_all(made, steps_of(made.scenarios, 1, seed=0), Scripted(RuntimeError("it died")), keep, Silent())
    assert sorted(kept) == sorted([SUSPEND.name, LEAVING.name])


def test_interrupted_run_says_so_and_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.running.run.measure_all", interrupt)
    monkeypatch.setattr(LoadWorker, "__enter__", lambda self: self)
    monkeypatch.setattr(LoadWorker, "__exit__", lambda *_: None)
    came: Run = run(order(SUSPEND))
    assert came.results.interrupted
    assert [cell.repeats for cell in came.results.cells] == [[]]


def test_one_server_that_fails_leaves_its_neighbours_alone() -> None:
    step = Step(1, tuple(each for each in steps_of(order(SUSPEND, LEAVING).scenarios, 1, seed=0)[0].placed))
    client = Scripted(RuntimeError("asked"))
    with starting_all([BROKEN, LISTENING]) as servers:
        first, second = measure_step(step, servers, client, seed=0)
    assert "no server today" in first.error
    assert second.error == "RuntimeError: asked"
    assert [len(orders) for orders in client.orders] == [1]


def test_order_says_what_the_cell_says() -> None:
    made = order_of(SOCKET, 8090)
    assert made.target == ("/v1/chat/ws?variant=rx&strategy=reduce&source=counter&rate=2000&count=60&trace=1")
    assert (made.port, made.transport, made.mode) == (8090, Transport.WEBSOCKET, "capture")
    assert order_of(FIREHOSE, 1).mode == "count"


def counted_run(*_: object) -> LoadRun:
    check = ClientCheck(cpu_share=0.1, lag_p99_ms=0, lag_max_ms=0, bound=False)
    return LoadRun(captures=[], counted=Counted(), began_ns=0, ended_ns=1, client=check)


class Counting:
    """A client that has counted nothing of everything, and fails from some call on."""

    def __init__(self, fails_at: int = 1_000) -> None:
        self._fails_at = fails_at
        self.modes: list[list[str]] = []

    def drive_all(self, orders: Sequence[LoadOrder]) -> list[LoadRun]:
        """Count nothing."""
        self.modes.append([each.mode for each in orders])
        if len(self.modes) == self._fails_at:
            raise RuntimeError("it died")
        return [counted_run() for _ in orders]


CHECKABLE = replace(FIREHOSE, strategy={"strategy": "suspend"})


@pytest.fixture
def _no_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.running.measuring.RECORDS_WAIT_S", 0.0)


@pytest.mark.usefixtures("_no_records")
def test_tokens_that_were_counted_are_followed_by_a_stream_whose_indexes_are_looked_at_unless_they_merge() -> None:
    client = Counting()
    with starting_all([LISTENING] * 2) as servers:
        merging, checkable = measure_step(
            Step(1, (Placed("a", FIREHOSE), Placed("a", CHECKABLE))), servers, client, seed=0
        )
    assert client.modes == [["count", "count"], ["count", "count"], ["check"]]  # to warm up, measured, checked
    assert (merging.checked, merging.error, checkable.error) == (None, "", "")
    assert checkable.checked is not None


@pytest.mark.usefixtures("_no_records")
def test_client_that_dies_while_it_looks_at_indexes_is_an_error_beside_what_was_measured() -> None:
    made = order(CHECKABLE, server=LISTENING)
    kept: list[Measured] = []
    measure_all(made, steps_of(made.scenarios, 1, seed=0), Counting(fails_at=3), kept.append, Silent())
    assert [(each.load_run is not None, each.error) for each in kept] == [(True, "RuntimeError: it died")]


def test_what_a_user_should_know_at_once_is_said_once_for_each_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = ClientCheck(cpu_share=0.1, lag_p99_ms=50, lag_max_ms=50, bound=True, reason="it was late")
    bound = ClientCheck(cpu_share=1, lag_p99_ms=50, lag_max_ms=50, bound=True, reason="it was full")
    checks = iter([busy, busy, bound, bound, busy])

    def measured(made: Order, steps: object, client: object, keep: Callable[[Measured], None], _: object) -> None:
        for scenario in made.scenarios:
            for cell in scenario.cells:
                load_run = msgspec.structs.replace(counted_run(), client=next(checks))
                keep(Measured(Placed(scenario.name, cell), 1, load_run))

    monkeypatch.setattr("benchmarks.running.run.measure_all", measured)
    scenarios = tuple(Scenario(name, "?", (FIREHOSE, CHECKABLE)) for name in ("a", "b"))
    noted = Noted()
    run(replace(order(), scenarios=(*scenarios, Scenario("c", "?", (FIREHOSE,)))), noted)
    assert [note.partition(" (first in ")[0::2] for note in noted.notes[1:]] == [
        ("MACHINE BUSY", "a: flux reduce fast, repeat 1: it was late)"),
        ("CLIENT-BOUND", "b: flux reduce fast, repeat 1: it was full)"),
        ("MACHINE BUSY", "c: flux reduce fast, repeat 1: it was late)"),
    ]


def test_results_say_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.running.run.measure_all", lambda *_: None)
    arriving = Cell("flux", {"strategy": "drop"}, STREAM, load=Open(per_s=5, requests=2))
    results = run(order(SUSPEND, arriving)).results
    assert results.command == "python -m benchmarks run test"
    assert results.questions == {"mixed": "Does it run?"}
    assert results.environment["python"]
    assert results.definitions.keys() == MEASURES.keys()
    first, second = results.cells
    assert first.expects == ["completed"]
    assert first.parameters["request"]["strategy"] == "suspend"
    assert first.parameters["load"] == {"kind": "closed", "connections": 1, "requests": None, "ramp_s": 0.0}
    assert second.parameters["load"]["kind"] == "open"
    assert isinstance(SUSPEND.load, Closed)
