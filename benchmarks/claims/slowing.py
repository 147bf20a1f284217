"""The claim that backpressure slows the producer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from benchmarks.claims.claim import Claim, Evidence, Figure, Verdict
from benchmarks.claims.tools import JAVA, OUR_SERVER, Demand, demand, has
from benchmarks.load.client import drive_all
from benchmarks.load.control import Control
from benchmarks.load.plan import LoadOrder, LoadRun
from benchmarks.processes import ServerProcess, running
from benchmarks.scenarios.readers import FAST, Leaving, ReaderProfile
from servers.session import EndReason

__all__ = ("CLAIM", "FULL", "Producer", "Size", "judge", "measure", "of_libraries")

_SLOWED: Final = 0.5
"""A producer that makes less than this share of what it could has been slowed."""

_ENDLESS: Final = 1_000_000
_WAYS: Final[dict[str, dict[str, str]]] = {
    "emitter suspend": {"variant": "emitter", "strategy": "suspend"},
    "flux suspend": {"variant": "flux", "strategy": "suspend"},
    "flux buffer(16, suspend)": {"variant": "flux", "strategy": "buffer", "capacity": "16", "overflow": "suspend"},
    "flux buffer(16, drop_oldest)": {
        "variant": "flux",
        "strategy": "buffer",
        "capacity": "16",
        "overflow": "drop_oldest",
    },
    "flux drop": {"variant": "flux", "strategy": "drop"},
    "flux latest": {"variant": "flux", "strategy": "latest"},
    "flux reduce": {"variant": "flux", "strategy": "reduce"},
    "rx drop": {"variant": "rx", "strategy": "drop"},
    "rx latest": {"variant": "rx", "strategy": "latest"},
    "rx reduce": {"variant": "rx", "strategy": "reduce"},
    "rx buffer(unbounded)": {"variant": "rx", "strategy": "buffer", "capacity": "unbounded"},
}
_RECORDS_TIMEOUT_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Size:
    """How much is streamed.

    Attributes:
        rate: tokens per second that the source makes.
        reader_rate: tokens per second that the slow reader takes.
        tokens: that each fast reader takes before it leaves; the slow ones leave with the last of them.
    """

    rate: int = 400
    reader_rate: int = 40
    tokens: int = 800


FULL: Final = Size()


@dataclass(frozen=True, slots=True)
class Producer:
    """What one producer made while its consumer was slow.

    Attributes:
        of: whose it is.
        way: how it meets its consumer.
        made: items beside the slow consumer.
        could: items that it makes beside a fast one, in the same time; at least 1.
    """

    of: str
    way: str
    made: int
    could: int

    @property
    def share(self) -> float:
        """How much of its own speed it kept."""
        return self.made / self.could

    @property
    def is_slowed(self) -> bool:
        """Whether it was held back."""
        return self.share < _SLOWED


def judge(producers: Sequence[Producer]) -> Evidence:
    """Holds if every producer is slowed, refuted if none is; conditional if some are."""
    slowed = [each for each in producers if each.is_slowed]
    kept = [each for each in producers if not each.is_slowed]
    figures = tuple(
        Figure(f"{each.way}: made while the consumer was slow", each.made, f"of {each.could:,}", each.of)
        for each in producers
    )
    sentences = tuple(
        f"{word}: {', '.join(f'{each.way} ({each.share:.0%})' for each in group)}."
        for word, group in (("Slowed, to a share of its own speed", slowed), ("Not slowed", kept))
        if group
    )
    if not slowed:
        return Evidence(Verdict.REFUTED, figures, sentences)
    if not kept:
        return Evidence(Verdict.HOLDS, figures, sentences)
    condition = f"for {len(slowed)} of {len(producers)} producers: {', '.join(each.way for each in slowed)}"
    return Evidence(Verdict.CONDITIONAL, figures, sentences, condition)


def of_libraries(found: Demand) -> list[Producer]:
    """Return the sources of RxJava and Reactor that did not fail: one that fails is not slowed."""
    return [
        Producer(tried.library, tried.source, tried.made, found.items) for tried in found.tried if not tried.has_failed
    ]


# --- Ours --------------------------------------------------------------------------------------------------------


def measure(size: Size = FULL) -> list[Producer]:
    """Stream every way to a fast and to a slow reader, all at a time; and run RxJava and Reactor if Java is there.

    Raises:
        RuntimeError: the server failed, a stream ended before its reader left, or something could not be built.
    """
    base = {"source": "counter", "count": str(_ENDLESS), "rate": str(size.rate)}
    slowly = {"reader_rate": str(size.reader_rate), "prefetch": "1"}
    with running(OUR_SERVER) as server:
        fast = [_order(server, base | query, Leaving(size.tokens)) for query in _WAYS.values()]
        slow = [_order(server, base | slowly | query, FAST) for query in _WAYS.values()]
        could, made = (_emitted(server, runs) for runs in asyncio.run(_read_as_long(fast, slow)))
    if not all(could):
        raise RuntimeError(f"a source made nothing for a fast reader: {dict(zip(_WAYS, could, strict=True))}")
    ours = [Producer("ours", way, *counts) for way, *counts in zip(_WAYS, made, could, strict=True)]
    return ours + (of_libraries(demand()) if has(JAVA) else [])


def _order(server: ServerProcess, query: dict[str, str], reader: ReaderProfile) -> LoadOrder:
    target = f"/v1/chat/stream?{urlencode(query)}"
    return LoadOrder(host="127.0.0.1", port=server.port, target=target, mode="count", reader=reader)


async def _read_as_long(fast: Sequence[LoadOrder], slow: Sequence[LoadOrder]) -> tuple[list[LoadRun], list[LoadRun]]:
    """Read both until the fast ones have left: a machine that pauses does so for both."""
    control = Control()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(drive_all(slow, control))
        done = await drive_all(fast)
        control.stop()
    return done, reading.result()


def _emitted(server: ServerProcess, runs: Sequence[LoadRun]) -> list[int]:
    """Return how many tokens the source of each way had emitted when its reader left."""
    names = [run.captures[0].headers.get("x-stream-id", "") for run in runs]
    records = _ended(server, names)
    for way, name in zip(_WAYS, names, strict=True):
        if (reason := records[name]["reason"]) != EndReason.CLIENT_GONE:
            raise RuntimeError(f"{way}: the stream ended before its reader left ({reason})")
    return [int(records[name]["statistics"]["emitted"]) for name in names]


def _ended(server: ServerProcess, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the server's records of these streams once it has written them all."""
    deadline_s = time.monotonic() + _RECORDS_TIMEOUT_S
    while not set(names) <= (records := server.records()).keys():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"the server has not said what became of {len(set(names) - records.keys())} streams")
        time.sleep(_LOOK_AGAIN_S)
    return records


CLAIM: Final = Claim(
    name="slows-producer",
    statement="Backpressure slows the producer",
    said_by="definitions of backpressure",
    decided_by=(
        "The same source streams to a fast and to a slow reader under each strategy, and the server counts what it "
        "emitted; in RxJava and Reactor each source is asked for 10 items of many, and counts what it made. A producer "
        "that makes under half of what it could is slowed. It holds if all are, and is refuted if none is."
    ),
    limits="A strategy that fails on overflow ends the stream; its producer is not counted.",
    experiment=lambda: judge(measure()),
    helps=JAVA,
)
