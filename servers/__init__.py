"""The aiohttp server that puts each variant of `streams` on the wire."""

from __future__ import annotations

__all__ = ()
