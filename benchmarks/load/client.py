"""Whole loads on one loop: requests when they are due, each on a connection of its own, until they end or are left."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from benchmarks.load.arrivals import offsets_s
from benchmarks.load.control import INTERRUPTED, Control
from benchmarks.load.exchange import Exchange
from benchmarks.load.plan import Counted, LoadOrder, LoadRun
from benchmarks.load.reading import exchange_of
from benchmarks.load.self_check import LoopWatch, Usage, judged, undisturbed
from benchmarks.scenarios.cells import Closed

__all__ = ("drive", "drive_all", "run")

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a client on uvloop where it exists: it leaves more of the core to the streams."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


async def drive(order: LoadOrder, control: Control | None = None) -> LoadRun:
    """Do what an order says. What goes wrong with a request is in its capture, and never raised.

    Args:
        order: what is to be done.
        control: ends it early; streams that were open are then LEFT, and their detail is INTERRUPTED.
    """
    return (await drive_all([order], control))[0]


async def drive_all(
    orders: Sequence[LoadOrder], control: Control | None = None, *, begins_ns: int | None = None
) -> list[LoadRun]:
    """Do what several orders say, side by side on the running loop; they begin at the same moment.

    The garbage collector is off meanwhile.

    Args:
        orders: what is to be done.
        control: as for `drive`.
        begins_ns: when they begin, on `time.monotonic_ns()`: several clients are told the same; None: at once.

    Returns:
        What came of each, in their order.
    """
    control = control or Control()
    with undisturbed(), LoopWatch() as watch:
        drives = [_Drive(order, watch, control, begins_ns) for order in orders]
        async with _stopped_by(control, drives), asyncio.TaskGroup() as group:
            tasks = [group.create_task(each.run()) for each in drives]
        return [task.result() for task in tasks]


@asynccontextmanager
async def _stopped_by(control: Control, drives: Sequence[_Drive]) -> AsyncGenerator[None]:
    async def stop() -> None:
        await control.stopped()
        for each in drives:
            each.stop()

    waiting = asyncio.create_task(stop())
    try:
        yield
    finally:
        waiting.cancel()


class _Drive:
    """One order that is being done."""

    def __init__(self, order: LoadOrder, watch: LoopWatch, control: Control, begins_ns: int | None) -> None:
        self._order = order
        self._begins_ns = begins_ns
        self._watch = watch
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._connector = _Connector(order)
        self._counted = None if order.mode == "capture" else Counted()
        self._exchanges: list[Exchange] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._has_to_end = False

    async def run(self) -> LoadRun:
        if self._begins_ns is not None:
            await _sleep_until(self._begins_ns)
        before = Usage.now()
        # A client that is late for a load that others have begun is so for its first requests, too.
        self._began_ns = before.at_ns if self._begins_ns is None else self._begins_ns
        began_s = self._loop.time() - (before.at_ns - self._began_ns) / 1e9
        window_s = self._order.window_s
        self._window_ends_s = None if window_s is None else began_s + window_s
        self._window_ends_ns = None if window_s is None else self._began_ns + round(window_s * 1e9)
        async with asyncio.TaskGroup() as self._group:
            if isinstance(self._order.load, Closed):
                self._start_closed(self._order.load)
            else:
                self._start(self._ask_by_schedule(self._order.share.taken(offsets_s(self._order.load))))
        after = Usage.now()
        captures = [exchange.capture for exchange in self._exchanges]
        captures.sort(key=lambda capture: capture.times.scheduled_ns)
        return LoadRun(
            captures=captures,
            counted=self._counted,
            began_ns=self._began_ns,
            ended_ns=max((capture.times.ended_ns or 0 for capture in captures), default=after.at_ns),
            client=judged(before, after, *self._watch.lags_ms(before.at_ns, after.at_ns)),
        )

    def stop(self) -> None:
        """Leave what is open, and begin nothing more."""
        self._has_to_end = True
        for task in self._tasks:
            task.cancel()

    def _is_over(self) -> bool:
        ends_ns = self._window_ends_ns
        return self._has_to_end or (ends_ns is not None and time.monotonic_ns() >= ends_ns)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._has_to_end:
            work.close()
        else:
            self._tasks.append(self._group.create_task(work))

    # ------------------------------------------------------------------ when requests are made

    def _start_closed(self, load: Closed) -> None:
        numbers = list(self._order.share.taken(range(load.connections)))
        shared = None
        if load.requests is not None:  # dealt out to all connections in turn, whichever client's they are
            shared = iter(range(sum(len(range(number, load.requests, load.connections)) for number in numbers)))
        for number in numbers:
            offset_ns = round(number * load.ramp_s / load.connections * 1e9)
            self._start(self._ask_again(self._began_ns + offset_ns, iter(range(1)) if shared is None else shared))

    async def _ask_again(self, due_ns: int, requests: Iterator[int]) -> None:
        """Be one connection: the next request is due when the last one has ended."""
        await self._sleep_until(due_ns)
        while not self._is_over() and next(requests, None) is not None:
            await self._ask(due_ns)
            due_ns = time.monotonic_ns()

    async def _ask_by_schedule(self, offsets: Iterator[float]) -> None:
        for offset_s in offsets:
            due_ns = self._began_ns + round(offset_s * 1e9)
            await self._sleep_until(due_ns)
            if self._is_over():
                break
            self._start(self._ask(due_ns))

    async def _sleep_until(self, due_ns: int) -> None:
        """Wait, but not beyond the window."""
        ends_ns = self._window_ends_ns
        await _sleep_until(due_ns if ends_ns is None else min(due_ns, ends_ns))

    # ------------------------------------------------------------------ one request

    async def _ask(self, scheduled_ns: int) -> None:
        exchange = exchange_of(self._order, scheduled_ns, self._counted)
        self._exchanges.append(exchange)
        self._control.begun += 1
        try:
            await self._exchange(exchange)
        except asyncio.CancelledError:
            exchange.leave(INTERRUPTED)
            raise
        finally:
            exchange.close()
            await exchange.wait_closed()
            self._control.ended += 1

    async def _exchange(self, exchange: Exchange) -> None:
        """Have one request answered, or leave."""
        timeout_s = self._order.timeout_s
        give_up_s = self._loop.time() + timeout_s
        leave_s = give_up_s if self._window_ends_s is None else min(give_up_s, self._window_ends_s)
        deadline = asyncio.timeout_at(leave_s)
        try:
            async with deadline:
                await self._connector.connect(exchange)
                exchange.begin()
                await exchange.over.wait()
        except (OSError, UnicodeError) as error:
            if not deadline.expired():
                exchange.unreachable(f"{type(error).__name__}: {error}", time.monotonic_ns())
            elif leave_s < give_up_s:
                self._has_to_end = True  # the timer may have been early
                exchange.leave()
            else:
                exchange.give_up(timeout_s)


async def _sleep_until(due_ns: int) -> None:
    """Wait, again if need be: some loops' timers are up to 1 ms early."""
    while (wait_ns := due_ns - time.monotonic_ns()) > 0:  # noqa: ASYNC110 - it is a time that is waited for
        await asyncio.sleep(wait_ns / 1e9)


class _Connector:
    """Makes connections to one server, whose address is looked up once."""

    def __init__(self, order: LoadOrder) -> None:
        self._order = order
        self._loop = asyncio.get_running_loop()
        self._addresses: list[tuple[Any, ...]] = []
        self._context: ssl.SSLContext | None = None
        if order.tls:
            self._context = ssl.create_default_context()
            if not order.tls_verify:
                self._context.check_hostname = False
                self._context.verify_mode = ssl.CERT_NONE

    async def connect(self, exchange: Exchange) -> None:
        """Connect, trying one address after the other.

        Raises:
            OSError, UnicodeError: none could be reached; the last one's error.
        """
        if not self._addresses:
            order = self._order
            self._addresses = list(await self._loop.getaddrinfo(order.host, order.port, type=socket.SOCK_STREAM))
        *others, last = self._addresses
        for address in others:
            try:
                return await self._connect_to(address, exchange)
            except OSError:
                continue
        return await self._connect_to(last, exchange)

    async def _connect_to(self, address: tuple[Any, ...], exchange: Exchange) -> None:
        family, kind, protocol, _, where = address
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            if self._order.receive_buffer is not None:
                # Before it connects: later the window has been told to the server.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._order.receive_buffer)
            await self._loop.sock_connect(connection, where)
            name = self._order.host if self._context is not None else None
            await self._loop.create_connection(
                lambda: exchange, sock=connection, ssl=self._context, server_hostname=name
            )
        except BaseException:
            connection.close()
            raise
