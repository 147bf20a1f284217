"""What a client may ask for: one table of parameters, from which checks, error messages and the OpenAPI document come.

Query strings bring text, JSON bodies bring values; both end as one `StreamParameters`. A wrong value is a
ParameterError that names the parameter and what it accepts, before anything is streamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from servers.kinds import Choice, Flag, Integer, Kind, Number, SourceName
from servers.profiles import PROFILES
from streams import BackpressureStrategy, BufferOverflow, Gaps, Join, join_tokens
from streams.arguments import shown

__all__ = (
    "DEFAULT_CAPACITY",
    "DEFAULT_MAX_MERGED",
    "DEFAULT_PREFETCH",
    "DEFAULT_RATE",
    "LIMITS",
    "OVERFLOWS",
    "PARAMETERS",
    "STRATEGIES",
    "VARIANTS",
    "Parameter",
    "ParameterError",
    "StreamParameters",
    "parse_json",
    "parse_query",
    "read_query",
    "strategy_of",
)

VARIANTS: Final = ("emitter", "rx", "flux")
STRATEGIES: Final = ("missing", "error", "drop", "latest", "buffer", "reduce", "suspend")
DEFAULT_CAPACITY: Final = 256
DEFAULT_MAX_MERGED: Final = 8192
DEFAULT_PREFETCH: Final = 256
DEFAULT_RATE: Final = 20.0


class ParameterError(ValueError):
    """A parameter has a value that is not accepted.

    Attributes:
        param: its name; of one that is too long to be one, the beginning.
    """

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = shown(param, str)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of the table."""

    name: str
    kind: Kind
    default: Any
    description: str

    def of_text(self, text: str) -> Any:
        """Return what `text` of a query string stands for.

        Raises:
            ParameterError: it is not accepted.
        """
        try:
            return self.kind.of_text(text)
        except ValueError:
            raise self._refusal(text) from None

    def of_json(self, value: Any) -> Any:
        """Return what a JSON `value` stands for. Raises as `of_text`."""
        try:
            return self.kind.of_json(value)
        except ValueError:
            raise self._refusal(value) from None

    def _refusal(self, value: object) -> ParameterError:
        return ParameterError(self.name, f"{self.name} must be {self.kind.accepted}; got {shown(value)}")


OVERFLOWS: Final = tuple(rule.value for rule in BufferOverflow)
_WAITING: Final = "suspend"
_STRATEGIES_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "emitter": (_WAITING,),
    "rx": tuple(name for name in STRATEGIES if name != _WAITING),
    "flux": STRATEGIES,
}
_OVERFLOWS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "rx": tuple(rule for rule in OVERFLOWS if rule != _WAITING),
    "flux": OVERFLOWS,
}
_REASONS: Final = {"emitter": "it holds nothing, its producer waits", "rx": "on_next cannot wait"}
_DEFAULT_STRATEGIES: Final[Mapping[str, BackpressureStrategy]] = {
    "flux": BackpressureStrategy.buffer(DEFAULT_CAPACITY, BufferOverflow.SUSPEND),
    "rx": BackpressureStrategy.reduce(Join(join_tokens), DEFAULT_MAX_MERGED),
    "emitter": BackpressureStrategy.suspend(),
}
_DETAILS: Final[Mapping[str, tuple[str, ...]]] = {
    "buffer": ("capacity", "overflow"),
    "suspend": ("capacity",),
    "reduce": ("max_merged",),
}


def _owners(detail: str) -> str:
    return " or ".join(strategy for strategy, details in _DETAILS.items() if detail in details)


def _by_variant(table: Mapping[str, tuple[str, ...]]) -> str:
    return "; ".join(f"variant={variant} takes {', '.join(words)}" for variant, words in table.items())


def _strategy_described() -> str:
    defaults = ", ".join(f"{variant} {_named(strategy)}" for variant, strategy in _DEFAULT_STRATEGIES.items())
    return (
        f"What happens when the reader is slower. {_by_variant(_STRATEGIES_OF)}. "
        f"By default one that loses no text: {defaults}."
    )


def _named(strategy: BackpressureStrategy) -> str:
    rule = f" with overflow {strategy.overflow.value}" if strategy.name == "buffer" and strategy.overflow else ""
    return f"{strategy.name}{rule}"


def _capacity_described() -> str:
    return (
        f"Items held beyond demand. Goes with strategy={_owners('capacity')}: of buffer at least 1 or unbounded, "
        f"{DEFAULT_CAPACITY} by default; of suspend at least 0, the default, and the only one of variant=emitter."
    )


def _overflow_described() -> str:
    return (
        f"The rule of a full buffer. Goes with strategy={_owners('overflow')}: {_by_variant(_OVERFLOWS_OF)}. "
        f"By default {BufferOverflow.ERROR.value}."
    )


def _max_merged_described() -> str:
    return (
        "The most tokens that are folded into one. "
        f"Goes with strategy={_owners('max_merged')}, {DEFAULT_MAX_MERGED} by default."
    )


PARAMETERS: Final[tuple[Parameter, ...]] = (
    Parameter("variant", Choice(VARIANTS), "flux", "How the source is exposed."),
    Parameter("strategy", Choice(STRATEGIES), None, _strategy_described()),
    Parameter("capacity", Integer(0, word="unbounded"), None, _capacity_described()),
    Parameter("overflow", Choice(OVERFLOWS), None, _overflow_described()),
    Parameter("max_merged", Integer(1), None, _max_merged_described()),
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
    Parameter(
        "fail_after", Integer(0), None, "Raise an error in the source after so many tokens. Not with hang_after."
    ),
    Parameter("hang_after", Integer(0), None, "Never end after so many tokens. Not with fail_after."),
    Parameter("stats_ms", Integer(10, 3_600_000), None, "Send the statistics every so many milliseconds."),
    Parameter("reader_rate", Number("tokens per second", 0.001, 1e9), 0.0, "Tokens per second that are taken; 0: all."),
)

LIMITS: Final[tuple[Parameter, ...]] = (
    Parameter("max_completion_tokens", Integer(1), None, "The most tokens. Goes before max_tokens."),
    Parameter("max_tokens", Integer(1), None, "The most tokens."),
)
"""What bodies may have besides, under the names that foreign APIs have for it; the first that is given holds."""


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

    @property
    def waits(self) -> bool:
        """Whether a write waits for the socket: not with the strategy missing, which passes on whatever happens."""
        return self.strategy != BackpressureStrategy.MISSING

    def described(self) -> dict[str, Any]:
        """Return them as JSON values, for the log. They can be asked for again."""
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


def parse_query(pairs: Iterable[tuple[str, str]]) -> StreamParameters:
    """Check the parameters of a query string.

    Raises:
        ParameterError: an unknown parameter, one given twice, a value or combination that is not accepted.
    """
    return _resolved(read_query(pairs, PARAMETERS))


def read_query(pairs: Iterable[tuple[str, str]], parameters: Iterable[Parameter]) -> dict[str, Any]:
    """Return the value of each of `parameters`, by name: what the query string gives, else the default.

    Raises:
        ParameterError: an unknown parameter, one given twice, a value that is not accepted.
    """
    table = _by_name(parameters)
    values: dict[str, Any] = {}
    for name, text in pairs:
        parameter = _known(name, table)
        if name in values:
            raise ParameterError(name, f"{name} is given more than once")
        values[name] = parameter.of_text(text)
    return {name: values.get(name, parameter.default) for name, parameter in table.items()}


def parse_json(body: Mapping[str, Any]) -> StreamParameters:
    """Check the parameters of a JSON object. null is the same as not given.

    Raises:
        ParameterError: as `parse_query`.
    """
    table = _by_name(PARAMETERS)
    values: dict[str, Any] = {}
    for name, value in body.items():
        parameter = _known(name, table)
        if value is not None:
            values[name] = parameter.of_json(value)
    return _resolved(values)


def _by_name(parameters: Iterable[Parameter]) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in parameters}


def _known(name: str, table: Mapping[str, Parameter]) -> Parameter:
    if name not in table:
        raise ParameterError(name, f"unknown parameter {shown(name)}; there are {', '.join(table)}")
    return table[name]


def _resolved(given: Mapping[str, Any]) -> StreamParameters:
    """Fill in the defaults and check what belongs together."""
    values = {parameter.name: given.get(parameter.name, parameter.default) for parameter in PARAMETERS}
    strategy = strategy_of(values)
    if values["fail_after"] is not None and values["hang_after"] is not None:
        raise ParameterError("hang_after", "hang_after and fail_after exclude each other")
    values["pacing"] = Gaps(values["pacing"])
    for name in ("strategy", "capacity", "overflow", "max_merged"):
        del values[name]
    return StreamParameters(strategy=strategy, **values)


_CONSTANTS: Final[Mapping[str, BackpressureStrategy]] = {
    "missing": BackpressureStrategy.MISSING,
    "error": BackpressureStrategy.ERROR,
    "drop": BackpressureStrategy.DROP,
    "latest": BackpressureStrategy.LATEST,
}


def strategy_of(values: Mapping[str, Any]) -> BackpressureStrategy:
    """Return what `strategy`, `capacity`, `overflow` and `max_merged` stand for; None is not given.

    Args:
        values: these, and `variant` where there is one; flux, which takes them all, where there is none.

    Raises:
        ParameterError: they do not go together.
    """
    variant, name = values.get("variant", "flux"), values["strategy"]
    for detail in ("capacity", "overflow", "max_merged"):
        if values[detail] is not None and detail not in _DETAILS.get(name, ()):
            raise ParameterError(
                detail, f"{detail} goes with strategy={_owners(detail)}; got strategy={name or 'none'}"
            )
    if name is None:
        return _DEFAULT_STRATEGIES[variant]
    _check_goes_with(variant, "strategy", name, _STRATEGIES_OF)
    if values["overflow"] is not None:
        _check_goes_with(variant, "overflow", values["overflow"], _OVERFLOWS_OF)
    if variant == "emitter" and values["capacity"]:
        reason = f"with capacity 0 if any, for variant=emitter: {_REASONS[variant]}; got capacity={values['capacity']}"
        raise ParameterError("strategy", f"strategy must be suspend, {reason}")
    return _named_strategy(name, values)


def _check_goes_with(variant: str, param: str, word: str, table: Mapping[str, tuple[str, ...]]) -> None:
    if word not in table[variant]:
        accepted = " or ".join(table[variant])
        raise ParameterError(
            param, f"{param} must be {accepted} for variant={variant}: {_REASONS[variant]}; got {word}"
        )


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
