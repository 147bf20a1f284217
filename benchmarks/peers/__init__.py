"""Servers in other stacks that stream what ours streams, and the originals that our operators are compared with."""

from __future__ import annotations

__all__ = ()
