"""Marble diagrams of what really happened: what a diagram holds, and how it is drawn.

    from a simulated trace       diagram_of(trace)                    \
    from a recorded stream       diagram_of_recording(items, ...)      }  Diagram  ->  svg, text, describe
    from anything else           Diagram((Lane(...), ...))            /

A diagram is frozen data. The three drawings show the same and nothing else; none of them reads a clock or the machine,
so that the same diagram is the same text everywhere.
"""

from __future__ import annotations

from streams.marbles.diagram import Bar, BarKind, Diagram, Held, Lane, Marble, MarbleKind, Tick, Wait
from streams.marbles.drawing import svg
from streams.marbles.recorded import RecordedItem, diagram_of_recording
from streams.marbles.strings import text
from streams.marbles.traced import diagram_of
from streams.marbles.words import describe

__all__ = (
    "Bar",
    "BarKind",
    "Diagram",
    "Held",
    "Lane",
    "Marble",
    "MarbleKind",
    "RecordedItem",
    "Tick",
    "Wait",
    "describe",
    "diagram_of",
    "diagram_of_recording",
    "svg",
    "text",
)
