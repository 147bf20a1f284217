"""The client over real sockets: each fault under its own name, each reader as slow as it says, each load on time."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.client import drive, drive_all
from benchmarks.load.control import INTERRUPTED, Control
from benchmarks.load.null import serving_null
from benchmarks.load.plan import LoadOrder, LoadRun, Share
from benchmarks.load.reading import exchange_of
from benchmarks.scenarios.cells import Closed, Open, Transport
from benchmarks.scenarios.readers import Bursty, Leaving, Paced, ReaderProfile, Stalled
from benchmarks.traces.captures import Capture, Outcome, Trace
from benchmarks.traces.framing import Opcode
from benchmarks.traces.parsing import PROFILES, parse
from servers.listening import serving
from servers.settings import ServerSettings
from tests.benchmarks.raw import Answer, WhenTaken, head, saying, serving_raw

__all__ = ()

HOST = "127.0.0.1"
WEBSOCKET = Transport.WEBSOCKET
TOKEN = b'data: {"ended": false, "message": "x"}\n\n'
END = b'data: {"ended": true, "message": ""}\n\n'
ERROR = b'event: error\ndata: {"error": {"message": "broke"}}\n\n'
CHUNKED = {"transfer_encoding": "chunked"}


def order(port: int, **parts: Any) -> LoadOrder:
    return LoadOrder(host=HOST, port=port, **{"target": "/", "timeout_s": 20.0, **parts})


def traces(run: LoadRun, profile: str = "completion", transport: Transport = Transport.SSE) -> list[Trace]:
    return [parse(capture, profile=profile, transport=transport) for capture in run.captures]


def tokens_held(count: Callable[[], int]) -> Callable[[Capture], bool]:
    """Whether so many streams, of one token each, have all brought it."""
    held = 0

    def is_enough(capture: Capture) -> bool:
        nonlocal held
        held += b"".join(capture.pieces) == TOKEN
        return held == count()

    return is_enough


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Our own server."""
    async with serving(ServerSettings(port=0, grace_s=0.5), handler_cancellation=False) as chosen:
        yield chosen


# --- Faults ------------------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[Answer, dict[str, Any], Outcome, str]] = {
    "closes without an answer": (saying(), {}, Outcome.UNREACHABLE, "without an answer"),
    "resets before an answer": (saying(then="reset"), {}, Outcome.UNREACHABLE, "reset|without an answer"),
    "never answers": (saying(then="hold"), {"timeout_s": 0.05}, Outcome.UNREACHABLE, "no answer within 0.05 s"),
    "ends in its head": (saying(head()[:-2]), {}, Outcome.UNREACHABLE, "without an answer"),
    "500": (saying(head("500 Oh No", "text/plain"), b"it\nbroke"), {}, Outcome.REFUSED, "500 Oh No: it broke"),
    "500 kept open": (
        saying(head("500 Oh", "application/json", content_length="2"), b"{}", then="hold"),
        {},
        Outcome.REFUSED,
        "500 Oh: {}",
    ),
    "429 in chunks": (
        saying(head("429 Busy", **CHUNKED), b"4\r\nwait\r\n0\r\n\r\n"),
        {},
        Outcome.REFUSED,
        "429 Busy: wait",
    ),
    "500 that never ends": (
        saying(head("500 Oh"), b"x" * 5_000, then="hold"),
        {},
        Outcome.REFUSED,
        r"500 Oh: x+\.\.\.",
    ),
    "204": (saying(head("204 No Content")), {}, Outcome.REFUSED, "204 No Content"),
    "HTML": (saying(head(content_type="text/html"), b"<h1>Hi"), {}, Outcome.NOT_A_STREAM, "text/html.*<h1>Hi"),
    "no HTTP": (saying(b"SSH-2.0-x\r\n"), {}, Outcome.NOT_A_STREAM, "SSH"),
    "closes in the middle": (saying(head(), TOKEN, TOKEN[:9]), {}, Outcome.CUT, ""),
    "closes in a chunk": (saying(head(**CHUNKED), b"28\r\n" + TOKEN[:9]), {}, Outcome.CUT, ""),
    "resets in the middle": (saying(head(), TOKEN, then="reset"), {}, Outcome.CUT, ""),
    "malformed event": (saying(head(), TOKEN, b"data: {\n\n"), {}, Outcome.MALFORMED, "truncated"),
    "malformed chunk": (saying(head(**CHUNKED), b"zz\r\n"), {}, Outcome.MALFORMED, "size of a chunk"),
    "streamed error": (saying(head(), TOKEN, ERROR), {}, Outcome.FAILED, "broke"),
    "compressed": (saying(head(content_encoding="gzip"), b"\x1f\x8b"), {}, Outcome.MALFORMED, "gzip"),
    "no WebSocket": (saying(head(), TOKEN), {"transport": WEBSOCKET}, Outcome.REFUSED, "200 OK"),
    "wrong key": (saying(head("101 Hm")), {"transport": WEBSOCKET}, Outcome.NOT_A_STREAM, "key was not answered"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_fault_is_counted_under_its_own_name_and_the_run_goes_on(name: str) -> None:
    answer, parts, outcome, detail = FAULTS[name]
    transport = parts.get("transport", Transport.SSE)
    async with serving_raw(answer) as port:
        run = await drive(order(port, load=Closed(connections=2, requests=3), **parts))
    found = traces(run, transport=transport)
    assert [trace.outcome for trace in found] == [outcome] * 3
    for trace in found:
        assert trace.times.ended_ns is not None
        assert re.search(detail, trace.detail), trace.detail


async def test_stream_that_never_ends_is_stuck_and_the_run_goes_on(
    jump: Callable[[float], None], when_taken: WhenTaken
) -> None:
    control = Control()
    when_taken(tokens_held(lambda: control.begun), lambda: jump(20))
    async with serving_raw(saying(head(), TOKEN, then="hold")) as port:
        run = await drive(order(port, load=Closed(connections=2, requests=3)), control)
    found = traces(run)
    assert [(trace.outcome, trace.detail) for trace in found] == [(Outcome.STUCK, "no end within 20 s")] * 3
    assert all(trace.times.ended_ns is not None for trace in found)


async def test_server_that_is_not_there_is_unreachable(closed_port: int) -> None:
    run = await drive(order(closed_port, load=Closed(requests=2)))
    assert [capture.outcome for capture in run.captures] == [Outcome.UNREACHABLE] * 2
    assert "refused" in run.captures[0].detail.lower()


async def test_host_that_has_no_address_is_unreachable() -> None:
    run = await drive(LoadOrder(host="no-such-host.invalid", port=1, target="/"))
    assert run.captures[0].outcome is Outcome.UNREACHABLE
    assert run.captures[0].times.sent_ns is None


@pytest.mark.parametrize("mode", ["count", "check"])
@pytest.mark.parametrize(
    ("body", "outcome"),
    [(TOKEN + END, Outcome.COMPLETED), (TOKEN, Outcome.CUT), (TOKEN + ERROR, Outcome.FAILED)],
)
async def test_counting_modes_keep_no_bytes_but_know_how_it_ended(mode: Any, body: bytes, outcome: Outcome) -> None:
    async with serving_raw(saying(head(), body)) as port:
        run = await drive(order(port, mode=mode))
    assert run.counted is not None
    assert (run.counted.tokens, run.counted.bytes, run.captures[0].pieces) == (1, len(body), [])
    assert traces(run)[0].outcome is outcome


async def test_end_is_seen_on_a_connection_that_stays_open() -> None:
    pieces = (head(**CHUNKED), b"%x\r\n%b\r\n0" % (len(TOKEN + END), TOKEN + END), b"\r\n\r\n")
    async with serving_raw(saying(*pieces, then="hold")) as port:
        run = await drive(order(port))
    (trace,) = traces(run)
    assert trace.outcome is Outcome.COMPLETED
    assert trace.times.ended_ns == run.captures[0].stamps_ns[-1]


@pytest.mark.parametrize("length", [CHUNKED, {"content_length": str(len(TOKEN + END))}])
async def test_end_that_the_framing_confirms_is_not_waited_for(length: dict[str, str]) -> None:
    exchange = exchange_of(order(1), 0, None)
    body = TOKEN + END if length is not CHUNKED else b"%x\r\n%b\r\n0\r\n\r\n" % (len(TOKEN + END), TOKEN + END)
    exchange.take(head(**length) + body, 7)
    assert exchange.over.is_set()
    assert (exchange.capture.outcome, exchange.capture.times.ended_ns) == (None, 7)


async def test_what_only_looks_like_the_end_ends_nothing_however_long_nothing_follows() -> None:
    exchange = exchange_of(order(1, profile="sse"), 0, None)
    exchange.take(head(**CHUNKED) + b"14\r\ndata: 0\r\n\r\n", 0)
    exchange.give_up(20)
    assert exchange.capture.outcome is Outcome.STUCK


async def test_stream_without_an_end_is_kept_up_to_the_limit() -> None:
    run, _ = await firehose_to(Leaving(after_tokens=10**9), max_kept_bytes=10_000)
    (trace,) = traces(run)
    assert trace.outcome is Outcome.TOO_LONG
    assert "no end within 0.00954 MiB" in trace.detail
    assert 10_000 < trace.bytes_received < 10_000 + 300_000


async def test_what_only_looks_like_the_end_is_not() -> None:
    exchange = exchange_of(order(1, profile="sse"), 0, None)
    # The first piece ends like a last chunk, in the middle of another.
    for now_ns, piece in enumerate((b"14\r\ndata: 0\r\n\r\n", b"data: 1\n\n\r\n0\r\n\r\n")):
        exchange.take((b"" if now_ns else head(**CHUNKED)) + piece, now_ns)
    exchange.connection_lost(None)
    trace = parse(exchange.capture, profile="sse", transport=Transport.SSE)
    assert (trace.outcome, trace.received_ns.tolist(), trace.times.ended_ns) == (Outcome.COMPLETED, [0, 1], 1)


# --- What is asked -----------------------------------------------------------------------------------------------


class _Open(asyncio.Transport):
    """A connection on which nothing is sent."""

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        """Do nothing."""


@given(st.lists(st.sampled_from([TOKEN, b"0", b"0\r\n\r\n", b"\r\n"]), max_size=5), st.data())
def test_chunked_body_ends_with_its_last_byte_however_it_comes_in_pieces(
    contents: list[bytes], data: st.DataObject
) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(content), content) for content in contents)
    answer = head(**CHUNKED) + chunks + b"0\r\n\r\n"
    anywhere, near_the_end = st.integers(1, len(answer) - 1), st.integers(len(answer) - 7, len(answer) - 1)
    cuts = sorted(data.draw(st.sets(anywhere | near_the_end)))
    pieces = [answer[a:b] for a, b in itertools.pairwise([0, *cuts, len(answer)])]

    async def main() -> None:
        exchange = exchange_of(order(1), 0, None)
        exchange.connection_made(_Open())
        for now_ns, piece in enumerate(pieces, start=1):
            assert not exchange.over.is_set()
            exchange.take(piece, now_ns)
        assert exchange.over.is_set()
        capture = exchange.capture
        assert head(**CHUNKED) + b"".join(capture.pieces) == answer
        assert (capture.stamps_ns[-1], capture.times.ended_ns) == (len(pieces), len(pieces))

    asyncio.run(main())


async def test_what_comes_behind_a_seeming_end_is_kept_up_to_the_limit() -> None:
    seeming = b"5\r\n0\r\n\r\n"
    exchange = exchange_of(order(1, max_kept_bytes=64), 0, None)
    exchange.connection_made(_Open())
    exchange.take(head(**CHUNKED, connection="close") + seeming, 1)
    exchange.take(b"x" * 4_096, 2)
    assert exchange.capture.outcome is Outcome.TOO_LONG


async def test_refusal_that_is_too_long_is_a_refusal() -> None:
    exchange = exchange_of(order(1, max_kept_bytes=64), 0, None)
    exchange.connection_made(_Open())
    exchange.take(head("500 Oh No", "text/plain", content_length="9999") + b"broke" * 100, 1)
    assert exchange.capture.outcome is Outcome.REFUSED


async def asked(**parts: Any) -> bytes:
    """What a server reads of one request."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        requests.append(request + await reader.read(len(parts.get("body") or b"")))
        writer.write(head() + END)

    async with serving_raw(answer) as port:
        run = await drive(order(port, **parts))
        assert traces(run)[0].outcome is Outcome.COMPLETED
        return requests[0].replace(str(port).encode(), b"PORT")


async def test_request_says_what_was_ordered() -> None:
    plain = await asked(target="/v1/x?y=%20z")
    assert plain.startswith(b"GET /v1/x?y=%20z HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\n")
    assert b"\r\naccept: text/event-stream\r\naccept-encoding: identity\r\nconnection: close\r\n" in plain
    posted = await asked(method="POST", body=b'{"a": 1}', headers={"Authorization": "Bearer x", "ACCEPT": "*/*"})
    assert posted.startswith(b"POST / HTTP/1.1\r\n")
    assert posted.endswith(b'\r\n\r\n{"a": 1}')
    for line in (b"content-length: 8", b"content-type: application/json", b"authorization: Bearer x", b"accept: */*"):
        assert b"\r\n" + line + b"\r\n" in posted


async def test_informational_answers_are_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    async with serving_raw(saying(early + head(), TOKEN + END)) as port:
        (trace,) = traces(await drive(order(port)))
    assert (trace.outcome, len(trace.received_ns)) == (Outcome.COMPLETED, 1)


# --- Against our own server --------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
async def test_every_profile_of_our_server_is_read_to_its_end(port: int, profile: str) -> None:
    served = "data" if profile == "sse" else profile
    target = f"/v1/chat/stream?rate=0&source=counter&count=50&profile={served}"
    (trace,) = traces(await drive(order(port, target=target, profile=profile)), profile)
    assert trace.outcome is Outcome.COMPLETED
    assert len(trace.received_ns) == 50 or profile == "text"
    assert len(trace.stream_id) == 12


async def test_websocket_of_our_server_is_read_to_its_end(port: int) -> None:
    target = "/v1/chat/ws?rate=0&count=50&trace=1"
    run = await drive(order(port, target=target, transport=WEBSOCKET))
    (trace,) = traces(run, transport=WEBSOCKET)
    assert (trace.outcome, len(trace.received_ns)) == (Outcome.COMPLETED, 50)
    assert trace.seq is not None
    assert trace.seq.tolist() == list(range(50))
    assert (trace.statistics or {})["delivered"] == 50
    assert len(trace.stream_id) == 12


async def test_websocket_pings_and_close_are_answered() -> None:
    heard = b""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        request = await reader.readuntil(b"\r\n\r\n")
        key = request.partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        payload = b'{"ended": true}'
        writer.write(head("101 Switching", sec_websocket_accept=accept) + b"\x89\x02hi")
        writer.write(b"\x81" + bytes([len(payload)]) + payload + b"\x88\x02\x03\xe8")
        heard = await reader.readexactly(16)

    async with serving_raw(answer) as port:
        (trace,) = traces(await drive(order(port, transport=WEBSOCKET)), transport=WEBSOCKET)
    assert heard == b"\x8a\x82\0\0\0\0hi" + bytes([0x80 | Opcode.CLOSE]) + b"\x82\0\0\0\0\x03\xe8"
    assert trace.outcome is Outcome.COMPLETED


# --- Readers -----------------------------------------------------------------------------------------------------


def loops() -> list[Callable[[], asyncio.AbstractEventLoop]]:
    return [asyncio.new_event_loop, uvloop.new_event_loop]


def on_each_loop(main: Callable[[], Awaitable[None]]) -> None:
    """Run with both loops that a client can be run on: their transports pause each in its own way."""
    for factory in loops():
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())  # type: ignore[arg-type]


async def firehose_to(reader: ReaderProfile, control: Control | None = None, **parts: Any) -> tuple[LoadRun, int]:
    """Let a reader read an endless stream; returns also how many bytes the server got rid of."""
    taken = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
        writer.transport.set_write_buffer_limits(0)
        writer.write(head())
        while True:
            writer.write(TOKEN * 10)
            await writer.drain()
            taken += len(TOKEN) * 10

    async with serving_raw(answer) as port:
        return await drive(order(port, reader=reader, **parts), control), taken


@pytest.mark.slow
@pytest.mark.parametrize("reader", [Paced(tokens_per_s=100), Paced(bytes_per_s=4_000)], ids=str)
def test_paced_reader_takes_no_more_than_its_pace_and_the_server_feels_it(reader: Paced, when_taken: WhenTaken) -> None:
    async def main() -> None:
        control = Control()
        # As much as either pace allows in 0.3 s, however long it takes.
        when_taken(lambda capture: sum(map(len, capture.pieces)) >= 1_200, control.stop)
        run, taken = await firehose_to(reader, control)
        (trace,) = traces(run)
        assert trace.outcome is Outcome.LEFT
        elapsed_s = (run.ended_ns - run.began_ns) / 1e9
        received = len(trace.received_ns) if reader.tokens_per_s else trace.bytes_received
        rate = reader.tokens_per_s or reader.bytes_per_s or 0
        # 20 ms may be made up for, and one read is ahead; a slow machine only reads less.
        assert 0 < received <= rate * (elapsed_s + 0.02) + (4 if reader.tokens_per_s else 128)
        assert taken < 200_000

    on_each_loop(main)


class _Transport(asyncio.Transport):
    """Says what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.told.append("abort")

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")


async def read_at(monkeypatch: pytest.MonkeyPatch, steps: Sequence[tuple[float, float]]) -> list[float]:
    """Have a reader of 100 tokens/s read one token at a time, each when it is ready: so late, then so long starved.

    Returns:
        How long it pauses behind each, in ms; 0: not at all.
    """
    now_ms, pauses = 1_000.0, list[float]()
    timers: list[tuple[float, Callable[[], None]]] = []
    monkeypatch.setattr("benchmarks.load.reading.time.monotonic_ns", lambda: round(now_ms * 1e6))
    exchange = exchange_of(order(1, reader=Paced(tokens_per_s=100)), 0, None)
    transport = _Transport()
    exchange.connection_made(transport)
    loop = asyncio.get_running_loop()

    def call_later(wait_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        timers.append((wait_s, callback))
        return loop.call_at(loop.time() + 1e6, callback)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "call_later", call_later)
        exchange.take(head(), round(now_ms * 1e6))
        for late_ms, starved_ms in steps:
            if timers:
                wait_s, resume = timers.pop()
                now_ms += wait_s * 1e3 + late_ms
                resume()
            now_ms += starved_ms
            exchange.take(TOKEN, round(now_ms * 1e6))
            pauses.append(round(timers[0][0] * 1e3, 3) if timers else 0.0)
    exchange.close()
    return pauses


async def test_paced_reader_makes_up_for_its_own_lateness(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [(0, 0), (0, 0), (0, 0), (35, 0), (0, 0), (0, 0), (0, 0), (0, 0)]
    # 20 ms of slack at first; then 35 ms late, which are three tokens at once, and half of a pause.
    assert await read_at(monkeypatch, steps) == [0, 0, 10, 0, 0, 0, 5, 10]


async def test_paced_reader_does_not_make_up_for_what_was_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [(0, 0), (0, 0), (0, 0), (0, 1_000), (0, 0), (0, 0), (0, 0)]
    assert await read_at(monkeypatch, steps) == [0, 0, 10, 0, 0, 10, 10]


@pytest.mark.slow
def test_stalled_reader_reads_nothing_and_then_all() -> None:
    async def main() -> None:
        async with serving_null() as port:
            run = await drive(order(port, target="/firehose?count=2000", reader=Stalled(0.1)))
        (trace,) = traces(run)
        assert (trace.outcome, len(trace.received_ns)) == (Outcome.COMPLETED, 2_000)
        assert trace.times.sent_ns is not None
        assert trace.times.headers_ns is not None
        assert trace.times.headers_ns - trace.times.sent_ns >= 98_000_000  # a timer is never much too early

    on_each_loop(main)


@pytest.mark.slow
def test_bursty_reader_pauses_again_and_again(when_taken: WhenTaken) -> None:
    def pauses(capture: Capture) -> list[int]:
        stamps_ns = capture.stamps_ns
        return [later - earlier for earlier, later in itertools.pairwise(stamps_ns) if later - earlier > 75_000_000]

    async def main() -> None:
        control = Control()
        when_taken(lambda capture: len(pauses(capture)) >= 2, control.stop)
        run, _ = await firehose_to(Bursty(read_s=0.02, pause_s=0.08), control)
        assert len(pauses(run.captures[0])) >= 2
        assert run.captures[0].outcome is Outcome.LEFT

    on_each_loop(main)


@pytest.mark.slow
def test_leaving_reader_goes_after_so_many_tokens() -> None:
    async def main() -> None:
        run, _ = await firehose_to(Leaving(after_tokens=10))
        (trace,) = traces(run)
        assert trace.outcome is Outcome.LEFT
        assert 10 <= len(trace.received_ns) < 1_000

    on_each_loop(main)


@pytest.mark.parametrize(("reader", "size"), [(Leaving(1), 4_096), (None, None)])
async def test_readers_that_are_not_fast_ask_for_a_small_buffer(reader: Leaving | None, size: int | None) -> None:
    parts = {} if reader is None else {"reader": reader}
    assert order(1, **parts).receive_buffer == size
    assert order(1, receive_buffer_bytes=999, **parts).receive_buffer == 999


# --- Loads -------------------------------------------------------------------------------------------------------


async def test_closed_load_asks_again_when_a_stream_has_ended() -> None:
    open_now = most = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        await reader.readuntil(b"\r\n\r\n")
        open_now += 1
        most = max(most, open_now)
        writer.write(head() + TOKEN + END)
        await writer.drain()
        open_now -= 1

    async with serving_raw(answer) as port:
        run = await drive(order(port, load=Closed(connections=3, requests=10)))
    assert [trace.outcome for trace in traces(run)] == [Outcome.COMPLETED] * 10
    assert most <= 3
    due = [capture.times.scheduled_ns for capture in run.captures]
    assert due == sorted(due)
    assert due.count(run.began_ns) == 3


async def test_ramp_spreads_the_first_requests() -> None:
    async with serving_raw(saying(head(), END)) as port:
        run = await drive(order(port, load=Closed(connections=4, ramp_s=0.04)))
    due = [capture.times.scheduled_ns - run.began_ns for capture in run.captures]
    assert due == [0, 10_000_000, 20_000_000, 30_000_000]


async def test_open_load_is_due_by_its_schedule_whether_or_not_others_have_ended(
    jump: Callable[[float], None], when_taken: WhenTaken
) -> None:
    when_taken(tokens_held(lambda: 40), lambda: jump(20))
    parts: dict[str, Any] = {"load": Open(per_s=1_000, requests=20, seed=1)}
    async with serving_raw(saying(head(), TOKEN, then="hold")) as port:
        first, second = await drive_all([order(port, **parts), order(port, **parts)])
    schedules = [[c.times.scheduled_ns - run.began_ns for c in run.captures] for run in (first, second)]
    assert schedules[0] == schedules[1]
    assert len(set(schedules[0])) == 20
    assert {trace.outcome for trace in traces(first)} == {Outcome.STUCK}
    for capture in first.captures:
        assert capture.times.sent_ns is not None
        assert capture.times.sent_ns >= capture.times.scheduled_ns - 2_000_000


@pytest.mark.parametrize(
    "load",
    [
        Closed(connections=5, ramp_s=0.01),
        Closed(connections=3, requests=8),
        Closed(connections=1, requests=4),
        Open(per_s=2_000, requests=9, seed=1),
    ],
    ids=str,
)
async def test_shares_of_a_load_are_the_whole_of_it(load: Closed | Open) -> None:
    async with serving_raw(saying(head(), TOKEN, END)) as port:
        whole = await drive(order(port, load=load))
        begins_ns = time.monotonic_ns()
        shares = [Share(number=number, of=2) for number in range(2)]
        parts = await drive_all([order(port, load=load, share=share) for share in shares], begins_ns=begins_ns)
    captures = [capture for part in parts for capture in part.captures]
    assert len(captures) == len(whole.captures)
    assert [part.began_ns for part in parts] == [begins_ns, begins_ns]
    if not isinstance(load, Closed) or load.requests is None:  # else they are due when the one before has ended
        due = sorted(capture.times.scheduled_ns - begins_ns for capture in captures)
        assert due == [capture.times.scheduled_ns - whole.began_ns for capture in whole.captures]


async def test_load_begins_when_it_is_told_to() -> None:
    begins_ns = time.monotonic_ns() + 30_000_000
    async with serving_raw(saying(head(), END)) as port:
        (run,) = await drive_all([order(port)], begins_ns=begins_ns)
    (capture,) = run.captures
    assert run.began_ns == capture.times.scheduled_ns == begins_ns
    assert capture.times.sent_ns is not None
    assert capture.times.sent_ns >= begins_ns


async def test_nothing_is_sent_before_it_is_due_however_early_timers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = asyncio.sleep
    monkeypatch.setattr("benchmarks.load.client.asyncio.sleep", lambda wait_s: sleep(wait_s / 2))
    async with serving_raw(saying(head(), END)) as port:
        runs = await drive_all(
            [
                order(port, load=Open(per_s=50, requests=3, poisson=False)),
                order(port, load=Closed(connections=3, ramp_s=0.06)),
            ]
        )
    for capture in [capture for run in runs for capture in run.captures]:
        assert capture.times.sent_ns is not None
        assert capture.times.sent_ns >= capture.times.scheduled_ns


def test_stopped_load_leaves_what_is_open_and_begins_nothing_more() -> None:
    async def main() -> None:
        control = Control()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head() + TOKEN)
            if control.begun == 2:
                control.stop()
            await reader.read()

        async with serving_raw(answer) as port:
            orders = [
                order(port, load=Closed(connections=1, requests=5)),
                order(port, load=Open(per_s=0.1, requests=5, poisson=False)),
                order(port, load=Closed(connections=2, ramp_s=100, requests=5), window_s=200),
            ]
            runs = await drive_all(orders[:2], control)
            assert (control.begun, control.ended) == (2, 2)
            runs += await drive_all(orders[2:], control)
        captures = [capture for run in runs for capture in run.captures]
        assert [(capture.outcome, capture.detail) for capture in captures] == [(Outcome.LEFT, INTERRUPTED)] * 2

    on_each_loop(main)


async def test_client_leaves_at_the_end_of_its_window_and_begins_nothing_more() -> None:
    async with serving_raw(saying(head(), TOKEN, then="hold")) as port:
        held, late = await drive_all(
            [order(port, load=Closed(2), window_s=0.5), order(port, load=Open(1, 5, poisson=False), window_s=0.5)]
        )
    assert [trace.outcome for trace in traces(held)] == [Outcome.LEFT] * 2
    assert [trace.outcome for trace in traces(late)] == [Outcome.LEFT]


async def test_every_index_of_a_firehose_is_checked() -> None:
    async with serving_null() as port:
        counted, checked = await drive_all(
            [order(port, target="/firehose?count=20000", mode=mode) for mode in ("count", "check")]
        )
    for run in (counted, checked):
        assert run.captures[0].outcome is Outcome.COMPLETED
        assert run.counted is not None
        assert (run.counted.tokens, run.counted.missing, run.counted.duplicates) == (20_000, 0, 0)
        assert run.counted.tokens_per_s > 0
    assert [run.counted.checked for run in (counted, checked) if run.counted] == [0, 20_000]


# --- TLS ---------------------------------------------------------------------------------------------------------


async def test_certificate_has_to_be_valid_unless_said_otherwise() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(Path(__file__).with_name("localhost.pem"))
    async with serving_raw(saying(head(), TOKEN + END), ssl=context) as port:
        strict, lenient, slow = await drive_all(
            [
                order(port, tls=True),
                order(port, tls=True, tls_verify=False),
                order(port, tls=True, tls_verify=False, reader=Paced(bytes_per_s=10_000)),
            ]
        )
    assert strict.captures[0].outcome is Outcome.UNREACHABLE
    assert "CERTIFICATE_VERIFY_FAILED" in strict.captures[0].detail
    assert [traces(run)[0].outcome for run in (lenient, slow)] == [Outcome.COMPLETED] * 2


async def test_plain_server_is_unreachable_over_tls() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"this is no TLS")

    async with serving_raw(answer) as port:
        run = await drive(order(port, tls=True))
    assert run.captures[0].outcome is Outcome.UNREACHABLE
    assert "SSL" in run.captures[0].detail
