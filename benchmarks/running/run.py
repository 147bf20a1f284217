"""One run: every cell of its scenarios, each against a server process of its own, read by load client processes.

    start the step's servers (anywhere)  ->  measure the step (`benchmarks.running.measuring`)  ->  end them by their id
          meanwhile: digest the step before

The servers of cells that are measured alone, one after the other, start together, which takes half as long; until it is
their turn they wait, and take no time from the others. Nothing is parsed or computed while something is measured.

What goes wrong with one cell is an error in its result, and the run goes on; what ends the run (Ctrl-C, SIGTERM) leaves
what was measured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from benchmarks.environment import environment
from benchmarks.interrupts import held
from benchmarks.load.group import LoadClients, crowded
from benchmarks.load.null import null_run
from benchmarks.load.plan import Client, LoadOrder, LoadRun
from benchmarks.measures.computing import MEASURES, Slo
from benchmarks.processes import ServerProcess, starting_all
from benchmarks.progress import Progress, Silent
from benchmarks.results import CellResult, NullRun, Repeat, Results
from benchmarks.running.digest import digest
from benchmarks.running.measuring import Measured, measure_step
from benchmarks.scenarios.cells import Cell, Scenario
from benchmarks.scenarios.schedule import Step, batches_of, steps_of
from benchmarks.summary.figures import unexpected_in
from benchmarks.traces.captures import Outcome, Trace

__all__ = ("LastingClients", "Order", "Run", "definitions", "measure_all", "run")

_SERVE: Final = (sys.executable, "-m", "servers", "--host", "127.0.0.1", "--port", "0")


@dataclass(frozen=True, slots=True)
class Order:
    """What a run is to measure.

    Attributes:
        preset: its name, for the results.
        scenarios: what is measured.
        repeats: how often every cell is.
        seed: of the order of cells and of scheduled arrivals.
        slo: what a good stream holds; None: goodput is not measured.
        command: what was typed, for the results.
        server: the command that starts a server; a test starts others.
        clients: load client processes that share the streams of each cell.
    """

    preset: str
    scenarios: tuple[Scenario, ...]
    repeats: int
    seed: int = 0
    slo: Slo | None = None
    command: str = ""
    server: Sequence[str] = _SERVE
    clients: int = 1


@dataclass(slots=True)
class Run:
    """What came of it.

    Attributes:
        results: for the results file.
        traces: by (scenario, cell), the streams of its first repeat, for other tools' definitions. Cells whose tokens
            were only counted have none.
    """

    results: Results
    traces: dict[tuple[str, str], list[Trace]] = field(default_factory=dict[tuple[str, str], "list[Trace]"])


class LastingClients:
    """Load client processes, and others in their place when one has died.

    Args:
        clients: how many.
    """

    def __init__(self, clients: int = 1) -> None:
        self._count = clients
        self._stack = ExitStack()
        self._clients: LoadClients | None = None

    def __enter__(self) -> LastingClients:
        return self

    def __exit__(self, *_: object) -> None:
        self._clients = None
        self._stack.close()

    def drive_all(self, orders: Sequence[LoadOrder]) -> list[LoadRun]:
        """Drive all of them side by side, and wait for what comes of them.

        Raises:
            Exception: what `LoadClients` raises. The next call has new processes.
        """
        with self._ending_on_error():
            return self._alive().drive_all(orders)

    def null_run(self) -> NullRun:
        """Measure what one of them can do at most. Raises as `drive_all`."""
        with self._ending_on_error():
            return null_run(self._alive())

    def _alive(self) -> LoadClients:
        if self._clients is None:
            with held():
                self._clients = self._stack.enter_context(LoadClients(self._count))
        return self._clients

    @contextmanager
    def _ending_on_error(self) -> Generator[None]:
        try:
            yield
        except Exception:
            self.__exit__()
            raise


def run(order: Order, progress: Progress | None = None) -> Run:
    """Measure everything that `order` names, and wait for it.

    A KeyboardInterrupt ends the run and is not passed on: the results say that it was interrupted.
    """
    began_s = time.monotonic()
    came = Run(_empty_results(order))
    progress = Silent() if progress is None else progress
    try:
        with LastingClients(order.clients) as clients:
            steps = steps_of(order.scenarios, order.repeats, order.seed)
            progress.begin(len(steps) + 1)
            if said := crowded(order.clients):
                progress.note(said)
            _take_null_run(clients, came.results, progress)
            measure_all(order, steps, clients, _Keeper(order, came, progress), progress)
    except KeyboardInterrupt:
        came.results.interrupted = True
    came.results.elapsed_s = time.monotonic() - began_s
    return came


def _take_null_run(clients: LastingClients, results: Results, progress: Progress) -> None:
    progress.step("what the load client can do at most")
    try:
        results.null_run = clients.null_run()
    except Exception as error:  # the floor is missing then; what stands on it can be measured all the same
        progress.note(f"ERROR: the client's own floor could not be measured: {type(error).__name__}: {error}")


def measure_all(
    order: Order, steps: Iterable[Step], client: Client, keep: Callable[[Measured], None], progress: Progress
) -> None:
    """Measure step after step, and give what came of each cell to `keep` while nothing is being measured.

    Args:
        order: says how a server is started, and the seed.
        steps: what is measured at a time, one after the other.
        client: reads the streams.
        keep: is called with each cell of a step while the servers of the next one start. What was measured before an
            exception or an interrupt is given to it all the same.
        progress: hears of each step.
    """
    measured: list[Measured] = []
    try:
        for batch in batches_of(steps):
            progress.step(batch[0].title)
            with starting_all([order.server] * sum(len(step.placed) for step in batch)) as servers:
                _keep_all(measured, keep)
                for step, its_servers in _dealt(batch, servers):
                    if step is not batch[0]:
                        progress.step(step.title)
                    _keep_all(measured, keep)
                    measured += measure_step(step, its_servers, client, seed=order.seed)
    finally:
        _keep_all(measured, keep)


def _dealt(batch: Sequence[Step], servers: Sequence[ServerProcess]) -> Iterator[tuple[Step, Sequence[ServerProcess]]]:
    """Give each step its servers, when none of the batch is busy with starting any more."""
    for server in servers if len(batch) > 1 else ():
        with suppress(RuntimeError, OSError):  # whoever measures it will say so
            server.wait_listening()
    remaining = iter(servers)
    for step in batch:
        yield step, list(islice(remaining, len(step.placed)))


def _keep_all(measured: list[Measured], keep: Callable[[Measured], None]) -> None:
    with held():  # a signal in between would lose the one that was popped, and at the end of a run those behind it
        while measured:
            keep(measured.pop(0))


# --- What is kept ------------------------------------------------------------------------------------------------


class _Keeper:
    """Digests what was measured and puts it into the results."""

    def __init__(self, order: Order, came: Run, progress: Progress) -> None:
        self._order = order
        self._came = came
        self._progress = progress
        self._said: set[tuple[str, str]] = set()
        self._cells = {(cell.scenario, cell.name): cell for cell in came.results.cells}

    def __call__(self, measured: Measured) -> None:
        cell, key = measured.placed.cell, (measured.placed.scenario, measured.placed.cell.name)
        result = self._cells[key]
        where = f"{key[0]}: {key[1]}, repeat {measured.repeat}"
        if measured.error:
            self._fail(result, where, measured.error)
        if measured.load_run is None:
            return
        try:
            repeat, traces = digest(cell, measured.load_run, measured.server, self._order.slo, measured.checked)
        except Exception as error:  # one cell whose bytes cannot be understood is no end of the others
            self._fail(result, where, f"{type(error).__name__}: {error}")
            return
        result.repeats.append(repeat)
        self._warn(result, where, repeat)
        if traces:
            self._came.traces.setdefault(key, traces)

    def _fail(self, result: CellResult, where: str, error: str) -> None:
        if error not in result.error:
            result.error = "; ".join(filter(None, [result.error, error]))
        self._say(f"ERROR: {error}", result.scenario, where)

    def _warn(self, result: CellResult, where: str, repeat: Repeat) -> None:
        if repeat.client is not None and repeat.client.bound:
            what = "MACHINE BUSY" if repeat.client.kind == "machine" else "CLIENT-BOUND"
            self._say(what, result.scenario, f"{where}: {repeat.client.reason}")
        for line in unexpected_in(result, repeat):
            self._progress.note(f"FAILED in {where}: {line}")
        for violation in repeat.accounting:
            self._progress.note(f"ACCOUNTING in {where}: {violation}")
        for note in repeat.notes:
            self._say(f"LEFT OUT: {note}", result.scenario, where)

    def _say(self, what: str, scenario: str, where: str) -> None:
        """Say it of the first cell of a scenario only; the summary has all of them."""
        if (what, scenario) not in self._said:
            self._said.add((what, scenario))
            self._progress.note(f"{what} (first in {where})")


def _empty_results(order: Order) -> Results:
    return Results(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=order.command,
        preset=order.preset,
        environment=environment(),
        clients=order.clients,
        questions={scenario.name: scenario.question for scenario in order.scenarios},
        definitions=definitions(),
        cells=[_cell_result(scenario.name, cell) for scenario in order.scenarios for cell in scenario.cells],
    )


def _cell_result(scenario: str, cell: Cell) -> CellResult:
    load = {"kind": type(cell.load).__name__.lower(), **asdict(cell.load)}
    return CellResult(
        scenario=scenario,
        name=cell.name,
        variant=cell.variant,
        strategy=cell.strategy_name,
        reader=str(cell.reader),
        transport=cell.transport.value,
        parameters={"request": cell.query(), "load": load, "window_s": cell.window_s, "alone": cell.alone},
        expects=[outcome.value for outcome in Outcome if outcome in cell.expects],
    )


def definitions() -> dict[str, dict[str, str]]:
    """Return what every measure means, for the results file."""
    return {
        name: {"title": each.title, "unit": each.unit, "formula": each.formula, "better": each.better or ""}
        for name, each in MEASURES.items()
    }
