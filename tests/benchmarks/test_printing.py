"""What is printed for nobody, or cannot be written, ends the printing alone, and no program."""

from __future__ import annotations

import pytest

from tests.benchmarks.unread import NOWHERE, unread

__all__ = ()

PRINTS = """
import sys
from rich.console import Console
from benchmarks.printing import as_far_as_it_is_read, tell

with as_far_as_it_is_read():
    {words}
tell("told")
with as_far_as_it_is_read():
    print("and again")
sys.exit(7)
"""

SEMANTICS = """
import sys
from contextlib import nullcontext
from benchmarks.peers.semantics import __main__ as command

command.originals = nullcontext
command.compare = lambda *_: []
sys.exit(command.main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("words", ["print('one line')", "print('x' * 100_000)", "Console().print('x ' * 10_000)"])
def test_reader_that_goes_ends_the_printing_alone(words: str) -> None:
    assert unread(PRINTS.format(words=words)) == 7


@pytest.mark.slow
@pytest.mark.parametrize("where", NOWHERE)
@pytest.mark.parametrize("words", ["print('one line')", "print('x' * 100_000)", "Console().print('x ' * 10_000)"])
def test_words_that_cannot_be_written_end_the_printing_alone(words: str, where: str) -> None:
    assert unread(PRINTS.format(words=words), where=where) == 7


@pytest.mark.slow
def test_semantics_that_nobody_reads_end_as_others() -> None:
    assert unread(SEMANTICS) == 0
