"""The command line: what is refused before any work, what is written, and how a run is interrupted."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks import __main__ as command
from benchmarks.results import CellResult, Repeat, Results, load, save
from benchmarks.running.run import Order, Run
from benchmarks.scenarios.presets import PRESETS
from benchmarks.traces.captures import Trace
from tests.benchmarks.said import said
from tests.benchmarks.traces import made

__all__ = ()

needs_signals = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(command.app, [str(word) for word in words], env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """Orders that came as far as being measured; nothing is, and the results are made up."""
    orders: list[Order] = []

    def measure(order: Order, progress: object = None) -> Run:
        orders.append(order)
        return Run(Results(preset=order.preset, questions={each.name: each.question for each in order.scenarios}))

    monkeypatch.setattr("benchmarks.running.run.run", measure)
    monkeypatch.setattr(command, "interruptible", nullcontext)
    return orders


# --- run ---------------------------------------------------------------------------------------------------------


def test_preset_is_quick_unless_named(measured: list[Order], tmp_path: Path) -> None:
    result = invoke("run", "--output", tmp_path / "new" / "folder")
    assert result.exit_code == 0, result.output
    (order,) = measured
    assert (order.preset, order.repeats, order.seed, order.slo) == ("quick", PRESETS["quick"].repeats, 0, None)
    assert order.scenarios == PRESETS["quick"].scenarios
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {
        "results.json",
        "results.csv",
        "report.html",
    }
    assert load(tmp_path / "new" / "folder" / "results.json").preset == "quick"


def test_options_reach_the_run(measured: list[Order], tmp_path: Path) -> None:
    options = (
        "--only",
        "leaving",
        "--only",
        "ordering",
        "--repeats",
        "7",
        "--seed",
        "3",
        "--slo",
        "ttft=200, itl=50.5",
    )
    result = invoke("run", "full", *options, "--no-report", "--output", tmp_path)
    assert result.exit_code == 0, result.output
    (order,) = measured
    assert [scenario.name for scenario in order.scenarios] == ["leaving", "ordering"]
    assert (order.repeats, order.seed) == (7, 3)
    assert order.slo is not None
    assert (order.slo.ttft_ms, order.slo.itl_ms, order.slo.delay_ms) == (200, 50.5, None)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nope"], "PRESET must be one of quick, full, slow-reader"),
        (["quick", "--only", "nope"], "--only must be one of slow-reader, stalled"),
        (["--slo", "ttft"], "--slo must be ttft=MS, itl=MS or delay=MS"),
        (["--slo", "ttft=1,ttft=2"], "each once; got 'ttft=1,ttft=2'"),
        (["--slo", "speed=1"], "--slo must be ttft=MS, itl=MS or delay=MS"),
        (["--slo", "ttft=-1"], "--slo: ttft_ms must be"),
        (["--slo", "ttft=nan"], "--slo: ttft_ms must be"),
        (["firehose", "--slo", "ttft=1"], "--slo: the tokens of firehose are only counted"),
        (["quick", "--only", "firehose", "--slo", "delay=1"], "--slo: the tokens of firehose are only counted"),
        (["--repeats", "0"], "Invalid value for '--repeats'"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
        (["--definitions", "nope"], "'nope' is not one of"),
    ],
)
def test_wrong_usage_is_refused_before_any_work(
    words: list[str], message: str, measured: list[Order], tmp_path: Path
) -> None:
    result = invoke("run", *words, "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert message in said(result)
    assert measured == []
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_written_is_refused_before_any_work(measured: list[Order], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = invoke("run", "--output", tmp_path / "file")
    assert result.exit_code == 2
    assert "--output: cannot write into" in said(result)
    assert measured == []


@pytest.mark.parametrize("name", ["results.json", "results.csv", "report.html"])
def test_file_that_cannot_be_written_is_refused_before_any_work(
    name: str, measured: list[Order], tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    result = invoke("run", "--output", tmp_path)
    assert result.exit_code == 2
    assert f"--output: cannot write {tmp_path / name}: it is a folder" in said(result)
    assert measured == []


def finished(**changes: object) -> Callable[..., Run]:
    cell = CellResult(
        scenario="a", name="b", variant="flux", strategy="drop", reader="fast", transport="sse", parameters={}
    )
    for name, value in changes.items():
        if name != "interrupted":
            setattr(cell, name, value)
    return lambda *_: Run(Results(cells=[cell], interrupted=bool(changes.get("interrupted"))))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"repeats": [Repeat(measures={})]}, 0),
        ({"repeats": [Repeat(measures={}, accounting=["stream 7: 1 != 2"])]}, 1),
        ({"repeats": [Repeat(measures={}, outcomes={"completed": 1})], "expects": ["completed"]}, 0),
        ({"repeats": [Repeat(measures={}, outcomes={"completed": 1, "cut": 1})], "expects": ["completed"]}, 1),
        ({"repeats": [Repeat(measures={}, outcomes={"failed": 1})], "expects": ["completed", "failed"]}, 0),
        ({"error": "it does not listen"}, 1),
        ({"interrupted": True}, 130),
    ],
)
def test_exit_code_says_what_came_of_the_run(
    changes: dict[str, object], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.running.run.run", finished(**changes))
    monkeypatch.setattr(command, "interruptible", nullcontext)
    assert invoke("run", "--no-report", "--output", tmp_path).exit_code == code
    assert load(tmp_path / "results.json").cells


def test_command_that_repeats_a_run_is_in_its_results_whole(
    measured: list[Order], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["run", "quick", "--slo", "ttft=200,delay=5", "--no-report", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["__main__.py", *words])
    assert invoke(*words).exit_code == 0
    assert measured[0].command == shlex.join(["python", "-m", "benchmarks", *words])


def test_interrupt_before_anything_was_measured_is_said_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.running.run.run", interrupted)
    monkeypatch.setattr(command, "interruptible", nullcontext)
    result = invoke("run", "--no-report", "--output", tmp_path)
    assert result.exit_code == 130
    assert "Interrupted before anything was measured." in result.output
    assert list(tmp_path.iterdir()) == []


IN_A_PIPE = """
import signal, sys
from benchmarks import __main__ as command, interrupts
from benchmarks.results import CellResult, Repeat, Results, save
from benchmarks.running.run import Run

def measured(order, progress):
    progress.step("a line of progress")
    cell = CellResult(
        scenario="a", name="b", variant="flux", strategy="drop", reader="fast", transport="sse", parameters={}
    )
    cell.repeats = [Repeat(measures={})]
    return Run(Results(cells=[cell], questions={"a": "?"}))

def saved(results, path):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.raise_signal(number)
    save(results, path)

import benchmarks.running.run, benchmarks.results
benchmarks.running.run.run = measured
benchmarks.results.save = saved
command.app()
"""


@needs_signals
@pytest.mark.parametrize("is_read", [False, True])
def test_words_that_nobody_reads_and_signals_while_files_are_written_change_nothing(
    is_read: bool, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", IN_A_PIPE, "run", "--no-report", "--output", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        if not is_read:
            process.stdout.close()
        said = process.stderr.read()
        printed = process.stdout.read() if is_read else ""
    assert (process.returncode, said.splitlines()) == (0, ["[1/0] a line of progress"])
    assert ("results.json" in printed) is is_read
    assert len(load(tmp_path / "results.json").cells) == 1


@pytest.mark.slow
@needs_signals
def test_interrupted_run_keeps_what_was_measured_and_says_so(tmp_path: Path) -> None:
    words = ["run", "quick", "--only", "leaving", "--repeats", "500", "--no-report", "--output", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[3/"):  # its first repeat has been read, and is being digested
            break
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=30)
    results = load(tmp_path / "results.json")
    assert process.returncode == 130
    assert results.interrupted
    assert all(cell.repeats for cell in results.cells)
    assert "INTERRUPTED: 3 of 3 cells were measured; they are kept." in printed


# --- compare -----------------------------------------------------------------------------------------------------


def test_two_equal_files_are_no_regression(tmp_path: Path) -> None:
    repeats = [Repeat(measures={"loss_share": 0.5}, outcomes={"completed": 1}) for _ in range(3)]
    cell = CellResult(
        scenario="a", name="b", variant="flux", strategy="drop", reader="fast", transport="sse", parameters={}
    )
    cell.repeats = repeats
    save(Results(cells=[cell], environment={"python": "3"}), tmp_path / "a.json")
    result = invoke("compare", tmp_path / "a.json", tmp_path / "a.json")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is no JSON"), ('{"format": "tokenweir-results", "version": 99}', "has version 99")]
)
def test_file_that_cannot_be_read_is_wrong_usage(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    result = invoke("compare", tmp_path / "a.json", tmp_path / "a.json")
    assert result.exit_code == 2
    assert message in said(result)


def test_different_environments_are_wrong_usage_unless_forced(tmp_path: Path) -> None:
    save(Results(environment={"python": "3.11"}), tmp_path / "a.json")
    save(Results(environment={"python": "3.14"}), tmp_path / "b.json")
    result = invoke("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert result.exit_code == 2
    assert "python" in said(result)
    assert invoke("compare", tmp_path / "a.json", tmp_path / "b.json", "--force").exit_code != 2


@pytest.mark.parametrize(("option", "value"), [("--threshold", "0"), ("--threshold", "ten"), ("--gate", "nope")])
def test_wrong_option_of_compare_is_wrong_usage(option: str, value: str, tmp_path: Path) -> None:
    save(Results(), tmp_path / "a.json")
    assert invoke("compare", tmp_path / "a.json", tmp_path / "a.json", option, value).exit_code == 2


# --- url ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ftp://127.0.0.1/"], "http:// or https://"),
        (["http://127.0.0.1:99999/"], "port from 1 to 65535"),
        (["http://127.0.0.1:1/", "--reader", "nope"], "--reader: "),
        (["http://127.0.0.1:1/", "--profile", "nope"], "profile must be one of"),
        (["http://127.0.0.1:1/", "--save-recording", "/nowhere/at/all.jsonl"], "there is no folder"),
        (["http://127.0.0.1:1/", "--slo", "nope"], "--slo must be"),
        (["http://127.0.0.1:1/", "--slo", "delay=1"], "an endpoint does not say when a token left its source"),
        (["http://127.0.0.1:1/", "--reader", "paced:0bytes/s"], "number of bytes per second above 0"),
    ],
)
def test_wrong_usage_of_url_is_refused_before_any_work(words: list[str], message: str, tmp_path: Path) -> None:
    result = invoke("url", *words, "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert message in said(result)
    assert not (tmp_path / "out").exists()


def test_endpoint_that_is_not_there_is_counted_and_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = invoke("url", "http://127.0.0.1:1/", "--no-report", "--output", tmp_path)
    assert result.exit_code == 1
    assert load(tmp_path / "results.json").cells[0].repeats[0].outcomes == {"unreachable": 1}
    assert "unreachable" in said(result)


def endless(port_of: list[int], stop: threading.Event) -> threading.Thread:
    """Serve streams of one token that have no end, until it is told to stop."""
    listening = socket.create_server(("127.0.0.1", 0))
    port_of.append(listening.getsockname()[1])
    listening.settimeout(0.1)

    def serve() -> None:
        body = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + body
        with ExitStack() as stack:
            stack.enter_context(listening)
            while not stop.is_set():
                try:
                    connection = stack.enter_context(listening.accept()[0])
                except TimeoutError:
                    continue
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.slow
@needs_signals
def test_interrupted_url_keeps_what_came_and_says_so(tmp_path: Path) -> None:
    ports, stop = list[int](), threading.Event()
    thread = endless(ports, stop)
    words = ["url", f"http://127.0.0.1:{ports[0]}/", "--requests", "9", "--connections", "2", "--no-report"]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *words, "--output", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("[1/1] 127.0.0.1")
    for line in process.stderr:  # it says so while the streams are open
        if "2 open" in line:
            break
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=30)
    stop.set()
    thread.join()
    assert process.returncode == 130
    results = load(tmp_path / "results.json")
    assert results.interrupted
    assert [repeat.outcomes for repeat in results.cells[0].repeats] == [{"left": 2}]
    assert results.cells[0].repeats[0].per_stream["tokens"] == [1, 1]
    assert "2 left: interrupted." in printed


@needs_signals
def test_second_signal_ends_the_process_at_once() -> None:
    script = (
        "import signal\nfrom benchmarks.load.control import Control\n"
        "from benchmarks.url.interruption import stopped_by_signals\n"
        "control = Control()\nwith stopped_by_signals(control):\n"
        "    signal.raise_signal(signal.SIGTERM)\n    print(control.is_stopped, flush=True)\n"
        "    signal.raise_signal(signal.SIGINT)\n    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGINT, "True\n")


def test_file_in_place_of_the_output_folder_is_told_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = invoke("url", "http://127.0.0.1:1/", "--output", tmp_path / "file")
    assert result.exit_code == 2
    assert "it must be a folder, there or to be made" in said(result)


def test_recording_is_named_with_what_replays_its_gaps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def measured_url(request: object, *, keep: Callable[[Trace], None], **_: object) -> Results:
        keep(replace(made([10, 20]), texts=("a", "b")))
        cell = CellResult(
            scenario="url", name="u", variant="url", strategy="", reader="fast", transport="sse", parameters={}
        )
        cell.parameters["profile"] = "openai"
        return Results(cells=[cell])

    monkeypatch.setattr("benchmarks.url.endpoint.measure_url", measured_url)
    words = ("--no-report", "--save-recording", tmp_path / "r.jsonl", "--output", tmp_path)
    assert "source=recording:r.jsonl&pacing=recorded" in said(invoke("url", "http://127.0.0.1:1/", *words))
    assert (tmp_path / "r.jsonl").exists()


def test_help_of_url_says_what_is_kept() -> None:
    assert "Not kept: what came from the environment" in said(invoke("url", "--help"))


# --- Altogether --------------------------------------------------------------------------------------------------


def test_help_names_the_commands_the_exit_codes_and_every_preset() -> None:
    text = said(invoke("--help"))
    assert all(word in text for word in ("run", "compare", "url", "130"))
    assert all(name in said(invoke("run", "--help")) for name in PRESETS)


def test_version_is_printed() -> None:
    result = invoke("--version")
    assert (result.exit_code, result.output.startswith("tokenweir")) == (0, True)


def test_help_imports_nothing_that_takes_long() -> None:
    heavy = ("numpy", "aiohttp", "hdrh", "reactivex", "servers", "streams", "msgspec")
    script = (
        "import runpy, sys\n"
        "sys.argv = ['benchmarks', '--help']\n"
        "try:\n    runpy.run_module('benchmarks', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
