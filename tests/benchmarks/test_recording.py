"""A recording holds what came, with times, and plays again with the same texts and gaps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.traces.captures import Trace
from benchmarks.url.recording import check_recording_path, recording_lines, save_recording
from streams import Gaps, Pacing
from streams.pacing import schedule_ns
from streams.source import parse_source, read_recording
from tests.benchmarks.traces import made

__all__ = ()


def a_trace(*texts: str, at_ms: tuple[float, ...] | None = None) -> Trace:
    return replace(made(at_ms or tuple(float(number) for number in range(len(texts)))), texts=texts)


def test_recording_plays_again_with_its_texts_and_gaps(tmp_path: Path) -> None:
    texts, at_ms = ("Hello", ",", " 世界", "\n\u2028", "👍🏽"), (100.25, 110.0, 110.0, 130.5, 200.125)
    trace = replace(a_trace(*texts, at_ms=at_ms), finish_reason="length", usage={"completion_tokens": 5})
    save_recording(trace, tmp_path / "r.jsonl")
    source = parse_source("recording:r.jsonl", recordings_dir=tmp_path, pacing=Pacing(gaps=Gaps.RECORDED))
    assert tuple(source.texts) == texts
    assert [offset for offset, _ in zip(schedule_ns(source), texts, strict=False)] == [time * 1e6 for time in at_ms]
    assert source.finish_reason == "length"
    assert source.usage == {"completion_tokens": 5}


@given(
    st.lists(st.text(min_size=1), min_size=1),
    st.lists(st.integers(0, 10**9), min_size=50, max_size=50),
)
def test_any_text_and_any_gap_comes_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], gaps_us: list[int]
) -> None:
    at_ms = [sum(gaps_us[: index % 50 + 1]) / 1000 + 1e6 * (index // 50) for index in range(len(texts))]
    trace = a_trace(*texts, at_ms=tuple(sorted(at_ms)))
    path = tmp_path_factory.mktemp("recordings") / "r.jsonl"
    save_recording(trace, path)
    source = read_recording(path)
    assert list(source.texts) == texts
    sent_ns = trace.times.sent_ns or 0
    assert source.at_ms is not None
    assert [round(at * 1e6) for at in source.at_ms] == [at - sent_ns for at in trace.received_ns.tolist()]


def test_each_line_is_a_chunk_of_openais_shape() -> None:
    trace = replace(a_trace("a"), finish_reason="stop", usage={"prompt_tokens": 1, "completion_tokens": 1})
    lines = [json.loads(line) for line in recording_lines(trace, model="m")]
    assert [sorted(line) for line in lines[:2]] == [["at_ms", "choices", "created", "id", "model", "object"]] * 2
    assert [line["choices"] for line in lines] == [
        [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}],
        [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        [],
    ]
    assert {(line["object"], line["model"]) for line in lines} == {("chat.completion.chunk", "m")}
    assert lines[2]["usage"] == {"prompt_tokens": 1, "completion_tokens": 1}


def test_time_counts_from_the_request_and_not_from_its_schedule() -> None:
    trace = replace(made([50.0], sent_ms=20), texts=("a",))
    assert [json.loads(line)["at_ms"] for line in recording_lines(trace)] == [30.0]


@pytest.mark.parametrize(
    ("reason", "recorded"),
    [("end_turn", "stop"), ("max_tokens", "length"), ("tool-calls", "tool_calls"), ("refusal", "content_filter")],
)
def test_other_providers_reasons_are_told_in_openais_words(reason: str, recorded: str) -> None:
    lines = [json.loads(line) for line in recording_lines(replace(a_trace("a"), finish_reason=reason))]
    assert lines[-1]["choices"][0]["finish_reason"] == recorded


def test_other_providers_counts_are_told_under_openais_names() -> None:
    trace = replace(a_trace("a"), usage={"input_tokens": 3, "output_tokens": 4})
    usage = json.loads(list(recording_lines(trace))[-1])["usage"]
    assert usage == {
        "input_tokens": 3,
        "output_tokens": 4,
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
    }


def test_half_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    save_recording(a_trace("a\ud83d"), tmp_path / "r.jsonl")
    assert list(read_recording(tmp_path / "r.jsonl").texts) == ["a\ufffd"]


@pytest.mark.parametrize("trace", [made(), made([1.0]), replace(made([1.0]), texts=("",))])
def test_stream_without_texts_is_no_recording(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to record"):
        save_recording(trace, tmp_path / "r.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_there_stays_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="--force"):
        save_recording(a_trace("a"), path)
    assert path.read_text() == "precious"
    save_recording(a_trace("a"), path, force=True)
    assert list(read_recording(path).texts) == ["a"]
    assert list(tmp_path.iterdir()) == [path]


def test_place_that_cannot_be_written_is_named_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"):
        check_recording_path(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        check_recording_path(tmp_path / "none" / "r.jsonl")
    check_recording_path(tmp_path / "r.jsonl")
