"""What a console can show: text of others made harmless (a server's words, a file's names), and room for tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ("printable", "wide_enough")


def printable(text: str) -> str:
    """Return the text with ? in place of what a terminal may obey instead of showing: controls, line ends, unassigned.

    Markup is another matter: print it with `markup=False`, or as `rich.text.Text`.
    """
    return "".join(character if character.isprintable() else "?" for character in text)


def wide_enough(console: Console, width: int = 140) -> Console:
    """Return a console of `width` characters, without colours, where there is no terminal to say how wide it is."""
    return console if console.is_terminal else type(console)(file=console.file, width=width, no_color=True)
