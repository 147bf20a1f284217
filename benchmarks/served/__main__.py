"""`python -m benchmarks.served`: measure the goals of the server, one case or all."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from benchmarks.printable import wide_enough
from benchmarks.served import delay, firehose, memory, paced, stalled
from benchmarks.served.report import Result, table, to_json

__all__ = ("Case", "measure")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Case(Enum):
    """What can be measured."""

    FIREHOSE = "firehose"
    PACED = "paced"
    MEMORY = "memory"
    STALLED = "stalled"
    DELAY = "delay"
    ALL = "all"


_CASES: Final[dict[Case, Callable[[bool], list[Result]]]] = {
    Case.FIREHOSE: lambda quick: firehose.firehose(firehose.QUICK if quick else firehose.FULL),
    Case.PACED: lambda quick: paced.paced(paced.QUICK if quick else paced.FULL),
    Case.MEMORY: lambda quick: memory.memory(memory.QUICK if quick else memory.FULL),
    Case.STALLED: lambda quick: stalled.stalled(stalled.QUICK if quick else stalled.FULL),
    Case.DELAY: lambda quick: delay.delay(delay.QUICK if quick else delay.FULL),
}


@app.command()
def measure(
    case: Annotated[Case, typer.Argument(help="What to measure.")],
    quick: Annotated[bool, typer.Option(help="Fewer tokens, shorter windows: to see that it works.")] = False,
    output: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write all raw values and the environment here, as JSON.")
    ] = None,
) -> None:
    """Measure the goals of the server beside its peers, over loopback, on two cores where there are two."""
    # As an exception it passes through what ends the servers.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    console = wide_enough(Console())
    results: list[Result] = []
    for each in _CASES if case is Case.ALL else (case,):
        with console.status(f"measuring {each.value}"):
            results += _CASES[each](quick)
    console.print(table(results))
    if output is not None:
        output.write_text(to_json(results), encoding="utf-8")


if __name__ == "__main__":
    app()
