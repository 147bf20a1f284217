"""What a client may ask for: one table of parameters, from which checks, error messages and the OpenAPI document come.

Query strings bring text, JSON bodies bring values; both end as one `StreamParameters`. A wrong value is a
ParameterError that names the parameter and what it accepts, before anything is streamed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams import BackpressureStrategy, BufferOverflow, Gaps, Join, join_tokens

__all__ = ("PARAMETERS", "Parameter", "ParameterError", "StreamParameters", "parse_json", "parse_query")

VARIANTS: Final = ("emitter", "rx", "flux")
STRATEGIES: Final = ("missing", "error", "drop", "latest", "buffer", "reduce", "suspend")
PROFILES: Final = ("completion", "data", "ndjson", "text", "openai", "anthropic", "aisdk")
DEFAULT_CAPACITY: Final = 256
DEFAULT_MAX_MERGED: Final = 8192
DEFAULT_PREFETCH: Final = 256
DEFAULT_RATE: Final = 20.0
_LARGEST: Final = 2**53 - 1  # what JSON numbers hold exactly everywhere


class ParameterError(ValueError):
    """A parameter has a value that is not accepted.

    Attributes:
        param: its name.
    """

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class Kind(ABC):
    """What values a parameter accepts."""

    accepted: str
    """In words, for an error message: "must be ..."."""

    @abstractmethod
    def of_text(self, text: str) -> Any:
        """Return the value that `text` of a query string stands for; a ValueError without message if none."""

    @abstractmethod
    def of_json(self, value: Any) -> Any:
        """Return the value that a JSON `value` stands for; a ValueError without message if none."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""


class Choice(Kind):
    """One of several words."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        self.accepted = "one of " + ", ".join(self.words)

    def of_text(self, text: str) -> str:
        if text not in self.words:
            raise ValueError
        return text

    def of_json(self, value: Any) -> str:
        return self.of_text(value if isinstance(value, str) else "")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)}


class Number(Kind):
    """A finite number, 0 or from `smallest` to `largest`."""

    def __init__(self, unit: str, smallest: float, largest: float) -> None:
        self._smallest, self._largest = smallest, largest
        self.accepted = f"0 or a number from {smallest:g} to {largest:g} {unit}"

    def of_text(self, text: str) -> float:
        if not text.isascii() or "_" in text or text != text.strip():
            raise ValueError
        return self._checked(float(text))

    def of_json(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError
        try:
            return self._checked(float(value))
        except OverflowError:
            raise ValueError from None

    def _checked(self, value: float) -> float:
        if not math.isfinite(value) or not (value == 0 or self._smallest <= value <= self._largest):
            raise ValueError
        return value

    def schema(self) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "number", "minimum": self._smallest, "maximum": self._largest},
                {"type": "number", "enum": [0]},
            ]
        }


class Integer(Kind):
    """A whole number in a range, or one word."""

    def __init__(self, minimum: int, maximum: int = _LARGEST, *, word: str | None = None) -> None:
        self._minimum, self._maximum, self._word = minimum, maximum, word
        self.accepted = f"a whole number from {minimum} to {maximum}" + (f", or {word}" if word else "")

    def of_text(self, text: str) -> int | str:
        if text == self._word:
            return text
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 20):
            raise ValueError
        return self._checked(int(text))

    def of_json(self, value: Any) -> int | str:
        if self._word is not None and value == self._word:
            return self._word
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON knows one kind of number: 5.0 is 5
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError
        return self._checked(value)

    def _checked(self, value: int) -> int:
        if not self._minimum <= value <= self._maximum:
            raise ValueError
        return value

    def schema(self) -> dict[str, Any]:
        number = {"type": "integer", "minimum": self._minimum, "maximum": self._maximum}
        return number if self._word is None else {"anyOf": [number, {"type": "string", "enum": [self._word]}]}


class Flag(Kind):
    """Yes or no."""

    accepted = "0, 1, false or true"

    def of_text(self, text: str) -> bool:
        if text not in {"0", "1", "false", "true"}:
            raise ValueError
        return text in {"1", "true"}

    def of_json(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, int) and value in {0, 1}:
            return bool(value)
        raise ValueError

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, {"type": "integer", "enum": [0, 1]}]}


class SourceName(Kind):
    """The name of a token source."""

    accepted = "counter, demo, recording:FILE or upstream:MODEL"

    def of_text(self, text: str) -> str:
        kind, colon, rest = text.partition(":")
        local = text in {"counter", "demo"}
        if not local and not (colon and rest and kind in {"recording", "upstream"} and len(text) <= 300):
            raise ValueError
        return text

    def of_json(self, value: Any) -> str:
        return self.of_text(value if isinstance(value, str) else "")

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": 300, "pattern": "^(counter|demo|recording:(.|\n)+|upstream:(.|\n)+)$"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of the table."""

    name: str
    kind: Kind
    default: Any
    description: str


PARAMETERS: Final[tuple[Parameter, ...]] = (
    Parameter("variant", Choice(VARIANTS), "flux", "How the source is exposed."),
    Parameter(
        "strategy", Choice(STRATEGIES), None, "What happens when the reader is slower; by default a lossless one."
    ),
    Parameter(
        "capacity",
        Integer(0, word="unbounded"),
        None,
        "Items held beyond demand: of buffer at least 1 or unbounded, of suspend at least 0.",
    ),
    Parameter("overflow", Choice(rule.value for rule in BufferOverflow), None, "The rule of a full buffer."),
    Parameter("max_merged", Integer(1), None, "The most tokens that reduce folds into one."),
    Parameter("profile", Choice(PROFILES), "completion", "What a token becomes on the wire."),
    Parameter("source", SourceName(), "demo", "Where the tokens come from."),
    Parameter("count", Integer(0), None, "How many tokens; by default all of the source."),
    Parameter("rate", Number("tokens per second", 0.001, 1e9), DEFAULT_RATE, "Tokens per second; 0: no pacing."),
    Parameter("ttft_ms", Number("ms", 0.001, 86_400_000), None, "Time to the first token."),
    Parameter("pacing", Choice(gaps.value for gaps in Gaps), "steady", "How the gaps between tokens are spread."),
    Parameter("seed", Integer(0), 0, "Of random gaps: equal seeds give equal schedules."),
    Parameter("trace", Flag(), False, "Put index, times and statistics into the payload."),
    Parameter("prefetch", Integer(1, 65_536), DEFAULT_PREFETCH, "Demand of the writer while it waits."),
    Parameter("producers", Integer(1, 64), 1, "How many threads feed the stream; 1: the event loop does."),
    Parameter("fail_after", Integer(0), None, "Raise an error in the source after so many tokens."),
    Parameter("hang_after", Integer(0), None, "Never end after so many tokens."),
    Parameter("stats_ms", Integer(10, 3_600_000), None, "Send the statistics every so many milliseconds."),
    Parameter("reader_rate", Number("tokens per second", 0.001, 1e9), 0.0, "Tokens per second that are taken; 0: all."),
)

_BY_NAME: Final[Mapping[str, Parameter]] = {parameter.name: parameter for parameter in PARAMETERS}


@dataclass(frozen=True, slots=True)
class StreamParameters:
    """What one stream is to be. Made by `parse_query` and `parse_json`, which check it."""

    variant: str
    strategy: BackpressureStrategy
    profile: str
    source: str
    count: int | None
    rate: float
    ttft_ms: float | None
    pacing: Gaps
    seed: int
    trace: bool
    prefetch: int
    producers: int
    fail_after: int | None
    hang_after: int | None
    stats_ms: int | None
    reader_rate: float

    def described(self) -> dict[str, Any]:
        """Return them as JSON values, for the log and for `/v1/models`."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "strategy"}
        values["pacing"] = self.pacing.value
        strategy = self.strategy
        values["strategy"] = strategy.name
        if strategy.name in {"buffer", "suspend"}:
            values["capacity"] = "unbounded" if strategy.capacity is None else strategy.capacity
        if strategy.name == "buffer" and strategy.overflow is not None:
            values["overflow"] = strategy.overflow.value
        if strategy.name == "reduce":
            values["max_merged"] = strategy.max_merged
        return {name: value for name, value in values.items() if value is not None}


def parse_query(pairs: Iterable[tuple[str, str]], *, defaults: Mapping[str, Any] | None = None) -> StreamParameters:
    """Check the parameters of a query string.

    Raises:
        ParameterError: an unknown parameter, one given twice, a value or combination that is not accepted.
    """
    values: dict[str, Any] = {}
    for name, text in pairs:
        parameter = _known(name)
        if name in values:
            raise ParameterError(name, f"{name} is given more than once")
        try:
            values[name] = parameter.kind.of_text(text)
        except ValueError:
            raise _refusal(parameter, text) from None
    return _resolved({**(defaults or {}), **values})


def parse_json(body: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None) -> StreamParameters:
    """Check the parameters of a JSON object. null is the same as not given.

    Raises:
        ParameterError: as `parse_query`.
    """
    values: dict[str, Any] = {}
    for name, value in body.items():
        parameter = _known(name)
        if value is None:
            continue
        try:
            values[name] = parameter.kind.of_json(value)
        except ValueError:
            raise _refusal(parameter, value) from None
    return _resolved({**(defaults or {}), **values})


def _known(name: str) -> Parameter:
    if name not in _BY_NAME:
        raise ParameterError(name, f"unknown parameter {_shown(name)}; there are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def _refusal(parameter: Parameter, value: object) -> ParameterError:
    return ParameterError(parameter.name, f"{parameter.name} must be {parameter.kind.accepted}; got {_shown(value)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _resolved(given: Mapping[str, Any]) -> StreamParameters:
    """Fill in the defaults and check what belongs together."""
    values = {parameter.name: given.get(parameter.name, parameter.default) for parameter in PARAMETERS}
    strategy = _strategy(values)
    if values["fail_after"] is not None and values["hang_after"] is not None:
        raise ParameterError("hang_after", "hang_after and fail_after exclude each other")
    values["pacing"] = Gaps(values["pacing"])
    for name in ("strategy", "capacity", "overflow", "max_merged"):
        del values[name]
    return StreamParameters(strategy=strategy, **values)


_DEFAULT_STRATEGIES: Final[Mapping[str, BackpressureStrategy]] = {
    "flux": BackpressureStrategy.buffer(DEFAULT_CAPACITY, BufferOverflow.SUSPEND),
    "rx": BackpressureStrategy.reduce(Join(join_tokens), DEFAULT_MAX_MERGED),
    "emitter": BackpressureStrategy.suspend(),
}
_CONSTANTS: Final[Mapping[str, BackpressureStrategy]] = {
    "missing": BackpressureStrategy.MISSING,
    "error": BackpressureStrategy.ERROR,
    "drop": BackpressureStrategy.DROP,
    "latest": BackpressureStrategy.LATEST,
}
_DETAILS: Final[Mapping[str, tuple[str, ...]]] = {
    "buffer": ("capacity", "overflow"),
    "suspend": ("capacity",),
    "reduce": ("max_merged",),
}


def _strategy(values: Mapping[str, Any]) -> BackpressureStrategy:
    variant, name = values["variant"], values["strategy"]
    for detail in ("capacity", "overflow", "max_merged"):
        if values[detail] is not None and detail not in _DETAILS.get(name, ()):
            owners = " or ".join(owner for owner, details in _DETAILS.items() if detail in details)
            raise ParameterError(detail, f"{detail} goes with strategy={owners}; got strategy={name or 'none'}")
    strategy = _DEFAULT_STRATEGIES[variant] if name is None else _named_strategy(name, values)
    if variant == "emitter" and strategy != _DEFAULT_STRATEGIES["emitter"]:
        raise ParameterError(
            "strategy",
            "strategy must be suspend, with capacity 0 if any, for variant=emitter: "
            "an emitter holds nothing, its producer waits",
        )
    if variant == "rx" and strategy.overflow is BufferOverflow.SUSPEND:
        param = "strategy" if name == "suspend" else "overflow"
        raise ParameterError(param, f"{param} must not be suspend for variant=rx: on_next cannot wait")
    return strategy


def _named_strategy(name: str, values: Mapping[str, Any]) -> BackpressureStrategy:
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    if name == "reduce":
        return BackpressureStrategy.reduce(Join(join_tokens), values["max_merged"] or DEFAULT_MAX_MERGED)
    capacity = values["capacity"]
    if name == "suspend":
        if capacity == "unbounded":
            raise ParameterError(
                "capacity", "capacity must be a whole number of at least 0 for strategy=suspend; got unbounded"
            )
        return BackpressureStrategy.suspend(capacity or 0)
    if capacity == 0:
        raise ParameterError("capacity", "capacity must be at least 1, or unbounded, for strategy=buffer; got 0")
    overflow = BufferOverflow(values["overflow"] or BufferOverflow.ERROR.value)
    if capacity is None:
        return BackpressureStrategy.buffer(DEFAULT_CAPACITY, overflow)
    return BackpressureStrategy.buffer(None if capacity == "unbounded" else capacity, overflow)
