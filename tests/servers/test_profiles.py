"""The bytes of each profile, by example and for any text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.profiles import PROFILES, CompletionPayloads, Ending, Failure, StreamEncoder, StreamIdentity
from servers.sse import EventStreamDecoder, ServerSentEvent
from streams import StreamStatistics
from streams.source import Token

__all__ = ()

IDENTITY = StreamIdentity("s1", model="m", created_s=7)
TRACED = StreamIdentity("s1", model="m", created_s=7, trace=True)
WITH_USAGE = StreamIdentity("s1", model="m", created_s=7, include_usage=True)
STATISTICS = StreamStatistics(
    emitted=9, delivered=5, dropped=1, merged=2, rejected=0, held=1, peak_held=3, demand=4
)._asdict()
COUNTS = (
    '{"emitted": 9, "delivered": 5, "dropped": 1, "merged": 2, "rejected": 0, "held": 1, "peak_held": 3, "demand": 4}'
)
COMPACT_COUNTS = COUNTS.replace(" ", "")
FAILURE = Failure("no room", "overflow_error", "buffer_overflow", STATISTICS)
ERROR = '{"message": "no room", "type": "overflow_error", "param": null, "code": "buffer_overflow"}'
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8, "cost": 1}
ENDING = Ending("length", USAGE, STATISTICS)

TWO_TOKENS = (Token(0, " a", 1, 2), Token(1, '"\n', 3, 4, merged=3))
TAKEN_NS = 5

JSON_PROFILES = ("completion", "ndjson", "openai", "anthropic", "aisdk")
EVENT_PROFILES = ("completion", "data", "openai", "anthropic", "aisdk")

Texts = list[str]


def tokens_of(texts: Sequence[str]) -> list[Token]:
    return [Token(index, text, 0, 0) for index, text in enumerate(texts)]


def encoder(name: str, identity: StreamIdentity = IDENTITY) -> StreamEncoder:
    return PROFILES[name](identity)


def events(stream: bytes) -> list[ServerSentEvent]:
    return EventStreamDecoder().feed(stream)


def objects(name: str, stream: bytes) -> list[Any]:
    """Read the JSON objects of a stream as its clients do."""
    if name == "ndjson":
        return [json.loads(line) for line in stream.decode().splitlines()]
    return [json.loads(event.data) for event in events(stream)]


TEXT_OF: dict[str, Callable[[Any], Any]] = {
    "completion": lambda payload: payload["message"],
    "ndjson": lambda payload: payload["message"],
    "openai": lambda chunk: chunk["choices"][0]["delta"]["content"],
    "anthropic": lambda event: event["delta"]["text"],
    "aisdk": lambda part: part["delta"],
}


def as_one_reads_it(text: str) -> str:
    """Two halves of a surrogate pair side by side are one character, in JSON as in UTF-16."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


# The tokens of a batch.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "completion",
            'event: message\nid: s1-0\ndata: {"ended": false, "message": " a"}\n\n'
            'event: message\nid: s1-1\ndata: {"ended": false, "message": "\\"\\n"}\n\n',
        ),
        ("data", 'data:  a\n\ndata: "\ndata: \n\n'),
        ("ndjson", '{"ended": false, "message": " a"}\n{"ended": false, "message": "\\"\\n"}\n'),
        ("text", ' a"\n'),
        (
            "openai",
            'data: {"id":"chatcmpl-s1","object":"chat.completion.chunk","created":7,"model":"m",'
            '"choices":[{"index":0,"delta":{"content":" a"},"finish_reason":null}]}\n\n'
            'data: {"id":"chatcmpl-s1","object":"chat.completion.chunk","created":7,"model":"m",'
            '"choices":[{"index":0,"delta":{"content":"\\"\\n"},"finish_reason":null}]}\n\n',
        ),
        (
            "anthropic",
            "event: content_block_delta\n"
            'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" a"}}\n\n'
            "event: content_block_delta\n"
            'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\"\\n"}}\n\n',
        ),
        (
            "aisdk",
            'data: {"type":"text-delta","id":"0","delta":" a"}\n\n'
            'data: {"type":"text-delta","id":"0","delta":"\\"\\n"}\n\n',
        ),
    ],
)
@pytest.mark.parametrize("identity", [IDENTITY, TRACED], ids=["plain", "traced"])
def test_each_token_is_one_frame(name: str, expected: str, identity: StreamIdentity) -> None:
    if identity is TRACED and name in ("completion", "ndjson"):
        expected = expected.replace('" a"', '" a", "seq": 0, "due_ns": 1, "emitted_ns": 2, "taken_ns": 5')
        expected = expected.replace(
            '"\\"\\n"', '"\\"\\n", "seq": 1, "due_ns": 3, "emitted_ns": 4, "taken_ns": 5, "merged": 3'
        )
    assert encoder(name, identity).tokens(TWO_TOKENS, TAKEN_NS) == expected.encode()


@pytest.mark.parametrize("name", ["completion", "ndjson"])
def test_trace_names_the_producer_where_there_are_several(name: str) -> None:
    tokens = [Token(0, "a", 1, 2, producer=0), Token(1, "b", 1, 2, merged=2, producer=4)]
    traced = objects(name, encoder(name, TRACED).tokens(tokens, TAKEN_NS))
    assert [(payload.get("merged"), payload["producer"]) for payload in traced] == [(None, 0), (2, 4)]


@pytest.mark.parametrize("name", PROFILES)
def test_batches_add_up_to_the_same_bytes_as_single_tokens(name: str) -> None:
    batched, single = encoder(name), encoder(name)
    tokens = tokens_of(["a", "\n\n", "data: x\n\n", "你好"])
    assert batched.tokens(tokens, 0) == b"".join(single.tokens([token], 0) for token in tokens)
    assert batched.end() == single.end()


def test_usage_null_is_in_each_chunk_when_usage_was_asked_for() -> None:
    openai = encoder("openai", WITH_USAGE)
    chunks = objects("openai", openai.begin() + openai.tokens(TWO_TOKENS, 0))
    assert [chunk["usage"] for chunk in chunks] == [None, None, None]


# The beginning.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("completion", ""),
        ("data", ""),
        ("ndjson", ""),
        ("text", ""),
        (
            "openai",
            'data: {"id":"chatcmpl-s1","object":"chat.completion.chunk","created":7,"model":"m","choices":'
            '[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
        ),
        (
            "anthropic",
            'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_s1","type":"message",'
            '"role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,'
            '"usage":{"input_tokens":0,"output_tokens":0}}}\n\n'
            'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
            '"content_block":{"type":"text","text":""}}\n\n',
        ),
        (
            "aisdk",
            'data: {"type":"start","messageId":"s1"}\n\ndata: {"type":"start-step"}\n\n'
            'data: {"type":"text-start","id":"0"}\n\n',
        ),
    ],
)
def test_stream_begins_with_what_its_clients_wait_for(name: str, expected: str) -> None:
    assert encoder(name).begin() == expected.encode()


# The end.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("completion", 'event: message\nid: s1-end\ndata: {"ended": true, "message": ""}\n\n'),
        ("data", ""),
        ("ndjson", '{"ended": true, "message": ""}\n'),
        ("text", ""),
        (
            "openai",
            'data: {"id":"chatcmpl-s1","object":"chat.completion.chunk","created":7,"model":"m","choices":'
            '[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
        ),
        (
            "anthropic",
            'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
            'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":'
            'null},"usage":{"input_tokens":0,"output_tokens":4}}\n\n'
            'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        ),
        (
            "aisdk",
            'data: {"type":"text-end","id":"0"}\n\ndata: {"type":"finish-step"}\n\n'
            'data: {"type":"finish","messageMetadata":{"finishReason":"stop",'
            '"usage":{"prompt_tokens":0,"completion_tokens":4,"total_tokens":4}}}\n\ndata: [DONE]\n\n',
        ),
    ],
)
def test_end_counts_a_merged_token_as_all_its_tokens(name: str, expected: str) -> None:
    ended = encoder(name)
    ended.tokens(TWO_TOKENS, TAKEN_NS)
    assert ended.end() == expected.encode()


@pytest.mark.parametrize("name", PROFILES)
def test_statistics_at_the_end_are_for_a_trace_alone(name: str) -> None:
    assert encoder(name).end(Ending(statistics=STATISTICS)) == encoder(name).end()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "completion",
            'event: message\nid: s1-end\ndata: {"ended": true, "message": "", "statistics": ' + COUNTS + "}\n\n",
        ),
        ("ndjson", '{"ended": true, "message": "", "statistics": ' + COUNTS + "}\n"),
    ],
)
def test_trace_ends_with_statistics(name: str, expected: str) -> None:
    assert encoder(name, TRACED).end(ENDING) == expected.encode()
    assert encoder(name, TRACED).end() == encoder(name).end()


def test_openai_adds_a_chunk_without_choices_for_the_usage_that_was_asked_for() -> None:
    counting = encoder("openai", WITH_USAGE)
    counting.tokens(TWO_TOKENS, TAKEN_NS)
    *_, finish, usage, done = events(counting.end())
    assert json.loads(finish.data)["usage"] is None
    assert json.loads(usage.data)["choices"] == []
    assert json.loads(usage.data)["usage"] == {"prompt_tokens": 0, "completion_tokens": 4, "total_tokens": 4}
    assert done.data == "[DONE]"


def test_finish_reason_and_usage_of_the_model_are_passed_on() -> None:
    finish, usage, _ = events(encoder("openai", WITH_USAGE).end(ENDING))
    assert json.loads(finish.data)["choices"][0]["finish_reason"] == "length"
    assert json.loads(usage.data)["usage"] == USAGE
    metadata = objects("aisdk", encoder("aisdk").end(ENDING).removesuffix(b"data: [DONE]\n\n"))[-1]["messageMetadata"]
    assert metadata == {"finishReason": "length", "usage": USAGE}


@pytest.mark.parametrize(
    ("finish_reason", "stop_reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("anything else", "end_turn"),
    ],
)
def test_anthropic_has_its_own_words_for_the_end(finish_reason: str, stop_reason: str) -> None:
    ending = Ending(finish_reason, USAGE)
    delta = objects("anthropic", encoder("anthropic").end(ending))[1]
    assert delta["delta"] == {"stop_reason": stop_reason, "stop_sequence": None}
    assert delta["usage"] == {"input_tokens": 3, "output_tokens": 5}
    assert json.loads(encoder("anthropic").whole([], ending))["stop_reason"] == stop_reason


# The failure.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("completion", f'event: error\nid: s1-end\ndata: {{"error": {ERROR}}}\n\n'),
        ("data", "event: error\ndata: no room\n\n"),
        ("ndjson", f'{{"error": {ERROR}}}\n'),
        ("text", ""),
        (
            "openai",
            'data: {"error":{"message":"no room","type":"overflow_error","param":null,"code":"buffer_overflow"}}\n\n'
            "data: [DONE]\n\n",
        ),
        (
            "anthropic",
            'event: error\ndata: {"type":"error","error":{"type":"overflow_error","message":"no room"}}\n\n',
        ),
        ("aisdk", 'data: {"type":"error","errorText":"no room"}\n\ndata: [DONE]\n\n'),
    ],
)
def test_failure_has_the_shape_of_the_profile(name: str, expected: str) -> None:
    assert encoder(name).failure(FAILURE) == expected.encode()


@pytest.mark.parametrize("name", ["completion", "ndjson"])
def test_trace_adds_statistics_to_a_failure(name: str) -> None:
    assert objects(name, encoder(name, TRACED).failure(FAILURE)) == [
        {"error": json.loads(ERROR), "statistics": json.loads(COUNTS)}
    ]


# While it goes on.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("completion", f"event: statistics\ndata: {COUNTS}\n\n"),
        ("data", ""),
        ("ndjson", f'{{"statistics": {COUNTS}}}\n'),
        ("text", ""),
        ("openai", ""),
        ("anthropic", ""),
        ("aisdk", f'data: {{"type":"data-statistics","data":{COMPACT_COUNTS},"transient":true}}\n\n'),
    ],
)
def test_statistics_are_sent_only_where_clients_pass_over_them(name: str, expected: str) -> None:
    assert encoder(name).statistics(STATISTICS) == expected.encode()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("completion", ": \n"),
        ("data", ": \n"),
        ("ndjson", " "),
        ("text", ""),
        ("openai", ": \n"),
        ("anthropic", 'event: ping\ndata: {"type":"ping"}\n\n'),
        ("aisdk", ": \n"),
    ],
)
def test_heartbeat_ends_no_block_that_has_no_data(name: str, expected: str) -> None:
    assert encoder(name).heartbeat() == expected.encode()


# The answer in one piece.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("completion", '{"ended": true, "message": " a\\"\\n"}'),
        ("data", '{"ended": true, "message": " a\\"\\n"}'),
        ("ndjson", '{"ended": true, "message": " a\\"\\n"}'),
        ("text", '{"ended": true, "message": " a\\"\\n"}'),
        (
            "openai",
            '{"id":"chatcmpl-s1","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,'
            '"message":{"role":"assistant","content":" a\\"\\n","refusal":null},"logprobs":null,'
            '"finish_reason":"stop"}],"usage":{"prompt_tokens":0,"completion_tokens":4,"total_tokens":4}}',
        ),
        (
            "anthropic",
            '{"id":"msg_s1","type":"message","role":"assistant","model":"m","content":[{"type":"text",'
            '"text":" a\\"\\n"}],"stop_reason":"end_turn","stop_sequence":null,'
            '"usage":{"input_tokens":0,"output_tokens":4}}',
        ),
        (
            "aisdk",
            '{"id":"s1","role":"assistant","metadata":{"finishReason":"stop","usage":{"prompt_tokens":0,'
            '"completion_tokens":4,"total_tokens":4}},"parts":[{"type":"text","text":" a\\"\\n","state":"done"}]}',
        ),
    ],
)
def test_whole_answer_has_all_the_text(name: str, expected: str) -> None:
    assert encoder(name).whole(TWO_TOKENS) == expected.encode()


@pytest.mark.parametrize("name", ["completion", "ndjson"])
def test_trace_adds_statistics_to_the_whole_answer(name: str) -> None:
    answer = json.loads(encoder(name, TRACED).whole(TWO_TOKENS, ENDING))
    assert answer == {"ended": True, "message": ' a"\n', "statistics": json.loads(COUNTS)}


# Without framing, for a WebSocket.


@pytest.mark.parametrize("identity", [IDENTITY, TRACED], ids=["plain", "traced"])
def test_lines_of_ndjson_are_the_bare_payloads(identity: StreamIdentity) -> None:
    ndjson, payloads = encoder("ndjson", identity), CompletionPayloads(identity)
    lines = ndjson.tokens(TWO_TOKENS, TAKEN_NS) + ndjson.statistics(STATISTICS) + ndjson.end(ENDING)
    lines += ndjson.failure(FAILURE)
    assert lines.decode().splitlines() == [
        *payloads.tokens(TWO_TOKENS, TAKEN_NS),
        payloads.statistics(STATISTICS),
        payloads.end(ENDING),
        payloads.failure(FAILURE),
    ]


# Any text.


@given(texts=st.lists(st.text(st.characters()), min_size=1), trace=st.booleans())
@pytest.mark.parametrize("name", JSON_PROFILES)
def test_json_profiles_carry_any_text(name: str, texts: Texts, trace: bool) -> None:
    stream = encoder(name, StreamIdentity("s1", trace=trace)).tokens(tokens_of(texts), TAKEN_NS)
    assert [TEXT_OF[name](item) for item in objects(name, stream)] == [as_one_reads_it(text) for text in texts]


@given(text=st.text(st.characters()))
@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_model_may_have_any_name(name: str, text: str) -> None:
    named = encoder(name, StreamIdentity("s1", model=text))
    first = objects(name, named.begin())[0]
    assert first.get("message", first)["model"] == as_one_reads_it(text)
    assert json.loads(named.whole([]))["model"] == as_one_reads_it(text)


@given(message=st.text(st.characters()))
@pytest.mark.parametrize("name", JSON_PROFILES)
def test_error_may_have_any_message(name: str, message: str) -> None:
    error = objects(name, encoder(name).failure(Failure(message)).removesuffix(b"data: [DONE]\n\n"))[0]
    assert (error["errorText"] if name == "aisdk" else error["error"]["message"]) == as_one_reads_it(message)


@given(texts=st.lists(st.text(st.characters()), min_size=1))
@pytest.mark.parametrize("name", EVENT_PROFILES)
def test_every_frame_is_one_event(name: str, texts: Texts) -> None:
    assert len(events(encoder(name).tokens(tokens_of(texts), TAKEN_NS))) == len(texts)


@given(texts=st.lists(st.text(st.characters()), min_size=1))
@pytest.mark.parametrize("name", JSON_PROFILES)
def test_no_client_sees_more_lines_than_were_written(name: str, texts: Texts) -> None:
    stream = encoder(name).tokens(tokens_of(texts), TAKEN_NS).decode()
    # str.splitlines knows eight line ends beyond those of an event stream.
    assert stream.splitlines() == stream.removesuffix("\n").split("\n")


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_text_carries_all_but_surrogates(texts: Texts) -> None:
    assert encoder("text").tokens(tokens_of(texts), TAKEN_NS).decode() == "".join(texts)


def test_text_replaces_half_a_surrogate_pair() -> None:
    assert encoder("text").tokens(tokens_of(["\ud83d", "\ude00", "\ud83d"]), 0).decode() == "😀\ufffd"


# Headers.


def test_content_types_are_those_of_the_formats() -> None:
    assert {name: profile.content_type for name, profile in PROFILES.items()} == {
        "completion": "text/event-stream",
        "data": "text/event-stream",
        "ndjson": "application/x-ndjson",
        "text": "text/plain; charset=utf-8",
        "openai": "text/event-stream",
        "anthropic": "text/event-stream",
        "aisdk": "text/event-stream",
    }


def test_only_aisdk_demands_a_header() -> None:
    assert {name: dict(profile.headers) for name, profile in PROFILES.items() if profile.headers} == {
        "aisdk": {"x-vercel-ai-ui-message-stream": "v1"}
    }


# What an identity accepts.


@pytest.mark.parametrize("stream_id", ["a", "Ab_0.9-z", "a" * 100])
def test_stream_id_stands_in_an_event_id(stream_id: str) -> None:
    last = Token(2**63 - 1, "", 0, 0)
    [event] = events(encoder("completion", StreamIdentity(stream_id)).tokens([last], 0))
    assert event.id == f"{stream_id}-{2**63 - 1}"
    assert len(event.id) < 128


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("stream_id", "", ValueError),
        ("stream_id", "a" * 101, ValueError),
        ("stream_id", "a:b", ValueError),
        ("stream_id", 'a"', ValueError),
        ("stream_id", "a\n", ValueError),
        ("stream_id", "ä", ValueError),
        ("stream_id", 1, TypeError),
        ("model", None, TypeError),
        ("created_s", -1, ValueError),
        ("created_s", True, TypeError),
        ("created_s", 1.5, TypeError),
        ("trace", 1, TypeError),
        ("include_usage", None, TypeError),
    ],
)
def test_wrong_identity_is_refused_by_name(argument: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=argument):
        StreamIdentity(**{"stream_id": "s1", argument: value})
