"""When the requests of an open loop are due. Pure: seconds since the load began."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.scenarios.cells import Open

__all__ = ("offsets_s",)


def offsets_s(load: Open) -> Iterator[float]:
    """Yield when each request is due; the first at once. The same load has the same schedule every time."""
    chance = random.Random(load.seed)
    due_s = 0.0
    for _ in range(load.requests):
        yield due_s
        due_s += chance.expovariate(load.per_s) if load.poisson else 1 / load.per_s
