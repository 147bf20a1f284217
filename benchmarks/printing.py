"""Printing for somebody who may stop reading, as `| head` does, or to where nothing can be written."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

__all__ = ("as_far_as_it_is_read", "tell")


@contextmanager
def as_far_as_it_is_read() -> Generator[None]:
    """Print, and end the printing alone when it cannot go on: behind the block the program does."""
    if sys.stdout is None:  # it was closed before the program began, and what is printed goes nowhere
        yield
        return
    try:
        yield
        sys.stdout.flush()
    except (OSError, SystemExit):  # rich makes the second of a pipe that nobody reads
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(line: str) -> None:
    """Print a line on stderr; it is lost where that cannot be."""
    if sys.stderr is not None:  # print would take stdout in its place
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)
