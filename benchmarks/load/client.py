"""Whole loads on one loop: requests when they are due, each on a connection of its own, until they end or are left."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from benchmarks.load.arrivals import offsets_s
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


async def drive(order: LoadOrder) -> LoadRun:
    """Do what an order says. What goes wrong with a request is in its capture, and never raised."""
    return (await drive_all([order]))[0]


async def drive_all(orders: Sequence[LoadOrder]) -> list[LoadRun]:
    """Do what several orders say, side by side on the running loop; they begin at the same moment.

    The garbage collector is off meanwhile.

    Returns:
        What came of each, in their order.
    """
    with undisturbed(), LoopWatch() as watch:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_Drive(order, watch).run()) for order in orders]
        return [task.result() for task in tasks]


class _Drive:
    """One order that is being done."""

    def __init__(self, order: LoadOrder, watch: LoopWatch) -> None:
        self._order = order
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._connector = _Connector(order)
        self._counted = None if order.mode == "capture" else Counted()
        self._exchanges: list[Exchange] = []

    async def run(self) -> LoadRun:
        before = Usage.now()
        self._began_s, self._began_ns = self._loop.time(), before.at_ns
        window_s = self._order.window_s
        self._window_ends_s = None if window_s is None else self._began_s + window_s
        async with asyncio.TaskGroup() as group:
            if isinstance(self._order.load, Closed):
                self._start_closed(self._order.load, group)
            else:
                await self._start_open(group)
        after = Usage.now()
        captures = [exchange.capture for exchange in self._exchanges]
        captures.sort(key=lambda capture: capture.times.scheduled_ns)
        return LoadRun(
            captures=captures,
            counted=self._counted,
            began_ns=before.at_ns,
            ended_ns=max((capture.times.ended_ns or 0 for capture in captures), default=after.at_ns),
            client=judged(before, after, *self._watch.lags_ms(before.at_ns, after.at_ns)),
        )

    def _is_over(self) -> bool:
        return self._window_ends_s is not None and self._loop.time() >= self._window_ends_s

    # ------------------------------------------------------------------ when requests are made

    def _start_closed(self, load: Closed, group: asyncio.TaskGroup) -> None:
        shared = None if load.requests is None else iter(range(load.requests))
        for number in range(load.connections):
            start_s = number * load.ramp_s / load.connections
            group.create_task(self._ask_again(start_s, iter(range(1)) if shared is None else shared))

    async def _ask_again(self, start_s: float, requests: Iterator[int]) -> None:
        """Be one connection: the next request is due when the last one has ended."""
        await self._sleep_until(self._began_s + start_s)
        due_ns = self._began_ns + round(start_s * 1e9)
        while not self._is_over() and next(requests, None) is not None:
            await self._ask(due_ns)
            due_ns = time.monotonic_ns()

    async def _start_open(self, group: asyncio.TaskGroup) -> None:
        assert not isinstance(self._order.load, Closed)
        for offset_s in offsets_s(self._order.load):
            await self._sleep_until(self._began_s + offset_s)
            if self._is_over():
                break
            group.create_task(self._ask(self._began_ns + round(offset_s * 1e9)))

    async def _sleep_until(self, when_s: float) -> None:
        """Wait, but not beyond the window."""
        if self._window_ends_s is not None:
            when_s = min(when_s, self._window_ends_s)
        if (wait_s := when_s - self._loop.time()) > 0:
            await asyncio.sleep(wait_s)

    # ------------------------------------------------------------------ one request

    async def _ask(self, scheduled_ns: int) -> None:
        exchange = exchange_of(self._order, scheduled_ns, self._counted)
        self._exchanges.append(exchange)
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
                exchange.leave()
            else:
                exchange.give_up(timeout_s)
        finally:
            exchange.close()
        await exchange.wait_closed()


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
