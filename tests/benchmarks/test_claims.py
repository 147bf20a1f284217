"""The claims: each verdict from made-up figures, both ways; and each experiment live where it is cheap."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.claims import default_buffer, framing, reconnecting, slowing, strategies, threads, transports
from benchmarks.claims.__main__ import app
from benchmarks.claims.claim import Claim, Evidence, Figure, Verdict, untested
from benchmarks.claims.page import page
from benchmarks.claims.registry import CLAIMS, claim
from benchmarks.claims.showing import Checked, show, to_json, verdict_words
from benchmarks.claims.tools import CHROMIUM, JAVA, Demand, Tried, browser, demand, spring, versions
from benchmarks.peers import jvm
from benchmarks.peers.needs import Need
from benchmarks.peers.semantics.schedules import Schedule, Seen
from benchmarks.processes import ServerProcess
from streams import Emitter
from streams.source import Token
from tests.benchmarks.said import said
from tests.benchmarks.unread import NOWHERE, unread

__all__ = ()

pytestmark = pytest.mark.usefixtures("own_handlers")

HOLDS, CONDITIONAL, REFUTED, UNTESTED = Verdict.HOLDS, Verdict.CONDITIONAL, Verdict.REFUTED, Verdict.UNTESTED
ABSENT = Need("loom", "a loom", lambda: None)
PRESENT = Need("thread", "thread", lambda: ())


def needs(*wanted: Need) -> pytest.MarkDecorator:
    """Skip where a tool is missing, and say what to install."""
    lacking = "; ".join(f"{need.name}: install {need.install}" for need in wanted if not need.is_there())
    return pytest.mark.skipif(bool(lacking), reason=lacking)


def evidence(verdict: Verdict = HOLDS, condition: str = "", missing: tuple[str, ...] = ()) -> Evidence:
    return Evidence(verdict, (Figure("warp", 3, "m"),), ("It is so.",), condition, missing)


def made_up(
    name: str = "made-up",
    found: Evidence | BaseException | None = None,
    needs: tuple[Need, ...] = (),
    helps: tuple[Need, ...] = (),
) -> Claim:
    def experiment() -> Evidence:
        if isinstance(found, BaseException):
            raise found
        return found or evidence()

    return Claim(name, "<b>Looms & threads</b>", "mills", "Weaving.", "Silk.", experiment, needs, helps)


# --- Strategies --------------------------------------------------------------------------------------------------


def behaviours(names: str) -> dict[str, str]:
    return {name: name for name in names}


@pytest.mark.parametrize(
    ("rx_created", "flux_created", "rx_operators", "flux_operators", "verdict"),
    [
        ("abc", "ab", "xyz", "xy", HOLDS),
        ("abc", "ab", "xy", "xy", CONDITIONAL),
        ("ab", "ab", "xyz", "xy", CONDITIONAL),
        ("ab", "ab", "xy", "xy", REFUTED),
        ("ab", "ab", "xyz", "xw", REFUTED),
        ("ab", "abc", "xyz", "xy", REFUTED),
        ("ab", "abc", "xy", "xyz", REFUTED),
    ],
)
def test_more_strategies_are_all_of_the_others_and_one_besides(
    rx_created: str, flux_created: str, rx_operators: str, flux_operators: str, verdict: Verdict
) -> None:
    sets = map(behaviours, (rx_created, flux_created, rx_operators, flux_operators))
    assert strategies.judge(strategies.Offered(*sets)).verdict is verdict


def test_strategies_that_only_one_has_are_named() -> None:
    found = strategies.judge(strategies.Offered(behaviours("a"), behaviours("a"), behaviours("xy"), behaviours("xz")))
    assert "Only Flowable has: y." in found.sentences
    assert "Only Flux has: z." in found.sentences


@pytest.mark.parametrize("signature", ["onBackpressureBuffer(Duration, int)", "onBackpressureBuffer(long, TimeUnit)"])
@pytest.mark.parametrize("libraries", [["RxJava"], ["Reactor"], ["RxJava", "Reactor"]])
def test_a_buffer_with_a_time_to_live_is_looked_for_in_both(
    libraries: Sequence[str], signature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Alike:
        """Operators that all do the same: nothing."""

        def run(self, schedule: Schedule) -> tuple[Seen, ...]:
            return (Seen(),) * len(schedule.steps)

    @contextmanager
    def alike() -> Generator[Alike]:
        yield Alike()

    nothing: dict[str, list[str]] = {"RxJava": [], "Reactor": []}
    found = Demand(1_000, 10, nothing, nothing | {library: [signature] for library in libraries}, [])
    monkeypatch.setattr(strategies, "demand", lambda: found)
    monkeypatch.setattr(strategies, "originals", alike)
    offered = strategies.measure()
    assert (len(offered.rx_operators), len(offered.flux_operators)) == (
        1 + ("RxJava" in libraries),
        1 + ("Reactor" in libraries),
    )


# --- Buffers by default ------------------------------------------------------------------------------------------


def tried(source: str, made: int, received: int, after: int, ended: str = "complete") -> Tried:
    return Tried("Reactor", source, made, received, after, ended)


HELD = tried("Flux.create, none named", 1_000, 10, 1_000)
PULLED = tried("Flux.generate", 10, 10, 1_000)
AHEAD = tried("Flux.fromStream", 11, 10, 1_000)
LOST = tried("Flux.create, none named", 1_000, 10, 10)
FAILED = tried("Flux.interval", 11, 10, 10, "OverflowException")
ENDLESS = tried("Flux.interval", 1_000, 10, 1_000, "")
ENDLESS_LOST = tried("Flux.interval", 1_000, 10, 10, "")


@pytest.mark.parametrize(
    ("pushed", "others", "verdict", "condition"),
    [
        ([HELD], [], HOLDS, ""),
        ([HELD], [PULLED, AHEAD, FAILED], CONDITIONAL, "of Flux.create"),
        ([LOST], [PULLED, FAILED], REFUTED, ""),
        ([LOST], [PULLED, ENDLESS], CONDITIONAL, "of Flux.interval"),
        ([LOST], [PULLED, ENDLESS_LOST], REFUTED, ""),
    ],
)
def test_a_buffer_is_what_was_made_too_early_and_still_came(
    pushed: Sequence[Tried], others: Sequence[Tried], verdict: Verdict, condition: str
) -> None:
    found = default_buffer.judge(default_buffer.Defaults(1_000, 10, tuple(pushed), tuple(others)))
    assert (found.verdict, found.condition) == (verdict, condition)


def test_only_a_buffer_that_took_all_is_called_one_without_a_bound() -> None:
    full = tried("Flux.bounded", 266, 10, 1_000)
    found = default_buffer.judge(default_buffer.Defaults(1_000, 10, (HELD,), (full,)))
    assert found.verdict is HOLDS
    assert [sentence.partition("lost none: ")[2] for sentence in found.sentences] == [
        "a buffer without a bound.",
        "a buffer that is full with these.",
    ]
    assert [figure.value for figure in found.figures] == [990, 256]


def test_what_holds_nothing_is_told_with_its_reason() -> None:
    found = default_buffer.judge(default_buffer.Defaults(1_000, 10, (LOST,), (PULLED, FAILED, ENDLESS_LOST)))
    assert found.sentences == (
        "Flux.create, none named made 1,000 items, of which 10 came.",
        "Flux.generate has nothing to hold: it made 10 items, as 10 were wanted.",
        "Flux.interval holds nothing: after 10 items it failed with OverflowException.",
        "Flux.interval made 1,000 items, of which 10 came.",
    )


# --- Transports --------------------------------------------------------------------------------------------------


def delays(*sse_ms: float, websocket_ms: float = 1.0) -> transports.Delays:
    same = (websocket_ms,) * len(sse_ms)
    return transports.Delays(sse_ms, same, sse_ms, same, 150.0, 130.0, 800)


@pytest.mark.parametrize(
    ("sse_ms", "verdict"),
    [
        ((20.0,) * 8, HOLDS),
        ((1.5,) * 8, CONDITIONAL),
        ((1.05,) * 8, REFUTED),
        ((1.0,) * 8, REFUTED),
        ((0.5,) * 8, REFUTED),
        ((0.4, 0.5, 0.5, 2.0, 2.0, 3.0, 3.0, 3.0), REFUTED),
        ((1.5,) * 7 + (90.0,), CONDITIONAL),
        ((0.1, 0.1, 5.0, 9.0, 20.0, 30.0, 40.0, 50.0), UNTESTED),
    ],
)
def test_a_delay_counts_if_it_is_seen_and_is_more_than_noise(sse_ms: tuple[float, ...], verdict: Verdict) -> None:
    assert transports.judge(delays(*sse_ms)).verdict is verdict


def test_of_many_rounds_the_extremes_do_not_bound_the_difference() -> None:
    assert delays(1.0, 2.0, 3.0, 4.0).bounds_ms == (1.0, 2.0)
    assert delays(1.0, 2.0, 3.0).bounds_ms == (0.0, 2.0)


def test_the_verdict_goes_by_the_medians_as_its_limits_say() -> None:
    late = replace(delays(*(1.0,) * 8), sse_p99_ms=(90.0,) * 8)
    assert transports.judge(late).verdict is REFUTED
    assert "by the medians alone" in transports.CLAIM.limits


@pytest.mark.slow
def test_both_transports_are_measured() -> None:
    size = transports.Size(rounds=2, streams=1, tokens=20, rate=500)
    found = transports.measure(size)
    assert found.tokens == 40
    assert len(found.sse_p50_ms) == len(found.websocket_p50_ms) == 2
    assert min(found.sse_p50_ms + found.websocket_p50_ms) > 0
    assert found.sse_bytes > found.websocket_bytes
    assert transports.judge(found).sentences


# --- Raw strings -------------------------------------------------------------------------------------------------

STANDARD = "".join(f"data: {line}\n\n" for line in (text.replace("\n", "\ndata: ") for text in framing.TEXTS))
SSE = "text/event-stream"


def written(body: str | bytes = STANDARD, content_type: str = SSE, way: str = framing.ENDPOINT) -> framing.Written:
    data = body if isinstance(body, bytes) else body.encode()
    return framing.Written("Spring", f"Flux<String> {way}", way, content_type, data)


def test_standard_events_have_no_fault_and_are_exact() -> None:
    decoded = framing.framed(written(content_type="text/event-stream;charset=UTF-8"))
    assert (decoded.fault, decoded.texts, decoded.changed) == ("", framing.TEXTS, ())


def test_a_space_that_the_decoder_takes_changes_a_text_but_is_standard() -> None:
    decoded = framing.framed(written(STANDARD.replace("data: ", "data:")))
    assert (decoded.fault, decoded.changed) == ("", (" world",))


def test_texts_are_exact_in_their_own_places_alone() -> None:
    hello, world, *others = framing.TEXTS
    swapped = framing.Framed(written(), "", (world, hello, *others))
    assert swapped.changed == (hello, world)
    assert framing.Framed(written(), "", (hello,) * len(framing.TEXTS)).changed == framing.TEXTS[1:]
    assert framing.Framed(written(), "", framing.TEXTS[:-1]).changed == framing.TEXTS[-1:]
    assert framing.Framed(written(), "", (*framing.TEXTS, "more")).changed == ()


@pytest.mark.parametrize(
    ("body", "content_type", "fault"),
    [
        (STANDARD, "text/plain", "its type is text/plain, which EventSource refuses"),
        (STANDARD, "", "its type is not given, which EventSource refuses"),
        ("".join(framing.TEXTS), SSE, "the last event has no blank line behind it"),
        (STANDARD[:-1], SSE, "the last event has no blank line behind it"),
        (STANDARD.replace("data: Hello", "Hello"), SSE, "'Hello' is no field"),
        (STANDARD + "data: more\n\n", SSE, "7 events for 6 texts"),
        (STANDARD.encode() + b"data: \xff\n\n", SSE, "it is no UTF-8"),
        (STANDARD.replace("Hello", "the end."), SSE, "'the end.' came for 'Hello'"),
        (
            STANDARD.replace("data: two\ndata: lines", "data: two\n\ndata: lines", 1).removesuffix(
                "data: the end.\n\n"
            ),
            SSE,
            "'two' came for 'two\\nlines'",
        ),
    ],
)
def test_what_a_standard_client_would_only_pass_over_is_a_fault(
    body: str | bytes, content_type: str, fault: str
) -> None:
    assert framing.framed(written(body, content_type)).fault == fault


GOOD, GOOD_OPEN = written(), written(way=framing.NOBODY)
BAD, BAD_OPEN = written("raw"), written("raw", "text/plain", framing.NOBODY)


@pytest.mark.parametrize(
    ("bodies", "verdict", "condition"),
    [
        ([GOOD, GOOD_OPEN], REFUTED, ""),
        ([GOOD, BAD_OPEN], CONDITIONAL, "where neither the client nor the endpoint names text/event-stream"),
        ([BAD, GOOD_OPEN], CONDITIONAL, "of Flux<String> declared, Spring"),
        ([BAD, BAD_OPEN], HOLDS, ""),
    ],
)
def test_raw_strings_are_judged_by_what_was_asked_for(
    bodies: Sequence[framing.Written], verdict: Verdict, condition: str
) -> None:
    found = framing.judge([framing.framed(each) for each in bodies])
    assert (found.verdict, found.condition) == (verdict, condition)


def test_our_own_bytes_decide_nothing_about_spring() -> None:
    ours = framing.framed(framing.our_profile())
    assert not ours.fault
    found = framing.judge([ours], ("java: install Java",))
    assert (found.verdict, found.missing) == (UNTESTED, ("java: install Java",))
    assert found.figures


# --- Threads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spans", "most"),
    [
        ([], 0),
        ([(0, 9)], 1),
        ([(0, 4), (5, 9)], 1),
        ([(0, 5), (5, 9)], 1),
        ([(0, 5), (4, 9), (3, 4)], 2),
        ([(0, 9), (1, 8), (2, 7)], 3),
        ([(5, 5)], 1),
        ([(5, 5), (5, 9)], 2),
        ([(5, 5), (0, 9)], 2),
        ([(0, 5), (5, 5), (6, 9)], 1),
    ],
)
def test_streams_at_a_time_are_those_that_overlap(spans: Sequence[threads.Span], most: int) -> None:
    assert threads.most_at_a_time(spans) == most


def fed(threads_: int, at_a_time: int, *, original: bool = True) -> threads.Fed:
    return threads.Fed("SseEmitter", f"{threads_} threads", threads_, 10, at_a_time, original)


@pytest.mark.parametrize(
    ("ways", "verdict", "condition"),
    [
        ([fed(5, 5), fed(1, 1)], HOLDS, ""),
        ([fed(5, 5), fed(1, 10)], CONDITIONAL, "with 5 threads"),
        ([fed(5, 10), fed(1, 10)], REFUTED, ""),
        ([fed(5, 5, original=False), fed(1, 10, original=False)], UNTESTED, ""),
    ],
)
def test_a_way_is_bound_by_threads_if_it_feeds_no_more_streams(
    ways: Sequence[threads.Fed], verdict: Verdict, condition: str
) -> None:
    found = threads.judge(ways, ("java: install Java",))
    assert (found.verdict, found.condition) == (verdict, condition)


@pytest.mark.slow
async def test_our_pool_feeds_one_stream_per_thread_and_our_loop_feeds_all(monkeypatch: pytest.MonkeyPatch) -> None:
    send = Emitter[Token].send_blocking
    both_have_begun = threading.Barrier(2, timeout=30)

    def send_beside_another(emitter: Emitter[Token], token: Token) -> None:
        if token.index == 0:  # however late its thread is
            both_have_begun.wait()
        send(emitter, token)

    monkeypatch.setattr(Emitter, "send_blocking", send_beside_another)
    pooled, looped = await threads.ours(threads.Size(clients=4, threads=2, tokens=5, rate=50))
    assert (pooled.at_a_time, looped.at_a_time) == (2, 4)
    assert pooled.is_thread_bound
    assert not looped.is_thread_bound


@pytest.mark.slow
@pytest.mark.timeout(900)
@needs(*JAVA)
def test_one_thread_feeds_any_number_of_springs_emitters() -> None:
    with spring(("mvc", "OneThread")) as (server,):
        assert threads.served(server, threads.Size(clients=1, tokens=3, rate=40)) == 1
        assert threads.most_at_a_time(asyncio.run(read_until_all_have_begun(server, 4))) == 4


async def read_until_all_have_begun(server: ServerProcess, clients: int) -> list[threads.Span]:
    """Return when the first token of each stream was emitted, and one that was read once all had begun."""
    url = f"http://127.0.0.1:{server.port}/v1/chat/stream?count=1000000&rate=40"
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(session.get(url)) for _ in range(clients)]
        first_ns = [await emitted_ns(each) for each in streams]
        later_ns = [await emitted_ns(each) for each in streams]
        while min(later_ns) <= max(first_ns):  # it had been on its way
            later_ns = [await emitted_ns(each) for each in streams]
    return list(zip(first_ns, later_ns, strict=True))


async def emitted_ns(response: aiohttp.ClientResponse) -> int:
    event = await response.content.readuntil(b"\n\n")
    return int(json.loads(event.removeprefix(b"data:"))["emitted_ns"])


# --- Slowing -----------------------------------------------------------------------------------------------------


def producer(way: str, made: int) -> slowing.Producer:
    return slowing.Producer("ours", way, made, 100)


@pytest.mark.parametrize(
    ("made", "verdict", "condition"),
    [
        ((10, 49), HOLDS, ""),
        ((10, 50), CONDITIONAL, "for 1 of 2 producers: way 0"),
        ((50, 103), REFUTED, ""),
    ],
)
def test_a_producer_is_slowed_if_it_makes_under_half(made: Sequence[int], verdict: Verdict, condition: str) -> None:
    found = slowing.judge([producer(f"way {number}", each) for number, each in enumerate(made)])
    assert (found.verdict, found.condition) == (verdict, condition)


def test_a_source_that_failed_was_not_slowed() -> None:
    found = Demand(items=1_000, wanted=10, strategies={}, operators={}, tried=[PULLED, FAILED, HELD, ENDLESS])
    assert [(each.way, each.is_slowed) for each in slowing.of_libraries(found)] == [
        ("Flux.generate", True),
        ("Flux.create, none named", False),
        ("Flux.interval", False),
    ]


@pytest.mark.slow
def test_a_stream_that_ended_before_its_reader_left_was_not_slowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowing, "JAVA", (ABSENT,))
    monkeypatch.setattr(slowing, "_WAYS", {"flux error": {"variant": "flux", "strategy": "error"}})
    with pytest.raises(RuntimeError, match=r"flux error: the stream ended before its reader left \(error\)"):
        slowing.measure(slowing.Size(rate=400, reader_rate=20, tokens=100))


@pytest.mark.slow
def test_strategies_that_suspend_slow_our_producers_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowing, "JAVA", (ABSENT,))
    found = slowing.measure(slowing.Size(rate=400, reader_rate=20, tokens=240))
    assert {each.way for each in found if each.is_slowed} == {
        "emitter suspend",
        "flux suspend",
        "flux buffer(16, suspend)",
    }
    assert slowing.judge(found).verdict is CONDITIONAL


# --- Reconnecting ------------------------------------------------------------------------------------------------


def asked(ended: int, stopped: int, closed: int, finished_status: int = 204) -> reconnecting.Asked:
    return reconnecting.Asked({"ended": ended, "stopped": stopped, "closed": closed, "failed": 1}, finished_status)


@pytest.mark.parametrize(
    ("seen", "verdict", "condition"),
    [
        (asked(5, 5, 5), HOLDS, ""),
        (asked(5, 2, 1), CONDITIONAL, "unless the server answers 204 or the page calls close()"),
        (asked(5, 5, 1), CONDITIONAL, "unless the page calls close()"),
        (asked(5, 2, 5), CONDITIONAL, "unless the server answers 204"),
        (asked(1, 1, 1), REFUTED, ""),
        (reconnecting.Asked({}, 204), UNTESTED, ""),
    ],
)
def test_a_browser_reconnects_if_it_asks_again(seen: reconnecting.Asked, verdict: Verdict, condition: str) -> None:
    found = reconnecting.judge(seen, ("chromium: install it",))
    assert (found.verdict, found.condition) == (verdict, condition)


def test_our_servers_half_is_told_either_way() -> None:
    assert "by which the standard stops a client" in reconnecting.judge(asked(5, 2, 1)).sentences[-1]
    assert "has a client go on" in reconnecting.judge(asked(5, 2, 1, 200)).sentences[-1]


@pytest.mark.parametrize(
    ("path", "returning", "status"),
    [
        ("ended", True, 200),
        ("stopped", False, 200),
        ("stopped", True, 204),
        ("failed", False, 500),
        ("icon", False, 404),
    ],
)
async def test_the_small_server_counts_and_answers_as_its_page_says(path: str, returning: bool, status: int) -> None:
    async with reconnecting.serving() as (port, requests):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        identity = "Last-Event-ID: stream-end\r\n" if returning else ""
        writer.write(f"GET /{path} HTTP/1.1\r\n{identity}\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert requests[path] == 1


def test_our_servers_half_is_told_though_the_browser_failed() -> None:
    found = reconnecting.judge(reconnecting.Asked({}, 204, "no display"))
    assert (found.verdict, found.failed) == (UNTESTED, True)
    assert found.sentences[0] == "The browser failed: no display"
    assert found.sentences[1:] == reconnecting.judge(asked(5, 2, 1)).sentences[-1:]
    assert [figure.value for figure in found.figures] == [204]


@pytest.fixture
def chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a file in place of all programs on the PATH: who writes a script into it makes a browser of it."""
    (tmp_path / "tools").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    path = tmp_path / "tools" / "chromium"
    path.touch(0o755)
    return path


NAMES_A_VERSION = '[ "$1" = --version ] && echo "Chromium 156.0.8078.79" && exit'


@pytest.mark.parametrize(
    ("words", "lack"),
    [
        ("Chromium 156.0.8078.79 built on Debian GNU/Linux 12", ""),
        ("Google Chrome 120.0.6099.109", ""),
        ("Chromium 57.0.2987.98", "chromium 59 or later (found 57.0.2987.98)"),
        ("this requires the snap", "chromium 59 or later (found one without a version)"),
    ],
)
def test_a_browser_is_one_that_names_its_version(words: str, lack: str, chromium: Path) -> None:
    chromium.write_text(f"#!/bin/sh\necho '{words}'\n")
    assert CHROMIUM.lack() == lack
    assert browser() == (None if lack else str(chromium))


def test_of_several_browsers_the_first_that_will_do_is_taken(chromium: Path) -> None:
    chromium.write_text("#!/bin/sh\necho 'this requires the snap'\n")
    other = chromium.with_name("google-chrome")
    other.write_text("#!/bin/sh\necho 'Google Chrome 120.0.6099.109'\n")
    other.chmod(0o755)
    assert browser() == str(other)
    assert versions([CHROMIUM])["chromium"] == "120.0.6099.109"


@pytest.mark.slow
def test_a_browser_that_ends_at_once_is_not_waited_for_and_leaves_nothing(chromium: Path, tmp_path: Path) -> None:
    chromium.write_text(
        f'#!/bin/sh\n{NAMES_A_VERSION}\necho "$TMPDIR" > {tmp_path}/temporary\necho no display\nexit 1\n'
    )
    seen = reconnecting.measure()
    assert seen == reconnecting.Asked({}, 204, "it ended too early, and printed: no display")
    temporary = Path((tmp_path / "temporary").read_text().strip())
    assert temporary.parent == Path(tempfile.gettempdir())
    assert not temporary.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_browser_ends_with_a_starter_that_is_killed(chromium: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pid")
    chromium.write_text(f"#!/bin/sh\n{NAMES_A_VERSION}\necho $$ > {tmp_path}/pid\nexec /usr/bin/tail -f /dev/null\n")
    script = "from benchmarks.claims import reconnecting\nreconnecting.measure()"
    temporary = {**os.environ, "TMPDIR": str(tmp_path)}  # nobody is left who would remove what is in it
    with subprocess.Popen([sys.executable, "-c", script], env=temporary) as starter:
        browser_ends = os.pidfd_open(int((tmp_path / "pid").read_text()))
        starter.kill()
    select.select([browser_ends], [], [])  # for ever, if it outlives its starter
    os.close(browser_ends)


@pytest.mark.slow
@needs(CHROMIUM)
def test_a_real_browser_reconnects_until_it_is_stopped() -> None:
    seen = reconnecting.measure()
    assert seen.finished_status == 204
    assert reconnecting.judge(seen).verdict is CONDITIONAL


# --- The Java originals ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first build fetches what it needs
@needs(*JAVA)
def test_real_operators_decide_about_strategies_and_buffers() -> None:
    offered = strategies.measure()
    assert len(offered.rx_created) == len(offered.flux_created) == 5
    assert strategies.judge(offered).verdict is REFUTED
    assert "buffer(2, ERROR), which brings 1 overflow at 4" in offered.rx_operators.values()
    assert "error(), which brings 1 overflow at 2" in offered.flux_operators.values()
    assert default_buffer.judge(default_buffer.measure()).condition == "of Flux.create and Flux.push"
    interval = Tried("Reactor", "Flux.interval", 11, 10, 10, "OverflowException")  # it made one that nobody wanted
    assert interval in demand().tried


@pytest.mark.slow
@pytest.mark.timeout(900)
@needs(*JAVA)
def test_real_spring_frames_raw_strings_if_it_is_asked() -> None:
    decoded = framing.measure(["webflux"])
    assert {each.written.stack for each in decoded} == {"ours", "Spring WebFlux"}
    assert [bool(each.fault) for each in decoded] == [not each.written.is_asked for each in decoded]


# --- Claims and evidence -----------------------------------------------------------------------------------------


def test_names_are_unique_and_found() -> None:
    assert len({each.name for each in CLAIMS}) == len(CLAIMS) == 7
    assert all(claim(each.name) is each for each in CLAIMS)
    with pytest.raises(ValueError, match=r"name must be one of strategies, .*; got 'looms'"):
        claim("looms")


@pytest.mark.parametrize(("verdict", "condition"), [(HOLDS, "if"), (CONDITIONAL, "")])
def test_a_condition_goes_with_a_conditional_verdict_alone(verdict: Verdict, condition: str) -> None:
    with pytest.raises(ValueError, match="condition must be given with CONDITIONAL alone"):
        Evidence(verdict, (), ("It is so.",), condition)


def test_evidence_without_a_sentence_is_refused() -> None:
    with pytest.raises(ValueError, match="sentences must be one at least"):
        Evidence(HOLDS, (), ())


def test_an_experiment_is_not_begun_without_what_it_needs() -> None:
    found = made_up(found=AssertionError("begun"), needs=(PRESENT, ABSENT)).check()
    assert (found.verdict, found.missing, found.failed) == (UNTESTED, ("loom: install a loom",), False)


def test_what_is_too_old_is_missing_and_told_with_its_version() -> None:
    old = Need("loom", "a loom", lambda: (3, 1), (4,))
    assert made_up(needs=(old,)).check().missing == ("loom 4 or later (found 3.1): install a loom",)


def test_what_would_help_is_named_beside_the_verdict() -> None:
    found = made_up(found=evidence(missing=("loom: install a loom",)), helps=(PRESENT, ABSENT)).check()
    assert (found.verdict, found.missing) == (HOLDS, ("loom: install a loom",))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("torn"),
        OSError("torn"),
        aiohttp.ClientPayloadError("torn"),
        ExceptionGroup("1", [OSError("torn")]),
        msgspec.ValidationError("torn"),
        zipfile.BadZipFile("torn"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "torn"),
        KeyError("torn"),
    ],
)
def test_an_experiment_that_breaks_off_is_untested_and_says_why(error: Exception) -> None:
    found = made_up(found=error).check()
    assert (found.verdict, found.failed) == (UNTESTED, True)
    assert "torn" in found.sentences[0]
    assert type(error).__name__ in found.sentences[0]


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(3, "m", "3 m"), (99_990, "", "99,990"), (0.0123, "ms", "0.0123 ms"), (123.4, "ms", "123 ms"), ("so", "", "so")],
)
def test_a_figure_is_shown_with_its_unit(value: float | str, unit: str, shown: str) -> None:
    assert Figure("warp", value, unit).shown == shown


# --- Table, JSON, page -------------------------------------------------------------------------------------------

CHECKED = (
    Checked(made_up("first"), evidence()),
    Checked(made_up("second"), evidence(CONDITIONAL, "on <i>Mondays</i>", ("loom: install a loom",))),
    Checked(made_up("third"), untested(("loom: install a loom",))),
)


def test_a_verdict_is_shown_with_its_condition_or_what_is_missing() -> None:
    assert [verdict_words(each.evidence) for each in CHECKED] == [
        "holds",
        "holds with a condition: on <i>Mondays</i>",
        "could not be tested here: loom: install a loom",
    ]


def test_the_table_has_verdicts_and_sentences() -> None:
    console = Console(width=120, record=True, quiet=False, file=None)
    with console.capture() as captured:
        show(CHECKED, console)
    text = captured.get()
    assert "holds with a condition: on <i>Mondays</i>" in text
    assert "It is so." in text
    assert text.count("Not measured: loom: install a loom") == 1


def test_json_has_every_figure_and_the_environment() -> None:
    record = json.loads(to_json(CHECKED, {"python": "3"}))
    assert (record["format"], record["version"], record["environment"]) == ("tokenweir-claims", 1, {"python": "3"})
    assert [each["verdict"] for each in record["claims"]] == [each.evidence.verdict.value for each in CHECKED]
    assert record["claims"][0]["figures"] == [{"what": "warp", "value": 3, "unit": "m", "of": ""}]


class Elements(HTMLParser):
    """The start tags of a document, and its ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]


def test_the_page_escapes_its_texts_and_asks_for_nothing() -> None:
    text = page(CHECKED, {"python": "3", "packages": {"aiohttp": "3"}, "node": None})
    elements = Elements(text)
    assert "&lt;b&gt;Looms &amp; threads&lt;/b&gt;" in text
    assert not {"script", "img", "link", "i"} & set(elements.tags)
    assert all(link.startswith("#") for link in elements.links)
    assert {link.removeprefix("#") for link in elements.links} <= set(elements.ids)
    assert len(elements.ids) == len(set(elements.ids))
    assert "default-src 'none'" in text


def test_the_page_and_the_json_say_that_they_are_not_all() -> None:
    assert "Interrupted." in page(CHECKED, {}, interrupted=True)
    assert "Interrupted." not in page(CHECKED, {})
    assert [json.loads(to_json(CHECKED, {}, interrupted=each))["interrupted"] for each in (True, False)] == [
        True,
        False,
    ]


# --- The command -------------------------------------------------------------------------------------------------


def test_the_command_writes_what_the_output_is_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("benchmarks.claims.__main__.CLAIMS", (made_up(),))
    for name, start in (("claims.json", "{"), ("claims.html", "<!doctype html>")):
        result = CliRunner().invoke(app, ["--output", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
        assert (tmp_path / name).read_text("utf-8").startswith(start)


def test_the_command_fails_if_an_experiment_broke_off_and_writes_its_page_beside_the_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.claims.__main__.CLAIMS", (made_up(found=OSError("torn")),))
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, []).exit_code == 1
    assert (tmp_path / "tokenweir-results" / "claims.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("before", "written"), [(2, ["claims.json"]), (0, [])])
def test_the_command_that_is_told_to_end_keeps_what_it_found_out(
    before: int, written: list[str], number: signal.Signals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def is_ended() -> Evidence:
        signal.raise_signal(number)
        raise AssertionError("it goes on")

    claims = [*(made_up(f"claim-{index}") for index in range(before)), replace(made_up("ended"), experiment=is_ended)]
    monkeypatch.setattr("benchmarks.claims.__main__.CLAIMS", (*claims, made_up("never")))
    result = CliRunner().invoke(app, ["--output", str(tmp_path / "claims.json")])
    assert result.exit_code == 130
    assert f"Interrupted: {before} of {before + 2} claims were checked." in result.output
    assert [each.name for each in tmp_path.iterdir()] == written
    for path in tmp_path.iterdir():
        record = json.loads(path.read_text("utf-8"))
        assert record["interrupted"]
        assert [each["name"] for each in record["claims"]] == ["claim-0", "claim-1"]


def test_a_tool_that_cannot_be_run_has_no_version_and_takes_no_claim_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "java").write_bytes(b"junk")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("benchmarks.claims.__main__.CLAIMS", (made_up(helps=JAVA),))
    assert CliRunner().invoke(app, ["--output", str(tmp_path / "claims.json")]).exit_code == 0
    record = json.loads((tmp_path / "claims.json").read_text("utf-8"))
    assert not {"java", "mvn"} & record["environment"]["originals"].keys()


def test_versions_are_those_of_what_the_claims_need_beside_the_libraries_of_a_whole_jar(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jar = tmp_path / "mvc.jar"
    monkeypatch.setattr(jvm, "is_built", lambda: True)
    monkeypatch.setattr(jvm, "jar", lambda module: jar)  # pyright: ignore[reportUnknownLambdaType]
    loom = Need("loom", "a loom", lambda: (3, 1, 4))
    with zipfile.ZipFile(jar, "w") as entries:
        entries.writestr("BOOT-INF/lib/rxjava-3.1.12.jar", "")
    assert versions([loom, PRESENT, ABSENT]) == {"loom": "3.1.4", "rxjava": "3.1.12"}
    jar.write_bytes(b"half a jar")
    assert versions([loom]) == {"loom": "3.1.4"}


def test_the_table_is_wide_where_no_terminal_says_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    condition = "where the warp is of linen and the weft of silk, and on Mondays"
    monkeypatch.setattr("benchmarks.claims.__main__.CLAIMS", (made_up(found=evidence(CONDITIONAL, condition)),))
    result = CliRunner().invoke(app, ["--output", str(tmp_path / "claims.json")])
    assert f"holds with a condition: {condition} " in result.output


IN_A_PIPE = """
from dataclasses import replace
from benchmarks.claims import __main__ as command
from benchmarks.claims.claim import Evidence, Verdict

found = Evidence(Verdict.HOLDS, (), ("It is so.",))
command.CLAIMS = (replace(command.CLAIMS[0], needs=(), helps=(), experiment=lambda: found),)
command.app()
"""


@pytest.mark.slow
def test_words_that_nobody_reads_change_nothing(tmp_path: Path) -> None:
    assert unread(IN_A_PIPE, "--output", str(tmp_path / "claims.html")) == 0
    assert (tmp_path / "claims.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("where", NOWHERE)
def test_words_that_cannot_be_written_change_nothing(where: str, tmp_path: Path) -> None:
    assert unread(IN_A_PIPE, "--output", str(tmp_path / "claims.html"), where=where) == 0
    assert (tmp_path / "claims.html").exists()


def test_page_whose_name_is_a_folder_ends_the_command_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.claims.__main__.CLAIMS", (made_up(found=AssertionError("begun")),))
    monkeypatch.chdir(tmp_path)
    Path("tokenweir-results/claims.html").mkdir(parents=True)
    ended = CliRunner().invoke(app, [])
    assert ended.exit_code == 2
    assert "is a directory" in said(ended)


@pytest.mark.parametrize("arguments", [["looms"], ["--output", "claims.pdf"], ["--output", "no/such/claims.json"]])
def test_wrong_usage_is_refused_before_anything_is_done(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_folder_that_takes_no_file_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("benchmarks.claims.__main__.CLAIMS", (made_up(found=AssertionError("begun")),))
    monkeypatch.setattr(Path, "touch", refuse)
    ended = CliRunner().invoke(app, ["--output", str(tmp_path / "claims.html")])
    assert ended.exit_code == 2
    assert "Permission denied" in said(ended)
