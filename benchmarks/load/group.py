"""Several load clients that do one load together, each a process on a core of its own as far as there are cores.

    LoadOrder  ->  a share for each client, all beginning at one moment  ->  a LoadRun of each  ->  one LoadRun

One client reads what a core can read. Where a machine has more cores than the server's and one client's, more clients
read more; on two cores they share one, and several bring nothing.
"""

from __future__ import annotations

import selectors
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

import msgspec

from benchmarks.load.plan import Counted, LoadOrder, LoadRun, Share
from benchmarks.load.self_check import SHARE_LIMIT, SHORTEST_NS
from benchmarks.load.worker import LoadWorker
from benchmarks.processes import cores
from benchmarks.results import ClientCheck

__all__ = ("LoadClients", "crowded")

_HEAD_START_NS: Final = 50_000_000


class LoadClients:
    """So many load client processes, used as a context manager. They are ended by their ids, whatever they are doing.

    Args:
        count: how many. The streams of a load are dealt out to them in turn; a load of a single stream is done by the
            first client.
    """

    def __init__(self, count: int = 1) -> None:
        chosen = cores()
        self._cores = [chosen.of(number) for number in range(1, count + 1)]
        self._workers = [LoadWorker(number) for number in range(1, count + 1)]

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
            WorkerError: a process died, or could not do its share. The clients can only be ended then.
        """
        if len(self._workers) == 1:
            return self._workers[0].drive_all(orders)
        begins_ns, of = time.monotonic_ns() + _HEAD_START_NS, len(self._workers)
        with ExitStack() as stack:
            waits = [
                stack.enter_context(worker.driving(_shared(orders, Share(number=number, of=of, begins_ns=begins_ns))))
                for number, worker in enumerate(self._workers)
            ]
            runs = self._waited(waits)
        return [self._merged(each) for each in zip(*runs, strict=True)]

    def stop(self) -> None:
        """Have all that is open left and nothing more begun, from now on. `drive_all` returns with what came of it."""
        for worker in self._workers:
            worker.stop()

    def _waited(self, waits: Sequence[Callable[[], list[LoadRun]]]) -> list[list[LoadRun]]:
        """Hear each client when it has something to say: one that died is not noticed after the others' streams."""
        runs: dict[int, list[LoadRun]] = {}
        with selectors.DefaultSelector() as selector:
            for number, worker in enumerate(self._workers):
                selector.register(worker, selectors.EVENT_READ, number)
            while len(runs) < len(waits):
                for key, _ in selector.select():
                    runs[key.data] = waits[key.data]()
                    selector.unregister(key.fileobj)
        return [runs[number] for number in range(len(waits))]

    def _merged(self, runs: Sequence[LoadRun]) -> LoadRun:
        busy = [run for run in runs if run.captures] or runs
        captures = [capture for run in runs for capture in run.captures]
        captures.sort(key=lambda capture: capture.times.scheduled_ns)
        counted = [run.counted for run in runs if run.counted is not None]
        began_ns, ended_ns = min(run.began_ns for run in busy), max(run.ended_ns for run in busy)
        return LoadRun(
            captures=captures,
            counted=_summed(counted) if counted else None,
            began_ns=began_ns,
            ended_ns=ended_ns,
            client=self._judged([run.client for run in runs], ended_ns - began_ns),
        )

    def _judged(self, checks: Sequence[ClientCheck], took_ns: int) -> ClientCheck:
        """Return what the clients say of themselves as one: the busiest core, the latest loop, every reason."""
        used: dict[int | None, float] = defaultdict(float)
        for core, check in zip(self._cores, checks, strict=True):
            # Where none is pinned, each may have had a core.
            used[core] = max(used[core], check.cpu_share) if core is None else used[core] + check.cpu_share
        share = max(used.values())
        reasons = [f"client {number}: {check.reason}" for number, check in enumerate(checks, 1) if check.bound]
        if share > SHARE_LIMIT and took_ns >= SHORTEST_NS and not reasons:
            reasons.append(f"the clients of one core used {share:.0%} of it")
        return ClientCheck(
            cpu_share=share,
            lag_p99_ms=max(check.lag_p99_ms for check in checks),
            lag_max_ms=max(check.lag_max_ms for check in checks),
            bound=bool(reasons),
            reason="; ".join(reasons),
        )


def _shared(orders: Sequence[LoadOrder], share: Share) -> list[LoadOrder]:
    return [msgspec.structs.replace(order, share=share) for order in orders]


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


def crowded(count: int) -> str:
    """Return why so many clients are more than this machine has cores for; empty if they are not."""
    free = len(cores().clients)
    if count <= max(free, 1):
        return ""
    which = f"{free} beside the server's" if free else "none to pin them to"
    return f"{count} load clients, but this machine has {which}: clients that share a core read no more than one does"
