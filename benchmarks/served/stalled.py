"""A thousand readers that never read, of an endless source: what they cost in memory, and what the others feel.

Every stream, stalled or not, has 50 tokens/s: a source that no reader holds back would else take all CPU, whatever
becomes of its tokens. A stalled stream has taken all it can after about 500 tokens (the client's receive buffer, the
kernel's and 256 at the boundary), so the window comes that much later. What still grows in the window is not flat.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Final

from benchmarks.load.client import run
from benchmarks.load.self_check import undisturbed
from benchmarks.processes import HAS_PROC, ServerProcess, on_core, running
from benchmarks.served.client import Reader, connect_silently, open_readers
from benchmarks.served.contenders import EMITTER, FLUX, RX, Contender
from benchmarks.served.paced import lateness_ms
from benchmarks.served.report import Result, percentile

__all__ = ("FULL", "QUICK", "STRATEGIES", "StalledSize", "stalled")

_CASE: Final = "stalled"
_RATE: Final = 50
_ENDLESS: Final = 1_000_000_000
_RECEIVE_BUFFER_BYTES: Final = 4_096
_LIMIT_KIB: Final = 64.0
_LIMIT_RATIO: Final = 2.0
_FLAT_KIB: Final = 1.0
_CONNECTIONS_PER_TURN: Final = 20
_TURN_S: Final = 0.01

STRATEGIES: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    ("flux", "error", {}),
    ("flux", "drop", {}),
    ("flux", "latest", {}),
    ("flux", "buffer", {"capacity": "256", "overflow": "error"}),
    ("flux", "buffer", {"capacity": "256", "overflow": "drop_oldest"}),
    ("flux", "buffer", {"capacity": "256", "overflow": "suspend"}),
    ("flux", "reduce", {"max_merged": "8192"}),
    ("flux", "suspend", {}),
    ("rx", "reduce", {"max_merged": "8192"}),
    ("rx", "drop", {}),
    ("emitter", "suspend", {}),
)
"""Variant, strategy and its parameters, as the server takes them."""


@dataclass(frozen=True, slots=True)
class StalledSize:
    """How much is measured.

    Attributes:
        stalled: readers that never read.
        others: readers that do.
        fill_s: from the last stalled one to the window.
        window_s: tokens of the others that are due in it count, once without and once with the stalled ones.
        strategies: how many of STRATEGIES, from the first.
    """

    stalled: int = 1_000
    others: int = 50
    fill_s: float = 15.0
    window_s: float = 4.0
    strategies: int = len(STRATEGIES)


FULL: Final = StalledSize()
QUICK: Final = StalledSize(fill_s=11.0, window_s=2.0)


@dataclass(frozen=True, slots=True)
class _Seen:
    kib_per_stream: float
    p99_ms_without: float
    p99_ms_with: float
    growth_in_window_kib_per_stream: float

    @property
    def is_met(self) -> bool:
        is_flat = self.growth_in_window_kib_per_stream <= _FLAT_KIB
        return is_flat and self.kib_per_stream < _LIMIT_KIB and self.ratio <= _LIMIT_RATIO

    @property
    def ratio(self) -> float:
        return self.p99_ms_with / self.p99_ms_without if self.p99_ms_without else math.nan


def stalled(size: StalledSize) -> list[Result]:
    """Measure all goals, each strategy in a new process."""
    wanted = f"flat, < {_LIMIT_KIB:g} KiB a stream, p99 of others <= {_LIMIT_RATIO:g} x"
    chosen = STRATEGIES[: size.strategies]
    if not HAS_PROC:
        note = "needs Linux: memory is read from /proc"
        return [Result(_CASE, _name(*each), wanted, "skipped", None, note) for each in chosen]
    return [_result(_name(*each), wanted, _measure(_contender(*each), size)) for each in chosen]


def _name(variant: str, strategy: str, parameters: dict[str, str]) -> str:
    return " ".join([variant, strategy, *(f"{name}={value}" for name, value in parameters.items())])


def _contender(variant: str, strategy: str, parameters: dict[str, str]) -> Contender:
    base = {"flux": FLUX, "rx": RX, "emitter": EMITTER}[variant]
    query = {"source": "counter", "variant": variant, "strategy": strategy, **parameters}
    return Contender(_name(variant, strategy, parameters), base.command, base.path, query)


def _measure(contender: Contender, size: StalledSize) -> _Seen:
    with running(contender.command) as server, on_core(1), undisturbed():
        return run(_watch(contender, server, size))


async def _watch(contender: Contender, server: ServerProcess, size: StalledSize) -> _Seen:
    # The others are the same for all strategies, so that the figures can be compared.
    target = FLUX.target(count=_ENDLESS, rate=_RATE, trace=1)
    async with open_readers(server.port, target, size.others, spread_s=1.0) as others:
        without_ms = await _window_p99_ms(others, size)
        before = server.rss_bytes()
        with ExitStack() as silent:
            await _open_silent(silent, server.port, contender.target(count=_ENDLESS, rate=_RATE), size.stalled)
            await asyncio.sleep(size.fill_s)
            filled = server.rss_bytes()
            with_ms = await _window_p99_ms(others, size)
            after = server.rss_bytes()
    return _Seen(
        kib_per_stream=(after - before) / 1024 / size.stalled,
        p99_ms_without=without_ms,
        p99_ms_with=with_ms,
        growth_in_window_kib_per_stream=(after - filled) / 1024 / size.stalled,
    )


async def _window_p99_ms(readers: Sequence[Reader], size: StalledSize) -> float:
    for reader in readers:
        reader.forget()
    from_ns = time.monotonic_ns()
    await asyncio.sleep(size.window_s)
    # What is due at the very end is on its way.
    to_ns = time.monotonic_ns()
    await asyncio.sleep(size.window_s / 20)
    return percentile(lateness_ms(readers, from_ns, to_ns), 99)


async def _open_silent(silent: ExitStack, port: int, target: str, count: int) -> None:
    for index in range(count):
        silent.enter_context(connect_silently(port, target, receive_buffer_bytes=_RECEIVE_BUFFER_BYTES))
        if index % _CONNECTIONS_PER_TURN == 0:
            await asyncio.sleep(_TURN_S)


def _result(name: str, wanted: str, seen: _Seen) -> Result:
    shown = (
        f"{seen.kib_per_stream:.1f} KiB a stream, {seen.growth_in_window_kib_per_stream:+.1f} in the window; "
        f"p99 {seen.p99_ms_without:.2f} -> {seen.p99_ms_with:.2f} ms ({seen.ratio:.1f} x)"
    )
    return Result(_CASE, name, wanted, shown, seen.is_met, raw=asdict(seen))
