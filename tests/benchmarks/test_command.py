"""The command line: what is refused before any work, what is written, and how a run is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from benchmarks import __main__ as command
from benchmarks.results import CellResult, Repeat, Results, load, save
from benchmarks.running.run import Order, Run
from benchmarks.scenarios.presets import PRESETS

__all__ = ()

needs_signals = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(command.app, [str(word) for word in words], env={"COLUMNS": "200", "NO_COLOR": "1"})


def said(result: Result) -> str:
    """Return what was printed as one line, without the frame around an error."""
    return " ".join(result.output.replace("│", " ").split())


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """Orders that came as far as being measured; nothing is, and the results are made up."""
    orders: list[Order] = []

    def measure(order: Order, progress: object = None) -> Run:
        orders.append(order)
        return Run(Results(preset=order.preset, questions={each.name: each.question for each in order.scenarios}))

    monkeypatch.setattr("benchmarks.running.run.run", measure)
    monkeypatch.setattr(command, "interrupt_once", lambda: None)
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
        ({"error": "it does not listen"}, 1),
        ({"interrupted": True}, 130),
    ],
)
def test_exit_code_says_what_came_of_the_run(
    changes: dict[str, object], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.running.run.run", finished(**changes))
    monkeypatch.setattr(command, "interrupt_once", lambda: None)
    assert invoke("run", "--no-report", "--output", tmp_path).exit_code == code
    assert load(tmp_path / "results.json").cells


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
        (["http://127.0.0.1:1/", "--reader", "nope"], "--reader: "),
        (["http://127.0.0.1:1/", "--profile", "nope"], "profile must be one of"),
        (["http://127.0.0.1:1/", "--save-recording", "/nowhere/at/all.jsonl"], "there is no folder"),
        (["http://127.0.0.1:1/", "--slo", "nope"], "--slo must be"),
    ],
)
def test_wrong_usage_of_url_is_refused_before_any_work(words: list[str], message: str, tmp_path: Path) -> None:
    result = invoke("url", *words, "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert message in said(result)
    assert not (tmp_path / "out").exists()


def test_endpoint_that_is_not_there_is_counted_and_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "interrupt_once", lambda: None)
    result = invoke("url", "http://127.0.0.1:1/", "--no-report", "--output", tmp_path)
    assert result.exit_code == 1
    assert load(tmp_path / "results.json").cells[0].repeats[0].outcomes == {"unreachable": 1}
    assert "unreachable" in said(result)


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
