"""Servers as processes of their own: started on one core, asked for CPU time and memory, ended by their id.

The figures of a process are read from Linux's /proc. Elsewhere CPU shares are unknown and memory is not measured.

No server outlives who started it: a signal that comes while servers start waits until their ids are noted; and if the
starter is killed so that it can end nothing, Linux ends them with it (PR_SET_PDEATHSIG; a server that was started
from another thread than the main one is not bound so, because it would end with the thread). Elsewhere a server is left
behind by a starter that is killed with SIGKILL; everywhere the folder of its temporary files is.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from benchmarks.interrupts import held

__all__ = (
    "HAS_PROC",
    "Cores",
    "ServerProcess",
    "allow_many_files",
    "cores",
    "on_core",
    "running",
    "running_all",
    "starting_all",
)

HAS_PROC: Final = Path("/proc/self/status").exists()
"""Whether CPU time and memory of another process can be read."""

_PROJECT: Final = Path(__file__).parents[1]
_START_TIMEOUT_S: Final = 90.0  # the first start compiles, and a dozen servers may start at once
_STOP_TIMEOUT_S: Final = 10.0
_GRACE_S: Final = 3.0
_POLL_S: Final = 0.02
_ADDRESS: Final = re.compile(rb"http://127\.0\.0\.1:(\d+)")
_KIB: Final = 1024
_RECORD: Final = b'{"stream":'

# What a new process does before it becomes the server, which keeps this. A starter that was killed before is noticed.
_BOUND: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("whoever started this server has gone")
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]} cannot be run: {error.strerror}")
"""


class ServerProcess:
    """One server that is being run.

    Its output goes into a file, as a full pipe would stop it. Its temporary files go into a folder of its own, as it is
    ended without the time to remove them.
    """

    def __init__(self, command: Sequence[str], output: IO[bytes], temporary: str) -> None:
        self._command = command
        self._output = output
        self._process = subprocess.Popen(
            _bound(command),
            stdout=output,
            stderr=output,
            cwd=_PROJECT,
            env=_with_temporary(temporary),
            process_group=0,
        )
        self.port = 0
        """Where it listens on 127.0.0.1; 0 until `wait_listening` has returned."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_listening(self) -> None:
        """Wait until it has printed its address.

        Raises:
            RuntimeError: it ended before, or took more than a minute and a half.
        """
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not (address := _ADDRESS.search(self._printed())):
            if (ended := self.has_ended) or time.monotonic() > deadline_s:
                late = "" if ended else f" after {_START_TIMEOUT_S:.0f} s"
                raise RuntimeError(f"{' '.join(self._command)} does not listen{late}; it printed:\n{self.last_words()}")
            time.sleep(_POLL_S)
        self.port = int(address[1])

    @property
    def has_ended(self) -> bool:
        """Whether it has, by itself or because it was ended."""
        return self._process.poll() is not None

    def last_words(self) -> str:
        """Return the end of what it has printed."""
        return self._printed().decode(errors="replace")[-2000:].rstrip() or "(nothing)"

    def _printed(self) -> bytes:
        number = self._output.fileno()
        return os.pread(number, os.fstat(number).st_size, 0)

    def records(self) -> dict[str, dict[str, Any]]:
        """Return what our server has logged of each stream that has ended: its id -> the record.

        A record has "stream", "reason", "parameters" and "statistics"; see `servers.session`. Lines that are none are
        left out, such as one that is being written.
        """
        records: dict[str, dict[str, Any]] = {}
        for line in self._printed().splitlines():
            if line.startswith(_RECORD):
                with suppress(ValueError):
                    record = json.loads(line)
                    records[record["stream"]] = record
        return records

    def pin(self, number: int) -> None:
        """Run it on one core from now on, as `on_core`. Nothing where it cannot be."""
        core = cores().of(number)
        if core is None or not HAS_PROC:
            return
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), {core})

    def cpu_s(self) -> float | None:
        """Return the CPU time of the process so far in seconds, in steps of the system's clock tick."""
        if not HAS_PROC:
            return None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        """Return its resident memory.

        Raises:
            RuntimeError: the system has no /proc, or the process has ended.
        """
        if not HAS_PROC:
            raise RuntimeError("the memory of a process is read from /proc, which this system does not have")
        resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self._process.pid}/status").read_text())
        if resident is None:  # it waits for its end to be read, and has no memory any more
            raise RuntimeError(f"{' '.join(self._command)} has ended")
        return int(resident[1]) * _KIB

    def ask_to_end(self) -> None:
        """Ask it to end, if it has processes of its own: it ends them, and removes what they share.

        One without is given no time for what it would tidy up: whoever started it removes its temporary files.
        """
        if self._has_children():
            self._process.terminate()

    def end(self, deadline_s: float) -> None:
        """End it. Open streams get no time: what was to be measured has been.

        Args:
            deadline_s: until when, by `time.monotonic`, it may end by itself once it was asked to.
        """
        while self._has_children() and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
        with suppress(ProcessLookupError):  # the group: it may have left children behind
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_STOP_TIMEOUT_S)

    def _has_children(self) -> bool:
        """Whether it has processes of its own; where that cannot be seen, it may have."""
        if self._process.poll() is not None:
            return False
        with suppress(OSError):
            return any(path.read_text() for path in Path(f"/proc/{self._process.pid}/task").glob("*/children"))
        return not HAS_PROC


def _bound(command: Sequence[str]) -> Sequence[str]:
    """Return the command of a process that ends with this one, where that can be."""
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return command
    return (sys.executable, "-I", "-S", "-c", _BOUND, str(os.getpid()), *command)


def _with_temporary(folder: str) -> dict[str, str]:
    """Return the environment of a process whose temporary files go into a folder."""
    # Java does not go by TMPDIR.
    java = f'{os.environ.get("JAVA_TOOL_OPTIONS", "")} -Djava.io.tmpdir="{folder}"'.lstrip()
    return {**os.environ, "TMPDIR": folder, "JAVA_TOOL_OPTIONS": java}


@contextmanager
def running(command: Sequence[str]) -> Generator[ServerProcess]:
    """Run one server on the first core."""
    with running_all([command]) as (server,):
        yield server


@contextmanager
def running_all(commands: Sequence[Sequence[str]]) -> Generator[list[ServerProcess]]:
    """Run several servers on the first core; they start at the same time."""
    with ExitStack() as stack:
        with on_core(0):  # a process inherits it
            servers = stack.enter_context(starting_all(commands))
        for server in servers:
            server.wait_listening()
        yield servers


@contextmanager
def starting_all(commands: Sequence[Sequence[str]]) -> Generator[list[ServerProcess]]:
    """Start several servers at the same time, on any core, without waiting for one.

    On leaving they are ended, then their temporary files are removed.
    """
    allow_many_files()
    with ExitStack() as stack:
        servers: list[ServerProcess] = []
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        folders = [stack.enter_context(_temporary_folder()) for _ in commands]
        stack.callback(_stop_all, servers)
        for command, output, folder in zip(commands, outputs, folders, strict=True):
            with held():  # what was started is in the list when a signal is heard
                servers.append(ServerProcess(command, output, folder))
        yield servers


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    # A child of a server that was killed with it may go on for a moment.
    return tempfile.TemporaryDirectory(prefix="tokenweir-server-", ignore_cleanup_errors=True)


def _stop_all(servers: Sequence[ServerProcess]) -> None:
    """End all of them; those that are asked to end share their time. A signal waits until none is left."""
    with held(), ExitStack() as stack:
        deadline_s = time.monotonic() + _GRACE_S
        for server in servers:
            stack.callback(server.end, deadline_s)
            server.ask_to_end()


@dataclass(frozen=True, slots=True)
class Cores:
    """Which of the machine's cores are used for what.

    Attributes:
        server: the server's; None: the system cannot pin, or has one core only.
        clients: those of load clients, the first client's first; empty as above.
    """

    server: int | None = None
    clients: tuple[int, ...] = ()

    @property
    def client(self) -> int | None:
        """The core of a client that is alone."""
        return self.clients[0] if self.clients else None

    def of(self, number: int) -> int | None:
        """Return the core of the server (0) or of a client (from 1); clients for whom no core is left share them."""
        if number == 0 or not self.clients:
            return self.server
        return self.clients[(number - 1) % len(self.clients)]


def cores() -> Cores:
    """Say which cores are used, of those that this process may run on."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores()
    server, *clients = sorted(os.sched_getaffinity(0))
    return Cores(server, tuple(clients)) if clients else Cores()


@contextmanager
def on_core(number: int) -> Generator[None]:
    """Run this thread and what it starts on one core: 0 is the server's, the others are clients'.

    Nothing where it cannot be.
    """
    core = cores().of(number)
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_many_files() -> None:
    """Let this process, and those that it starts, have as many sockets as the system grants without asking."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems name a limit that they do not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
