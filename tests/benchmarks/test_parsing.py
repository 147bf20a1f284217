"""What a stream says is found however it was cut, and how it ended is never taken for a success that it was not."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scenarios.cells import Transport
from benchmarks.traces.captures import Capture, Outcome, Times, Trace
from benchmarks.traces.parsing import PROFILES, parse
from servers.profiles import PROFILES as ENCODERS
from servers.profiles import Ending, Failure, StreamIdentity
from streams.source import Token

__all__ = ()

SSE, WEBSOCKET = Transport.SSE, Transport.WEBSOCKET
TYPES = {"ndjson": "application/x-ndjson", "text": "text/plain"}
TOKENS = [
    Token(0, "Hel", 10, 11),
    Token(1, 'lo "ended": true\n', 20, 22, 2, producer=1),
    Token(3, "世界", 30, 33, producer=0),
]
TEXTS = [token.text for token in TOKENS]


def encoded(profile: str, *, trace: bool = True, statistics: bool = False) -> list[bytes]:
    """The frames of one stream, one token each."""
    encoder = ENCODERS[profile](StreamIdentity("s1", trace=trace, include_usage=profile == "openai"))
    frames = [encoder.begin(), encoder.heartbeat(), *(encoder.tokens([token], 40) for token in TOKENS)]
    if statistics:
        frames.append(encoder.statistics({"held": 7}))
    return [*frames, encoder.end(Ending("length", None, {"delivered": 3}))]


def capture(pieces: Sequence[bytes], *, profile: str = "completion", **parts: object) -> Capture:
    headers = {"content-type": TYPES.get(profile, "text/event-stream"), "x-stream-id": "s1"}
    return Capture(Times(0), 200, headers, list(range(100, 100 + len(pieces))), list(pieces), **parts)  # type: ignore[arg-type]


def chunks(frames: Sequence[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames if frame) + b"0\r\n\r\n"


def columns(trace: Trace) -> dict[str, list[int] | None]:
    names = ("seq", "due_ns", "emitted_ns", "taken_ns", "merged", "producer", "text_lengths")
    found = {name: getattr(trace, name) for name in names}
    return {name: None if column is None else column.tolist() for name, column in found.items()}


def test_event_beyond_the_limit_is_malformed_and_the_tokens_before_it_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.traces.parsing.MAX_EVENT_BYTES", 1024 * 1024)
    pieces = [b"data: a\n\n", b"data: " + b"x" * 2 * 1024 * 1024 + b"\n\n"]
    trace = parse(capture(pieces), profile="sse", transport=SSE)
    assert (trace.outcome, len(trace.received_ns)) == (Outcome.MALFORMED, 1)
    assert trace.detail == "an event has more than 1 MiB"


# --- Tokens ------------------------------------------------------------------------------------------------------


@given(profile=st.sampled_from([name for name in PROFILES if name != "sse"]), size=st.integers(1, 60))
def test_tokens_are_the_same_however_the_stream_was_cut(profile: str, size: int) -> None:
    data = chunks(encoded(profile))
    cut = capture([data[at : at + size] for at in range(0, len(data), size)], profile=profile)
    cut.headers = {**cut.headers, "transfer-encoding": "chunked"}
    trace = parse(cut, profile=profile, transport=SSE, keep_texts=True)
    assert (trace.outcome, trace.detail, trace.stream_id) == (Outcome.COMPLETED, "", "s1")
    assert "".join(trace.texts) == "".join(TEXTS)
    assert trace.texts == tuple(TEXTS) or profile == "text"  # which has no bounds
    assert trace.bytes_received == len(data)


@pytest.mark.parametrize("profile", ["completion", "ndjson"])
def test_trace_has_what_each_token_says_of_itself(profile: str) -> None:
    trace = parse(capture(encoded(profile), profile=profile), profile=profile, transport=SSE)
    expected = {"seq": [0, 1, 3], "due_ns": [10, 20, 30], "emitted_ns": [11, 22, 33], "taken_ns": [40, 40, 40]}
    lengths = [len(text) for text in TEXTS]
    # The first token bears no producer, so the column cannot be told from one of a single producer.
    assert columns(trace) == {**expected, "merged": [1, 2, 1], "producer": None, "text_lengths": lengths}
    assert (trace.token_count, trace.statistics, trace.texts) == (4, {"delivered": 3}, ())


def test_producers_are_kept_where_every_token_has_one() -> None:
    encoder = ENCODERS["completion"](StreamIdentity("s1", trace=True))
    tokens = [Token(index, "x", 1, 1, producer=index % 2) for index in range(4)]
    trace = parse(capture([encoder.tokens(tokens, 1)]), profile="completion", transport=SSE)
    assert columns(trace)["producer"] == [0, 1, 0, 1]


def test_index_and_stream_are_read_from_ids_where_there_is_no_trace() -> None:
    untraced = capture(encoded("completion", trace=False))
    untraced.headers = {"content-type": "text/event-stream"}
    trace = parse(untraced, profile="completion", transport=SSE)
    assert columns(trace)["seq"] == [0, 1, 3]
    assert (trace.emitted_ns, trace.statistics, trace.stream_id) == (None, None, "s1")


def test_token_is_received_with_the_piece_that_completes_its_event() -> None:
    first, second = (b'data: {"ended": false, "message": "%c"}\n\n' % letter for letter in b"ab")
    pieces = [b": heartbeat\n", first[:20], first[20:-1], b"\n" + second + first, second[:-2], b"\n\n"]
    trace = parse(capture(pieces), profile="completion", transport=SSE)
    assert trace.received_ns.tolist() == [103, 103, 103, 105]
    assert (trace.first_event_ns, trace.event_count) == (103, 4)


def test_own_counts_are_samples_and_no_events() -> None:
    for profile in ("completion", "ndjson", "aisdk"):
        trace = parse(capture(encoded(profile, statistics=True), profile=profile), profile=profile, transport=SSE)
        plain = parse(capture(encoded(profile), profile=profile), profile=profile, transport=SSE)
        assert trace.samples == ((105, {"held": 7}),)
        assert trace.event_count == plain.event_count


def test_empty_content_is_an_event_but_no_token() -> None:
    trace = parse(capture(encoded("openai"), profile="openai"), profile="openai", transport=SSE)
    assert (trace.first_event_ns, trace.received_ns[0], trace.event_count) == (100, 102, 6)
    assert (trace.finish_reason, trace.seq) == ("length", None)
    assert trace.usage == {"prompt_tokens": 0, "completion_tokens": 4, "total_tokens": 4}


@pytest.mark.parametrize("profile", ["anthropic", "aisdk"])
def test_finish_reason_and_usage_are_kept(profile: str) -> None:
    trace = parse(capture(encoded(profile), profile=profile), profile=profile, transport=SSE)
    assert trace.finish_reason in ("length", "max_tokens")
    assert 4 in (trace.usage or {}).values()


def test_half_a_surrogate_pair_is_text_like_any_other() -> None:
    encoder = ENCODERS["completion"](StreamIdentity("s1"))
    frames = encoder.tokens([Token(0, "\ud83d", 0, 0), Token(1, "b", 0, 0)], 0)
    trace = parse(capture([frames]), profile="completion", transport=SSE, keep_texts=True)
    assert trace.texts == ("\ud83d", "b")


def test_reasoning_tools_and_other_choices_are_no_tokens() -> None:
    deltas = [
        {"choices": [{"delta": {"reasoning_content": "hm", "content": None}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]},
        {"choices": [{"index": 1, "delta": {"content": "other"}}, {"index": 0, "delta": {"content": "mine"}}]},
        {"choices": [{"index": 0, "text": "of the older endpoint"}]},
        {"choices": [], "prompt_filter_results": []},
    ]
    frames = [f"data: {json.dumps(delta)}\r\n\r\n".encode() for delta in deltas]
    trace = parse(capture([*frames, b"data: [DONE]\r\n\r\n"]), profile="openai", transport=SSE, keep_texts=True)
    assert (trace.texts, trace.event_count) == (("mine", "of the older endpoint"), 5)
    assert trace.outcome is Outcome.COMPLETED


def test_websocket_messages_are_completion_payloads() -> None:
    lines = b"".join(encoded("ndjson")).split(b"\n")[:-1]
    frames = [bytes([0x81, 126]) + len(line).to_bytes(2, "big") + line for line in lines]
    data = b"".join([*frames, b"\x89\x00", b"\x88\x02\x03\xe8"])
    cut = capture([data[:50], data[50:]])
    cut.status = 101
    trace = parse(cut, profile="completion", transport=WEBSOCKET, keep_texts=True)
    assert (trace.outcome, trace.texts, columns(trace)["seq"]) == (Outcome.COMPLETED, tuple(TEXTS), [0, 1, 3])


# --- How it ended ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["completion", "ndjson", "openai", "anthropic", "aisdk"])
def test_stream_without_its_end_marker_was_cut(profile: str) -> None:
    # Neither a whole body nor a closed connection stands for the profile's own end.
    cut = capture([chunks(encoded(profile)[:-1])], profile=profile)
    cut.headers = {**cut.headers, "transfer-encoding": "chunked"}
    trace = parse(cut, profile=profile, transport=SSE)
    assert (trace.outcome, len(trace.received_ns)) == (Outcome.CUT, 3)


@pytest.mark.parametrize("profile", ["data", "text", "sse"])
@pytest.mark.parametrize(
    ("headers", "data", "outcome"),
    [
        ({"transfer-encoding": "chunked"}, b"9\r\ndata: x\n\n\r\n0\r\n\r\n", Outcome.COMPLETED),
        ({"transfer-encoding": "chunked"}, b"9\r\ndata: x\n\n\r\n", Outcome.CUT),
        ({"content-length": "9"}, b"data: x\n\n", Outcome.COMPLETED),
        ({"content-length": "10"}, b"data: x\n\n", Outcome.CUT),
        ({}, b"data: x\n\n", Outcome.COMPLETED),
        ({"content-length": "0"}, b"", Outcome.COMPLETED),
    ],
)
def test_profile_without_an_end_marker_ends_with_its_body(
    profile: str, headers: dict[str, str], data: bytes, outcome: Outcome
) -> None:
    came = capture([data] if data else [])
    came.headers = headers
    assert parse(came, profile=profile, transport=SSE).outcome is outcome


@pytest.mark.parametrize("profile", [name for name in PROFILES if name != "sse"])
def test_error_in_the_profiles_shape_is_a_failed_stream(profile: str) -> None:
    encoder = ENCODERS[profile](StreamIdentity("s1", trace=True))
    failure = encoder.failure(Failure("the source broke", statistics={"delivered": 1}))
    frames = [encoder.begin(), encoder.tokens(TOKENS[:1], 40), failure]
    trace = parse(capture(frames, profile=profile), profile=profile, transport=SSE)
    assert len(trace.received_ns) == 1
    if profile == "text":  # which has no words for it: only the connection tells
        assert trace.outcome is Outcome.COMPLETED
    else:
        assert (trace.outcome, trace.detail) == (Outcome.FAILED, "the source broke")


@pytest.mark.parametrize("error", [{"message": "m"}, {"type": "m"}, "m"])
def test_error_of_any_usual_shape_is_put_in_its_words(error: object) -> None:
    frame = f"data: {json.dumps({'error': error})}\n\ndata: [DONE]\n\n".encode()
    trace = parse(capture([frame]), profile="openai", transport=SSE)
    assert (trace.outcome, trace.detail) == (Outcome.FAILED, "m")


@pytest.mark.parametrize(
    ("profile", "data"),
    [
        ("completion", b"data: {\n\n"),
        ("completion", b"data: []\n\n"),
        ("completion", b'data: {"message": "x"}\n\n'),
        ("completion", b'data: {"ended": 0}\n\n'),
        ("completion", b'data: {"ended": false, "message": 1}\n\n'),
        ("completion", b'data: {"ended": false, "message": "", "seq": 1' + b"0" * 30 + b"}\n\n"),
        ("completion", b'data: {"ended": false, "message": "", "merged": 0}\n\n'),
        ("completion", b"event: statistics\ndata: 1\n\n"),
        ("completion", b"data: " + b"x" * 1_100_000 + b"\n\n"),
        ("ndjson", b"{}\n"),
        ("ndjson", b'{"ended": false, "message": "\xff"}\n'),
        ("openai", b"data: none\n\n"),
        ("openai", b'data: {"id": 1}\n\n'),
        ("anthropic", b'data: {"no": "type"}\n\n'),
        ("anthropic", b'data: {"type": "content_block_delta", "delta": {"type": "text_delta"}}\n\n'),
        ("aisdk", b'data: {"type": "text-delta", "delta": 1}\n\n'),
    ],
)
def test_malformed_event_is_named_and_what_was_before_it_is_kept(profile: str, data: bytes) -> None:
    encoder = ENCODERS[profile](StreamIdentity("s1"))
    trace = parse(capture([encoder.tokens(TOKENS, 0), data], profile=profile), profile=profile, transport=SSE)
    assert (trace.outcome, len(trace.received_ns)) == (Outcome.MALFORMED, 3)
    assert trace.detail


@pytest.mark.parametrize("headers", [{"transfer-encoding": "chunked"}, {"content-encoding": "gzip"}])
def test_malformed_framing_is_named(headers: dict[str, str]) -> None:
    came = capture([b"no chunk\r\n"])
    came.headers = headers
    assert parse(came, profile="completion", transport=SSE).outcome is Outcome.MALFORMED


@pytest.mark.parametrize("outcome", [Outcome.LEFT, Outcome.CUT, Outcome.STUCK])
def test_end_marker_counts_whatever_became_of_the_connection(outcome: Outcome) -> None:
    whole = capture(encoded("completion"), outcome=outcome, detail="why")
    assert parse(whole, profile="completion", transport=SSE).outcome is Outcome.COMPLETED
    part = parse(
        capture(encoded("completion")[:-1], outcome=outcome, detail="why"), profile="completion", transport=SSE
    )
    assert (part.outcome, part.detail) == (outcome, "why")


def test_what_follows_the_end_is_not_looked_at() -> None:
    trace = parse(capture([*encoded("completion"), b"data: {\n\n"]), profile="completion", transport=SSE)
    assert (trace.outcome, len(trace.received_ns)) == (Outcome.COMPLETED, 3)


@pytest.mark.parametrize("outcome", [Outcome.UNREACHABLE, Outcome.REFUSED, Outcome.NOT_A_STREAM])
def test_what_was_no_stream_is_not_parsed(outcome: Outcome) -> None:
    trace = parse(capture(encoded("completion"), outcome=outcome), profile="completion", transport=SSE)
    assert (trace.outcome, len(trace.received_ns), trace.event_count) == (outcome, 0, 0)


def test_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match=r"profile must be one of completion, .*; got 'xml'"):
        parse(capture([]), profile="xml", transport=SSE)
