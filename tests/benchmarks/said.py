"""What a command said, to be compared with a line."""

from __future__ import annotations

from typer.testing import Result

__all__ = ("said",)


def said(result: Result) -> str:
    """Return what was printed as one line, without the frame around an error."""
    return " ".join(result.output.replace("│", " ").split())
