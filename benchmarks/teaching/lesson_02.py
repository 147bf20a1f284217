"""Lesson 02, who waits for whom: the real variants on a clock that nobody waits for, and what a tape recorded of them.

The tape stands at both ends of a stream: it plays a source into it, and it is its slow reader. So it sees, of each
token, when it was due, when the source was rid of it, and when the reader had it. What is between the first two the
producer has waited; what is between the last two has piled up.
"""

from __future__ import annotations

import asyncio
import inspect
from bisect import bisect_right
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.teaching.plots import COLOURS, PALETTE, plots
from streams import EmitResult, Pacing, Token, TokenSource, parse_source
from streams.clock import sleep_until
from streams.marbles import Bar, Diagram, Held, Lane, Marble, Wait
from streams.pacing import play
from streams.testing import VirtualClock

__all__ = ("BUSY_MS", "GAP_MS", "TEN", "Tape", "Way", "draw_tapes")

GAP_MS: Final = 10
"""How often the source of lessons 02 and 03 makes a token."""
BUSY_MS: Final = 24
"""How long their reader needs for one."""
TEN: Final[TokenSource] = parse_source("counter", pacing=Pacing(rate=1000 / GAP_MS))
"""Their source: the tokens 0 to 9, one every 10 ms."""

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Way:
    """The way of one token, in milliseconds since the start. None: that did not happen."""

    index: int
    due_ms: float
    """When the source had it."""
    left_ms: float | None = None
    """When the source was rid of it."""
    arrived_ms: float | None = None
    """When the reader had it."""


class Tape:
    """A source, a slow reader and a clock, to be put at the two ends of a stream.

    Args:
        busy_ms: how long the reader needs for one token.

    Attributes:
        clock: a virtual one. It moves from event to event, so that nobody really waits.
    """

    def __init__(self, busy_ms: float = BUSY_MS) -> None:
        self.clock = VirtualClock()
        self._busy_ms = busy_ms
        self._due_ms: dict[int, float] = {}
        self._left_ms: dict[int, float] = {}
        self._arrived_ms: dict[int, float] = {}
        self._ended_ms: float | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    # ------------------------------------------------------------------ the two ends

    async def play(self, source: TokenSource, send: Callable[[Token], Any]) -> None:
        """Give each token of `source` to `send` when it is due; if `send` has to be awaited, wait for it.

        Raises:
            Exception: what `send` raised.
        """

        async def hand_over(token: Token) -> EmitResult | None:
            self._due_ms[token.index] = token.due_ns / _NS_PER_MS
            result = send(token)
            if inspect.isawaitable(result):
                result = await result
            # An emitter's send returns when the reader is through with the token: it left when the reader got it.
            self._left_ms[token.index] = min(self._now_ms, self._arrived_ms.get(token.index, self._now_ms))
            return result if isinstance(result, EmitResult) else None

        await play(source, hand_over, clock=self.clock)

    async def read(self, tokens: list[Token]) -> None:
        """Be the reader: note each token, and be busy with it."""
        for token in tokens:
            self._arrived_ms[token.index] = self._now_ms
            await self.pause(self._busy_ms)

    async def read_all(self, stream: AsyncIterable[Token]) -> None:
        """Be the reader of a stream, to its end."""
        async for token in stream:
            await self.read([token])
        self.end()

    def end(self) -> None:
        """Note that the reader has heard of the end."""
        self._ended_ms = self._now_ms

    # ------------------------------------------------------------------ time

    async def pause(self, duration_ms: float) -> None:
        """Wait, on the clock of the tape."""
        await sleep_until(self.clock, self.clock.now_ns() + round(duration_ms * _NS_PER_MS))

    def start(self, work: Awaitable[object]) -> None:
        """Have `work` run beside everything else; `run` waits for it. For a producer that cannot wait itself."""
        self._tasks.append(asyncio.ensure_future(_awaited(work)))

    async def run(self, *work: Awaitable[object]) -> None:
        """Do `work`, moving the clock whenever everybody waits.

        Raises:
            Exception: what any of it raised.
            RuntimeError: somebody waits for something that never comes.
        """
        for one in work:
            self.start(one)
        await self.clock.run_until_idle()
        stuck = [task for task in self._tasks if not task.done()]
        for task in stuck:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=bool(stuck))
        if stuck:
            raise RuntimeError("somebody still waits, and nothing is left that could happen")

    @property
    def _now_ms(self) -> float:
        return self.clock.now_ns() / _NS_PER_MS

    # ------------------------------------------------------------------ what was recorded

    @property
    def ways(self) -> list[Way]:
        """The ways of all tokens that the source came to, in order."""
        return [
            Way(index, due_ms, self._left_ms.get(index), self._arrived_ms.get(index))
            for index, due_ms in self._due_ms.items()
        ]

    @property
    def producer_waited_ms(self) -> float:
        """How long after the schedule the source was rid of its last token."""
        return max((way.left_ms - way.due_ms for way in self.ways if way.left_ms is not None), default=0.0)

    @property
    def most_between(self) -> int:
        """The most tokens that had left the source and not reached the reader, at any time."""
        return round(max((count for _, count in self._between()), default=0))

    @property
    def last_arrived_ms(self) -> float:
        """When the reader had its last token."""
        return max(self._arrived_ms.values(), default=0.0)

    @property
    def arrived(self) -> str:
        """The tokens that the reader got, in order: "0 1 2"."""
        return " ".join(str(index) for index in self._arrived_ms)

    def diagram(self, *, span_ms: float = 0) -> Diagram:
        """Return the recording as marbles: what left the source, what was in between, what the reader got."""
        left = [(at_ms, index) for index, at_ms in self._left_ms.items()]
        arrived = [(at_ms, index) for index, at_ms in self._arrived_ms.items()]
        waits = [Wait(way.due_ms, way.left_ms) for way in self.ways if way.left_ms != way.due_ms]
        lanes = (
            Lane("source", "emitted", _marbles(left), waits=tuple(_joined(waits))),
            Lane("between", "passed on", held=Held(tuple(self._between()))),
            Lane("reader", "delivered", _marbles(arrived), _bars(self._ended_ms)),
        )
        return Diagram(lanes, "token", span_ms)

    def _between(self) -> list[tuple[float, float]]:
        """Return how many tokens had left and not arrived, and since when."""
        changes = [(at_ms, 1) for index, at_ms in self._left_ms.items() if index in self._arrived_ms]
        changes += [(at_ms, -1) for index, at_ms in self._arrived_ms.items() if index in self._left_ms]
        count, counts = 0, {0.0: 0}
        for at_ms, change in sorted(changes):
            count += change
            counts[at_ms] = count
        return [(at_ms, float(held)) for at_ms, held in counts.items()]


async def _awaited(work: Awaitable[object]) -> object:
    return await work


def _marbles(times: list[tuple[float, int]]) -> tuple[Marble, ...]:
    return tuple(Marble(at_ms, str(index), first=index) for at_ms, index in sorted(times))


def _bars(at_ms: float | None) -> tuple[Bar, ...]:
    return () if at_ms is None else (Bar(at_ms),)


def _joined(waits: list[Wait]) -> Iterator[Wait]:
    """Make one wait of those that overlap: a source that is late is late for several tokens at once."""
    reached_ms = 0.0
    for wait in waits:
        from_ms = max(wait.from_ms, reached_ms)
        if wait.until_ms is None or wait.until_ms > from_ms:
            yield Wait(from_ms, wait.until_ms)
            reached_ms = wait.until_ms or reached_ms


def draw_tapes(tapes: Mapping[str, Tape]) -> Any:
    """Draw three stairs for each recording: tokens that were due, that left the source, that reached the reader.

    The area between the first two is the time that the producer waited; between the last two is what has piled up.

    Returns:
        One of the axes, to be finished.

    Raises:
        ValueError: there is no recording.
    """
    panels = plots(list(tapes), "ms", "tokens", height=3.3)
    drawn = [_draw_stairs(axes, tape.ways) for axes, tape in zip(panels, tapes.values(), strict=True)]
    figure = panels[0].get_figure(root=True)
    figure.legend(drawn[0], _STAIRS, loc="outside lower center", ncols=len(_STAIRS), frameon=False, fontsize=8)
    return panels[0]


_STAIRS: Final = ("due", "left the source", "reached the reader", "the producer waits", "tokens pile up")


def _draw_stairs(axes: Any, ways: Sequence[Way]) -> list[Any]:
    known = [[way.due_ms for way in ways]]
    known.append([way.left_ms for way in ways if way.left_ms is not None])
    known.append([way.arrived_ms for way in ways if way.arrived_ms is not None])
    grid = sorted({0.0, *(at_ms for times_ms in known for at_ms in times_ms)})
    due, left, arrived = ([bisect_right(sorted(times_ms), now) for now in grid] for times_ms in known)
    waited = axes.fill_between(grid, left, due, step="post", color=COLOURS["held"], alpha=0.45, linewidth=0)
    piled = axes.fill_between(grid, arrived, left, step="post", color=PALETTE[0], alpha=0.3, linewidth=0)
    lines = [
        *axes.step(grid, due, where="post", color="0.45", linestyle=":", linewidth=1.6),
        *axes.step(grid, left, where="post", color=PALETTE[1], linewidth=1.6),
        *axes.step(grid, arrived, where="post", color=PALETTE[0], linewidth=2.2),
    ]
    return [*lines, waited, piled]
