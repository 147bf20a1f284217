"""Delay of one token on a stream that is idle otherwise: from the source's emission to the client, beside a bare write.

What is compared is all that lies between a source and the socket: boundary, batches, encoding, tail, aiohttp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.load.client import run
from benchmarks.load.self_check import undisturbed
from benchmarks.processes import ServerProcess, on_core, running_all
from benchmarks.served.client import arrivals_of, open_readers
from benchmarks.served.contenders import OURS, RAW, Contender
from benchmarks.served.report import Result, percentile

__all__ = ("FULL", "QUICK", "DelaySize", "delay")

_CASE: Final = "delay"
_GOAL: Final = 1.5
_RATE: Final = 100
_WAIT_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class DelaySize:
    """How much is measured.

    Attributes:
        tokens: of one stream, 100 a second. The first tenth warms up and does not count.
        rounds: in each of which every server sends one stream.
    """

    tokens: int = 200
    rounds: int = 5


FULL: Final = DelaySize()
QUICK: Final = DelaySize(tokens=100, rounds=3)


def delay(size: DelaySize) -> list[Result]:
    """Measure all goals. The ratio of a goal is the median of the ratios of the rounds' medians."""
    contenders = (*OURS, Contender.of_peer(RAW))
    rounds_us: dict[str, list[list[float]]] = {contender.name: [] for contender in contenders}
    with running_all([contender.command for contender in contenders]) as servers, on_core(1), undisturbed():
        for _ in range(size.rounds):
            for contender, server in zip(contenders, servers, strict=True):
                rounds_us[contender.name].append(run(_delays_us(contender, server, size)))
    return [_result(ours.name, rounds_us[ours.name], rounds_us[RAW.name]) for ours in OURS]


async def _delays_us(contender: Contender, server: ServerProcess, size: DelaySize) -> list[float]:
    target = contender.target(count=size.tokens + 1, rate=_RATE, trace=1, hang_after=size.tokens)
    async with open_readers(server.port, target, 1) as (reader,):
        await asyncio.sleep(size.tokens / _RATE + _WAIT_S)
    arrivals = arrivals_of(reader.stamps_ns, reader.pieces)[size.tokens // 10 :]
    return [(arrival.received_ns - arrival.emitted_ns) / 1e3 for arrival in arrivals]


def _result(name: str, ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Result:
    our_us, their_us = ([percentile(each, 50) for each in rounds] for rounds in (ours, theirs))
    ratios = [our / their for our, their in zip(our_us, their_us, strict=True)]
    shown = (
        f"{median(ratios):.2f} x ({min(ratios):.2f}..{max(ratios):.2f}, {len(ratios)} rounds): "
        f"{median(our_us):.0f} and {median(their_us):.0f} us"
    )
    raw = {
        "goal_ratio": _GOAL,
        "ratios": ratios,
        "our_delays_us": [list(each) for each in ours],
        "peer_delays_us": [list(each) for each in theirs],
    }
    return Result(_CASE, f"{name} beside {RAW.name}", f"<= {_GOAL:g} x", shown, median(ratios) <= _GOAL, raw=raw)
