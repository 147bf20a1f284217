"""How far a run is: a bar on a terminal, one plain line per step elsewhere, where nobody wants cursor codes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from benchmarks.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

__all__ = ("Lines", "Progress", "Silent", "shown_on")


class Progress(Protocol):
    """Who is told how far a run is."""

    def begin(self, step_count: int) -> None:
        """Say how many steps there will be."""

    def step(self, title: str) -> None:
        """Say that the next step begins; the one before has ended."""

    def note(self, text: str) -> None:
        """Say what a user should know at once."""


class Silent:
    """Nobody is told."""

    def begin(self, step_count: int) -> None:
        """Do nothing."""

    def step(self, title: str) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


class Lines:
    """One line per step. What is said when nobody reads any more is lost, and the run goes on."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._number = self._count = 0

    def begin(self, step_count: int) -> None:
        """Say how many steps there will be."""
        self._count = step_count

    def step(self, title: str) -> None:
        """Print a line."""
        self._number += 1
        self._print(f"[{self._number}/{self._count}] {title}")

    def note(self, text: str) -> None:
        """Print a line."""
        self._print(text)

    def _print(self, line: str) -> None:
        # Not by the console: it ends the process when nobody reads any more.
        with suppress(BrokenPipeError):
            print(line, file=self._console.file, flush=True)


class _Live:
    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar = bar
        self._task = task
        self._begun = 0

    def begin(self, step_count: int) -> None:
        self._bar.update(self._task, total=step_count)

    def step(self, title: str) -> None:
        # The bar shows what is done, and the title what is being done.
        self._bar.update(self._task, completed=self._begun, description=title)
        self._begun += 1

    def note(self, text: str) -> None:
        self._bar.console.print(printable(text), markup=False, highlight=False)


@contextmanager
def shown_on(console: Console) -> Generator[Progress]:
    """Show progress on `console`; a bar is gone afterwards."""
    if not console.is_terminal:
        yield Lines(console)
        return
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    with Progress(
        BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), text, console=console, transient=True
    ) as bar:
        yield _Live(bar, bar.add_task(escape("starting"), total=None))
