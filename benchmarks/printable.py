"""Text of others made harmless for a terminal: a server's words, a file's names."""

from __future__ import annotations

__all__ = ("printable",)


def printable(text: str) -> str:
    """Return the text with ? in place of what a terminal may obey instead of showing: controls, line ends, unassigned.

    Markup is another matter: print it with `markup=False`, or as `rich.text.Text`.
    """
    return "".join(character if character.isprintable() else "?" for character in text)
