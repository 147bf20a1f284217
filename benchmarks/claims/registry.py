"""All claims."""

from __future__ import annotations

from typing import Final

from benchmarks.claims import default_buffer, framing, reconnecting, slowing, strategies, threads, transports
from benchmarks.claims.claim import Claim

__all__ = ("CLAIMS", "claim")

CLAIMS: Final[tuple[Claim, ...]] = (
    strategies.CLAIM,
    default_buffer.CLAIM,
    transports.CLAIM,
    framing.CLAIM,
    threads.CLAIM,
    slowing.CLAIM,
    reconnecting.CLAIM,
)
"""In the order of the page."""


def claim(name: str) -> Claim:
    """Return the one of that name.

    Raises:
        ValueError: there is none.
    """
    for each in CLAIMS:
        if each.name == name:
            return each
    raise ValueError(f"name must be one of {', '.join(each.name for each in CLAIMS)}; got {name!r}")
