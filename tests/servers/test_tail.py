"""Where tokens hide between the boundary and a client, measured on real sockets; and what the tail does with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from servers.outlets import ResponseOutlet
from servers.profiles import PROFILES, StreamIdentity
from servers.response import MAX_BATCH, BufferSizes, SocketTail, TooMuchUnsentError
from servers.settings import ServerSettings
from streams.source import Token
from tests.servers.serving import Journal, RawClient, Server, until

__all__ = ()

MOST_HIDDEN = 256
CLIENT_BYTES = 4096


@contextmanager
def journal_kept() -> Iterator[Journal]:
    journal, logger = Journal(), logging.getLogger("servers")
    level = logger.level
    logger.addHandler(journal)
    logger.setLevel(logging.INFO)
    yield journal
    logger.removeHandler(journal)
    logger.setLevel(level)


async def stalled(server: Server, **query: object) -> tuple[RawClient, str]:
    """Let a client ask and read nothing, until nothing more comes to it."""
    client = await server.connect(receive_buffer_bytes=CLIENT_BYTES)
    await client.ask(source="counter", count=10**15, **query)
    before = b""
    while b"data: " not in before or before != client.unread():
        before = client.unread()
        # Paced tokens for somebody else are time for everything that can still move.
        await server.stream(source="counter", rate=50, count=10)
    return client, client.unread().partition(b"X-Stream-Id: ")[2].partition(b"\r\n")[0].decode()


async def measured(settings: ServerSettings, **query: object) -> int:
    """Return how many tokens lie between the boundary and the receive buffer of a stalled client."""
    with journal_kept() as journal:
        server = Server(settings, journal, handler_cancellation=False)
        await server.start()
        try:
            client, stream_id = await stalled(server, **query)
            arrived = client.unread().count(b"\n\n")
            client.reset()
            record = await journal.ended(stream_id)
        finally:
            await server.stop()
    statistics = record["statistics"]
    # The batch that waits to be written has left the boundary; the emitter counts it as held until it is taken.
    in_hand = statistics["held"] + statistics["dropped"] if record["parameters"]["variant"] == "emitter" else 0
    hidden: int = statistics["delivered"] + in_hand - arrived
    assert arrived > 0
    return hidden


def new_loop(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.new_event_loop
    uvloop = pytest.importorskip("uvloop")
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


WAYS: list[dict[str, object]] = [
    {"variant": "emitter"},
    {"variant": "rx", "strategy": "drop"},
    {"variant": "flux", "strategy": "drop"},
    {"variant": "flux"},
]


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(way.values()))
def test_fewer_than_256_tokens_hide_from_the_strategy(loop: str, way: dict[str, object]) -> None:
    with asyncio.Runner(loop_factory=new_loop(loop)) as runner:
        hidden = runner.run(measured(ServerSettings(grace_s=0.5), **way))

    assert 0 <= hidden < MOST_HIDDEN


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_buffers_of_the_system_would_hide_far_more(loop: str) -> None:
    settings = ServerSettings(grace_s=0.5, buffers=BufferSizes(64 * 1024, None, None))
    with asyncio.Runner(loop_factory=new_loop(loop)) as runner:
        assert runner.run(measured(settings, variant="flux", strategy="drop")) > 4 * MOST_HIDDEN


async def test_fast_reader_gets_each_token_at_once(server: Server) -> None:
    client = await server.connect()
    await client.ask(source="counter", hang_after=3, rate=100)

    for token in (b'"0"', b'"1"', b'"2"'):  # no later token pushes an earlier one out
        await client.read_until(token)

    client.reset()
    await server.journal.all_ended(1)


async def test_headers_come_before_the_first_token(server: Server) -> None:
    client = await server.connect()
    await client.ask(hang_after=0)
    assert await client.stream_id()
    client.reset()
    await server.journal.all_ended(1)


async def test_all_that_is_ready_is_written_at_once_and_never_more_than_a_batch(server: Server) -> None:
    client = await server.connect()
    await client.ask(source="counter", count=1000)
    body = (await read_body(client)).partition(b"\r\n\r\n")[2]

    counts = [chunk.count(b"data: ") for chunk in chunks(body)]

    assert sum(counts) == 1001
    assert 1 < max(counts) <= MAX_BATCH
    client.close()


async def read_body(client: RawClient) -> bytes:
    await client.read_until(b"\r\n0\r\n\r\n")
    return client.received


def chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, body = body.partition(b"\r\n")
        yield body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


async def test_batches_are_whole_events(server: Server) -> None:
    client = await server.connect()
    await client.ask(count=300)
    body = (await read_body(client)).partition(b"\r\n\r\n")[2]
    assert all(chunk.endswith(b"\n\n") for chunk in chunks(body) if chunk)
    client.close()


async def test_sizes_of_the_buffers_are_those_of_the_settings(serve: Any) -> None:
    server = await serve(buffers=BufferSizes(100, 5000, 20_000))

    reply = await server.stream(count=1, trace=1)

    for part in (b'"high_water_bytes": 100', b'"notsent_lowat_bytes": 5000', b'"sndbuf_bytes": 20000'):
        assert part in reply.body


async def test_stalled_reader_that_comes_back_gets_the_rest_in_order(server: Server) -> None:
    client = await server.connect(receive_buffer_bytes=CLIENT_BYTES)
    await client.ask(source="counter", count=5000)
    await until(lambda: len(client.unread()) > 1000)
    await server.stream(count=1)

    await client.read_until(b'"ended": true')

    assert client.received.count(b'{"ended": false') == 5000
    client.close()


# --- The tail on its own -----------------------------------------------------------------------------------------


class Transport:
    """As much of a transport as the tail looks at."""

    def __init__(self, connection: object = None) -> None:
        self.connection = connection
        self.limits: list[int] = []

    def set_write_buffer_limits(self, high: int) -> None:
        self.limits.append(high)

    def get_extra_info(self, name: str) -> object:
        assert name == "socket"
        return self.connection


class RefusingSocket:
    """A socket that knows no option, as one of the Unix domain."""

    def setsockopt(self, *_: object) -> None:
        raise OSError(95, "Operation not supported")


@pytest.mark.parametrize("connection", [None, RefusingSocket()])
def test_connection_without_the_option_keeps_its_own_buffers(connection: object) -> None:
    transport = Transport(connection)
    BufferSizes(high_water_bytes=7).apply(transport)  # type: ignore[arg-type]
    assert transport.limits == [7]


def test_none_leaves_the_buffers_of_the_system() -> None:
    transport = Transport(RefusingSocket())
    BufferSizes(notsent_lowat_bytes=None).apply(transport)  # type: ignore[arg-type]
    assert transport.limits == [0]


class Gone:
    """The request of a client that has gone."""

    class protocol:  # noqa: N801 - as aiohttp names it
        transport = None


async def test_tail_of_a_client_that_has_gone_is_closed_and_empty() -> None:
    tail = SocketTail(Gone(), None, send_timeout_s=1, max_buffer_bytes=1)  # type: ignore[arg-type]

    tail.abort()
    tail.check_unsent()

    assert (tail.is_open, tail.unsent_bytes) == (False, 0)


def test_write_that_nobody_waits_for_is_looked_at_also_where_the_transport_may_hold_more() -> None:
    class Roomy:
        def put(self, data: bytes) -> bool:
            return True

        def check_unsent(self) -> None:
            raise TooMuchUnsentError("looked")

    encoder = PROFILES["text"](StreamIdentity("s1"))
    outlet = ResponseOutlet(Roomy(), BufferSizes(), encoder, None, waits=False)  # type: ignore[arg-type]
    with pytest.raises(TooMuchUnsentError, match="looked"):
        outlet.tokens([Token(0, "a", 0, 0)], 0)


async def test_wait_given_up_before_the_connection_is_lost_leaves_no_error_to_nobody() -> None:
    lost = asyncio.Event()

    class Stalled:
        class protocol:  # noqa: N801 - as aiohttp names it
            writing_paused = True

    class Writer:
        async def drain(self) -> None:
            await lost.wait()
            raise ConnectionError("Connection lost")

    tail = SocketTail(Stalled(), Writer(), send_timeout_s=60, max_buffer_bytes=1)  # type: ignore[arg-type]
    waiting = asyncio.ensure_future(tail.wait_taken())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    lost.set()  # the fixture that watches the loop fails on what is not retrieved


def test_unsent_bytes_above_the_limit_are_named_in_the_error() -> None:
    aborted: list[bool] = []

    class Piled:
        def get_write_buffer_size(self) -> int:
            return 11

        def abort(self) -> None:
            aborted.append(True)

    class Request:
        class protocol:  # noqa: N801 - as aiohttp names it
            transport = Piled()

    tail = SocketTail(Request(), None, send_timeout_s=1, max_buffer_bytes=10)  # type: ignore[arg-type]
    with pytest.raises(TooMuchUnsentError, match="more than 10 bytes"):
        tail.check_unsent()
    assert aborted == [True]
