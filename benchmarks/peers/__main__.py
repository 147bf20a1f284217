"""`python -m benchmarks.peers`: build the servers of other stacks, and measure ours beside them in one run."""

from __future__ import annotations

import signal
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.peers.comparison import save, table
from benchmarks.peers.registry import PEERS, Peer
from benchmarks.peers.side_by_side import CASES, FULL, QUICK, compare

__all__ = ("Kind", "measure")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Kind(Enum):
    """What can be measured alone."""

    FIREHOSE = "firehose"
    PACED = "paced"
    MEMORY = "memory"


@app.command()
def measure(
    quick: Annotated[bool, typer.Option(help="One round, shorter windows: to see that it works.")] = False,
    output: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write rows and environment here, as JSON.")
    ] = None,
    case: Annotated[list[Kind] | None, typer.Option(help="Only this; may be given again.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only peers with this in their name or stack; may be given again.")
    ] = None,
) -> None:
    """Measure ours beside every server of another stack, over loopback, on two cores where there are two.

    A peer that lacks something is skipped, with what to install. Exits with 1 if a build or a measurement failed; a
    goal that was missed is no failure.
    """
    # As an exception it passes through what ends the servers.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    _check_writable(output)
    chosen = [each for each in CASES if not case or Kind(each.name) in case]
    console = Console()
    with console.status("starting") as status:
        say = status.update if console.is_terminal else Console(stderr=True).print
        came = compare(_peers(only or []), QUICK if quick else FULL, cases=chosen, quick=quick, say=say)
    console.print(table(came))
    if output is not None:
        save(came, output)
    raise typer.Exit(int(came.has_failures))


def _peers(only: list[str]) -> list[Peer]:
    wanted = [text.casefold() for text in only]
    chosen = [
        peer
        for peer in PEERS
        if not wanted or any(text in f"{peer.name} {peer.stack.value}".casefold() for text in wanted)
    ]
    if not chosen:
        names = ", ".join(peer.name for peer in PEERS)
        raise typer.BadParameter(f"--only: no peer has {' or '.join(only)} in its name or stack; there are {names}")
    return chosen


def _check_writable(output: Path | None) -> None:
    if output is not None and not output.parent.is_dir():
        raise typer.BadParameter(f"--output: the folder {output.parent} is not there")


if __name__ == "__main__":
    app()
