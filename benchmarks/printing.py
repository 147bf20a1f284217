"""Printing for somebody who may stop reading, as `| head` does."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

__all__ = ("as_far_as_it_is_read", "tell")


@contextmanager
def as_far_as_it_is_read() -> Generator[None]:
    """Print, and end the printing alone when nobody reads any more: behind the block the program goes on."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich makes the second of the first
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(line: str) -> None:
    """Print a line on stderr; it is lost when nobody reads any more."""
    with suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)
