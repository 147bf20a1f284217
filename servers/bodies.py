"""What the body of a POST asks for, in four dialects: ours, OpenAI's, Anthropic's and the AI SDK's.

A foreign body keeps its own rules: unknown fields are ignored, and `stream` is what that API makes of it. Ours is
strict. Our parameters may be given in any of them, so that an OpenAI client can say extra_body={"rate": 100}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from servers.parameters import PARAMETERS, ParameterError, StreamParameters, parse_json

__all__ = ("Ask", "read_aisdk", "read_anthropic", "read_completion")

_OWN: Final = frozenset(parameter.name for parameter in PARAMETERS)
_ASIDE: Final = frozenset({"stream", "messages", "model", "stream_options", "max_tokens"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for a stream.

    Attributes:
        parameters: what the stream is to be.
        stream: whether to stream, or to answer with one object.
        model: the model that was named, or None.
        messages: the conversation, for an upstream.
        include_usage: whether an OpenAI client wants a last chunk with usage.
        max_tokens: the most tokens, or None.
    """

    parameters: StreamParameters
    stream: bool = True
    model: str | None = None
    messages: tuple[Mapping[str, Any], ...] = ()
    include_usage: bool = False
    max_tokens: int | None = None


def read_completion(body: bytes) -> Ask:
    """Read the body of /v1/chat/completions: an OpenAI request if it has messages and no profile, else ours.

    Raises:
        ParameterError: a field has a value that is not accepted, or the body is no JSON object.
    """
    fields = _object(body)
    if "messages" in fields and "profile" not in fields:
        return _foreign(fields, "openai", stream=False)
    ours = {name: value for name, value in fields.items() if name not in _ASIDE}
    return _ask(fields, parse_json(ours), stream=True)


def read_anthropic(body: bytes) -> Ask:
    """Read the body of /v1/messages. Raises as `read_completion`."""
    return _foreign(_object(body), "anthropic", stream=False)


def read_aisdk(body: bytes) -> Ask:
    """Read the body of /api/chat. Raises as `read_completion`."""
    return _foreign(_object(body), "aisdk", stream=True)


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields: Any = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_once_each) if body else {}
    except ParameterError:
        raise
    except (ValueError, RecursionError) as error:
        raise ParameterError("body", f"body must be a JSON object; {error}") from None
    if not isinstance(fields, dict):
        raise ParameterError("body", f"body must be a JSON object; got {type(fields).__name__}")
    return cast("dict[str, Any]", fields)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ParameterError(twice, f"{twice} is given more than once")
    return fields


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _foreign(fields: dict[str, Any], profile: str, *, stream: bool) -> Ask:
    ours = {name: value for name, value in fields.items() if name in _OWN}
    ours.setdefault("profile", profile)
    model = fields.get("model")
    if "source" not in ours and isinstance(model, str) and _is_source(model):
        ours["source"] = model
    return _ask(fields, parse_json(ours), stream=stream)


def _is_source(model: str) -> bool:
    return model in {"counter", "demo"} or model.startswith(("recording:", "upstream:"))


def _ask(fields: Mapping[str, Any], parameters: StreamParameters, *, stream: bool) -> Ask:
    options = _field(fields, "stream_options", dict, {})
    return Ask(
        parameters,
        stream=_field(fields, "stream", bool, stream),
        model=_field(fields, "model", str, None),
        messages=_messages(fields),
        include_usage=_field(options, "include_usage", bool, False),
        max_tokens=_max_tokens(fields),
    )


def _messages(fields: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    messages = _field(fields, "messages", list, [])
    if not all(isinstance(message, dict) for message in messages):
        raise ParameterError("messages", "messages must be an array of objects")
    return tuple(messages)


def _max_tokens(fields: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        limit = _field(fields, name, int, None)
        if limit is not None:
            if isinstance(limit, bool) or limit < 1:
                raise ParameterError(name, f"{name} must be a whole number of at least 1; got {limit!r}")
            return int(limit)
    return None


def _field(fields: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        words = {bool: "true or false", str: "a string", list: "an array", dict: "an object", int: "a whole number"}
        raise ParameterError(name, f"{name} must be {words[kind]}; got {str(value)[:80]!r}")
    return value
