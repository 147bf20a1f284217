"""A load client in a process of its own, on a core of its own: `python -m benchmarks.load.worker`.

It reads orders from stdin until that ends, and answers on stdout, pickled both ways: parent and child are one program.
What came over the wire goes through a file, as it may be hundreds of megabytes. It parses and measures nothing.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from benchmarks.load.client import drive_all, run
from benchmarks.load.control import Control
from benchmarks.load.plan import LoadOrder, LoadRun
from benchmarks.processes import allow_many_files, on_core

__all__ = ("LoadWorker", "WorkerError", "main")

_PROJECT: Final = Path(__file__).parents[2]
_STOP: Final = signal.SIGTERM
_STOP_TIMEOUT_S: Final = 10.0
_MAX_SHOWN: Final = 2_000


class WorkerError(RuntimeError):
    """A load client that died, or failed at something that is not a stream's fault; the message says what it said."""


class LoadWorker:
    """One load client process, used as a context manager. It is ended by its id, whatever it is doing.

    Args:
        core: which of the machine's cores it runs on, as in `benchmarks.processes.on_core`: 0 is the server's, any
            other a client's.
    """

    def __init__(self, core: int = 1) -> None:
        self._core = core
        self._driving = threading.Lock()

    def __enter__(self) -> LoadWorker:
        self._said = tempfile.TemporaryFile()
        with on_core(self._core):  # a process inherits it
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.load.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
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
            for pipe in (self._process.stdin, self._process.stdout, self._said):
                with suppress(OSError):  # what was not yet written can no longer be
                    if pipe is not None:
                        pipe.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def stop(self) -> None:
        """Have all that is open left and nothing more begun, from now on. What came of it is handed back as ever."""
        with suppress(ProcessLookupError):
            self._process.send_signal(_STOP)

    def fileno(self) -> int:
        """Return what is ready to be read when it has something to say, or has died."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def drive_all(self, orders: Sequence[LoadOrder]) -> list[LoadRun]:
        """Have several orders done side by side, and wait. Blocks; a second thread waits for the first.

        Raises:
            WorkerError: the process died, or could not do it.
        """
        with self.driving(orders) as wait:
            return wait()

    @contextmanager
    def driving(self, orders: Sequence[LoadOrder]) -> Generator[Callable[[], list[LoadRun]]]:
        """Have orders done while the block does something else. It is given what waits for them, to be called once.

        Raises:
            WorkerError: as `drive_all`, here or while it is waited. After a block that was left without waiting, the
                worker can only be ended.
        """
        with self._driving, tempfile.TemporaryDirectory(prefix="tokenweir-") as folder:
            path = Path(folder) / "runs"
            with self._dying_in_words():
                self._send((list(orders), path))
            yield lambda: self._runs(path)

    def _runs(self, path: Path) -> list[LoadRun]:
        with self._dying_in_words():
            problem = self._receive()
        if problem:
            raise WorkerError(f"the load client failed:\n{problem}")
        with path.open("rb") as file:
            runs: list[LoadRun] = pickle.load(file)
        return runs

    @contextmanager
    def _dying_in_words(self) -> Generator[None]:
        try:
            yield
        except (OSError, EOFError, pickle.UnpicklingError, ValueError):
            raise WorkerError(self._obituary()) from None

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()

    def _receive(self) -> str:
        assert self._process.stdout is not None
        problem: str = pickle.load(self._process.stdout)
        return problem

    def _obituary(self) -> str:
        code = self._process.wait(_STOP_TIMEOUT_S)
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()[-_MAX_SHOWN:]
        return f"the load client (process {self.pid}) ended with code {code}" + (f"; it said:\n{said}" if said else "")


# --- In the process ------------------------------------------------------------------------------------------------


def main() -> None:
    """Do orders until stdin ends."""
    orders_in, answers_out = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # whoever prints disturbs nothing
    control = Control()
    signal.signal(_STOP, lambda number, frame: control.stop())
    allow_many_files()
    while (message := _next_message(orders_in)) is not None:
        orders, path = message
        try:
            _do(orders, path, control)
            problem = ""
        except Exception:  # whatever it is, the parent hears of it
            problem = traceback.format_exc()
        pickle.dump(problem, answers_out)
        answers_out.flush()


def _next_message(source: IO[bytes]) -> tuple[list[LoadOrder], Path] | None:
    try:
        message: tuple[list[LoadOrder], Path] = pickle.load(source)
    except EOFError:
        return None
    return message


def _do(orders: Sequence[LoadOrder], path: Path, control: Control) -> None:
    runs = run(drive_all(orders, control))
    with path.open("wb") as file:
        pickle.dump(runs, file, protocol=pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    main()
