"""One step of a run: servers that have just been started, the load client, and what was seen of both meanwhile.

    wait until they listen  ->  pin them to the first core  ->  warm them up  ->  read  ->  wait for their log
    ->  where tokens were only counted: read a shorter stream of the same kind, and look at each index

To look at each index takes the client longer than to count, so that it might be the limit of what is measured. Nothing
is parsed or computed here.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from benchmarks.load.plan import Client, LoadOrder, LoadRun
from benchmarks.measures.accounting import RECORDS_WAIT_S
from benchmarks.processes import HAS_PROC, ServerProcess
from benchmarks.running.digest import Checked, ServerSide
from benchmarks.scenarios.cells import Cell, Closed, Open, Transport
from benchmarks.scenarios.readers import FAST, Stalled
from benchmarks.scenarios.schedule import Placed, Step

__all__ = ("Measured", "measure_step", "order_of")

_PATHS: Final = {Transport.SSE: "/v1/chat/stream", Transport.WEBSOCKET: "/v1/chat/ws"}
_ANSWERED: Final = (101, 200)
_TIMEOUT_S: Final = 30.0
# With the 4 KiB of other slow readers, reading what had piled up took anything from 3 to 12 s for the same bytes.
_STALLED_RECEIVE_BUFFER_BYTES: Final = 32_768
_WARM_UP_TOKENS: Final = 200
_CHECKED_TOKENS: Final = 50_000
_SAMPLE_S: Final = 0.1
_POLL_S: Final = 0.02


@dataclass(slots=True)
class Measured:
    """One cell of a step: what came of it, or why nothing did.

    Attributes:
        placed: the cell.
        repeat: which measurement of it, from 1.
        load_run: what the client has captured; None: it was not measured.
        server: what was seen of its server.
        checked: what came of the stream whose indexes were looked at; None: of all or of none they were.
        error: why it was not measured.
    """

    placed: Placed
    repeat: int
    load_run: LoadRun | None = None
    server: ServerSide = field(default_factory=ServerSide)
    checked: Checked | None = None
    error: str = ""


def measure_step(step: Step, servers: Sequence[ServerProcess], client: Client, *, seed: int) -> list[Measured]:
    """Measure the cells of a step at the same time, each against its own one of `servers`, which may still be starting.

    Never raises what goes wrong with a server or with the client: it is the cell's error.
    """
    measured = [Measured(placed, step.repeat) for placed in step.placed]
    listening: list[tuple[Measured, ServerProcess]] = []
    for each, server in zip(measured, servers, strict=True):
        try:
            server.wait_listening()
            server.pin(0)
        except (RuntimeError, OSError) as error:
            each.error = str(error)
        else:
            listening.append((each, server))
    try:
        _measure_listening(listening, client, seed)
    except Exception as error:  # whatever ends the client, the next step begins with another one
        for each, _ in listening:
            each.error = f"{type(error).__name__}: {error}"
    return measured


def _measure_listening(listening: Sequence[tuple[Measured, ServerProcess]], client: Client, seed: int) -> None:
    if not listening:
        return
    servers = [server for _, server in listening]
    cells = [each.placed.cell for each, _ in listening]
    client.drive_all([_warm_up_of(cell, server.port) for cell, server in zip(cells, servers, strict=True)])
    for server in servers:
        _wait_records(server, 1)
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    before = [_Before.of(server) for server in servers]
    orders = [order_of(_seeded(each.placed.cell, seed + each.repeat), server.port) for each, server in listening]
    with _watching_memory(servers) as memory:
        runs = client.drive_all(orders)
    for (each, server), load_run, then, samples in zip(listening, runs, before, memory, strict=True):
        each.load_run = load_run
        each.server = replace(_server_side(server, load_run, then, samples), load_average=load_average)
    _check([(each, server) for each, server in listening if _is_to_be_checked(each.placed.cell)], client)


def _is_to_be_checked(cell: Cell) -> bool:
    return cell.has_indexes and not cell.trace


def _check(listening: Sequence[tuple[Measured, ServerProcess]], client: Client) -> None:
    """Have the indexes of one more stream looked at for each of these cells."""
    if not listening:
        return
    before = [frozenset(server.records()) for _, server in listening]
    runs = client.drive_all([_check_of(each.placed.cell, server.port) for each, server in listening])
    for (each, server), load_run, earlier in zip(listening, runs, before, strict=True):
        each.checked = Checked(load_run, _records_since(server, earlier, load_run))


def order_of(cell: Cell, port: int) -> LoadOrder:
    """Return what the load client is to do for `cell`, of a server of ours at `port`."""
    return LoadOrder(
        host="127.0.0.1",
        port=port,
        target=f"{_PATHS[cell.transport]}?{urlencode(cell.query())}",
        transport=cell.transport,
        profile=str(cell.stream.get("profile", "completion")),
        reader=cell.reader,
        load=cell.load,
        window_s=cell.window_s,
        mode="capture" if cell.trace else "count",
        timeout_s=_TIMEOUT_S + (cell.window_s or 0),
        receive_buffer_bytes=_STALLED_RECEIVE_BUFFER_BYTES if isinstance(cell.reader, Stalled) else None,
    )


def _check_of(cell: Cell, port: int) -> LoadOrder:
    """Return an order for one stream of a cell that is not traced, of which every index is looked at."""
    count = min(int(cell.stream.get("count", _CHECKED_TOKENS)), _CHECKED_TOKENS)
    order = order_of(replace(cell, stream={**cell.stream, "count": count}), port)
    return msgspec.structs.replace(order, mode="check")


def _warm_up_of(cell: Cell, port: int) -> LoadOrder:
    """Return an order for one short stream of the same kind: what a server does once only is not measured."""
    stream = {**cell.stream, "count": _WARM_UP_TOKENS, "rate": 0}
    return order_of(replace(cell, stream=stream, reader=FAST, load=Closed(), window_s=None), port)


def _seeded(cell: Cell, seed: int) -> Cell:
    """Let scheduled arrivals come by another schedule in each repeat."""
    return replace(cell, load=replace(cell.load, seed=seed)) if isinstance(cell.load, Open) else cell


@dataclass(frozen=True, slots=True)
class _Before:
    """What a server had done before it was measured."""

    stream_ids: frozenset[str]
    cpu_s: float | None
    rss_bytes: int | None

    @classmethod
    def of(cls, server: ServerProcess) -> _Before:
        rss_bytes = server.rss_bytes() if HAS_PROC else None
        return cls(frozenset(server.records()), server.cpu_s(), rss_bytes)


def _server_side(
    server: ServerProcess, load_run: LoadRun, before: _Before, memory: Sequence[tuple[int, int]]
) -> ServerSide:
    cpu_s = server.cpu_s()
    return ServerSide(
        records=_records_since(server, before.stream_ids, load_run),
        cpu_s=None if cpu_s is None or before.cpu_s is None else cpu_s - before.cpu_s,
        idle_bytes=before.rss_bytes,
        memory=memory,
    )


def _records_since(server: ServerProcess, earlier: frozenset[str], load_run: LoadRun) -> dict[str, dict[str, Any]]:
    """Return the records of the streams of one run, and wait for them as `_wait_records`."""
    answered = sum(capture.status in _ANSWERED for capture in load_run.captures)
    records = _wait_records(server, len(earlier) + answered)
    return {name: record for name, record in records.items() if name not in earlier}


def _wait_records(server: ServerProcess, count: int) -> dict[str, dict[str, Any]]:
    """Wait until the server has logged so many streams: of a client that left it hears a little later.

    What is not there after RECORDS_WAIT_S will not come; the accounting says of which stream.
    """
    deadline_s = time.monotonic() + RECORDS_WAIT_S
    while len(records := server.records()) < count and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
    return records


@contextmanager
def _watching_memory(servers: Sequence[ServerProcess]) -> Generator[list[list[tuple[int, int]]]]:
    """Fill a list per server with (time.monotonic_ns(), resident bytes), ten times a second, in a thread."""
    samples: list[list[tuple[int, int]]] = [[] for _ in servers]
    if not HAS_PROC:
        yield samples
        return
    ended = threading.Event()

    def sample() -> None:
        for each, server in zip(samples, servers, strict=True):
            each.append((time.monotonic_ns(), server.rss_bytes()))

    def watch() -> None:
        while not ended.wait(_SAMPLE_S):
            sample()

    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()
    sample()
