"""From the bytes of a stream to the tokens in it.

    captures.py  Capture: bytes as they came, with times; Trace: the tokens that arrived, in columns
    framing.py   HTTP bodies and WebSocket frames, in pieces of any size
    shapes.py    what the events of each profile say
    parsing.py   Capture -> Trace

Nothing here runs while something is measured.
"""

from __future__ import annotations

__all__ = ()
