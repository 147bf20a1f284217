"""What the conformance tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

__all__ = ()


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Let threads take turns a thousand times as often as usual."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval_s)
