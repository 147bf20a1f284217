"""The servers that ours is measured beside. Each streams the frame of our completion profile, as its users would.

All understand the same query (see `asked`), listen on a free port of 127.0.0.1 and print its address on stderr.
"""

from __future__ import annotations

__all__ = ()
