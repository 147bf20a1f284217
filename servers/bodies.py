"""What the body of a POST asks for, in four dialects: ours, OpenAI's, Anthropic's and the AI SDK's.

A foreign body keeps its own rules: unknown fields are ignored, and `stream` is what that API makes of it. Ours is
strict. Our parameters may be given in any of them, so that an OpenAI client can say extra_body={"rate": 100}. In all
of them null is the same as not given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from servers.parameters import LIMITS, PARAMETERS, ParameterError, StreamParameters, parse_json
from streams.arguments import shown

__all__ = ("Ask", "read_aisdk", "read_anthropic", "read_completion")

_OWN: Final = {parameter.name: parameter for parameter in PARAMETERS}
_ASIDE: Final = frozenset({"stream", "messages", "model", "stream_options", *(limit.name for limit in LIMITS)})
_WORDS: Final[Mapping[type, str]] = {bool: "true or false", str: "a string", list: "an array", dict: "an object"}


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
    if fields.get("messages") is not None and fields.get("profile") is None:
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
    pairs: list[tuple[str, Any]] = []

    def fields_of(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal pairs
        pairs = found  # the outermost object is the last one that ends
        return dict(found)

    try:
        fields: Any = json.loads(body, parse_constant=_no_constant, object_pairs_hook=fields_of) if body else {}
    except (ValueError, RecursionError) as error:
        raise ParameterError("body", f"body must be a JSON object; {error}") from None
    if not isinstance(fields, dict):
        raise ParameterError("body", f"body must be a JSON object; got {type(fields).__name__}")
    _check_once_each(name for name, _ in pairs)
    return cast("dict[str, Any]", fields)


def _check_once_each(names: Iterable[str]) -> None:
    """Refuse a field that is given twice; what is inside messages and tools is not ours to judge."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ParameterError(name, f"{shown(name, str)} is given more than once")
        seen.add(name)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _foreign(fields: dict[str, Any], profile: str, *, stream: bool) -> Ask:
    ours = {name: value for name, value in fields.items() if name in _OWN and value is not None}
    ours.setdefault("profile", profile)
    # OpenAI has a seed, too, which may be any whole number.
    if "seed" in ours and not _is_accepted("seed", ours["seed"]):
        del ours["seed"]
    model = fields.get("model")
    if "source" not in ours and isinstance(model, str) and _is_source(model):
        ours["source"] = model
    return _ask(fields, parse_json(ours), stream=stream)


def _is_accepted(name: str, value: Any) -> bool:
    try:
        _OWN[name].of_json(value)
    except ParameterError:
        return False
    return True


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
    given = [limit.of_json(fields[limit.name]) for limit in LIMITS if fields.get(limit.name) is not None]
    return given[0] if given else None


def _field(fields: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise ParameterError(name, f"{name} must be {_WORDS[kind]}; got {shown(value)}")
    return value
