"""A load client in a process of its own, on a core of its own: `python -m benchmarks.load.worker`.

    parent -> stdin     orders   when to begin   stop     pickled, as parent and child are one program
    parent <- stdout    ready    done

What came over the wire goes through a file without a name, as it may be hundreds of megabytes, and nobody's but the
parent's. The client parses and measures nothing, and ends with its parent, however that ends.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any, Final, Literal

from benchmarks.load.client import drive_all, run
from benchmarks.load.control import Control
from benchmarks.load.plan import LoadOrder, LoadRun
from benchmarks.processes import allow_many_files, on_core

__all__ = ("LoadWorker", "WorkerError", "main")

_PROJECT: Final = Path(__file__).parents[2]
_STOP_TIMEOUT_S: Final = 10.0
_MAX_SHOWN: Final = 2_000


class WorkerError(RuntimeError):
    """A load client that died, or failed at something that is not a stream's fault; the message says what it said."""


_Message = tuple[Literal["orders", "begin", "stop"], Any]
"""What the parent says. No class of this module: in the process its name is another."""


class LoadWorker:
    """One load client process, used as a context manager. It is ended by its id, whatever it is doing.

    Args:
        core: which of the machine's cores it runs on, as in `benchmarks.processes.on_core`: 0 is the server's, any
            other a client's.
    """

    def __init__(self, core: int = 1) -> None:
        self._core = core
        self._driving = threading.Lock()
        self._sending = threading.Lock()

    def __enter__(self) -> LoadWorker:
        self._said, self._came = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._last_words = ""
        with on_core(self._core):  # a process inherits it
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.load.worker", str(self._came.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                pass_fds=[self._came.fileno()],
                cwd=_PROJECT,
                process_group=0,  # Ctrl-C is for the parent, which decides what becomes of a run
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(_STOP_TIMEOUT_S)
        with self._driving:  # another thread may be about to say what became of it
            self._last_words = self._obituary()  # for whoever calls later
            for pipe in (self._process.stdin, self._process.stdout, self._said, self._came):
                with suppress(OSError):  # what was not yet written can no longer be
                    if pipe is not None:
                        pipe.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Return what is ready to be read when it has something to say, or has died."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def drive_all(self, orders: Sequence[LoadOrder]) -> list[LoadRun]:
        """Have several orders done side by side, and wait. Blocks; a second thread waits for the first.

        Raises:
            WorkerError: the process died, or could not do it.
        """
        with self.driving(orders):
            self.wait_ready()
            self.begin()
            return self.runs()

    @contextmanager
    def driving(self, orders: Sequence[LoadOrder]) -> Generator[None]:
        """Have orders done step by step within the block: `wait_ready`, `begin` and `runs`, each once.

        They raise WorkerError as `drive_all`; so does this. The worker can only be ended after a block that did not
        come to the end of `runs`.
        """
        with self._driving:
            self._send(("orders", list(orders)))
            yield

    def wait_ready(self) -> None:
        """Wait until it has nothing to do but to begin. Does not block if `fileno` can be read."""
        self._receive()

    def begin(self, at_ns: int | None = None) -> None:
        """Let it begin at a time on `time.monotonic_ns()`, or at once."""
        self._send(("begin", at_ns))

    def runs(self) -> list[LoadRun]:
        """Wait for what comes of the orders. Does not block if `fileno` can be read."""
        problem = self._receive()
        if problem:
            raise WorkerError(f"the load client failed:\n{problem}")
        self._came.seek(0)
        runs: list[LoadRun] = pickle.load(self._came)
        return runs

    def stop(self) -> None:
        """Have all that is open left and nothing more begun, from now on; what came of it is handed back as ever."""
        with suppress(WorkerError):  # who waits for it hears that it has died
            self._send(("stop", None))

    def _send(self, message: _Message) -> None:
        assert self._process.stdin is not None
        try:
            with self._sending:
                pickle.dump(message, self._process.stdin)
                self._process.stdin.flush()
        except (OSError, ValueError):  # a ValueError: it has been closed
            raise WorkerError(self._obituary()) from None

    def _receive(self) -> str:
        assert self._process.stdout is not None
        try:
            problem: str = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError, ValueError):
            raise WorkerError(self._obituary()) from None
        return problem

    def _obituary(self) -> str:
        if self._last_words:
            return self._last_words
        code = self._process.wait(_STOP_TIMEOUT_S)
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()[-_MAX_SHOWN:]
        return f"the load client (process {self.pid}) ended with code {code}" + (f"; it said:\n{said}" if said else "")


# --- In the process ------------------------------------------------------------------------------------------------


def main() -> None:
    """Do orders until stdin ends."""
    came = os.fdopen(int(sys.argv[1]), "wb")
    heard, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # whoever prints disturbs nothing
    allow_many_files()
    control, inbox = Control(), SimpleQueue[Any]()
    threading.Thread(target=_listen, args=(heard, inbox, control), daemon=True).start()
    while True:
        orders = inbox.get()
        _answer(answers, "")
        at_ns = inbox.get()
        try:
            _do(orders, control, at_ns, came)
            problem = ""
        except Exception:  # whatever it is, the parent hears of it
            problem = traceback.format_exc()
        _answer(answers, problem)


def _listen(heard: IO[bytes], inbox: SimpleQueue[Any], control: Control) -> None:
    """Hear the parent also while something is done: a stop, or that it has gone."""
    while True:
        try:
            kind, said = pickle.load(heard)
        except (EOFError, pickle.UnpicklingError):  # at the end, or in the middle of a message
            os._exit(0)
        if kind == "stop":
            with suppress(RuntimeError):  # the loop is just being closed, and the next one is stopped from the start
                control.stop()
        else:
            inbox.put(said)


def _answer(answers: IO[bytes], problem: str) -> None:
    pickle.dump(problem, answers)
    answers.flush()


def _do(orders: Sequence[LoadOrder], control: Control, at_ns: int | None, came: IO[bytes]) -> None:
    runs = run(drive_all(orders, control, begins_ns=at_ns))
    came.seek(0)
    came.truncate()
    pickle.dump(runs, came, protocol=pickle.HIGHEST_PROTOCOL)
    came.flush()


if __name__ == "__main__":
    main()
