"""Marble diagrams and tables in a notebook.

A diagram is sent as SVG and as text: a viewer that shows no SVG (a terminal, JupyterLab before a notebook is trusted)
shows the text. Nothing here depends on a clock or on chance, so that a lesson that is built again is the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from re import search
from typing import Any, Final
from unicodedata import east_asian_width

from IPython.display import display  # pyright: ignore[reportUnknownVariableType]

from streams.arguments import positive_int, shown
from streams.marbles import Diagram, describe, diagram_of, svg
from streams.marbles import text as drawn_as_text
from streams.traces import Trace

__all__ = ("drawing_of", "show", "show_marbles", "side_by_side", "table")

_FIRST_WHOLE: Final = 999.5  # three digits would round it to 1e+03
_GAP: Final = 14
_GROUND: Final = "fill:var(--marbles-ground,var(--md-paper))"  # as streams.marbles.look names them
_TITLE_HEIGHT: Final = 26
_WIDTH: Final = 760
_HALF_WIDTH: Final = 470


def show(bundle: Mapping[str, str], metadata: Mapping[str, Any] | None = None) -> None:
    """Display one output: media type -> content."""
    display(dict(bundle), raw=True, metadata=dict(metadata or {}))  # type: ignore[no-untyped-call]


def show_marbles(
    drawn: Trace | Diagram,
    title: str = "",
    *,
    width: int = _WIDTH,
    capacity: int | None = None,
    labels: Callable[[Any], str] | None = None,
    span_ms: float = 0,
) -> None:
    """Display a marble diagram, with its title above it.

    Args:
        drawn: a diagram, or the trace of a simulation to make one of.
        title: what it shows.
        width: in pixels, at least 240.
        capacity: of a trace's boundary, for the line above what is held.
        labels: what is written on the marbles of a trace.
        span_ms: the least length of a trace's axis.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.
    """
    diagram = _diagram(drawn, capacity, labels, span_ms)
    show(drawing_of([(title, diagram)], columns=1, width=width))


def side_by_side(
    *panels: tuple[str, Trace | Diagram],
    columns: int = 2,
    width: int | None = None,
    capacity: int | None = None,
    labels: Callable[[Any], str] | None = None,
) -> None:
    """Display several marble diagrams in one picture, all on an axis of the same length.

    Args:
        panels: (title, trace or diagram) of each.
        columns: how many stand in a row; 1 puts one below the other.
        width: of each in pixels; None: 760 in one column, 470 in several.
        capacity: of the traces' boundaries, for the line above what is held.
        labels: what is written on the marbles of traces.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.
    """
    if not panels:
        raise ValueError("panels must hold at least one (title, trace or diagram); got none")
    first = [_diagram(drawn, capacity, labels, 0) for _, drawn in panels]
    span_ms = max(diagram.span_ms for diagram in first)
    same = [Diagram(diagram.lanes, diagram.noun, span_ms) for diagram in first]
    titles = [title for title, _ in panels]
    each = width or (_WIDTH if columns == 1 else _HALF_WIDTH)
    show(drawing_of(list(zip(titles, same, strict=True)), columns=columns, width=each))


def table(rows: Sequence[Mapping[str, object]], caption: str = "") -> None:
    """Display a table. The columns are those of the first row; a value that is missing stays empty.

    Numbers are set to the right, floats with three significant digits, from 1,000 on as whole numbers.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("rows must hold at least one; got none")
    columns = list(rows[0])
    cells = [[_Cell.of(row.get(column, "")) for column in columns] for row in rows]
    show({"text/html": _html(columns, cells, caption), "text/plain": _plain(columns, cells, caption)})


# --- Diagrams --------------------------------------------------------------------------------------------------------


def _diagram(drawn: object, capacity: int | None, labels: Callable[[Any], str] | None, span_ms: float) -> Diagram:
    if isinstance(drawn, Diagram):
        return drawn
    if not isinstance(drawn, Trace):
        raise TypeError(f"what is drawn must be a Trace or a Diagram; got {shown(drawn)}")
    return diagram_of(drawn, capacity=capacity, labels=labels, span_ms=span_ms)


@dataclass(frozen=True, slots=True)
class _Panel:
    """One drawing: what stands between its style and its end, and how high it is."""

    title: str
    style: str
    body: str
    height: float

    @staticmethod
    def of(title: str, diagram: Diagram, width: int) -> _Panel:
        drawing = svg(diagram, width=width, prefix="panel")
        head, _, body = drawing.removesuffix("</svg>").partition("</style>")
        measured = search(r' height="([\d.]+)"', head)
        assert measured is not None
        return _Panel(title, head.partition("<style>")[2], body, float(measured[1]))

    @property
    def full_height(self) -> float:
        """With its title."""
        return self.height + (_TITLE_HEIGHT if self.title else 0)

    def at(self, x: float, y: float) -> str:
        words = f'<text x="12" y="20" style="font-size:14px;font-weight:600">{escape(self.title)}</text>'
        below = f'<g transform="translate(0 {_TITLE_HEIGHT})">{self.body}</g>' if self.title else self.body
        return f'<g transform="translate({x:g} {y:g})">{words if self.title else ""}{below}</g>\n'


def drawing_of(panels: Sequence[tuple[str, Diagram]], *, columns: int, width: int) -> dict[str, str]:
    """Return several diagrams as one output: media type -> content.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.
    """
    positive_int("columns", columns)
    drawn = [_Panel.of(title, diagram, width) for title, diagram in panels]
    marks, y = "", 0.0
    for start in range(0, len(drawn), columns):
        row = drawn[start : start + columns]
        marks += "".join(panel.at(place * (width + _GAP), y) for place, panel in enumerate(row))
        y += max(panel.full_height for panel in row) + _GAP
    columns = min(columns, len(drawn))
    words = " ".join(f"{title}: {describe(diagram)}" if title else describe(diagram) for title, diagram in panels)
    name = "; ".join(title for title, _ in panels if title) or "Marble diagram"
    return {
        "image/svg+xml": _whole(drawn[0].style, marks, columns * (width + _GAP) - _GAP, y - _GAP, name, words),
        "text/plain": "\n\n".join(f"{title}\n{drawn_as_text(diagram)}".strip("\n") for title, diagram in panels),
    }


def _whole(style: str, marks: str, width: float, height: float, name: str, words: str) -> str:
    """Put drawings into one SVG element. Its ids come from what it shows: two on one page do not share them."""
    prefix = "m" + sha256((name + words + marks).encode()).hexdigest()[:10]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="marble-diagram" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-labelledby="{prefix}-title {prefix}-desc">'
        f'<title id="{prefix}-title">{escape(name)}</title><desc id="{prefix}-desc">{escape(words)}</desc>'
        f"<style>{style}</style>\n"
        f'<rect style="{_GROUND}" width="{width:g}" height="{height:g}" rx="8"/>\n{marks}</svg>'
    )


# --- Tables ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cell:
    words: str
    is_number: bool

    @staticmethod
    def of(value: object) -> _Cell:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return _Cell("" if value is None else str(value), False)
        if isinstance(value, int):
            return _Cell(f"{value:,}", True)
        return _Cell(f"{value:.3g}" if abs(value) < _FIRST_WHOLE else f"{value:,.0f}", True)


def _html(columns: Sequence[str], cells: Sequence[Sequence[_Cell]], caption: str) -> str:
    head = "".join(f'<th style="text-align:left">{escape(column)}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(map(_html_cell, row))}</tr>\n" for row in cells)
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{above}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>"


def _html_cell(cell: _Cell) -> str:
    return f'<td style="text-align:{"right" if cell.is_number else "left"}">{escape(cell.words)}</td>'


def _plain(columns: Sequence[str], cells: Sequence[Sequence[_Cell]], caption: str) -> str:
    lines = [[_Cell(column, False) for column in columns], *cells]
    widths = [max(_places(line[at].words) for line in lines) for at in range(len(columns))]
    written = ["  ".join(_padded(cell, width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(line.rstrip() for line in ([caption] if caption else []) + written)


def _padded(cell: _Cell, width: int) -> str:
    space = " " * (width - _places(cell.words))
    return space + cell.words if cell.is_number else cell.words + space


def _places(words: str) -> int:
    """Return how many places of a terminal a text takes: a Chinese character takes two."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in words)
