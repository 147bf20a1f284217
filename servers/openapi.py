"""The OpenAPI document, made from the table of parameters, so that it cannot say something else than the code."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from servers.parameters import PARAMETERS
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
    "405": "Another method is needed.",
    "413": "The body is too large.",
    "502": "The source failed (only where the answer is not streamed).",
    "503": "Too many streams at a time; try again after Retry-After seconds.",
}


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
            "/": {"get": _plain("The page.", "text/html")},
            "/v1/chat/stream": {"get": _event_source(), "head": _head()},
            "/v1/chat/completions": {"post": _post("For fetch, and for OpenAI clients.")},
            "/v1/messages": {"post": _post("For Anthropic clients.")},
            "/api/chat": {"post": _post("For the npm package `ai`.")},
            "/v1/chat/ws": {"get": _web_socket()},
            "/v1/models": {"get": _plain("What can be named as a model or source.", "application/json")},
            "/healthz": {"get": _plain("Whether the server is up.", "application/json")},
            "/metrics": {"get": _plain("Prometheus' metrics, of all workers.", "text/plain")},
            "/openapi.json": {"get": _plain("This document.", "application/json")},
        },
        "components": {"schemas": {"Error": _ERROR}},
    }


def _version() -> str:
    try:
        return version("tokenweir")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


def _plain(summary: str, content_type: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _content("Success.", [content_type])}}


def _event_source() -> dict[str, Any]:
    return {
        "summary": "For EventSource.",
        "parameters": [*_query(), _last_event_id()],
        "responses": {
            "200": _content("The stream.", _stream_types()),
            "204": {"description": "The stream that Last-Event-ID names has ended: do not reconnect."},
            **_errors("400", "405", "503"),
        },
    }


def _head() -> dict[str, Any]:
    return {
        "summary": "The headers of the stream, without it.",
        "parameters": _query(),
        "responses": {"200": {"description": "The headers."}, "400": {"description": _ERRORS["400"]}},
    }


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
            **_errors("400", "405", "503"),
            "426": _content("Not a WebSocket request.", ["application/json"], "#/components/schemas/Error"),
        },
    }


def _post(summary: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "requestBody": {"required": False, "content": {"application/json": {"schema": _body()}}},
        "responses": {
            "200": _content("The stream, or one object.", [*_stream_types(), "application/json"]),
            **_errors("400", "405", "413", "502", "503"),
        },
    }


def _query() -> list[dict[str, Any]]:
    return [
        {
            "name": row.name,
            "in": "query",
            "description": row.description,
            "schema": _schema(row.kind.schema(), row.default),
        }
        for row in PARAMETERS
    ]


def _last_event_id() -> dict[str, Any]:
    return {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "Sent by a browser that reconnects.",
        "schema": {"type": "string", "pattern": "^[ -~]*$"},
    }


def _body() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": True, "properties": {**_properties(), **_common()}}


def _properties() -> dict[str, Any]:
    return {row.name: {**_schema(row.kind.schema(), row.default), "description": row.description} for row in PARAMETERS}


def _common() -> dict[str, Any]:
    return {
        "stream": {"type": "boolean", "description": "Stream, or answer with one object."},
        "model": {"type": "string"},
        "messages": {"type": "array", "items": {"type": "object"}},
        "max_tokens": {"type": "integer", "minimum": 1},
    }


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
