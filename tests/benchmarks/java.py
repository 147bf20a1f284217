"""What a test module that runs the Java originals is marked with."""

from __future__ import annotations

import pytest

from benchmarks.peers import jvm

__all__ = ("NEEDS_JAVA",)

_MISSING = jvm.missing()

NEEDS_JAVA = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # the first build fetches what it needs
    pytest.mark.skipif(bool(_MISSING), reason=f"the Java originals need {_MISSING}"),
]
