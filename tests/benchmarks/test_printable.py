"""What others wrote does nothing to a terminal."""

from __future__ import annotations

from benchmarks.printable import printable

__all__ = ()


def test_controls_are_shown_as_question_marks_and_text_as_it_is() -> None:
    assert printable("a\x1b[2J\r\n\t\x9b 世界 é [red]") == "a?[2J????  世界 é [red]".replace("  ", " ")
