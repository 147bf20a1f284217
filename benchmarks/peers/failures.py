"""What went wrong, for a cell of a table: one line, that a terminal shows and does not obey."""

from __future__ import annotations

import re
from typing import Final, cast

from benchmarks.printable import printable

__all__ = ("in_words",)

_MOST: Final = 300
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


def in_words(error: Exception) -> str:
    """Return what an error says. Of the long output of a tool both ends are kept, of a group what is in it."""
    if isinstance(error, ExceptionGroup):
        group = cast("ExceptionGroup[Exception]", error)
        return "; ".join(dict.fromkeys(map(in_words, group.exceptions)))
    words = printable(" ".join(_COLOURS.sub("", str(error)).split())) or type(error).__name__
    return words if len(words) <= _MOST else f"{words[: _MOST // 2]} … {words[-_MOST // 2 :]}"
