"""The OpenAPI document, made from the table of parameters, so that it cannot say something else than the code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from servers.marbles import MARBLE_PARAMETERS
from servers.parameters import LIMITS, PARAMETERS, Parameter
from servers.profiles import PROFILES

__all__ = ("document",)

_ERROR: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_ERRORS: Final[Mapping[str, str]] = {
    "400": "A parameter has a value that is not accepted; nothing is streamed.",
    "403": "The WebSocket is opened by a page of another origin.",
    "404": "There is none of this name.",
    "408": "The body has not arrived in time.",
    "413": "The body is too large.",
    "502": "The source failed (only where the answer is not streamed).",
    "503": "Too many streams at a time, or the server is shutting down; try again after Retry-After seconds.",
}
_PAGE_TYPES: Final = ("text/html", "text/css", "text/javascript", "image/svg+xml")
_MESSAGES: Final[dict[str, Any]] = {"type": "array", "items": {"type": "object"}}


def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the server."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tokenweir",
            "version": _version(),
            "description": "One token source, streamed three ways.",
            "license": {"name": "Apache-2.0"},
        },
        "paths": {
            "/": _readable(_page("The page.", "text/html")),
            "/page/{name}": _readable(
                {**_page("A part of the page.", *_PAGE_TYPES), "parameters": [_in_path("name")]}, "404"
            ),
            "/v1/chat/stream": _readable(_event_source(), "400", "503"),
            "/v1/chat/completions": {"post": _post("For fetch, and for OpenAI clients.", _either_body())},
            "/v1/messages": {"post": _post("For Anthropic clients.", _foreign_body("anthropic", stream=False))},
            "/api/chat": {"post": _post("For the npm package `ai`.", _foreign_body("aisdk", stream=True))},
            "/v1/chat/ws": {"get": _web_socket()},
            "/v1/marbles": _readable(_marbles(), "400"),
            "/v1/models": _readable(_plain("What can be named as a model or source.", "application/json")),
            "/v1/models/{id}": _readable(
                {**_plain("One of them.", "application/json"), "parameters": [_in_path("id")]}, "404"
            ),
            "/healthz": _readable(_plain("Whether the server is up.", "application/json")),
            "/metrics": _readable(_plain("Prometheus' metrics, of all workers.", "text/plain")),
            "/openapi.json": _readable(_plain("This document.", "application/json")),
        },
        "components": {"schemas": {"Error": _ERROR}},
    }


def _version() -> str:
    try:
        return version("tokenweir")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


def _readable(get: dict[str, Any], *errors: str) -> dict[str, Any]:
    """Return GET, and HEAD, which answers the same without a body."""
    responses = {**get["responses"], **_errors(*errors)}
    bare = {status: {"description": response["description"]} for status, response in responses.items()}
    head = {**get, "summary": "The headers of GET, without the body.", "responses": bare}
    return {"get": {**get, "responses": responses}, "head": head}


def _plain(summary: str, *content_types: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _content("Success.", list(content_types))}}


def _page(summary: str, *content_types: str) -> dict[str, Any]:
    described = _plain(summary, *content_types)
    described["responses"]["304"] = {"description": "It is what If-None-Match names."}
    return described


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _event_source() -> dict[str, Any]:
    return {
        "summary": "For EventSource.",
        "parameters": [*_query(), _last_event_id()],
        "responses": {
            "200": _content("The stream.", _stream_types()),
            "204": {"description": "The stream that Last-Event-ID names has ended: do not reconnect."},
        },
    }


def _marbles() -> dict[str, Any]:
    summary = "What a strategy does with a slow reader, simulated on a virtual clock and drawn."
    return {**_plain(summary, "image/svg+xml"), "parameters": _query(MARBLE_PARAMETERS)}


def _web_socket() -> dict[str, Any]:
    demand = {
        "name": "demand",
        "in": "query",
        "description": 'What the client requests at first; it then sends {"request": n}. Else the socket decides.',
        "schema": {"type": "integer", "minimum": 0},
    }
    return {
        "summary": "The stream over WebSocket, one object a frame.",
        "parameters": [*_query(), demand],
        "responses": {
            "101": {"description": "The WebSocket."},
            **_errors("400", "403", "503"),
            "426": _content("Not a WebSocket request.", ["application/json"], "#/components/schemas/Error"),
        },
    }


def _post(summary: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "requestBody": {"required": False, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _content("The stream, or one object.", [*_stream_types(), "application/json"]),
            **_errors("400", "408", "413", "502", "503"),
        },
    }


def _query(table: Iterable[Parameter] = PARAMETERS) -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "in": "query",
            "description": row.description,
            "schema": _schema(row.kind.schema(), row.default),
        }
        for row in table
    ]


def _last_event_id() -> dict[str, Any]:
    return {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "Sent by a browser that reconnects. Only that of an end counts: no stream is resumed.",
        "schema": {"type": "string", "pattern": "^[ -~]*$"},
    }


def _either_body() -> dict[str, Any]:
    openai = _foreign_body("openai", stream=False)
    openai["properties"] |= {
        "messages": _MESSAGES,
        "profile": {"type": "null", "description": "With a profile the body is ours."},
    }
    return {
        "description": "An OpenAI request if it has messages and no profile, else one of ours.",
        "anyOf": [_own_body(), {**openai, "title": "OpenAI's", "required": ["messages"]}],
    }


def _own_body() -> dict[str, Any]:
    properties = _properties(profile="completion", stream=True)
    return {"title": "Ours", "type": "object", "properties": properties, "additionalProperties": False}


def _foreign_body(profile: str, *, stream: bool) -> dict[str, Any]:
    """Return the schema of a body that may have whatever its API knows besides."""
    properties = _properties(profile=profile, stream=stream)
    properties["seed"] = {"default": 0, "description": f"{properties['seed']['description']} Else ignored."}
    return {"type": "object", "properties": properties, "additionalProperties": True}


def _properties(*, profile: str, stream: bool) -> dict[str, Any]:
    defaults = {"profile": profile}
    rows = {
        row.name: _or_null(row.kind.schema(), row.description, defaults.get(row.name, row.default))
        for row in (*PARAMETERS, *LIMITS)
    }
    usage = {"type": "object", "properties": {"include_usage": _or_null({"type": "boolean"}, "Default: no.", False)}}
    return {
        **rows,
        "stream": _or_null({"type": "boolean"}, "Stream, or answer with one object.", stream),
        "stream_options": _or_null(usage, "Whether the profile openai ends with a chunk of token counts."),
        "model": _or_null({"type": "string"}, "What the answer calls its model; in a foreign body also the source."),
        "messages": _or_null(_MESSAGES, "The conversation, for an upstream."),
    }


def _or_null(schema: dict[str, Any], description: str, default: Any = None) -> dict[str, Any]:
    """Return `schema`, or null, which is the same as not given."""
    return _schema({"anyOf": [schema, {"type": "null"}], "description": description}, default)


def _schema(schema: dict[str, Any], default: Any) -> dict[str, Any]:
    return schema if default is None else {**schema, "default": default}


def _errors(*statuses: str) -> dict[str, Any]:
    return {
        status: _content(_ERRORS[status], ["application/json"], "#/components/schemas/Error") for status in statuses
    }


def _content(description: str, content_types: list[str], schema: str | None = None) -> dict[str, Any]:
    shape = {"schema": {"$ref": schema}} if schema else {}
    return {"description": description, "content": dict.fromkeys(content_types, shape)}


def _stream_types() -> list[str]:
    return sorted({profile.content_type.partition(";")[0] for profile in PROFILES.values()})
