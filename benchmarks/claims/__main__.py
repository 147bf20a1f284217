"""`python -m benchmarks.claims`: make the experiments, and say what becomes of each claim.

Exit codes: 0 whatever the verdicts; 1 an experiment broke off; 2 wrong usage; 130 interrupted, and what was found out
before is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from benchmarks.claims.claim import Claim
from benchmarks.claims.page import page
from benchmarks.claims.registry import CLAIMS, claim
from benchmarks.claims.showing import Checked, show, to_json
from benchmarks.claims.tools import versions
from benchmarks.environment import environment
from benchmarks.interrupts import INTERRUPTED_EXIT, interruptible
from benchmarks.options import check_writable
from benchmarks.printable import wide_enough
from benchmarks.printing import as_far_as_it_is_read, tell
from benchmarks.results import write_whole

__all__ = ("check",)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_OUTPUT: Final = Path("tokenweir-results") / "claims.html"
_ENDINGS: Final = (".html", ".json")


@app.command()
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME ...]", help=f"Only these: {', '.join(each.name for each in CLAIMS)}."),
    ] = None,
    output: Annotated[
        Path, typer.Option(dir_okay=False, help="Where the page (.html) or all figures (.json) are written.")
    ] = _OUTPUT,
) -> None:
    """Put popular statements about streams to the test, a few seconds each.

    What needs Java or a browser says so where there is none. The first run with Java builds for minutes. Interrupted,
    it writes what was found out and exits with 130.
    """
    chosen = _chosen(names or [])
    _check_output(output)
    surroundings = environment()
    checked = _checked(chosen)
    interrupted = len(checked) < len(chosen)
    if interrupted:
        tell(f"Interrupted: {len(checked)} of {len(chosen)} claims were checked.")
    if checked:
        write_whole(output, _written(checked, surroundings, output, interrupted=interrupted))
        console = wide_enough(Console())
        with as_far_as_it_is_read():
            show(checked, console)
            console.print(f"\nwritten: {output}", markup=False, highlight=False)
    raise typer.Exit(INTERRUPTED_EXIT if interrupted else int(any(each.evidence.failed for each in checked)))


def _checked(chosen: Sequence[Claim]) -> list[Checked]:
    """Make the experiments, until an interrupt; the one that it meets is lost."""
    checked: list[Checked] = []
    with suppress(KeyboardInterrupt), interruptible():
        for number, each in enumerate(chosen, start=1):
            tell(f"[{number}/{len(chosen)}] checking: {each.statement}")
            checked.append(Checked(each, each.check()))
    return checked


def _chosen(names: list[str]) -> list[Claim]:
    try:
        return [claim(name) for name in dict.fromkeys(names)] or list(CLAIMS)
    except ValueError as error:
        raise typer.BadParameter(f"NAME: {error}") from None


def _check_output(output: Path) -> None:
    if output.suffix not in _ENDINGS:
        raise typer.BadParameter(f"--output must end in {' or '.join(_ENDINGS)}; got {str(output)!r}")
    if output != _OUTPUT and not output.parent.is_dir():
        raise typer.BadParameter(f"--output: the folder {output.parent} is not there")
    check_writable(output.parent)


def _written(checked: Sequence[Checked], surroundings: dict[str, Any], output: Path, *, interrupted: bool) -> bytes:
    needs = dict.fromkeys(need for each in checked for need in (*each.claim.needs, *each.claim.helps))
    found = surroundings | {"originals": versions(needs)}
    if output.suffix == ".json":
        return to_json(checked, found, interrupted=interrupted)
    return page(checked, found, interrupted=interrupted).encode()


if __name__ == "__main__":
    app()
