"""The processes that share a port: one that dies unasked is replaced, and all end together.

A worker's standard input is a pipe that nobody writes to: its other end closes with the parent, however that ends.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from prometheus_client import multiprocess

__all__ = ("MOST_RESTARTS", "RESTARTS_WITHIN_S", "Workers")

MOST_RESTARTS: Final = 5
RESTARTS_WITHIN_S: Final = 60.0
"""What dies once more within this time cannot be helped by another restart."""


class Workers:
    """Some processes of one kind.

    Args:
        command: starts one. It says a line on its standard output when it listens; it ends on SIGTERM, and when its
            standard input does.
        environment: its environment.
        count: how many there are to be.
        metrics_folder: where prometheus-client keeps their numbers.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, count: int, metrics_folder: str
    ) -> None:
        self._command = command
        self._environment = environment
        self._metrics_folder = metrics_folder
        self._not_ready = set(range(count))
        self._running: set[Process] = set()
        self._restarts_s: deque[float] = deque(maxlen=MOST_RESTARTS)
        self._ending = False
        self._exit_code = 0

    async def run(self, on_ready: Callable[[], None]) -> int:
        """Keep them running until `stop`, or until they die too often; returns when all have ended.

        Args:
            on_ready: called once, when each of them listens.

        Returns:
            the exit code: 0 if all ended as they were asked to; 1 if one did not, or if they died too often.
        """
        async with asyncio.TaskGroup() as group:
            for place in sorted(self._not_ready):
                group.create_task(self._hold(place, on_ready))
        return self._exit_code

    def stop(self) -> None:
        """Ask all to end. Asked again, they end at once."""
        self._ending = True
        for worker in self._running:
            _ask_to_end(worker)

    async def _hold(self, place: int, on_ready: Callable[[], None]) -> None:
        while not self._ending:
            worker = await self._start()
            assert worker.stdout is not None
            if await worker.stdout.readline():
                self._listens(place, on_ready)
            code = await worker.wait()
            self._running.discard(worker)
            # A dead process cannot take its streams out of the gauges.
            multiprocess.mark_process_dead(worker.pid, self._metrics_folder)  # type: ignore[no-untyped-call]
            self._ended(worker.pid, code)

    async def _start(self) -> Process:
        # In process groups of their own: a terminal's Ctrl-C reaches them through the parent, once.
        worker = await asyncio.create_subprocess_exec(
            *self._command, env=self._environment, stdin=PIPE, stdout=PIPE, process_group=0
        )
        self._running.add(worker)
        if self._ending:  # it was asked of all while this one started
            _ask_to_end(worker)
        return worker

    def _listens(self, place: int, on_ready: Callable[[], None]) -> None:
        if place in self._not_ready:
            self._not_ready.discard(place)
            if not self._not_ready:
                on_ready()

    def _ended(self, pid: int, code: int) -> None:
        how = f"worker {pid} {f'was killed by signal {-code}' if code < 0 else f'ended with exit code {code}'}"
        if self._ending:
            # One that was asked to end before it could listen to signals has done what it was asked.
            if code not in {0, -signal.SIGTERM}:
                self._exit_code = 1
            return
        now_s = asyncio.get_running_loop().time()
        if len(self._restarts_s) == MOST_RESTARTS and now_s - self._restarts_s[0] < RESTARTS_WITHIN_S:
            _say(f"{how}: {MOST_RESTARTS} restarts within {RESTARTS_WITHIN_S:g} s have not helped, giving up")
            self._exit_code = 1
            self.stop()
            return
        self._restarts_s.append(now_s)
        _say(f"{how}: another takes its place")


def _ask_to_end(worker: Process) -> None:
    with suppress(ProcessLookupError):
        worker.terminate()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
