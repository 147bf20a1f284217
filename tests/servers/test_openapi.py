"""The OpenAPI document says what the code does: the same routes, parameters, defaults, methods and errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from servers.app import make_app
from servers.bodies import Ask, read_aisdk, read_anthropic, read_completion
from servers.marbles import MARBLE_PARAMETERS
from servers.openapi import document
from servers.parameters import PARAMETERS, ParameterError, parse_json
from servers.profiles import PROFILES
from tests.servers.serving import Server

__all__ = ()

POSTS = ("/v1/chat/completions", "/v1/messages", "/api/chat")
STREAM: dict[str, Any] = document()["paths"]["/v1/chat/stream"]["get"]


def parameters(path: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row["schema"] for row in document()["paths"][path]["get"]["parameters"]}


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Judge `value` by as much of JSON Schema as the document uses."""
    if "anyOf" in schema:
        return any(accepts(choice, value) for choice in schema["anyOf"])
    if "type" not in schema:
        return True
    kinds: dict[str, Any] = {
        "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None), "array": list,
        "object": dict,
    }  # fmt: skip
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON knows one kind of number
    if isinstance(value, bool) != (schema["type"] == "boolean") or not isinstance(value, kinds[schema["type"]]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, str):
        return len(value) <= schema.get("maxLength", len(value)) and bool(re.search(schema.get("pattern", ""), value))
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        may_have_more = schema.get("additionalProperties", True)
        known = all(accepts(properties[name], value[name]) for name in value if name in properties)
        return (
            known and (may_have_more or value.keys() <= properties.keys()) and {*schema.get("required", ())} <= {*value}
        )
    if isinstance(value, list):
        return all(accepts(schema["items"], item) for item in value)
    if value is None:
        return True
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


def test_document_has_the_routes_of_the_application() -> None:
    routes = {
        (route.resource.canonical, route.method.lower())
        for route in make_app().router.routes()
        if route.resource is not None
    }
    assert {(path, method) for path, methods in document()["paths"].items() for method in methods} == routes


def test_method_that_is_described_is_not_refused() -> None:
    for methods in document()["paths"].values():
        for described in methods.values():
            assert "405" not in described["responses"]


@pytest.mark.parametrize("path", [path for path, methods in document()["paths"].items() if "head" in methods])
def test_head_answers_as_get_without_a_body(path: str) -> None:
    get, head = document()["paths"][path]["get"], document()["paths"][path]["head"]

    assert head["responses"].keys() == get["responses"].keys()
    assert head.get("parameters") == get.get("parameters")
    assert not [status for status, response in head["responses"].items() if "content" in response]


@pytest.mark.parametrize("path", ["/v1/chat/stream", "/v1/chat/ws"])
def test_query_has_all_parameters_with_their_defaults(path: str) -> None:
    described = parameters(path)
    assert {row.name for row in PARAMETERS} == described.keys() - {"Last-Event-ID", "demand"}
    for row in PARAMETERS:
        assert described[row.name].get("default") == row.default


def test_query_of_the_drawing_has_all_its_parameters_with_their_defaults() -> None:
    described = parameters("/v1/marbles")
    assert described.keys() == {row.name for row in MARBLE_PARAMETERS}
    for row in MARBLE_PARAMETERS:
        assert described[row.name].get("default") == row.default


def body_schema(path: str) -> dict[str, Any]:
    schema: dict[str, Any] = document()["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return schema


BODIES: list[tuple[dict[str, Any], Callable[[bytes], Ask], bytes]] = [
    (body_schema(POSTS[0])["anyOf"][0], read_completion, b"{}"),
    (body_schema(POSTS[0])["anyOf"][1], read_completion, b'{"messages": []}'),
    (body_schema(POSTS[1]), read_anthropic, b"{}"),
    (body_schema(POSTS[2]), read_aisdk, b"{}"),
]


@pytest.mark.parametrize(("schema", "read", "body"), BODIES, ids=["ours", "openai", "anthropic", "aisdk"])
def test_body_has_all_parameters_with_their_defaults(
    schema: dict[str, Any], read: Callable[[bytes], Ask], body: bytes
) -> None:
    properties = schema["properties"]
    for row in PARAMETERS:
        if row.name != "profile":
            assert properties[row.name].get("default") == row.default
            assert properties[row.name]["description"].startswith(row.description)
    ask = read(body)
    assert properties["stream"]["default"] == ask.stream
    assert properties["profile"].get("default", "openai") == ask.parameters.profile
    others = {"stream", "stream_options", "model", "messages", "max_tokens", "max_completion_tokens"}
    assert properties.keys() == {row.name for row in PARAMETERS} | others


ASKED: list[dict[str, Any]] = [
    {}, {"temperature": 1}, {"messages": []}, {"messages": [], "temperature": 1}, {"messages": [], "profile": None},
    {"messages": [], "profile": None, "n": 1}, {"messages": [], "profile": "text"}, {"max_tokens": 5.0},
    {"messages": [], "profile": "text", "n": 1}, {"messages": None, "n": 1}, {"messages": 5}, {"messages": [5]},
    {"max_tokens": 0}, {"max_completion_tokens": "5"}, {"messages": [], "max_completion_tokens": 5}, {"seed": -3},
    {"messages": [], "seed": -3}, {"stream": None}, {"stream": 1}, {"rate": None}, {"rate": -1},
    {"stream_options": {"include_usage": None}}, {"stream_options": {"include_usage": 1}}, {"stream_options": 1},
    {"model": 5}, {"messages": [], "model": 5}, {"messages": [], "rate": "fast"},
]  # fmt: skip


@pytest.mark.parametrize("fields", ASKED, ids=str)
@pytest.mark.parametrize(
    ("path", "read"), list(zip(POSTS, (read_completion, read_anthropic, read_aisdk), strict=True)), ids=POSTS
)
def test_schema_of_a_body_accepts_what_the_code_accepts(
    path: str, read: Callable[[bytes], Ask], fields: dict[str, Any]
) -> None:
    try:
        read(json.dumps(fields).encode())
    except ParameterError:
        accepted = False
    else:
        accepted = True
    assert accepts(body_schema(path), fields) == accepted


DESCRIPTIONS = {row.name: row.description for row in PARAMETERS}


@pytest.mark.parametrize("variant", ["emitter", "rx", "flux"])
@pytest.mark.parametrize("param", ["strategy", "overflow"])
def test_description_says_which_words_go_with_which_variant(variant: str, param: str) -> None:
    schema = parameters("/v1/chat/stream")[param]
    around = {"strategy": "buffer"} if param == "overflow" else {}

    taken = []
    for word in schema["enum"]:
        try:
            parse_json({"variant": variant, **around, param: word})
        except ParameterError:
            continue
        taken.append(word)

    said = re.search(rf"variant={variant} takes ([a-z_, ]+)[;.]", DESCRIPTIONS[param])
    assert (said.group(1).split(", ") if said else []) == taken


@pytest.mark.parametrize("param", ["capacity", "overflow", "max_merged"])
def test_description_says_with_which_strategy_a_parameter_goes(param: str) -> None:
    schema = parameters("/v1/chat/stream")
    value = schema[param].get("enum", [1])[0]

    taken = []
    for strategy in schema["strategy"]["enum"]:
        try:
            parse_json({"strategy": strategy, param: value})
        except ParameterError:
            continue
        taken.append(strategy)

    assert f"Goes with strategy={' or '.join(taken)}" in DESCRIPTIONS[param]


def test_description_says_what_excludes_each_other() -> None:
    assert "Not with hang_after" in DESCRIPTIONS["fail_after"]
    assert "Not with fail_after" in DESCRIPTIONS["hang_after"]


VALUES: list[Any] = [
    -1, 0, 1, 9, 10, 64, 65, 65_536, 65_537, 3_600_000, 3_600_001, 2**53 - 1, 2**53, 0.0001, 0.001, 0.5, 1e9, 2e9,
    True, False, "", "flux", "drop", "buffer", "drop_oldest", "openai", "steady", "unbounded", "demo", "counter",
    "recording:", "recording:a", "recording:a\nb", "upstream:" + "m" * 291, "upstream:" + "m" * 292, "1",
]  # fmt: skip


@pytest.mark.parametrize("row", PARAMETERS, ids=lambda row: row.name)
def test_schema_accepts_what_the_code_accepts(row: Any) -> None:
    for value in VALUES:
        try:
            parse_json({row.name: value})
        except ParameterError as error:
            # A value may be right by itself, and wrong without another parameter that it goes with.
            accepted = not str(error).startswith(f"{row.name} must be {row.kind.accepted}")
        else:
            accepted = True
        assert accepts(row.kind.schema(), value) == accepted, value


def test_streams_have_the_content_types_of_the_profiles() -> None:
    described = set(STREAM["responses"]["200"]["content"])
    assert described == {profile.content_type.partition(";")[0] for profile in PROFILES.values()}


async def test_errors_have_the_statuses_and_the_shape_of_the_document(serve: Any) -> None:
    server = await serve(max_streams=1)
    async with server.opened(hang_after=0):
        replies = {
            ("/v1/chat/stream", "get"): [await server.stream(rate=-1), await server.stream()],
            ("/v1/marbles", "get"): [await server.get("/v1/marbles?count=201")],
            ("/v1/models/{id}", "get"): [await server.get("/v1/models/nosuch")],
            ("/page/{name}", "get"): [await server.get("/page/nosuch")],
            ("/v1/chat/completions", "post"): [await server.post(POSTS[0], b"[]"), await server.post(POSTS[0], {})],
            ("/v1/chat/ws", "get"): [await server.get("/v1/chat/ws"), await server.get("/v1/chat/ws?demand=x")],
        }
    await server.journal.all_ended(1)
    for (path, method), answers in replies.items():
        described = document()["paths"][path][method]["responses"]
        for answer in answers:
            assert str(answer.status) in described
            assert set(answer.error) == {"message", "type", "param", "code"}
            assert isinstance(answer.error["message"], str)


async def test_head_of_a_stream_answers_as_described(serve: Any) -> None:
    server = await serve(max_streams=1)
    path = "/v1/chat/stream"
    async with server.opened(hang_after=0):
        replies = [
            await server.request("HEAD", path),
            await server.request("HEAD", f"{path}?rate=-1"),
            await server.request("HEAD", path, headers={"Last-Event-ID": "a-end"}),
        ]
    await server.journal.all_ended(1)
    replies.append(await server.request("HEAD", path))
    assert {str(reply.status) for reply in replies} == document()["paths"][path]["head"]["responses"].keys()


async def test_references_lead_somewhere(server: Server) -> None:
    text = (await server.get("/openapi.json")).body.decode()
    served = (await server.get("/openapi.json")).json
    assert served == document()
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        part = served
        for name in reference.split("/"):
            part = part[name]


def test_checkout_that_is_not_installed_has_a_document_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("servers.openapi.version", version)
    assert document()["info"]["version"] == "0"
    monkeypatch.setattr("servers.openapi.version", lambda _: "1.2.3")
    assert document()["info"]["version"] == "1.2.3"
