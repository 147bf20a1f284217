"""A run over real sockets with few tokens, and with servers and clients that fail."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from benchmarks.load.plan import LoadOrder, LoadRun
from benchmarks.load.worker import LoadWorker
from benchmarks.measures.computing import MEASURES
from benchmarks.processes import HAS_PROC, starting_all
from benchmarks.progress import Silent
from benchmarks.running.measuring import Measured, measure_step, order_of
from benchmarks.running.run import Order, Run, measure_all, run
from benchmarks.scenarios.cells import Cell, Closed, Open, Scenario, Transport
from benchmarks.scenarios.readers import Leaving
from benchmarks.scenarios.schedule import Step, steps_of

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
    assert [note for note in noted.notes if "CLIENT-BOUND" not in note] == [
        "ERROR: the client's own floor could not be measured: RuntimeError: not here"
    ]


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


def test_results_say_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.running.run.measure_all", lambda *_: None)
    arriving = Cell("flux", {"strategy": "drop"}, STREAM, load=Open(per_s=5, requests=2))
    results = run(order(SUSPEND, arriving)).results
    assert results.command == "python -m benchmarks run test"
    assert results.questions == {"mixed": "Does it run?"}
    assert results.environment["python"]
    assert results.definitions.keys() == MEASURES.keys()
    first, second = results.cells
    assert first.parameters["request"]["strategy"] == "suspend"
    assert first.parameters["load"] == {"kind": "closed", "connections": 1, "requests": None, "ramp_s": 0.0}
    assert second.parameters["load"]["kind"] == "open"
    assert isinstance(SUSPEND.load, Closed)
