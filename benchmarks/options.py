"""What is typed behind a command, checked before any work is done: each refusal says what is accepted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from benchmarks.measures.computing import Slo
    from benchmarks.scenarios.cells import Scenario
    from benchmarks.scenarios.presets import Preset
    from benchmarks.scenarios.readers import ReaderProfile

__all__ = ("PRESET_NAMES", "check_slo_is_measured", "check_writable", "only", "preset", "reader", "slo")


PRESET_NAMES: Final = (
    *("quick", "full", "slow-reader", "stalled", "fan-out", "firehose", "sse-vs-websocket", "ordering"),
)
"""What `--help` says: to import the presets for it takes long. A test holds them to be the same."""


def preset(name: str) -> Preset:
    """Return the preset of a name."""
    from benchmarks.scenarios.presets import PRESETS

    if name not in PRESETS:
        raise typer.BadParameter(f"PRESET must be one of {', '.join(PRESETS)}; got {name!r}")
    return PRESETS[name]


def only(chosen: Preset, names: list[str]) -> tuple[Scenario, ...]:
    """Return the scenarios of a preset that are named; all of them if none is."""
    known = [scenario.name for scenario in chosen.scenarios]
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"--only must be one of {', '.join(known)} for {chosen.name}; got {name!r}")
    return tuple(scenario for scenario in chosen.scenarios if not names or scenario.name in names)


def slo(text: str | None, *, with_delay: bool = False) -> Slo | None:
    """Return the limits that "ttft=200,itl=50" means, in ms.

    Args:
        text: as it was typed.
        with_delay: whether tokens say when they left their source, as those of our own server do: only then is there a
            delay to be limited.
    """
    if text is None:
        return None
    from benchmarks.measures.computing import Slo

    limits: dict[str, float] = {}
    names = ("ttft", "itl", "delay") if with_delay else ("ttft", "itl")
    *others, last = (f"{name}=MS" for name in names)
    accepted = f"--slo must be {', '.join(others)} or {last}, several with commas"
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name == "delay" and not with_delay:
            raise typer.BadParameter(f"{accepted}: an endpoint does not say when a token left its source; got {text!r}")
        if name not in names or f"{name}_ms" in limits:
            raise typer.BadParameter(f"{accepted}, each once; got {text!r}")
        try:
            limits[f"{name}_ms"] = float(number)
        except ValueError:
            raise typer.BadParameter(f"{accepted}; got {text!r}") from None
    try:
        return Slo(**limits)
    except ValueError as error:
        raise typer.BadParameter(f"--slo: {error}") from None


def check_slo_is_measured(wanted: Slo | None, scenarios: tuple[Scenario, ...]) -> None:
    """Refuse limits that no stream would be held against."""
    if wanted is not None and not any(cell.trace for scenario in scenarios for cell in scenario.cells):
        names = ", ".join(scenario.name for scenario in scenarios)
        raise typer.BadParameter(f"--slo: the tokens of {names} are only counted, so that no limit can be held against")


def check_writable(folder: Path, *names: str) -> None:
    """Find out before anything is measured whether files can be written, those of these names over what is there."""
    trial = folder / f".trial.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        reason = f"{folder} is a file" if folder.is_file() else error.strerror
        raise typer.BadParameter(
            f"--output: cannot write into {folder}: {reason}; it must be a folder, there or to be made"
        ) from None
    for name in names:
        if (folder / name).is_dir():
            raise typer.BadParameter(
                f"--output: cannot write {folder / name}: it is a folder; remove it, or give another --output"
            )


def reader(text: str) -> ReaderProfile:
    """Return the reader that "fast", "paced:20tokens/s", "stalled:2s", ... names."""
    from benchmarks.scenarios.readers import parse_reader

    try:
        return parse_reader(text)
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(f"--reader: {error}") from None
