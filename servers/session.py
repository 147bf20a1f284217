"""One stream from its source to its client: what is written, who watches it, how it ends.

The handler's task delivers. A watch beside it, on the loop's shared timers, looks twice a second whether the client is
still there (aiohttp tells a handler that is not writing nothing), and sends heartbeats and statistics.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from servers.metrics import StreamMeter, count_disconnect
from servers.response import ClientGoneError, ClientStuckError, TooMuchUnsentError
from streams import StreamError, StreamStatistics
from streams.clock import LoopClock, TimerHandle, sleep_until

if TYPE_CHECKING:
    from servers.parameters import StreamParameters
    from servers.variants import Exposure
    from streams import Token

__all__ = ("EndReason", "Outlet", "Session", "failure_of")

_LOGGER: Final = logging.getLogger("servers")
_WATCH_NS: Final = 500_000_000
_NS_PER_MS: Final = 1_000_000
_READER_SLACK_NS: Final = 1_000_000  # a simulated reader that was late by less keeps its schedule


class EndReason(StrEnum):
    """Why a stream has ended: the `reason` of its log line, and of `tokenweir_disconnects_total`."""

    COMPLETED = "completed"
    ERROR = "error"
    """The source or a rule failed it; the client was told."""
    CLIENT_GONE = "client_gone"
    SEND_TIMEOUT = "send_timeout"
    """The client took nothing for so long."""
    BUFFER_LIMIT = "buffer_limit"
    """Too much had piled up: of what was not waited for, or of a text that was to come as one object."""
    CANCELLED = "cancelled"
    """The client said so, or the server's grace was over."""
    REFUSED = "refused"
    """The client sent what makes no sense; it was told."""
    SHUTDOWN = "shutdown"
    """The server ends; the client was told."""


class Outlet(Protocol):
    """Where a session writes: an HTTP response or a WebSocket."""

    @property
    def is_open(self) -> bool:
        """Whether the client is still there."""
        ...

    @property
    def is_stalled(self) -> bool:
        """Whether it takes nothing at the moment."""
        ...

    async def begin(self) -> None:
        """Write what comes before the first token."""

    def tokens(self, tokens: list[Token], taken_ns: int) -> Awaitable[None] | None:
        """Write tokens. Returns what to wait for until they are taken, if they are not yet."""

    async def end(self, statistics: Mapping[str, Any]) -> None:
        """Write what comes after the last token."""

    async def failure(self, message: str, kind: str, statistics: Mapping[str, Any]) -> None:
        """Write that the stream failed, without waiting."""

    async def statistics(self, statistics: Mapping[str, Any]) -> None:
        """Write the counts, without waiting."""

    async def heartbeat(self) -> None:
        """Write a sign of life, without waiting."""

    def buffers(self) -> Mapping[str, Any]:
        """Return the sizes of the buffers behind the boundary, and what is in them."""
        ...


class Session:
    """One stream that is being sent.

    Args:
        stream_id: its name, in headers, events and the log.
        parameters: what was asked for.
        exposure: the stream.
        outlet: the client.
        heartbeat_s: a sign of life after so long without a write; 0: none.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_exposure",
        "_heartbeat_ns",
        "_last_stats_ns",
        "_last_write_ns",
        "_meter",
        "_next_take_ns",
        "_observe_residence",
        "_outlet",
        "_parameters",
        "_reads_slowly",
        "_refusal",
        "_side_task",
        "_stats_ns",
        "_stopped_for",
        "_task",
        "_timer",
        "stream_id",
    )

    def __init__(
        self,
        stream_id: str,
        parameters: StreamParameters,
        exposure: Exposure,
        outlet: Outlet,
        *,
        heartbeat_s: float,
    ) -> None:
        self.stream_id = stream_id
        self._parameters = parameters
        self._exposure = exposure
        self._outlet = outlet
        self._clock = LoopClock.current()
        self._heartbeat_ns = round(heartbeat_s * 1e9)
        self._stats_ns = (parameters.stats_ms or 0) * _NS_PER_MS
        self._meter = StreamMeter(parameters.variant, parameters.strategy.name, lambda: exposure.statistics)
        self._observe_residence = self._meter.observe_residence
        # Whoever does not wait for the socket does not wait for a simulated reader, which would hide all from the tail.
        self._reads_slowly = bool(parameters.reader_rate) and parameters.waits
        self._task: asyncio.Task[Any] | None = None
        self._timer: TimerHandle | None = None
        self._side_task: asyncio.Task[None] | None = None
        self._stopped_for: EndReason | None = None
        self._refusal: str | None = None
        self._last_write_ns = self._last_stats_ns = self._next_take_ns = self._clock.now_ns()

    async def run(self) -> EndReason:
        """Send the stream. Returns the reason why it ended."""
        self._task = asyncio.current_task()
        self._watch()
        reason = EndReason.CANCELLED
        try:
            reason = await self._deliver()
        except asyncio.CancelledError:
            # aiohttp cancels when it is told to (handler_cancellation) and the client has gone, or when grace is over.
            if not self._outlet.is_open:
                reason = EndReason.CLIENT_GONE
            raise
        finally:
            self._end(reason)
        return reason

    def stop(self, reason: EndReason) -> None:
        """End the stream for `reason` from outside; after its end this does nothing."""
        if self._task is not None and self._stopped_for is None:
            self._stopped_for = reason
            self._task.cancel()

    def refuse(self, message: str) -> None:
        """End the stream because of what the client sent; it is told."""
        self._refusal = message
        self.stop(EndReason.REFUSED)

    async def _deliver(self) -> EndReason:
        try:
            await self._outlet.begin()
            await self._exposure.deliver(self._write)
            await self._end_watch()
            await self._outlet.end(self._counts())
        except ClientGoneError:
            return EndReason.CLIENT_GONE
        except ClientStuckError:
            return EndReason.SEND_TIMEOUT
        except TooMuchUnsentError:
            return EndReason.BUFFER_LIMIT
        except asyncio.CancelledError:
            if self._stopped_for is None:
                raise
            assert self._task is not None
            self._task.uncancel()
            if self._stopped_for is EndReason.SHUTDOWN:
                await self._say_failed("the server is shutting down", "server_shutdown")
            elif self._refusal is not None:
                await self._say_failed(self._refusal, "invalid_request_error")
            return self._stopped_for
        except Exception as error:  # whatever it is, the client hears of it in its own format
            await self._say_failed(*failure_of(error))
            return EndReason.ERROR
        return EndReason.COMPLETED

    def _write(self, tokens: list[Token]) -> Awaitable[None] | None:
        taken_ns = self._last_write_ns = time.monotonic_ns()
        self._observe_residence(taken_ns - tokens[0].emitted_ns)
        if self._reads_slowly:
            return self._write_to_slow_reader(tokens, taken_ns)
        return self._outlet.tokens(tokens, taken_ns)

    async def _write_to_slow_reader(self, tokens: list[Token], taken_ns: int) -> None:
        """Be a reader that takes `reader_rate` tokens a second; a wait for tokens starts its schedule anew."""
        if (taking := self._outlet.tokens(tokens, taken_ns)) is not None:
            await taking
        now_ns = self._clock.now_ns()
        self._next_take_ns = max(self._next_take_ns, now_ns - _READER_SLACK_NS) + round(
            len(tokens) * 1e9 / self._parameters.reader_rate
        )
        if self._next_take_ns > now_ns:
            await sleep_until(self._clock, self._next_take_ns)

    async def _say_failed(self, message: str, kind: str) -> None:
        await self._end_watch()
        try:
            await self._outlet.failure(message, kind, self._counts())
        except ConnectionError:
            return

    def _counts(self) -> dict[str, Any]:
        return {**self._exposure.statistics._asdict(), "buffers": dict(self._outlet.buffers())}

    # ------------------------------------------------------------------ the watch

    def _watch(self) -> None:
        now_ns = self._clock.now_ns()
        if not self._outlet.is_open:
            self.stop(EndReason.CLIENT_GONE)
            return
        if not self._outlet.is_stalled and (self._side_task is None or self._side_task.done()):
            if self._stats_ns and now_ns - self._last_stats_ns >= self._stats_ns:
                self._last_stats_ns = now_ns
                self._write_aside(lambda: self._outlet.statistics(self._counts()))
            elif self._heartbeat_ns and now_ns - self._last_write_ns >= self._heartbeat_ns:
                self._last_write_ns = now_ns
                self._write_aside(self._outlet.heartbeat)
        period_ns = min(_WATCH_NS, self._stats_ns or _WATCH_NS)
        self._timer = self._clock.call_at(now_ns + period_ns, self._watch)

    def _write_aside(self, write: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            try:
                await write()
            except ConnectionError:
                self.stop(EndReason.CLIENT_GONE)

        self._side_task = asyncio.get_running_loop().create_task(run())

    async def _end_watch(self) -> None:
        """Write nothing aside any more: behind the end of this answer the connection belongs to the next one."""
        self._stop_watch()
        if self._side_task is not None:
            await asyncio.wait([self._side_task])

    def _stop_watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._side_task is not None:
            self._side_task.cancel()

    def _end(self, reason: EndReason) -> None:
        self._task = None
        self._stop_watch()
        statistics: StreamStatistics = self._exposure.statistics
        self._meter.close()
        if reason is not EndReason.COMPLETED:
            count_disconnect(reason)
        record = {
            "stream": self.stream_id,
            "reason": reason,
            "parameters": self._parameters.described(),
            "statistics": statistics._asdict(),
        }
        _LOGGER.info("%s", json.dumps(record, ensure_ascii=False))


def failure_of(error: Exception) -> tuple[str, str]:
    """Return what a client is told of `error`: a sentence and a type, never a traceback."""
    if isinstance(error, StreamError):
        return str(error), type(error).__name__
    return f"the source failed ({type(error).__name__})", "internal_error"
