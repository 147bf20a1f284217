"""Measurements that set the three variants of `streams` side by side."""

from __future__ import annotations

__all__ = ()
