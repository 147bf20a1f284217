"""Memory of one open stream that is silent: what the server's process grows by, over many of them.

One frame is sent on each, then nothing; or the next one is long not due. Memory of the kernel's sockets is not in the
process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from benchmarks.load.client import run
from benchmarks.processes import HAS_PROC, ServerProcess, on_core, running
from benchmarks.served.client import Reader, open_readers
from benchmarks.served.contenders import AIOHTTP, OURS, Contender
from benchmarks.served.report import Result

__all__ = ("FULL", "HANGING", "PAUSED", "QUICK", "Grown", "MemorySize", "grow", "memory")

_CASE: Final = "memory"
_ALLOWED_MORE_KIB: Final = 4.0

HANGING: Final[Mapping[str, object]] = {"count": 10, "rate": 0, "hang_after": 1}
"""A source that says nothing more behind its first token."""

PAUSED: Final[Mapping[str, object]] = {"count": 10, "rate": 0.001}
"""A source whose second token is due after a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class MemorySize:
    """How much is measured.

    Attributes:
        streams: open at a time.
        rounds: each with a new process of every server.
        settle_s: from the last first frame to the reading.
        before: streams that are open before, and stay: what the first ones bring along once, modules for example,
            belongs to no stream.
        first_timeout_s: how long their first frames are waited for.
    """

    streams: int = 2_000
    rounds: int = 3
    settle_s: float = 1.0
    before: int = 1
    first_timeout_s: float = 60.0


FULL: Final = MemorySize()
QUICK: Final = MemorySize(streams=1_000, rounds=1, settle_s=0.5)


def memory(size: MemorySize) -> list[Result]:
    """Measure all goals."""
    wanted = f"<= {AIOHTTP.name} + {_ALLOWED_MORE_KIB:g} KiB"
    if not HAS_PROC:
        note = "needs Linux: memory is read from /proc"
        return [Result(_CASE, ours.name, wanted, "skipped", None, note) for ours in OURS]
    contenders = (*OURS, Contender.of_peer(AIOHTTP))
    kib: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(size.rounds):
        for contender in contenders:
            kib[contender.name].append(_all_begun(contender, size))
    return [_result(ours.name, wanted, kib[ours.name], kib[AIOHTTP.name]) for ours in OURS]


class Grown(NamedTuple):
    """What one server grew by."""

    kib_per_stream: float
    begun: int
    """Streams whose first frame had come by then."""


def grow(contender: Contender, size: MemorySize, silent: Mapping[str, object] = HANGING) -> Grown:
    """Measure one new server.

    Args:
        contender: whose.
        size: its `rounds` are not looked at.
        silent: what is asked of a stream, so that it falls silent behind its first token.

    Raises:
        RuntimeError: the server did not start, or the system does not tell its memory.
        ConnectionError: a connection was refused, or every stream.
    """
    with running(contender.command) as server, on_core(1):
        return run(_grow(server, contender.target(**silent), size))


async def _grow(server: ServerProcess, target: str, size: MemorySize) -> Grown:
    async with open_readers(server.port, target, size.before) as readers:
        await _begun(readers, size)
        before = server.rss_bytes()
        async with open_readers(server.port, target, size.streams) as more:
            begun = await _begun(more, size)
            return Grown((server.rss_bytes() - before) / 1024 / size.streams, begun)


async def _begun(readers: Sequence[Reader], size: MemorySize) -> int:
    await asyncio.wait([reader.first for reader in readers], timeout=size.first_timeout_s)
    await asyncio.sleep(size.settle_s)
    return sum(reader.has_begun for reader in readers)


def _all_begun(contender: Contender, size: MemorySize) -> float:
    grown = grow(contender, size)
    if grown.begun < size.streams:
        raise TimeoutError(f"{contender.name} began {grown.begun} of {size.streams} streams")
    return grown.kib_per_stream


def _result(name: str, wanted: str, ours: Sequence[float], theirs: Sequence[float]) -> Result:
    our_kib, their_kib = median(ours), median(theirs)
    shown = f"{our_kib:.1f} KiB ({min(ours):.1f}..{max(ours):.1f}); {AIOHTTP.name} {their_kib:.1f} KiB"
    raw = {"our_kib_per_stream": list(ours), "peer_kib_per_stream": list(theirs)}
    return Result(_CASE, name, wanted, shown, our_kib <= their_kib + _ALLOWED_MORE_KIB, raw=raw)
