"""Servers of Python's other stacks. Each streams the frame of our completion profile, as its users would.

All understand the same query (see `asked`), listen on a free port of 127.0.0.1 and print its address on stderr. What
they need beside the project's own requirements is its extra `peers`.
"""

from __future__ import annotations

__all__ = ()
