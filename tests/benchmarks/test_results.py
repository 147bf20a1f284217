"""The results file: what comes back, what is refused, and that nothing is ever half written."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from benchmarks.results import (
    FORMAT,
    VERSION,
    CellResult,
    ClientCheck,
    NullRun,
    Repeat,
    Results,
    ResultsError,
    Timeline,
    load,
    save,
    write_csv,
    write_whole,
)

__all__ = ()


def results(**measures: float | None) -> Results:
    timeline = Timeline(
        stream_id="a",
        tokens=[[0, 1, 0.0, 0.1, 0.2, 0.3]],
        missing=[1],
        held=[[1, 2, 3, 4]],
        ended_ms=None,
        outcome="left",
    )
    repeat = Repeat(
        measures=measures,
        histograms={"itl_us": "HISTF"},
        outcomes={"completed": 1},
        counts={"emitted": 3},
        per_stream={"ttft_ms": [1.5, None]},
        memory=[[0.0, 1024.0]],
        window_ms=12.5,
        client=ClientCheck(cpu_share=0.1, lag_p99_ms=0.2, lag_max_ms=0.3, bound=False),
        timeline=timeline,
    )
    cell = CellResult(
        scenario="slow-reader",
        name="flux drop fast",
        variant="flux",
        strategy="drop",
        reader="fast",
        transport="sse",
        parameters={"request": {"rate": "1"}},
        repeats=[repeat, repeat],
    )
    return Results(
        preset="quick",
        definitions={"tokens_per_s": {"unit": "tokens/s"}},
        null_run=NullRun(counted_tokens_per_s=1.0, checked_tokens_per_s=2.0, delay_p50_us=3.0),
        cells=[cell],
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    before = results(tokens_per_s=1.5, itl_p50_ms=None)
    save(before, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == before


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(tmp_path: Path, value: float) -> None:
    save(results(tokens_per_s=value), tmp_path / "results.json")
    assert load(tmp_path / "results.json").cells[0].repeats[0].measures == {"tokens_per_s": None}


def test_file_says_what_it_is(tmp_path: Path) -> None:
    save(Results(), tmp_path / "results.json")
    head = json.loads((tmp_path / "results.json").read_text())
    assert (head["format"], head["version"]) == (FORMAT, VERSION)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is no JSON"),
        (b'{"format": ', "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b'{"format": "tokenweir-results", "version": 1} more', "is no JSON"),
        (b"[1, 2]", "has \"format\" None; accepted is 'tokenweir-results'"),
        (b"{}", "has \"format\" None; accepted is 'tokenweir-results'"),
        (b'{"format": "other", "version": 1}', "has \"format\" 'other'; accepted is 'tokenweir-results'"),
        (b'{"format": "tokenweir-results"}', "has version None of the format; accepted is 1"),
        (b'{"format": "tokenweir-results", "version": 2}', "has version 2 of the format; accepted is 1"),
        (b'{"format": "tokenweir-results", "version": true}', "has version True of the format; accepted is 1"),
        (b'{"format": "tokenweir-results", "version": 1, "cells": 5}', r"is damaged: .*\$\.cells"),
        (b'{"format": "tokenweir-results", "version": 1, "cells": [{}]}', r"is damaged: .*\$\.cells\[0\]"),
    ],
)
def test_file_that_is_none_of_ours_is_refused_in_words(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(text)
    with pytest.raises(ResultsError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_file_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"nowhere\.json cannot be read: No such file or directory"):
        load(tmp_path / "nowhere.json")


def test_folder_is_no_results_file(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="cannot be read"):
        load(tmp_path)


def test_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("results.json", "old")]


def test_csv_has_one_row_per_cell_repeat_and_measure(tmp_path: Path) -> None:
    write_csv(results(tokens_per_s=1.5, itl_p50_ms=None, broken=math.nan), tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["repeat"], row["measure"], row["value"], row["unit"]) for row in rows] == [
        (repeat, measure, value, unit)
        for repeat in ("1", "2")
        for measure, value, unit in (
            ("tokens_per_s", "1.5", "tokens/s"),
            ("itl_p50_ms", "", ""),
            ("broken", "", ""),
        )
    ]
    assert {(row["scenario"], row["cell"], row["variant"], row["strategy"]) for row in rows} == {
        ("slow-reader", "flux drop fast", "flux", "drop")
    }
