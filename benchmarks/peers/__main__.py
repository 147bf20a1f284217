"""`python -m benchmarks.peers`: build the servers of other stacks, and measure ours beside them in one run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from benchmarks.interrupts import INTERRUPTED_EXIT, interruptible
from benchmarks.options import check_writable
from benchmarks.peers.comparison import WARMED_UP, Comparison, save, skipped_lines, table
from benchmarks.peers.registry import PEERS, Peer
from benchmarks.peers.side_by_side import CASES, FULL, QUICK, Case, compare
from benchmarks.printable import wide_enough
from benchmarks.printing import as_far_as_it_is_read, tell
from benchmarks.progress import Lines
from benchmarks.report import PEERS as FILE
from benchmarks.report.stacks import write_page

__all__ = ("Kind", "measure")

_OUTPUT: Final = Path("tokenweir-results")
_PAGE: Final = "peers.html"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Kind(Enum):
    """What can be measured alone."""

    FIREHOSE = "firehose"
    PACED = "paced"
    MEMORY = "memory"


@app.command()
def measure(
    quick: Annotated[bool, typer.Option(help="One round, shorter windows: to see that it works.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for peers.json and peers.html.")] = _OUTPUT,
    case: Annotated[list[Kind] | None, typer.Option(help="Only this; may be given again.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only peers with this in their name or stack; may be given again.")
    ] = None,
) -> None:
    """Measure ours beside every server of another stack, over loopback, on two cores where there are two.

    A peer that lacks something is skipped, with what to install. A report that is written into the same folder later
    shows the comparison, too. Exits with 1 if a build or a measurement failed; a goal that was missed is no failure.
    Interrupted, it writes what was measured and exits with 130.
    """
    peers = _peers(only or [])
    check_writable(output, FILE, _PAGE)
    chosen = [each for each in CASES if not case or Kind(each.name) in case]
    console = wide_enough(Console())
    came = _measured(peers, chosen, console, quick=quick)
    came.created = datetime.now(UTC).isoformat(timespec="seconds")
    came.warm_up_s = _warm_up_s(came, peers)
    unwritten = _write(came, output)
    with as_far_as_it_is_read():
        console.print(table(came))
        for line in skipped_lines(came):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if not unwritten:
            typer.echo(f"\nresults  {output / FILE}\nreport   {output / _PAGE}")
    if unwritten:
        tell(unwritten)
        raise typer.Exit(1)
    raise typer.Exit(INTERRUPTED_EXIT if came.interrupted else int(came.has_failures))


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


def _measured(peers: Sequence[Peer], cases: Sequence[Case], console: Console, *, quick: bool) -> Comparison:
    came: Comparison | None = None
    try:
        with interruptible(), console.status("starting") as status:
            say = status.update if console.is_terminal else Lines(Console(stderr=True)).note
            came = compare(peers, QUICK if quick else FULL, cases=cases, quick=quick, say=say)
    except KeyboardInterrupt:  # while they were built, or after it had ended
        pass
    if came is None or (came.interrupted and not came.rows):
        tell("Interrupted before anything was measured.")
        raise typer.Exit(INTERRUPTED_EXIT)
    if came.interrupted:
        tell("Interrupted: what was measured is being written.")
    return came


def _warm_up_s(came: Comparison, peers: Iterable[Peer]) -> dict[str, float]:
    measured = {row.contender for row in came.rows if row.case in WARMED_UP}
    return {peer.name: peer.warm_up_s for peer in peers if peer.warm_up_s and peer.name in measured}


def _write(came: Comparison, folder: Path) -> str:
    """Return why something cannot be written; empty: all was. What was measured is printed in any case."""
    failures: list[str] = []
    for write, name in ((save, FILE), (write_page, _PAGE)):
        try:
            write(came, folder / name)
        except OSError as error:
            failures.append(f"{folder / name} cannot be written: {error.strerror or error}")
    return "\n".join(failures)


if __name__ == "__main__":
    app()
