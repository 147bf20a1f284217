"""The schedules through the real operators, in one Java process."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any

import msgspec

from benchmarks.peers import jvm
from benchmarks.peers.semantics.schedules import Schedule, Seen

__all__ = ("Originals", "originals")


class _Reported(msgspec.Struct):
    """What the Java program says of one step; `discarded` is what Reactor's hooks heard."""

    next: list[str | None] = []
    dropped: list[str | None] = []
    discarded: list[str | None] = []
    ends: list[str] = []
    raised: list[str] = []

    def seen(self) -> Seen:
        only_discarded = [item for item in self.discarded if item not in self.dropped]
        return Seen(tuple(self.next), (*self.dropped, *only_discarded), tuple(self.ends), tuple(self.raised))


class _Answer(msgspec.Struct):
    name: str
    steps: list[_Reported]


class Originals:
    """A running Java program that answers each schedule; it remembers its answers."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._known: dict[Schedule, tuple[Seen, ...]] = {}

    def run(self, schedule: Schedule) -> tuple[Seen, ...]:
        """Return what was seen during each step.

        Raises:
            RuntimeError: the program has ended.
        """
        if schedule not in self._known:
            self._known[schedule] = self._ask(schedule)
        return self._known[schedule]

    def _ask(self, schedule: Schedule) -> tuple[Seen, ...]:
        questions, answers = _pipe(self._process.stdin), _pipe(self._process.stdout)
        questions.write(msgspec.json.encode(schedule) + b"\n")
        questions.flush()
        line = answers.readline()
        if not line:
            raise RuntimeError(f"the program ended at {schedule.name!r}; it says why on its stderr")
        return tuple(step.seen() for step in msgspec.json.decode(line, type=_Answer).steps)


@contextmanager
def originals() -> Generator[Originals]:
    """Run the Java program, built before if it has to be.

    Raises:
        RuntimeError: java or mvn is missing, or the build failed; the message says what to do.
    """
    command = jvm.command("semantics")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Originals(process)
        _pipe(process.stdin).close()


def _pipe(pipe: IO[Any] | None) -> IO[bytes]:
    assert pipe is not None  # both were asked for
    return pipe
