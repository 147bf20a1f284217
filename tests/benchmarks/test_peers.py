"""The peers: each streams what ours does; what is missing is said in a line; one run becomes rows, a table, a file."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zipfile import BadZipFile

import aiohttp
import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.load.client import drive
from benchmarks.load.plan import LoadOrder
from benchmarks.peers import npm
from benchmarks.peers.__main__ import app
from benchmarks.peers.comparison import WARMED_UP, Comparison, Row, Skipped, load, save, skipped_lines, table
from benchmarks.peers.failures import in_words
from benchmarks.peers.needs import Need, program
from benchmarks.peers.registry import PEERS, Peer, Stack, peer
from benchmarks.peers.side_by_side import CASES, Case, Sample, Size, compare
from benchmarks.processes import HAS_PROC, ServerProcess, running
from benchmarks.results import ResultsError
from benchmarks.scenarios.cells import Transport
from benchmarks.served.client import Pull
from benchmarks.served.contenders import FLUX, OURS, Contender
from benchmarks.served.firehose import FirehoseSize
from benchmarks.served.memory import Grown, MemorySize
from benchmarks.served.paced import Attempt, PacedSize, Search
from benchmarks.traces.captures import Outcome
from benchmarks.traces.parsing import parse
from tests.benchmarks.unread import unread

__all__ = ()

pytestmark = pytest.mark.usefixtures("own_handlers")

TOKENS = 100
WARM = FirehoseSize(tokens=300, least=100, about_s=0.01)
TINY = Size(
    rounds=2,
    firehose=WARM,
    paced=PacedSize(first=2, most=2, warm_up_s=0.05, window_s=0.1, rest_s=0.01, firehose=WARM),
    memory=MemorySize(streams=3, before=1, settle_s=0.01, first_timeout_s=5),
)

Serve = Callable[[Peer], ServerProcess]


# --- What they stream --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Start a peer's server, one for all peers that it streams for."""
    servers: dict[tuple[str, ...], ServerProcess] = {}
    with ExitStack() as stack:

        def start(wanted: Peer) -> ServerProcess:
            if missing := wanted.missing():
                pytest.skip(f"install {missing}")
            command = wanted.command()
            if command not in servers:
                servers[command] = stack.enter_context(running(command))
            return servers[command]

        yield start


# The first build of a stack fetches what it needs.
@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.parametrize("rate", [0, 2_000])
@pytest.mark.parametrize("wanted", PEERS, ids=lambda each: each.name)
async def test_peer_streams_every_token_once_in_order_and_ends(serve: Serve, wanted: Peer, rate: int) -> None:
    target = Contender.of_peer(wanted).target(count=TOKENS, rate=rate, trace=1)
    (capture,) = (await drive(LoadOrder(host="127.0.0.1", port=serve(wanted).port, target=target))).captures
    trace = parse(capture, profile="completion", transport=Transport.SSE, keep_texts=True)
    assert (trace.outcome, trace.detail) == (Outcome.COMPLETED, "")
    assert trace.texts == tuple(str(index) for index in range(TOKENS))
    assert trace.seq is not None
    assert trace.seq.tolist() == list(range(TOKENS))
    assert trace.due_ns is not None
    assert trace.emitted_ns is not None
    assert (trace.emitted_ns <= trace.received_ns).all()
    assert (trace.due_ns[1:] >= trace.due_ns[:-1]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [("count", "1.5"), ("count", ""), ("rate", "nan"), ("rate", "-1"), ("trace", "yes"), ("hang_after", "x")],
)
@pytest.mark.parametrize("wanted", [each for each in PEERS if each.path == "/stream"], ids=lambda each: each.name)
async def test_peer_refuses_a_wrong_value_by_name(serve: Serve, wanted: Peer, name: str, value: str) -> None:
    url = f"http://127.0.0.1:{serve(wanted).port}{wanted.path}"
    async with aiohttp.ClientSession() as session, session.get(url, params={name: value}) as response:
        assert response.status == 400
        message = (await response.json())["error"]["message"]
    assert message.startswith(f"{name} must be ")
    assert message[:-1].endswith(f"; got {message[-1]}{value}")


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [each for each in PEERS if each.stack is Stack.NODE], ids=lambda each: each.name)
async def test_path_that_is_no_url_does_not_end_a_peer(serve: Serve, wanted: Peer) -> None:
    for target, status in (("//", b"404"), ("/stream?count=0", b"200")):
        reader, writer = await asyncio.open_connection("127.0.0.1", serve(wanted).port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] == status
        writer.close()
        await writer.wait_closed()


# --- Who they are ------------------------------------------------------------------------------------------------


def test_no_two_contenders_have_one_name() -> None:
    names = [each.name for each in (*PEERS, *OURS)]
    assert sorted(names) == sorted(set(names))


def test_all_stacks_take_part() -> None:
    assert {each.stack for each in PEERS} == set(Stack)


def test_unknown_peer_is_an_error_with_the_names() -> None:
    with pytest.raises(ValueError, match=r"must be one of .*sse-starlette.*; got 'nobody'"):
        peer("nobody")


def lacking(*needs: Need) -> Peer:
    def build() -> tuple[str, ...]:
        raise AssertionError("it is built although something is missing")

    return Peer("another", Stack.NODE, needs, build)


def test_peer_that_lacks_something_is_not_built() -> None:
    contender = Contender.of_peer(lacking(program("no-such-java", "Java 17")))
    assert (contender.command, contender.missing) == ((), "no-such-java: Java 17")


def test_peer_of_a_stack_that_is_too_old_is_skipped_with_what_to_install_and_what_was_found() -> None:
    came = compare([lacking(Need("java", "a Java runtime", lambda: (11, 0, 2), (17,)))], TINY, cases=[])
    assert skipped_lines(came) == [
        "skipped  another (Node.js): install java 17 or later (found 11.0.2): a Java runtime"
    ]
    assert not came.has_failures


def test_node_that_is_not_there_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match=r"the Node\.js peers need npm: npm"):
        npm.install()
    with pytest.raises(RuntimeError, match=r"the Node\.js peers need node 20 or later: Node\.js"):
        npm.command("http_write.mjs", packages=False)


def test_output_of_a_failed_installation_need_not_be_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "npm").write_text("#!/bin/sh\nprintf '\\377 no disk'; exit 1\n")
    (tmp_path / "npm").chmod(0o755)
    (tmp_path / "package-lock.json").write_text("{}")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("benchmarks.peers.npm._FOLDER", tmp_path)
    with pytest.raises(RuntimeError, match=r"npm ci failed in .*:\n\ufffd no disk"):
        npm.install()


@pytest.mark.slow
def test_programs_are_asked_for_their_versions_when_they_are_used_and_not_before(tmp_path: Path) -> None:
    for name in ("node", "npm", "java", "mvn"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/asked\n")
        (tmp_path / name).chmod(0o755)
    modules = "benchmarks.peers.__main__, benchmarks.served.__main__"
    subprocess.run([sys.executable, "-c", f"import {modules}"], env={**os.environ, "PATH": str(tmp_path)}, check=True)
    assert not (tmp_path / "asked").exists()


# --- One run -----------------------------------------------------------------------------------------------------


def made_up(name: str, stack: Stack) -> Peer:
    return Peer(name, stack, (), lambda: ("never started",))


def case_of(values: dict[str, list[float | str]], goal: tuple[str, float] | None = None) -> Case:
    """Give back the values in turn; a text is an error with it."""
    left = {name: iter(each) for name, each in values.items()}

    def measure(contender: Contender, _: Size) -> Sample:
        value = next(left[contender.name])
        if isinstance(value, str):
            raise ConnectionError(value)
        return Sample(value)

    return Case("made up", "tokens/s", measure, lambda _: goal)


def rows_of(theirs: list[float | str], goal: tuple[str, float] | None = None) -> dict[str, Row]:
    values: dict[str, list[float | str]] = {each.name: [8.0, 2.0] for each in OURS}
    case = case_of({**values, "slow": theirs}, goal)
    came = compare([made_up("slow", Stack.NODE)], TINY, cases=[case])
    return {row.contender: row for row in came.rows}


def test_ratio_is_the_median_of_the_rounds_ratios_of_ours_to_theirs() -> None:
    rows = rows_of([4.0, 0.5], (">=", 3.0))
    slow = rows["slow"]
    assert (slow.values, slow.value, slow.ratio) == ([4.0, 0.5], 2.25, 3.0)
    assert (slow.goal, slow.met, slow.stack) == (">= 3 x", True, "Node.js")
    assert (rows[FLUX.name].ratio, rows[FLUX.name].goal, rows[FLUX.name].stack) == (None, "", "tokenweir")


@pytest.mark.parametrize(
    ("goal", "met"), [((">", 1.0), False), ((">=", 1.0), True), (("<", 1.0), False), (("<", 1.1), True)]
)
def test_goal_has_a_sign_and_a_limit(goal: tuple[str, float], *, met: bool) -> None:
    assert rows_of([8.0, 2.0], goal)["slow"].met is met


def test_round_that_failed_has_no_value_and_a_note() -> None:
    slow = rows_of(["it broke", 1.0])["slow"]
    assert (slow.values, slow.value, slow.ratio, slow.note) == ([None, 1.0], 1.0, 2.0, "failed: it broke")


def test_peer_that_always_failed_meets_no_goal_and_misses_none() -> None:
    slow = rows_of(["it broke", "it broke"], ("<", 1.0))["slow"]
    assert (slow.value, slow.ratio, slow.met, slow.note) == (None, None, None, "failed: it broke")


def test_peer_that_held_nothing_has_no_ratio() -> None:
    slow = rows_of([0.0, 0.0], (">=", 1.0))["slow"]
    assert (slow.value, slow.ratio, slow.met) == (0.0, None, None)


def test_round_in_which_we_held_nothing_counts_against_us() -> None:
    ours = [Sample(0.0), Sample(0.0), Sample(8.0)]
    row = beside_slow({FLUX.name: ours, "slow": [Sample(8.0)] * 3}, (">=", 0.8))
    assert (row.ratio, row.met) == (0.0, False)


@pytest.mark.parametrize("value", [-4.0, 0.0])
def test_value_that_is_not_above_0_has_no_ratio_and_no_verdict(value: float) -> None:
    slow = rows_of([value, value], ("<", 1.0))["slow"]
    assert (slow.value, slow.ratio, slow.met) == (value, None, None)


def beside_slow(samples: dict[str, list[Sample]], goal: tuple[str, float]) -> Row:
    """Return the row of a peer; who has no samples has the same value every time."""
    left = {name: iter(each) for name, each in samples.items()}

    def measure(contender: Contender, _: Size) -> Sample:
        return next(left[contender.name]) if contender.name in left else Sample(8.0)

    size = replace(TINY, rounds=max(map(len, samples.values())))
    case = Case("made up", "streams", measure, lambda _: goal)
    (*_, slow) = compare([made_up("slow", Stack.NODE)], size, cases=[case]).rows
    assert slow.contender == "slow"
    return slow


@pytest.mark.parametrize(("whose", "note"), [(FLUX.name, "ours: another thing"), ("slow", "another thing")])
def test_value_that_is_not_comparable_is_shown_but_has_no_ratio_and_no_verdict(whose: str, note: str) -> None:
    slow = beside_slow({whose: [Sample(8.0, "another thing", comparable=False)]}, (">=", 0.5))
    assert (slow.value, slow.ratio, slow.met, slow.note) == (8.0, None, None, note)
    assert slow.comparable is (whose != "slow")


BOUND = Sample(8.0, "the client was the limit", is_bound=True)


@pytest.mark.parametrize(
    ("bounds", "goal", "met", "note"),
    [
        ([FLUX.name], (">=", 0.5), True, ""),
        ([FLUX.name], (">=", 2.0), None, f"ours: {BOUND.note}"),
        ([FLUX.name], ("<", 2.0), None, f"ours: {BOUND.note}"),
        ([FLUX.name], ("<", 0.5), False, ""),
        (["slow"], (">=", 0.5), None, BOUND.note),
        (["slow"], (">=", 2.0), False, BOUND.note),
        (["slow"], ("<", 2.0), True, BOUND.note),
        ([FLUX.name, "slow"], (">=", 0.5), None, f"{BOUND.note}; ours: {BOUND.note}"),
        ([FLUX.name, "slow"], (">=", 2.0), None, f"{BOUND.note}; ours: {BOUND.note}"),
    ],
)
def test_value_that_may_be_higher_has_a_ratio_and_a_verdict_only_if_that_cannot_change_it(
    bounds: list[str], goal: tuple[str, float], met: bool | None, note: str
) -> None:
    slow = beside_slow({name: [BOUND] for name in bounds}, goal)
    assert (slow.ratio, slow.met, slow.note, slow.comparable) == (1.0, met, note, True)


def test_bound_in_one_round_of_three_does_not_hide_what_the_others_show() -> None:
    assert beside_slow({"slow": [Sample(8.0), BOUND, Sample(8.0)]}, (">=", 0.5)).met is True
    assert beside_slow({"slow": [BOUND, BOUND, Sample(8.0)]}, (">=", 0.5)).met is None


IN_TIME = Attempt(2, 1.0, 2.0, 1.0, 0.5, 0.1)
LATE = replace(IN_TIME, streams=4, p99_ms=30.0)


@pytest.mark.parametrize(
    ("case", "what", "came", "sample"),
    [
        ("firehose", "firehose.pull_anew", Pull(9.0, 0.5), Sample(9.0)),
        ("firehose", "firehose.pull_anew", Pull(9.0, 0.95), Sample(9.0, "the client was the limit", is_bound=True)),
        ("paced", "paced.search", Search(2, [IN_TIME, LATE]), Sample(2.0)),
        (
            "paced",
            "paced.search",
            Search(2, [IN_TIME]),
            Sample(2.0, "nothing failed: the true number is higher", is_bound=True),
        ),
        ("paced", "paced.search", Search(0, [LATE]), Sample(0.0, "not even one stream was in time")),
        ("memory", "memory.grow", Grown(4.0, 3), Sample(4.0)),
        ("memory", "memory.grow", Grown(4.0, 2), Sample(4.0, "only 2 of 3 streams had begun", comparable=False)),
        ("memory", "memory.grow", Grown(-0.3, 3), Sample(-0.3, "within the noise", comparable=False)),
    ],
)
def test_sample_says_what_it_is_worth(
    case: str, what: str, came: object, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"benchmarks.peers.side_by_side.{what}", lambda *_: came)
    (found,) = [each for each in CASES if each.name == case]
    assert found.measure(FLUX, TINY) == sample


def test_stacks_that_compile_while_they_run_are_warmed_up_for_longer() -> None:
    seconds = {each.stack: each.warm_up_s for each in PEERS}
    assert seconds[Stack.PYTHON] == 0 < seconds[Stack.NODE] < seconds[Stack.SPRING_MVC] == seconds[Stack.SPRING_WEBFLUX]


def test_rounds_are_interleaved() -> None:
    measured: list[str] = []

    def measure(contender: Contender, _: Size) -> Sample:
        measured.append(contender.name)
        return Sample(1.0)

    compare([made_up("slow", Stack.NODE)], TINY, cases=[Case("made up", "", measure, lambda _: None)])
    assert measured == [*(each.name for each in OURS), "slow"] * 2


@pytest.mark.parametrize(
    ("before", "kept"),
    [(0, []), (2, [[1.0], [1.0]]), (4, [[1.0]] * 4), (6, [[1.0, 1.0], [1.0, 1.0], [1.0], [1.0]])],
)
def test_run_that_is_interrupted_keeps_what_was_measured(before: int, kept: list[list[float]]) -> None:
    left = iter([1.0] * before)

    def measure(_: Contender, __: Size) -> Sample:
        for value in left:
            return Sample(value)
        raise KeyboardInterrupt

    came = compare([made_up("slow", Stack.NODE)], TINY, cases=[Case("made up", "", measure, lambda _: None)])
    assert came.interrupted
    assert [row.values for row in came.rows] == kept
    assert [row.ratio for row in came.rows[1:]] == [1.0] * len(kept[1:])


def test_case_that_cannot_be_measured_here_is_left_out_with_its_reason_and_no_failure() -> None:
    def measure(_: Contender, __: Size) -> Sample:
        raise AssertionError("it is measured although it cannot be")

    case = Case("made up", "", measure, lambda _: None, lambda: "needs another system")
    came = compare([made_up("slow", Stack.NODE)], TINY, cases=[case])
    assert (came.rows, came.has_failures) == ([], False)
    assert skipped_lines(came) == ["left out made up: needs another system"]


def test_memory_is_left_out_where_the_system_does_not_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.peers.side_by_side.HAS_PROC", False)
    assert {each.name: each.obstacle() for each in CASES} == {
        "firehose": "",
        "paced": "",
        "memory": "needs Linux: memory is read from /proc",
    }


def test_missing_peer_and_failed_build_are_one_line_each_and_the_run_goes_on() -> None:
    def build() -> tuple[str, ...]:
        raise RuntimeError("no\n  disk")

    def write() -> tuple[str, ...]:
        raise PermissionError("read only")

    wrong = [Peer("broken", Stack.NODE, (), build), Peer("fixed", Stack.NODE, (), write)]
    came = compare([lacking(program("no-such-java", "Java 17")), *wrong], TINY, cases=[])
    assert [(each.contender, each.reason, each.failed) for each in came.skipped] == [
        ("another", "install no-such-java: Java 17", False),
        ("broken", "no disk", True),
        ("fixed", "read only", True),
    ]
    assert came.has_failures


@pytest.mark.parametrize("error", [BadZipFile("torn"), msgspec.ValidationError("torn")])
def test_error_of_any_kind_is_told_and_the_run_goes_on(error: Exception) -> None:
    def build() -> tuple[str, ...]:
        raise error

    def measure(contender: Contender, _: Size) -> Sample:
        if contender.name == "slow":
            raise error
        return Sample(1.0)

    peers = [Peer("broken", Stack.NODE, (), build), made_up("slow", Stack.NODE)]
    came = compare(peers, TINY, cases=[Case("made up", "", measure, lambda _: None)])
    assert [(each.contender, each.reason, each.failed) for each in came.skipped] == [("broken", "torn", True)]
    assert [row.values for row in came.rows] == [[1.0, 1.0]] * len(OURS) + [[None, None]]
    assert came.rows[-1].note == "failed: torn"


@pytest.mark.parametrize(
    ("case", "name", "goal"),
    [
        ("firehose", "MVC SseEmitter, 5 threads", (">", 1.0)),
        ("firehose", "WebFlux Flux BUFFER", (">", 1.0)),
        ("firehose", "WebFlux Flowable BUFFER", None),
        ("firehose", "sse-starlette", None),
        ("paced", "aiohttp write", (">=", 1.75)),
        ("paced", "Node res.write", (">=", 0.8)),
        ("paced", "WebFlux Flux BUFFER", (">=", 0.8)),
        ("memory", "MVC Flux BUFFER", ("<", 1.0)),
        ("memory", "WebFlux Flux BUFFER", ("<", 1.0)),
        ("memory", "Node better-sse", None),
    ],
)
def test_goals_are_those_of_their_case_and_stack(case: str, name: str, goal: tuple[str, float] | None) -> None:
    (found,) = [each for each in CASES if each.name == case]
    assert found.goal(peer(name)) == goal


# A dozen servers start, one after the other.
@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.skipif(not HAS_PROC, reason="memory of a process is read from Linux's /proc")
def test_every_case_measures_ours_and_a_peer() -> None:
    came = compare([peer("raw transport.write")], replace(TINY, rounds=1))
    assert [row.note for row in came.rows if row.note.startswith("failed")] == []
    assert not came.has_failures
    assert len(came.rows) == len(CASES) * (len(OURS) + 1)
    assert {row.value for row in came.rows if row.case == "paced"} <= {0.0, 1.0, 2.0}


# --- Table and file ----------------------------------------------------------------------------------------------


def comparison() -> Comparison:
    ours = Row(case="paced", contender="ours", stack="tokenweir", unit="streams", values=[2_400.0], value=2_400.0)
    theirs = Row(
        case="paced",
        contender="theirs",
        stack="Node.js",
        unit="streams",
        values=[1_100.0, None],
        value=1_100.0,
        ratio=2.18,
        goal=">= 0.8 x",
        met=True,
        note="failed: it broke",
    )
    skipped = Skipped(contender="another", stack="Spring MVC", reason="install java: Java 17")
    return Comparison(quick=True, environment={"cpu": "any"}, rows=[ours, theirs], skipped=[skipped])


def test_table_has_every_row() -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(table(comparison()))
    lines = [" ".join(line.replace("│", " ").split()) for line in console.export_text().splitlines()]
    assert "paced ours tokenweir 2,400 streams - -" in lines
    assert "theirs Node.js 1,100 streams 2.18 x >= 0.8 x yes failed: it broke" in lines


def test_who_was_skipped_is_one_line_beside_the_table() -> None:
    assert skipped_lines(comparison()) == ["skipped  another (Spring MVC): install java: Java 17"]


def test_words_of_others_are_shown_as_they_are() -> None:
    came = comparison()
    came.rows[1].note = "failed: closed by [/127.0.0.1]"
    console = Console(width=250, file=io.StringIO(), record=True)
    console.print(table(came))
    assert "failed: closed by [/127.0.0.1]" in console.export_text()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("\x1b[0m[ERROR] no\n\tparent\r\n"), "[ERROR] no parent"),
        (RuntimeError("a\x1b]0;title\x07"), "a?]0;title?"),
        (TimeoutError(), "TimeoutError"),
        (ExceptionGroup("3", [OSError("torn"), OSError("torn"), ExceptionGroup("1", [OSError("cut")])]), "torn; cut"),
        (RuntimeError(f"it printed: {'x' * 1_000} the end"), f"it printed: {'x' * 138} … {'x' * 142} the end"),
    ],
)
def test_failure_is_told_in_one_line(error: Exception, words: str) -> None:
    assert in_words(error) == words


def test_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    save(comparison(), path)
    assert load(path) == comparison()


def test_file_that_cannot_be_read_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="cannot be read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[" * 100_000, "is no comparison with peers", id="deep"),
        ("\udc80", "is no comparison with peers"),
        ('{"format": "tokenweir-peers", "version": true}', "accepted are"),
        ("{", "is no comparison with peers"),
        ("[]", "is no comparison with peers"),
        ('{"format": "tokenweir-results", "version": 1}', "accepted are"),
        ('{"format": "tokenweir-peers", "version": 2}', "accepted are"),
        ('{"format": "tokenweir-peers", "version": 1}', "is no comparison with peers"),
    ],
)
def test_file_of_another_kind_is_an_error_in_words(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "peers.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ResultsError, match=said):
        load(path)


# --- The command -------------------------------------------------------------------------------------------------


def that_came_to(came: Comparison) -> Callable[..., Comparison]:
    """Measure nothing."""

    def compare(*_: object, **__: object) -> Comparison:
        return came

    return compare


def test_command_prints_the_table_writes_the_file_and_fails_only_with_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = f"pip install 'tokenweir[peers]' [/127.0.0.1] {'and more ' * 20}"
    asked: list[str] = []

    def came(peers: list[Peer], *_: object, **__: object) -> Comparison:
        asked.extend(each.name for each in peers)
        skipped = Skipped(contender="another", stack="Spring MVC", reason=reason)
        return msgspec.structs.replace(comparison(), skipped=[skipped])

    monkeypatch.setattr("benchmarks.peers.__main__.compare", came)
    folder = tmp_path / "new"
    ended = CliRunner().invoke(app, ["--quick", "--only", "node", "--output", str(folder)])
    assert ended.exit_code == 1  # a round of it failed
    assert "Against other stacks" in ended.output
    assert f"skipped  another (Spring MVC): {reason}" in ended.output
    assert asked == ["Node res.write", "Node better-sse"]
    assert sorted(each.name for each in folder.iterdir()) == ["peers.html", "peers.json"]
    written = load(folder / "peers.json")
    assert datetime.fromisoformat(written.created).tzinfo is not None
    assert str(folder / "peers.html") in ended.output.replace("\n", "")


@pytest.mark.parametrize(("has_rows", "written"), [(True, ["peers.html", "peers.json"]), (False, [])])
def test_command_that_is_interrupted_writes_what_was_measured_if_anything_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_rows: bool, written: list[str]
) -> None:
    came = comparison()
    came.interrupted = True
    came.rows = came.rows if has_rows else []
    monkeypatch.setattr("benchmarks.peers.__main__.compare", that_came_to(came))
    ended = CliRunner().invoke(app, ["--output", str(tmp_path)])
    assert ended.exit_code == 130
    assert "Interrupted" in ended.output
    assert sorted(each.name for each in tmp_path.iterdir()) == written


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_that_is_told_to_end_writes_what_was_measured(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(contender: Contender, _: Size) -> Sample:
        if contender.name == "raw transport.write":
            signal.raise_signal(number)
        return Sample(1.0)

    monkeypatch.setattr("benchmarks.peers.__main__.CASES", [Case("made up", "", measure, lambda _: None)])
    ended = CliRunner().invoke(app, ["--only", "raw transport", "--output", str(tmp_path)])
    assert ended.exit_code == 130
    came = load(tmp_path / "peers.json")
    assert came.interrupted
    assert [row.contender for row in came.rows] == [each.name for each in OURS]


def test_command_that_is_told_to_end_while_it_builds_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object, **__: object) -> Comparison:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("it goes on")

    monkeypatch.setattr("benchmarks.peers.__main__.compare", build)
    ended = CliRunner().invoke(app, ["--output", str(tmp_path)])
    assert ended.exit_code == 130
    assert "Interrupted before anything was measured." in ended.output
    assert list(tmp_path.iterdir()) == []


IN_A_PIPE = """
import sys
from pathlib import Path
from benchmarks.peers import __main__ as command
from benchmarks.peers.comparison import load

came = load(Path(sys.argv.pop()))

def compare(*_, say, **__):
    say("a line of progress")
    return came

command.compare = compare
command.app()
"""


@pytest.mark.slow
def test_words_that_nobody_reads_change_nothing(tmp_path: Path) -> None:
    came = comparison()
    came.interrupted = True
    save(came, tmp_path / "came.json")
    folder = tmp_path / "out"
    assert unread(IN_A_PIPE, "--output", str(folder), str(tmp_path / "came.json")) == 130
    assert sorted(each.name for each in folder.iterdir()) == ["peers.html", "peers.json"]


def test_file_has_the_warm_up_of_those_that_were_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came = comparison()
    came.rows[1].contender = "Node res.write"
    monkeypatch.setattr("benchmarks.peers.__main__.compare", that_came_to(came))
    CliRunner().invoke(app, ["--output", str(tmp_path)])
    assert load(tmp_path / "peers.json").warm_up_s == {"Node res.write": 5.0}


def test_file_has_no_warm_up_of_a_case_that_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came = comparison()
    for row in came.rows:
        row.case, row.contender = "memory", "Node res.write"
    monkeypatch.setattr("benchmarks.peers.__main__.compare", that_came_to(came))
    CliRunner().invoke(app, ["--output", str(tmp_path)])
    assert load(tmp_path / "peers.json").warm_up_s == {}


def test_cases_that_are_warmed_up_are_cases() -> None:
    assert set(WARMED_UP) < {each.name for each in CASES}


@pytest.mark.parametrize("name", ["peers.json", "peers.html"])
def test_name_that_cannot_be_written_ends_the_command_before_any_work(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    ended = CliRunner().invoke(app, ["--output", str(tmp_path)], env={"COLUMNS": "1000"})
    assert ended.exit_code == 2
    assert f"--output: cannot write {tmp_path / name}: it is a folder" in ended.output


def test_file_that_can_no_longer_be_written_is_told_behind_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def came(*_: object, **__: object) -> Comparison:
        (tmp_path / "peers.html").mkdir()
        return comparison()

    monkeypatch.setattr("benchmarks.peers.__main__.compare", came)
    ended = CliRunner().invoke(app, ["--output", str(tmp_path)])
    assert ended.exit_code == 1
    assert "Against other stacks" in ended.output
    assert f"{tmp_path / 'peers.html'} cannot be written: Is a directory" in ended.output
    assert "peers.json cannot" not in ended.output
    assert (tmp_path / "peers.json").is_file()


@pytest.mark.parametrize("arguments", [["--only", "nobody"], ["--output", __file__]])
def test_wrong_argument_ends_the_command_before_any_work(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 2
    assert arguments[0] in ended.output
