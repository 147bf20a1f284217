"""One stream that is being sent, with an exposure and an outlet that the tests hold in their hands."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from servers.parameters import parse_query
from servers.session import EndReason, Session
from servers.variants import Write
from streams import StreamStatistics, Token

__all__ = ()


class Exposed:
    """A stream without tokens that completes, or fails, when the test says so."""

    statistics = StreamStatistics(0, 0, 0, 0, 0, 0, 0, 0)

    def __init__(self) -> None:
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def deliver(self, write: Write) -> None:
        await self.end


class Outlet:
    """Notes what is written."""

    is_open = True

    def __init__(self) -> None:
        self.written: list[str] = []

    @property
    def is_stalled(self) -> bool:
        return False

    async def begin(self) -> None:
        self.written.append("begin")

    async def tokens(self, tokens: list[Token], taken_ns: int) -> None:
        self.written.append("tokens")

    async def end(self, statistics: Mapping[str, Any]) -> None:
        self.written.append("end")

    async def failure(self, message: str, kind: str, statistics: Mapping[str, Any]) -> None:
        self.written.append("failure")

    async def statistics(self, statistics: Mapping[str, Any]) -> None:
        self.written.append("statistics")

    async def heartbeat(self) -> None:
        self.written.append("heartbeat")

    def buffers(self) -> Mapping[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("error", "last", "reason"),
    [(None, "end", EndReason.COMPLETED), (ValueError("no"), "failure", EndReason.ERROR)],
    ids=["end", "failure"],
)
async def test_nothing_is_written_aside_behind_the_end(error: Exception | None, last: str, reason: EndReason) -> None:
    exposed = Exposed()

    class EndsWhileLookedAt(Outlet):
        looks = 0

        @property
        def is_stalled(self) -> bool:
            self.looks += 1
            # The first look is at the start. At the second, statistics are due: the stream ends in the very same turn.
            if self.looks == 2 and error is None:
                exposed.end.set_result(None)
            elif self.looks == 2 and error is not None:
                exposed.end.set_exception(error)
            return False

    outlet = EndsWhileLookedAt()
    session = Session("x", parse_query([("stats_ms", "10")]), exposed, outlet, heartbeat_s=0)

    ended = await session.run()
    for _ in range(3):
        await asyncio.sleep(0)

    assert (ended, outlet.written) == (reason, ["begin", last])


async def test_stop_after_the_end_leaves_the_task_alone() -> None:
    exposed, outlet = Exposed(), Outlet()
    exposed.end.set_result(None)
    session = Session("x", parse_query([]), exposed, outlet, heartbeat_s=0)

    await session.run()
    session.stop(EndReason.CLIENT_GONE)
    await asyncio.sleep(0)  # the connection's next request has its turn in the same task

    assert outlet.written == ["begin", "end"]
