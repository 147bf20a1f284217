"""Memory of one open stream that is silent: what the server's process grows by, over many of them.

One frame is sent on each, then nothing. Memory of the kernel's sockets is not in the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.served.client import open_readers, run
from benchmarks.served.contenders import AIOHTTP, OURS, Contender
from benchmarks.processes import HAS_PROC, ServerProcess, on_core, running
from benchmarks.served.report import Result

__all__ = ("FULL", "QUICK", "MemorySize", "memory")

_CASE: Final = "memory"
_ALLOWED_MORE_KIB: Final = 4.0
_FIRST_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class MemorySize:
    """How much is measured.

    Attributes:
        streams: open at a time.
        rounds: each with a new process of every server.
        settle_s: from the last first frame to the reading.
    """

    streams: int = 2_000
    rounds: int = 3
    settle_s: float = 1.0


FULL: Final = MemorySize()
QUICK: Final = MemorySize(streams=1_000, rounds=1, settle_s=0.5)


def memory(size: MemorySize) -> list[Result]:
    """Measure all goals."""
    wanted = f"<= {AIOHTTP.name} + {_ALLOWED_MORE_KIB:g} KiB"
    if not HAS_PROC:
        note = "needs Linux: memory is read from /proc"
        return [Result(_CASE, ours.name, wanted, "skipped", None, note) for ours in OURS]
    kib: dict[str, list[float]] = {contender.name: [] for contender in (*OURS, AIOHTTP)}
    for _ in range(size.rounds):
        for contender in (*OURS, AIOHTTP):
            kib[contender.name].append(_kib_per_stream(contender, size))
    return [_result(ours.name, wanted, kib[ours.name], kib[AIOHTTP.name]) for ours in OURS]


def _kib_per_stream(contender: Contender, size: MemorySize) -> float:
    with running(contender.command) as server, on_core(1):
        return run(_grow(contender, server, size))


async def _grow(contender: Contender, server: ServerProcess, size: MemorySize) -> float:
    target = contender.target(count=10, rate=0, hang_after=1)
    # What the first stream brings along once, modules for example, belongs to no stream.
    async with open_readers(server.port, target, 1) as readers:
        await readers[0].first
        before = server.rss_bytes()
        async with open_readers(server.port, target, size.streams) as more:
            async with asyncio.timeout(_FIRST_TIMEOUT_S):
                await asyncio.gather(*(reader.first for reader in more))
            await asyncio.sleep(size.settle_s)
            return (server.rss_bytes() - before) / 1024 / size.streams


def _result(name: str, wanted: str, ours: Sequence[float], theirs: Sequence[float]) -> Result:
    our_kib, their_kib = median(ours), median(theirs)
    shown = f"{our_kib:.1f} KiB ({min(ours):.1f}..{max(ours):.1f}); {AIOHTTP.name} {their_kib:.1f} KiB"
    raw = {"our_kib_per_stream": list(ours), "peer_kib_per_stream": list(theirs)}
    return Result(_CASE, name, wanted, shown, our_kib <= their_kib + _ALLOWED_MORE_KIB, raw=raw)
