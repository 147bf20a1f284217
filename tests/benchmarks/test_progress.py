"""What is shown while a run goes on."""

from __future__ import annotations

import io
import os

import pytest
from rich.console import Console

from benchmarks.progress import shown_on

__all__ = ()


def shown(*, on_terminal: bool) -> str:
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=on_terminal, width=120, color_system="standard" if on_terminal else None
    )
    with shown_on(console) as progress:
        progress.begin(2)
        progress.step("slow-reader: 15 cells [side] by side")
        progress.note("ERROR [x]")
        progress.step("firehose: flux")
    return file.getvalue()


def test_pipe_gets_one_plain_line_per_step() -> None:
    assert shown(on_terminal=False).splitlines() == [
        "[1/2] slow-reader: 15 cells [side] by side",
        "ERROR [x]",
        "[2/2] firehose: flux",
    ]


def test_terminal_gets_a_bar_that_says_what_is_being_done_and_notes_that_stay() -> None:
    text = shown(on_terminal=True)
    assert "1/2" in text
    assert "firehose: flux" in text
    assert "ERROR [x]" in text


def test_pipe_that_nobody_reads_any_more_does_not_end_the_run() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    file = os.fdopen(writing, "w")
    with shown_on(Console(file=file)) as progress:
        progress.begin(1)
        progress.step("slow-reader")
        progress.note("ERROR")
    with pytest.raises(BrokenPipeError):
        file.close()
