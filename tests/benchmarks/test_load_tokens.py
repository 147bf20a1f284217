"""Tokens are counted, and their indexes checked, without being parsed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.tokens import Indexes, TokenCounter, ending_of
from benchmarks.scenarios.cells import Transport
from benchmarks.traces.captures import Outcome
from servers.profiles import PROFILES, Failure, StreamIdentity
from streams.source import Token

__all__ = ()

SSE, WEBSOCKET = Transport.SSE, Transport.WEBSOCKET
TEXTS = ["a", '{"ended": false', '"text_delta"', '"seq": 1, ', "}\n", '"content": "x"', "世"]
TOKENS = [Token(index, text, 1, 1) for index, text in enumerate(TEXTS)]
COUNTED = ("completion", "ndjson", "openai", "anthropic", "aisdk", "data")


def stream(profile: str, *, trace: bool = False, tokens: list[Token] = TOKENS) -> bytes:
    encoder = PROFILES[profile](StreamIdentity("s-1", trace=trace))
    frames = (encoder.begin(), encoder.tokens(tokens, 1), encoder.statistics({}), encoder.end())
    return b"".join(frames)


@given(st.sampled_from(COUNTED), st.booleans(), st.integers(1, 100))
def test_tokens_are_counted_wherever_the_stream_is_cut(profile: str, trace: bool, size: int) -> None:
    data = stream(profile, trace=trace)
    counter = TokenCounter(profile, SSE)
    count = sum(counter.feed(data[at : at + size]) for at in range(0, len(data), size))
    assert count == len(TOKENS)


@given(st.integers(1, 40))
def test_websocket_messages_are_counted_between_their_frame_heads(size: int) -> None:
    lines = stream("ndjson", trace=True).splitlines()
    data = b"".join(bytes([0x81, 126]) + len(line).to_bytes(2, "big") + line for line in lines)
    indexes = Indexes()
    counter = TokenCounter("completion", WEBSOCKET, indexes)
    count = sum(counter.feed(data[at : at + size]) for at in range(0, len(data), size))
    assert (count, indexes.checked, indexes.missing) == (len(TOKENS), len(TOKENS), 0)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_foreign_events_are_counted_by_their_blank_lines(line_end: str) -> None:
    data = f"data: a{line_end}data: b{line_end * 2}data: c{line_end * 2}".encode()
    for size in range(1, len(data) + 1):
        counter = TokenCounter("sse", SSE)
        assert sum(counter.feed(data[at : at + size]) for at in range(0, len(data), size)) == 2


# --- Indexes -----------------------------------------------------------------------------------------------------


def brute_force(tokens: list[tuple[int, int]]) -> tuple[int, int, int]:
    """Out of order, missing, duplicates."""
    seen: set[int] = set()
    out_of_order = duplicates = 0
    for index, merged in tokens:
        covered = set(range(index, index + merged))
        duplicates += index in seen
        out_of_order += index not in seen and any(other > index for other in seen)
        seen |= covered
    return out_of_order, max(seen, default=-1) + 1 - len(seen), duplicates


@given(st.lists(st.integers(0, 20), max_size=30))
def test_indexes_in_any_order_are_judged_as_by_a_set(order: list[int]) -> None:
    indexes = Indexes()
    for at in range(0, len(order), 4):
        indexes.take(order[at : at + 4])
    judged = (indexes.out_of_order, indexes.missing, indexes.duplicates)
    assert judged == brute_force([(index, 1) for index in order])
    assert indexes.checked == len(order)


@given(st.permutations([(0, 1), (1, 3), (4, 1), (5, 2), (9, 2)]), st.integers(0, 5))
def test_merged_tokens_cover_what_they_stand_for(tokens: list[tuple[int, int]], count: int) -> None:
    indexes = Indexes()
    indexes.take_merged(tokens[:count])
    assert (indexes.out_of_order, indexes.missing, indexes.duplicates) == brute_force(tokens[:count])


@pytest.mark.parametrize(("profile", "trace"), [("completion", False), ("completion", True), ("ndjson", True)])
def test_lost_token_is_missed(profile: str, trace: bool) -> None:
    indexes = Indexes()
    TokenCounter(profile, SSE, indexes).feed(stream(profile, trace=trace, tokens=[TOKENS[0], *TOKENS[2:]]))
    assert (indexes.checked, indexes.missing) == (len(TOKENS) - 1, 1)


def test_merged_token_in_a_trace_misses_nothing() -> None:
    tokens = [Token(0, "a", 1, 1), Token(1, "bc", 1, 1, 2), Token(3, "d", 1, 1)]
    indexes = Indexes()
    TokenCounter("completion", SSE, indexes).feed(stream("completion", trace=True, tokens=tokens))
    assert (indexes.checked, indexes.missing, indexes.out_of_order) == (3, 0, 0)


# --- Endings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", COUNTED)
def test_last_bytes_tell_how_a_stream_ended(profile: str) -> None:
    encoder = PROFILES[profile](StreamIdentity("s1", trace=True))
    failure = encoder.failure(Failure("x"))
    assert ending_of(profile, SSE, stream(profile), body_complete=True) is Outcome.COMPLETED
    assert ending_of(profile, SSE, encoder.tokens(TOKENS, 1), body_complete=False) is None
    assert ending_of(profile, SSE, encoder.tokens(TOKENS, 1) + failure, body_complete=True) is Outcome.FAILED
