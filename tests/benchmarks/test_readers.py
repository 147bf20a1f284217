"""Readers are named by what they print, and refused by what is accepted."""

from __future__ import annotations

import pytest

from benchmarks.scenarios.readers import FAST, Bursty, Leaving, Paced, ReaderProfile, Stalled, parse_reader

__all__ = ()


@pytest.mark.parametrize(
    "reader",
    [
        FAST,
        Paced(tokens_per_s=20),
        Paced(tokens_per_s=0.5),
        Paced(bytes_per_s=2_500_000),
        Bursty(read_s=0.5, pause_s=2),
        Stalled(stall_s=1.5),
        Leaving(after_tokens=10),
    ],
    ids=str,
)
def test_reader_is_what_its_name_says(reader: ReaderProfile) -> None:
    assert parse_reader(str(reader)) == reader


@pytest.mark.parametrize(
    "text",
    [
        "",
        "slow",
        "FAST",
        "fast ",
        "paced:20",
        "paced:tokens/s",
        "paced:-1tokens/s",
        "bursty:1s",
        "stalled:1",
        "leaving:1.5",
    ],
)
def test_unknown_name_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match=r"reader must be fast, paced:20tokens/s, .* got ") as refusal:
        parse_reader(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["paced:0tokens/s", "paced:1e400bytes/s", "bursty:0s/1s", "stalled:1e10s", "leaving:0"]
)
def test_number_out_of_range_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=f"reader '{text}': .* must be"):
        parse_reader(text)


@pytest.mark.parametrize(("unit", "words"), [("tokens/s", "tokens per second"), ("bytes/s", "bytes per second")])
def test_pace_is_refused_in_its_own_unit(unit: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"must be a number of {words} above 0 and at most 1e\\+12; got 0.0"):
        parse_reader(f"paced:0{unit}")


@pytest.mark.parametrize("value", [True, "20", float("nan"), float("inf"), -1])
def test_pace_that_is_no_number_above_nothing_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError), match="tokens_per_s must be a number of tokens per second"):
        Paced(tokens_per_s=value)  # type: ignore[arg-type]
