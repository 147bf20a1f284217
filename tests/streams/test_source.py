"""Tokens, and the values that say which tokens a source emits."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.source import (
    Gaps,
    Pacing,
    Token,
    TokenSource,
    demo_texts,
    join_tokens,
    parse_source,
    read_recording,
    split_text,
)

__all__ = ()

RECORDED_STREAMS = Path(__file__).parents[3] / "shared" / "data" / "recorded-streams"


def chunk(content: str | None, **fields: Any) -> str:
    delta = {} if content is None else {"content": content}
    return json.dumps({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}], **fields})


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: str, name: str = "stream.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write


# Tokens.


def test_token_is_immutable_and_comparable() -> None:
    token = Token(0, "a", 5, 7)
    assert (token.merged, token.producer) == (1, None)
    assert token == Token(index=0, text="a", due_ns=5, emitted_ns=7)
    assert {token: "hashable"}[token]
    with pytest.raises(AttributeError):
        token.text = "b"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_token_as_text_is_its_place_and_its_text() -> None:
    assert str(Token(3, "a\n", 10, 11)) == "3 ('a\\n')"


def test_join_tokens_covers_all_parts_from_the_first() -> None:
    parts = [Token(3, "a", 10, 11, 1, 2), Token(4, "b", 20, 21, 2, 2), Token(6, "c", 30, 31, 1, 2)]
    assert join_tokens(parts) == Token(3, "abc", 10, 11, 4, 2)


def test_join_tokens_of_one_is_that_one() -> None:
    assert join_tokens([Token(3, "a", 10, 11)]) == Token(3, "a", 10, 11)


def test_join_tokens_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        join_tokens([])


@pytest.mark.parametrize("parts", [5, 0, None, "abc", ["a"], {"a": 1}, iter([Token(0, "a", 0, 0)])])
def test_join_tokens_refuses_what_holds_no_tokens(parts: Any) -> None:
    with pytest.raises(TypeError, match="parts must be a sequence of Token; got "):
        join_tokens(parts)


# The local sources.


def test_counter_counts_to_ten_unless_told_otherwise() -> None:
    assert list(parse_source("counter").played_texts()) == [str(number) for number in range(10)]


def test_counter_counts_on_when_told() -> None:
    assert list(parse_source("counter", count=12).played_texts())[-2:] == ["10", "11"]
    assert list(replace(parse_source("counter"), count=11).played_texts())[-1] == "10"


def test_counter_of_any_length_costs_no_memory() -> None:
    source = parse_source("counter", count=sys.maxsize)
    assert len(source) == len(source.texts) == sys.maxsize
    assert source.texts[10**15] == "1000000000000000"
    assert source.texts[3:5] == ("3", "4")


def test_source_survives_pickling() -> None:
    source = parse_source("counter", count=3)
    assert pickle.loads(pickle.dumps(source)) == source


def test_demo_has_some_three_hundred_tokens_of_every_kind() -> None:
    texts = demo_texts()
    assert 250 <= len(texts) <= 350
    assert {" Flux", "\n\n", "缓冲", "👋", "🏽", "\u200d", "🇨", "🇳", "```", "   ", "，"} <= set(texts)
    text = "".join(texts)
    assert all(picture in text for picture in ("👋🏽", "👨‍👩‍👧‍👦", "🇨🇳"))
    assert text == text.strip()


def test_demo_repeats_beyond_its_length() -> None:
    length = len(demo_texts())
    texts = list(parse_source("demo", count=2 * length + 1).played_texts())
    assert texts == [*demo_texts(), *demo_texts(), demo_texts()[0]]


@given(st.text("ab'_-. \n\t12é你好，👍🏿\u200d\0"))
def test_split_text_loses_nothing(text: str) -> None:
    pieces = split_text(text)
    assert "".join(pieces) == text
    assert "" not in pieces


def test_split_text_splits_as_a_tokeniser_would() -> None:
    assert split_text("Hi,  backpressure\n\n  你好吗 1234 👍🏿") == (
        "Hi", ",", " ", " backpres", "sure", "\n\n", " ", " ", "你好", "吗", " 123", "4", " ", "👍", "🏿",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["", "upstream:model", "recording", "recording:", "Counter", "demo:", "counter:3"])
def test_parse_source_refuses_other_names(name: str) -> None:
    with pytest.raises(ValueError, match="source must be 'counter', 'demo' or 'recording:FILE'; got"):
        parse_source(name)


@pytest.mark.parametrize("name", [5, None, b"demo"])
def test_parse_source_refuses_a_name_that_is_no_text(name: Any) -> None:
    with pytest.raises(TypeError, match=f"source must be 'counter', .*; got {name!r}"):
        parse_source(name)


def test_folder_or_file_that_is_no_path_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="recordings_dir must be a str or a path; got 5"):
        parse_source("counter", recordings_dir=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path must be a str or a path; got None"):
        read_recording(None)  # type: ignore[arg-type]


def test_parse_source_passes_everything_on() -> None:
    pacing = Pacing(rate=5, gaps=Gaps.BURSTY, ttft_ms=3, seed=9)
    source = parse_source("demo", count=4, pacing=pacing, fail_after=2)
    assert (source.count, source.pacing, source.fail_after, source.hang_after) == (4, pacing, 2, None)
    assert parse_source("counter", hang_after=1).hang_after == 1


# Sources as values.


def test_source_without_count_plays_each_text_once() -> None:
    source = TokenSource(["a", "b"])
    assert source.texts == ("a", "b")
    assert len(source) == source.played_count == 2
    assert list(source.played_texts()) == ["a", "b"]


def test_source_keeps_its_times_as_a_tuple() -> None:
    times_ms = [1, 2.5]
    source = TokenSource(["a", "b"], at_ms=times_ms)
    times_ms.clear()
    assert source.at_ms == (1, 2.5)
    assert hash(source) == hash(TokenSource(("a", "b"), at_ms=(1, 2.5)))


def test_source_may_be_empty() -> None:
    assert list(TokenSource(()).played_texts()) == []
    assert list(TokenSource((), count=0).played_texts()) == []
    assert list(TokenSource(("a",), count=0).played_texts()) == []


@pytest.mark.parametrize(("after", "played"), [(0, 0), (2, 2), (3, 3), (4, 3)])
def test_source_plays_the_tokens_before_its_fault(after: int, played: int) -> None:
    assert TokenSource(["abc"], count=3, fail_after=after).played_count == played
    assert len(list(TokenSource(["abc"], count=3, hang_after=after).played_texts())) == played


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"texts": "abc"}, TypeError, "texts must be a sequence of str; got 'abc'"),
        ({"texts": 5}, TypeError, "texts must be a sequence of str; got 5"),
        ({"texts": ["a", b"b"]}, TypeError, "texts must hold nothing but str; got b'b'"),
        ({"count": -1}, ValueError, "count must be an int >= 0"),
        ({"count": True}, TypeError, "count must be an int >= 0"),
        ({"count": 2**63}, ValueError, "count must be at most"),
        ({"texts": (), "count": 1}, ValueError, "no texts to repeat; got 1"),
        ({"fail_after": -1}, ValueError, "fail_after must be an int >= 0"),
        ({"hang_after": 1.5}, TypeError, "hang_after must be an int >= 0"),
        ({"fail_after": 1, "hang_after": 2}, ValueError, r"fail_after \(1\) and hang_after \(2\) exclude each other"),
        ({"pacing": 20}, TypeError, "pacing must be of type Pacing; got 20"),
        ({"pacing": Pacing(gaps=Gaps.RECORDED)}, ValueError, "needs a recording with at_ms"),
        ({"at_ms": 5}, TypeError, "at_ms must be a sequence of numbers, or None; got 5"),
        ({"at_ms": "12"}, TypeError, "at_ms must be a sequence of numbers, or None; got '12'"),
        ({"at_ms": (1.0,)}, ValueError, "one time for each of 2 texts; got 1"),
        ({"at_ms": (2.0, 1.0)}, ValueError, "nor go backwards; got 1.0 after 2.0"),
        ({"at_ms": (-1.0, 1.0)}, ValueError, "must not be below 0"),
        ({"at_ms": (1.0, float("nan"))}, ValueError, "at_ms must be a finite number"),
        ({"at_ms": (1.0, "2")}, TypeError, "at_ms must be a number"),
    ],
)
def test_source_refuses_what_makes_no_sense(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TokenSource(**{"texts": ("a", "b"), **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rate": -1}, ValueError, "rate must be 0 or at least 0.001 tokens per second; got -1"),
        ({"rate": 0.0001}, ValueError, "rate must be 0 or at least 0.001"),
        ({"rate": float("inf")}, ValueError, "rate must be a finite number"),
        ({"rate": float("nan")}, ValueError, "rate must be a finite number"),
        ({"rate": 10**400}, ValueError, "rate must be a finite number"),
        ({"rate": True}, TypeError, "rate must be a number; got True"),
        ({"rate": "20"}, TypeError, "rate must be a number; got '20'"),
        ({"gaps": "steady"}, TypeError, "gaps must be of type Gaps; got 'steady'"),
        ({"ttft_ms": -1}, ValueError, "ttft_ms must be from 0 to 86400000 milliseconds, or None; got -1"),
        ({"ttft_ms": 1e9}, ValueError, "ttft_ms must be from 0 to 86400000"),
        ({"ttft_ms": "1"}, TypeError, "ttft_ms must be a number"),
        ({"seed": 1.0}, TypeError, "seed must be of type int; got 1.0"),
        ({"seed": False}, TypeError, "seed must be of type int; got False"),
    ],
)
def test_pacing_refuses_what_makes_no_sense(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Pacing(**arguments)


# Recordings.


def test_recording_gives_its_deltas_finish_reason_and_usage(record: Callable[..., Path]) -> None:
    source = read_recording(
        record(
            chunk("", vendor={"unknown": [1]}),
            chunk("Hi"),
            "",
            chunk(None),
            json.dumps({"choices": [{"delta": {"content": " there", "role": "assistant"}, "finish_reason": None}]}),
            "   ",
            json.dumps({"choices": [{"index": 1, "delta": {"content": "another choice"}}]}),
            json.dumps({"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]}),
            json.dumps({"choices": [], "usage": {"completion_tokens": 2, "details": {"cached": 0}}}),
            chunk("", usage=None),
        )
    )
    assert source.texts == ("Hi", " there")
    assert source.finish_reason == "stop"
    assert source.usage == {"completion_tokens": 2, "details": {"cached": 0}}
    assert source.at_ms is None
    assert hash(source) == hash(replace(source))


def test_recording_keeps_the_times_of_its_texts(record: Callable[..., Path]) -> None:
    path = record(chunk("", at_ms=3), chunk("a", at_ms=5), chunk("b"), chunk("c", at_ms=7.5))
    assert read_recording(path).at_ms == (5, 5, 7.5)


def test_recording_takes_texts_before_the_first_time_as_there_from_the_start(record: Callable[..., Path]) -> None:
    assert read_recording(record(chunk("a"), chunk("b", at_ms=4))).at_ms == (0, 4)


def test_recording_may_begin_with_a_byte_order_mark_and_end_lines_as_windows_does(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + chunk("a\u2028b").encode() + b"\r\n" + chunk("c").encode() + b"\r\n")
    assert read_recording(path).texts == ("a\u2028b", "c")


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"[DONE]",
        b'{"error": {"message": "overloaded"}}',
        b'{"choices": [{"delta": {"content": 5}}]}',
        b'{"choices": [], "at_ms": -1}',
        b'{"choices": [], "at_ms": NaN}',
        b'{"choices": [], "at_ms": true}',
        b'{"choices": [{"delta": {"content": "\xff"}}]}',
    ],
)
def test_recording_names_file_and_line_of_what_is_malformed(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(chunk("a").encode() + b"\n\n" + line + b"\n")
    with pytest.raises(ValueError, match=r"broken\.jsonl, line 3: not a chat\.completion\.chunk: "):
        read_recording(path)


def test_recording_refuses_times_that_go_backwards(record: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=r"stream\.jsonl, line 2: at_ms is 4\.0 after 5\.0 on an earlier line"):
        read_recording(record(chunk("a", at_ms=5), chunk("b", at_ms=4)))


def test_recording_without_text_is_refused(record: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=r"stream\.jsonl: no line holds any text"):
        read_recording(record(chunk("")))


def test_recording_is_found_in_its_folder(record: Callable[..., Path]) -> None:
    folder = record(chunk("a")).parent
    (folder / "sub").mkdir()
    record(chunk("b"), name="sub/other.jsonl")
    (folder / "link.jsonl").symlink_to(folder / "stream.jsonl")
    assert parse_source("recording:stream.jsonl", recordings_dir=folder).texts == ("a",)
    assert parse_source("recording:stream.jsonl", recordings_dir=str(folder)).texts == ("a",)
    assert read_recording(str(folder / "stream.jsonl")).texts == ("a",)
    assert parse_source("recording:sub/other.jsonl", recordings_dir=folder).texts == ("b",)
    assert parse_source("recording:link.jsonl", recordings_dir=folder, count=3).played_count == 3


def test_recording_outside_its_folder_is_refused_like_a_missing_one(record: Callable[..., Path]) -> None:
    outside = record(chunk("secret"), name="secret.jsonl")
    folder = outside.parent / "recordings"
    folder.mkdir()
    (folder / "link.jsonl").symlink_to(outside)
    (folder / "up").symlink_to(outside.parent)
    (folder / "loop.jsonl").symlink_to(folder / "loop.jsonl")
    for file in (
        "../secret.jsonl", str(outside), "link.jsonl", "up/secret.jsonl", "loop.jsonl", "missing.jsonl", ".", "..",
        "nul\0.jsonl", "long" * 2000,
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"there is no recording .* in the folder with recordings"):
            parse_source(f"recording:{file}", recordings_dir=folder)


def test_recording_without_a_folder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"there is no folder with recordings to look for 'a\.jsonl' in"):
        parse_source("recording:a.jsonl")


@pytest.mark.parametrize(
    ("name", "text_count", "character_count", "finish_reason"),
    [
        ("deepseek-text.jsonl", 400, 1855, "length"),
        ("openai-text.jsonl", 300, 1724, "stop"),
        ("alibaba-text.jsonl", 171, 3771, "stop"),
    ],
)
def test_recordings_of_live_services_are_read(
    name: str, text_count: int, character_count: int, finish_reason: str
) -> None:
    if not RECORDED_STREAMS.is_dir():
        pytest.skip("the recorded streams do not lie beside this checkout")
    source = parse_source(f"recording:{name}", recordings_dir=RECORDED_STREAMS)
    assert len(source) == text_count
    assert len("".join(source.texts)) == character_count
    assert source.finish_reason == finish_reason
    assert cast("dict[str, int]", source.usage)["completion_tokens"] > 0
