"""Bodies of POST requests: four dialects, each with the rules of the clients that speak it."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from servers.bodies import Ask, read_aisdk, read_anthropic, read_completion
from servers.parameters import ParameterError
from tests.servers.serving import Server, texts

__all__ = ()

POSTS = ("/v1/chat/completions", "/v1/messages", "/api/chat")
HELLO = [{"role": "user", "content": "hello"}]


def completion(**fields: Any) -> Ask:
    return read_completion(json.dumps(fields).encode())


# --- Whose body it is --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", b" {} ", b'{"profile": null}', "{}".encode("utf-16")])
def test_empty_body_asks_for_the_defaults_as_a_stream(body: bytes) -> None:
    ask = read_completion(body)
    assert (ask.parameters.profile, ask.parameters.source, ask.stream) == ("completion", "demo", True)


def test_body_with_messages_is_an_openai_request_that_does_not_stream_unless_asked() -> None:
    ask = completion(messages=HELLO, model="gpt-x", temperature=0.5, tools=[], n=1)

    assert (ask.parameters.profile, ask.stream, ask.model, ask.messages) == ("openai", False, "gpt-x", tuple(HELLO))
    assert completion(messages=[], stream=True).stream


def test_messages_with_a_profile_are_ours_and_strict() -> None:
    ask = completion(messages=HELLO, profile="ndjson")
    assert (ask.parameters.profile, ask.stream) == ("ndjson", True)
    with pytest.raises(ParameterError, match="unknown parameter 'temperature'"):
        completion(messages=HELLO, profile="ndjson", temperature=1)


def test_our_parameters_go_with_an_openai_request_and_are_checked() -> None:
    assert completion(messages=[], rate=100, variant="rx").parameters.rate == 100.0
    with pytest.raises(ParameterError, match="rate must be"):
        completion(messages=[], rate="fast")


@pytest.mark.parametrize(
    ("model", "source"), [("counter", "counter"), ("recording:x", "recording:x"), ("gpt-5", "demo"), (None, "demo")]
)
def test_model_of_a_foreign_body_names_the_source_if_there_is_one_of_that_name(model: str | None, source: str) -> None:
    assert completion(messages=[], model=model).parameters.source == source
    assert completion(messages=[], model=model, source="counter").parameters.source == "counter"


def test_anthropic_body_has_its_profile_and_does_not_stream_unless_asked() -> None:
    ask = read_anthropic(json.dumps({"messages": HELLO, "max_tokens": 7, "system": "be kind"}).encode())
    assert (ask.parameters.profile, ask.stream, ask.max_tokens) == ("anthropic", False, 7)


def test_aisdk_body_has_its_profile_and_streams() -> None:
    ask = read_aisdk(json.dumps({"id": "1", "messages": HELLO, "trigger": "submit-message"}).encode())
    assert (ask.parameters.profile, ask.stream) == ("aisdk", True)


def test_usage_is_included_when_the_stream_options_say_so() -> None:
    assert completion(messages=[], stream_options={"include_usage": True}).include_usage
    assert not completion(messages=[], stream_options={}).include_usage


def test_max_completion_tokens_goes_before_max_tokens() -> None:
    assert completion(messages=[], max_tokens=5, max_completion_tokens=3).max_tokens == 3


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_limit_is_a_whole_number_as_any_other_in_every_body(name: str) -> None:
    assert completion(**{name: 5.0}).max_tokens == 5
    assert completion(messages=[], **{name: 5.0}).max_tokens == 5
    assert completion(**{name: None}).max_tokens is None


def test_profile_that_is_null_is_not_given() -> None:
    ask = completion(messages=[], profile=None, count=1)
    assert (ask.parameters.profile, ask.stream) == ("openai", False)
    assert read_anthropic(b'{"profile": null, "source": null, "model": "counter"}').parameters.source == "counter"
    assert read_anthropic(b'{"profile": null}').parameters.profile == "anthropic"


def test_messages_that_are_null_are_not_given() -> None:
    ask = completion(messages=None)
    assert (ask.parameters.profile, ask.stream) == ("completion", True)


@pytest.mark.parametrize("seed", [-3, 2**64, 1.5, "seven"])
def test_seed_of_a_foreign_api_that_ours_cannot_take_is_ignored(seed: object) -> None:
    assert completion(messages=[], seed=seed).parameters.seed == 0
    with pytest.raises(ParameterError, match="seed must be"):
        completion(seed=seed)


def test_seed_of_a_foreign_api_that_ours_can_take_is_taken() -> None:
    assert completion(messages=[], seed=7).parameters.seed == 7


# --- What is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stream": 1}, "stream"),
        ({"stream": "false"}, "stream"),
        ({"model": 5, "messages": []}, "model"),
        ({"messages": "hello"}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [HELLO[0], "hello"]}, "messages"),
        ({"stream_options": True}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "include_usage"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"messages": [], "max_completion_tokens": 0}, "max_completion_tokens"),
        ({"nosuch": 1}, "nosuch"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": 10**400}, "max_tokens"),
        ({"max_tokens": 0, "max_completion_tokens": 5}, "max_tokens"),
    ],
    ids=str,
)
def test_field_of_a_wrong_kind_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        completion(**fields)
    assert caught.value.param == param
    assert param in str(caught.value)


MALFORMED = {
    "no json": b"variant=flux",
    "cut off": b'{"rate": 5',
    "trailing": b"{} {}",
    "array": b"[]",
    "number": b"5",
    "null": b"null",
    "text": b'"{}"',
    "not utf-8": b'{"source": "\xff"}',
    "NaN": b'{"rate": NaN}',
    "Infinity": b'{"rate": -Infinity}',
    "digits": b'{"count": ' + b"9" * 5000 + b"}",
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b'{"messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
}


@pytest.mark.parametrize("read", [read_completion, read_anthropic, read_aisdk])
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_body_is_refused(read: Callable[[bytes], Ask], body: bytes) -> None:
    with pytest.raises(ParameterError) as caught:
        read(body)
    assert caught.value.param in {"body", "messages"}
    assert len(str(caught.value)) < 300


def test_wrong_value_is_shown_as_it_was_written() -> None:
    with pytest.raises(ParameterError, match=r"^stream must be true or false; got 1$"):
        completion(stream=1)


def test_field_given_twice_is_refused() -> None:
    with pytest.raises(ParameterError, match="rate is given more than once") as caught:
        read_completion(b'{"rate": 5, "seed": 1, "rate": 6}')
    assert caught.value.param == "rate"


def test_field_given_twice_inside_a_foreign_object_is_not_ours_to_refuse() -> None:
    body = b'{"tools": [{"a": 1, "a": 2}], "messages": [{"role": "user", "role": "system"}]}'
    assert read_completion(body).messages == ({"role": "system"},)


def test_many_fields_given_twice_are_found_in_one_pass() -> None:
    names = [f'"{index}": 0' for index in range(50_000)]

    # Looking through all names for each of them would be billions of comparisons.
    with pytest.raises(ParameterError, match=r"^49999 is given more than once"):
        read_completion("{{{}}}".format(", ".join([*names, names[-1]])).encode())


def test_long_name_given_twice_is_shown_shortened() -> None:
    name = '"{}": 1'.format("x" * 100_000)
    with pytest.raises(ParameterError) as caught:
        read_completion(f"{{{name}, {name}}}".encode())
    assert len(str(caught.value)) < 200
    assert len(caught.value.param) < 100


@pytest.mark.parametrize("path", POSTS)
async def test_malformed_body_is_a_400_in_json(server: Server, path: str) -> None:
    for body in MALFORMED.values():
        reply = await server.post(path, body)
        assert (reply.status, reply.error["param"] in {"body", "messages"}) == (400, True)
    assert server.journal.records == []


@pytest.mark.parametrize("path", POSTS)
async def test_body_above_the_limit_is_a_413_in_json(server: Server, path: str) -> None:
    reply = await server.request("POST", path, data=io.BytesIO(b'{"pad": "' + b"x" * (1 << 20) + b'"}'))
    assert (reply.status, reply.error["type"]) == (413, "request_entity_too_large")


async def test_body_that_is_not_what_its_encoding_says_is_a_400(server: Server) -> None:
    client = await server.connect()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Encoding: gzip\r\n"
    await client.send(f"{head}Expect: 100-continue\r\n\r\n".encode())
    await client.read_until(b" 100 Continue\r\n\r\n")

    await client.send(b"not gzip.")

    await client.read_until(b"}}")
    assert b" 400 Bad Request" in client.received
    assert b'"body cannot be read' in client.received
    client.close()


# --- What comes back ---------------------------------------------------------------------------------------------


async def test_empty_object_streams_the_whole_demo(server: Server) -> None:
    whole = await server.post(POSTS[0], {"rate": 0, "stream": False})
    streamed = await server.post(POSTS[0], {"rate": 0})

    assert streamed.headers["Content-Type"] == "text/event-stream"
    assert "".join(texts(streamed.events)) == whole.json["message"]
    assert json.loads(streamed.events[-1].data) == {"ended": True, "message": ""}


async def test_openai_request_is_answered_in_one_object_with_usage(server: Server) -> None:
    reply = await server.post(POSTS[0], {"messages": HELLO, "model": "counter", "rate": 0, "max_tokens": 3})

    assert reply.json["object"] == "chat.completion"
    assert reply.json["model"] == "counter"
    assert reply.json["choices"][0]["message"]["content"] == "012"
    assert reply.json["choices"][0]["finish_reason"] == "length"
    assert reply.json["usage"] == {"prompt_tokens": 0, "completion_tokens": 3, "total_tokens": 3}
    assert reply.headers["X-Stream-Id"]


async def test_openai_stream_ends_with_done(server: Server) -> None:
    options = {"messages": [], "stream": True, "rate": 0, "stream_options": {"include_usage": True}}
    reply = await server.post(POSTS[0], {**options, "source": "counter"})

    chunks = [json.loads(event.data) for event in reply.events[:-1]]
    assert reply.events[-1].data == "[DONE]"
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]) == "0123456789"
    assert chunks[-1]["usage"]["completion_tokens"] == 10


async def test_anthropic_request_is_answered_in_one_object_or_in_events(server: Server) -> None:
    body = {"messages": HELLO, "max_tokens": 2, "model": "counter", "rate": 0}

    whole, streamed = await server.post(POSTS[1], body), await server.post(POSTS[1], {**body, "stream": True})

    assert (whole.json["content"][0]["text"], whole.json["stop_reason"]) == ("01", "max_tokens")
    assert [streamed.events[0].event, streamed.events[-1].event] == ["message_start", "message_stop"]


async def test_aisdk_request_is_answered_with_its_header(server: Server) -> None:
    reply = await server.post(POSTS[2], {"messages": HELLO, "rate": 0, "source": "counter"})

    assert reply.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert [json.loads(reply.events[0].data)["type"], reply.events[-1].data] == ["start", "[DONE]"]


@pytest.mark.parametrize("variant", ["emitter", "rx", "flux"])
async def test_one_object_has_the_text_of_the_stream_and_its_statistics(server: Server, variant: str) -> None:
    reply = await server.post(
        POSTS[0], {"stream": False, "variant": variant, "source": "counter", "rate": 0, "trace": True}
    )

    assert reply.json["ended"] is True
    assert reply.json["message"] == "0123456789"
    counts = reply.json["statistics"]
    assert counts["emitted"] == counts["delivered"] + counts["merged"] == 10
    record = await server.journal.ended(reply.headers["X-Stream-Id"])
    assert record["reason"] == "completed"


async def test_one_object_of_a_source_that_fails_is_a_502(server: Server) -> None:
    reply = await server.post(POSTS[0], {"stream": False, "rate": 0, "fail_after": 3})

    assert (reply.status, reply.error["type"]) == (502, "SourceFailure")
    assert "after 3 tokens" in reply.error["message"]
    assert (await server.journal.ended(reply.headers["X-Stream-Id"]))["reason"] == "error"


Serve = Callable[..., Awaitable[Server]]


async def test_one_object_has_a_largest_size(serve: Serve) -> None:
    server = await serve(max_buffer_bytes=1000)

    reply = await server.post(POSTS[0], {"stream": False, "rate": 0, "source": "counter", "count": 10**15})

    assert (reply.status, reply.error["type"]) == (502, "buffer_limit")
    assert "more than 1000 bytes" in reply.error["message"]


async def test_one_object_whose_client_leaves_ends_its_source(server: Server) -> None:
    client = await server.connect()
    body = b'{"stream": false, "hang_after": 1, "rate": 0}'
    await client.post(POSTS[0], body)
    while not await server.stream_count():
        continue

    client.reset()

    assert [record["reason"] for record in await server.journal.all_ended(1)] == ["client_gone"]


async def test_one_object_at_shutdown_is_a_503(serve: Serve) -> None:
    server = await serve()
    client = await server.connect()
    body = b'{"stream": false, "hang_after": 1, "rate": 0}'
    await client.post(POSTS[0], body)
    while not await server.stream_count():
        continue

    await server.stop()

    assert b" 503 " in (await client.read_to_end()).splitlines()[0]
    assert b"shutting down" in client.received
    client.close()


async def test_one_object_of_a_slow_reader_gets_no_heartbeat_and_no_statistics(serve: Serve) -> None:
    server = await serve(heartbeat_s=0.001)

    reply = await server.post(
        POSTS[0], {"stream": False, "rate": 40, "ttft_ms": 300, "count": 2, "source": "counter", "stats_ms": 10}
    )

    assert reply.json == {"ended": True, "message": "01"}
