"""The OpenAPI document says what the code does: the same routes, parameters, defaults, methods and errors."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from servers.app import make_app
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
    kinds: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON knows one kind of number
    if isinstance(value, bool) != (schema["type"] == "boolean") or not isinstance(value, kinds[schema["type"]]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, str):
        return len(value) <= schema.get("maxLength", len(value)) and bool(re.search(schema.get("pattern", ""), value))
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


def test_document_has_the_routes_of_the_application() -> None:
    routes = {
        (route.resource.canonical, route.method.lower())
        for route in make_app().router.routes()
        if route.resource is not None and not route.resource.canonical.startswith("/page/")
    }
    described = {(path, method) for path, methods in document()["paths"].items() for method in methods}
    gets = {(path, "head") for path, method in routes if method == "get" and (path, "head") in routes}

    # HEAD goes with every GET but the WebSocket's, and is described where it says something of its own.
    assert described | gets == routes
    assert ("/v1/chat/stream", "head") in described


@pytest.mark.parametrize("path", ["/v1/chat/stream", "/v1/chat/ws"])
def test_query_has_all_parameters_with_their_defaults(path: str) -> None:
    described = parameters(path)
    assert {row.name for row in PARAMETERS} == described.keys() - {"Last-Event-ID", "demand"}
    for row in PARAMETERS:
        assert described[row.name].get("default") == row.default


@pytest.mark.parametrize("path", POSTS)
def test_body_has_all_parameters_with_their_defaults(path: str) -> None:
    schema = document()["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for row in PARAMETERS:
        assert schema["properties"][row.name].get("default") == row.default
        assert schema["properties"][row.name]["description"] == row.description
    assert {"stream", "model", "messages", "max_tokens"} <= schema["properties"].keys()


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
