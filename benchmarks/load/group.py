"""Several load clients that do one load together, each a process on a core of its own as far as there are cores.

    LoadOrder  ->  a share for each client, all beginning at one moment  ->  a LoadRun of each  ->  one LoadRun

One client reads what a core can read. Where a machine has more cores than the server's and one client's, more clients
read more; on two cores they share one, and several bring nothing.
"""

from __future__ import annotations

import selectors
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final, TypeVar

import msgspec

from benchmarks.load.plan import Counted, LoadOrder, LoadRun, Share
from benchmarks.load.self_check import SHARE_LIMIT, SHORTEST_NS
from benchmarks.load.worker import LoadWorker
from benchmarks.processes import cores
from benchmarks.results import ClientCheck
from streams.arguments import positive_int

__all__ = ("LoadClients", "crowded")

_HEAD_START_NS: Final = 20_000_000  # for each client, to be on its loop when the load begins

R = TypeVar("R")


class LoadClients:
    """So many load client processes, used as a context manager. They are ended by their ids, whatever they are doing.

    Args:
        count: how many. The streams of a load are dealt out to them in turn, and those of the next load of a step from
            the next client on; a single stream is never split.
        beside_server: whether the first core is left to the server; else, if it is not measured, theirs, too.

    Raises:
        TypeError, ValueError: `count` is no int, or below 1.
    """

    def __init__(self, count: int = 1, *, beside_server: bool = True) -> None:
        positive_int("count", count)
        numbers = _core_numbers(beside_server=beside_server)
        chosen = [numbers[client % len(numbers)] for client in range(count)]
        self._cores = [cores().of(number) for number in chosen]
        self._workers = [LoadWorker(number) for number in chosen]

    def __enter__(self) -> LoadClients:
        with ExitStack() as stack:
            for worker in self._workers:
                stack.enter_context(worker)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [worker.pid for worker in self._workers]

    def drive_all(self, orders: Sequence[LoadOrder]) -> list[LoadRun]:
        """Have several orders done side by side, each by all clients together, and wait. Blocks.

        Raises:
            WorkerError: a process died, or could not do its share. What the others had is lost, and the clients can
                only be ended then.
        """
        if len(self._workers) == 1:
            return self._workers[0].drive_all(orders)
        with ExitStack() as stack:
            for number, worker in enumerate(self._workers):
                stack.enter_context(worker.driving(self._shares(orders, number)))
            self._as_they_speak(lambda worker: worker.wait_ready())
            begins_ns = time.monotonic_ns() + _HEAD_START_NS * len(self._workers)
            for worker in self._workers:
                worker.begin(begins_ns)
            runs = self._as_they_speak(lambda worker: worker.runs())
        return [self._merged(each) for each in zip(*runs, strict=True)]

    def stop(self) -> None:
        """Have all that is open left and nothing more begun, from now on. `drive_all` returns with what came of it."""
        for worker in self._workers:
            worker.stop()

    def _shares(self, orders: Sequence[LoadOrder], client: int) -> list[LoadOrder]:
        of = len(self._workers)
        return [
            msgspec.structs.replace(order, share=Share(number=(client - place) % of, of=of))
            for place, order in enumerate(orders)
        ]

    def _as_they_speak(self, hear: Callable[[LoadWorker], R]) -> list[R]:
        """Hear each client as soon as it has something to say: one that died is not noticed behind the others' streams.

        Returns:
            What each said, in their order.
        """
        heard: dict[int, R] = {}
        with selectors.DefaultSelector() as selector:
            for place, worker in enumerate(self._workers):
                selector.register(worker, selectors.EVENT_READ, place)
            while len(heard) < len(self._workers):
                for key, _ in selector.select():
                    number: int = key.data
                    selector.unregister(key.fileobj)
                    heard[number] = hear(self._workers[number])
        return [heard[place] for place in range(len(self._workers))]

    def _merged(self, runs: Sequence[LoadRun]) -> LoadRun:
        # A client without a stream had nothing to do: when it ended, and what it used in its moment, say nothing.
        busy = {number: run for number, run in enumerate(runs) if run.captures} or dict(enumerate(runs))
        captures = [capture for run in busy.values() for capture in run.captures]
        captures.sort(key=lambda capture: capture.times.scheduled_ns)
        counted = [run.counted for run in runs if run.counted is not None]
        began_ns, ended_ns = runs[0].began_ns, max(run.ended_ns for run in busy.values())
        return LoadRun(
            captures=captures,
            counted=_summed(counted) if counted else None,
            began_ns=began_ns,
            ended_ns=ended_ns,
            client=self._judged(busy, ended_ns - began_ns),
        )

    def _judged(self, busy: Mapping[int, LoadRun], took_ns: int) -> ClientCheck:
        """Return what clients say of themselves as one: the busiest core, the latest loop, who was the limit."""
        share = self._busiest_share(busy, took_ns)
        checks = {number: run.client for number, run in busy.items()}
        of = len(self._workers)
        limits = [f"client {number + 1} of {of}: {each.reason}" for number, each in checks.items() if each.bound]
        reason = limits[0] if limits else ""
        if len(limits) > 1:
            reason = f"{len(limits)} clients were the limit, the first of them {reason}"
        elif share > SHARE_LIMIT and took_ns >= SHORTEST_NS and not limits:
            reason = f"the clients of one core used {share:.0%} of it"
        return ClientCheck(
            cpu_share=share,
            lag_p99_ms=max(each.lag_p99_ms for each in checks.values()),
            lag_max_ms=max(each.lag_max_ms for each in checks.values()),
            bound=bool(reason),
            reason=reason,
        )

    def _busiest_share(self, busy: Mapping[int, LoadRun], took_ns: int) -> float:
        used: dict[object, float] = defaultdict(float)
        for number, run in busy.items():
            core = self._cores[number]
            # Where none is pinned, each may have had a core.
            where = ("unpinned", number) if core is None else core
            used[where] += run.client.cpu_share * (run.ended_ns - run.began_ns) / max(took_ns, 1)
        return max(used.values())


def _summed(parts: Sequence[Counted]) -> Counted:
    first = [part.first_ns for part in parts if part.first_ns is not None]
    last = [part.last_ns for part in parts if part.last_ns is not None]
    return Counted(
        tokens=sum(part.tokens for part in parts),
        bytes=sum(part.bytes for part in parts),
        first_ns=min(first, default=None),
        last_ns=max(last, default=None),
        checked=sum(part.checked for part in parts),
        out_of_order=sum(part.out_of_order for part in parts),
        missing=sum(part.missing for part in parts),
        duplicates=sum(part.duplicates for part in parts),
    )


def _core_numbers(*, beside_server: bool) -> list[int]:
    """Return the numbers, as `on_core` takes them, of the cores that clients may have; one if none can be chosen."""
    clients = list(range(1, len(cores().clients) + 1)) or [1]
    return clients if beside_server else [*clients, 0]


def crowded(count: int, *, beside_server: bool = True) -> str:
    """Return why so many clients are more than there are cores for; empty if they are not, or nobody can tell."""
    if not cores().clients:
        return ""
    free = len(_core_numbers(beside_server=beside_server))
    if count <= free:
        return ""
    which = f"{free} beside the server's" if beside_server else f"{free} cores"
    return f"{count} load clients, but this machine has {which}: clients that share a core read no more than one does"
