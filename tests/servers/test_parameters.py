"""Every parameter, right and wrong in every way: a wrong value is refused by name, with what would be accepted."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.parameters import PARAMETERS, ParameterError, StreamParameters, parse_json, parse_query
from streams import BackpressureStrategy, BufferOverflow, Gaps
from tests.servers.serving import Server

__all__ = ()

WORDS = ("variant", "strategy", "overflow", "profile", "pacing")
NUMBERS = ("rate", "ttft_ms", "reader_rate")
FLAGS = ("trace",)
SOURCES = ("source",)
FROM_ZERO = ("capacity", "count", "seed", "fail_after", "hang_after")
FROM_ONE = ("max_merged", "prefetch", "producers", "stats_ms")
NAMES = {row.name for row in PARAMETERS}

NOT_NUMBERS = (
    "",
    " 1",
    "1 ",
    "+-1",
    "1_0",
    "٣",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "true",
    "None",
    "0x10",
    "1,5",
)
NOT_INTEGERS = (*NOT_NUMBERS, "-1", "1.5", "1e3", "+1", "9" * 21, str(2**53))
WRONG_TEXTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(WORDS, ("", "DROP", "Flux", "none", "drop ", "0", "\0")),
    **dict.fromkeys(NUMBERS, (*NOT_NUMBERS, "-1", "-0.001", "0.0001", "1e10", "1e999", "-1e-400x")),
    **dict.fromkeys(FLAGS, ("", "2", "yes", "True", "-1", "1.0")),
    **dict.fromkeys(SOURCES, ("", "Demo", "recording:", "upstream:", "recording", "file:x", "upstream:" + "m" * 300)),
    **dict.fromkeys(FROM_ZERO, NOT_INTEGERS),
    **dict.fromkeys(FROM_ONE, (*NOT_INTEGERS, "0", "-0")),
}
STRUCTURES: tuple[Any, ...] = ([], {}, [1], {"value": 1})
WRONG_VALUES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(WORDS, (*STRUCTURES, "", 0, 1, True, "DROP")),
    **dict.fromkeys(
        NUMBERS, (*STRUCTURES, "5", "", True, False, -1, 1e-9, 10**10, 10**400, float("inf"), float("nan"))
    ),
    **dict.fromkeys(FLAGS, (*STRUCTURES, "1", "true", 2, -1, 0.5)),
    **dict.fromkeys(SOURCES, (*STRUCTURES, "", 1, True, "Demo")),
    **dict.fromkeys(
        FROM_ZERO, (*STRUCTURES, "5", "", True, False, -1, 1.5, 2**53, 10**400, float("inf"), float("nan"))
    ),
    **dict.fromkeys(FROM_ONE, (*STRUCTURES, "5", "", True, False, -1, 0, 1.5, 2**53, float("nan"))),
}


def test_the_tables_of_this_test_know_every_parameter() -> None:
    assert set(WRONG_TEXTS) == set(WRONG_VALUES) == NAMES


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, wrong in WRONG_TEXTS.items() for text in wrong])
def test_wrong_text_is_refused_with_the_name_and_what_is_accepted(name: str, text: str) -> None:
    with pytest.raises(ParameterError, match=f"^{name} must be ") as caught:
        parse_query([(name, text)])
    assert caught.value.param == name


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, wrong in WRONG_VALUES.items() for value in wrong])
def test_wrong_json_value_is_refused_with_the_name_and_what_is_accepted(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=f"^{name} must be ") as caught:
        parse_json({name: value})
    assert caught.value.param == name


@pytest.mark.parametrize("name", ["rates", "Rate", "", "demand", "\ud800"])
def test_unknown_parameter_is_refused_with_the_names_there_are(name: str) -> None:
    for parse in (partial(parse_query, [(name, "1")]), partial(parse_json, {name: 1})):
        with pytest.raises(ParameterError, match=r"unknown parameter .* variant, strategy") as caught:
            parse()
        assert caught.value.param == name


def test_parameter_given_twice_is_refused() -> None:
    with pytest.raises(ParameterError, match="rate is given more than once") as caught:
        parse_query([("rate", "5"), ("seed", "1"), ("rate", "5")])
    assert caught.value.param == "rate"


def test_long_wrong_value_is_shown_shortened() -> None:
    with pytest.raises(ParameterError) as caught:
        parse_query([("variant", "x" * 10_000)])
    assert len(str(caught.value)) < 200


def test_long_unknown_name_is_shown_shortened() -> None:
    with pytest.raises(ParameterError) as caught:
        parse_json({"x" * 10_000: 1})
    assert len(str(caught.value)) < 400
    assert len(caught.value.param) < 100


def test_value_that_is_too_deep_to_be_shown_is_refused_all_the_same() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ParameterError, match=r"^rate must be "):
        parse_json({"rate": value})


WRONG_TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({"capacity": 5}, "capacity"),
    ({"overflow": "error"}, "overflow"),
    ({"max_merged": 5}, "max_merged"),
    ({"strategy": "drop", "capacity": 5}, "capacity"),
    ({"strategy": "latest", "overflow": "drop_oldest"}, "overflow"),
    ({"strategy": "buffer", "max_merged": 5}, "max_merged"),
    ({"strategy": "suspend", "overflow": "suspend"}, "overflow"),
    ({"strategy": "reduce", "capacity": 5}, "capacity"),
    ({"strategy": "buffer", "capacity": 0}, "capacity"),
    ({"strategy": "suspend", "capacity": "unbounded"}, "capacity"),
    ({"variant": "rx", "strategy": "suspend"}, "strategy"),
    ({"variant": "rx", "strategy": "buffer", "overflow": "suspend"}, "overflow"),
    ({"variant": "emitter", "strategy": "drop"}, "strategy"),
    ({"variant": "emitter", "strategy": "buffer"}, "strategy"),
    ({"variant": "emitter", "strategy": "suspend", "capacity": 1}, "strategy"),
    ({"fail_after": 1, "hang_after": 2}, "hang_after"),
]


@pytest.mark.parametrize(("values", "param"), WRONG_TOGETHER, ids=str)
def test_values_that_contradict_each_other_are_refused(values: dict[str, Any], param: str) -> None:
    pairs = [(name, str(value)) for name, value in values.items()]
    for parse in (partial(parse_json, values), partial(parse_query, pairs)):
        with pytest.raises(ParameterError) as caught:
            parse()
        assert caught.value.param == param
        assert param in str(caught.value)


def test_defaults_are_those_of_the_design() -> None:
    assert parse_query([]) == parse_json({}) == StreamParameters(
        variant="flux", strategy=BackpressureStrategy.buffer(256, BufferOverflow.SUSPEND), profile="completion",
        source="demo", count=None, rate=20.0, ttft_ms=None, pacing=Gaps.STEADY, seed=0, trace=False, prefetch=256,
        producers=1, fail_after=None, hang_after=None, stats_ms=None, reader_rate=0.0,
    )  # fmt: skip


def test_default_strategy_of_each_variant_is_bounded_and_loses_no_text() -> None:
    strategies = {variant: parse_query([("variant", variant)]).strategy for variant in ("emitter", "rx", "flux")}

    assert strategies["emitter"] == BackpressureStrategy.suspend(0)
    assert strategies["flux"] == BackpressureStrategy.buffer(256, BufferOverflow.SUSPEND)
    assert (strategies["rx"].name, strategies["rx"].max_merged) == ("reduce", 8192)


STRATEGIES: list[tuple[dict[str, Any], BackpressureStrategy]] = [
    ({"strategy": "missing"}, BackpressureStrategy.MISSING),
    ({"strategy": "error"}, BackpressureStrategy.ERROR),
    ({"strategy": "drop"}, BackpressureStrategy.DROP),
    ({"strategy": "latest"}, BackpressureStrategy.LATEST),
    ({"strategy": "buffer"}, BackpressureStrategy.buffer(256)),
    ({"strategy": "buffer", "capacity": 1}, BackpressureStrategy.buffer(1)),
    ({"strategy": "buffer", "capacity": "unbounded"}, BackpressureStrategy.buffer(None)),
    (
        {"strategy": "buffer", "capacity": 3, "overflow": "drop_oldest"},
        BackpressureStrategy.buffer(3, BufferOverflow.DROP_OLDEST),
    ),
    ({"strategy": "suspend"}, BackpressureStrategy.suspend()),
    ({"strategy": "suspend", "capacity": 7}, BackpressureStrategy.suspend(7)),
]


@pytest.mark.parametrize(("values", "strategy"), STRATEGIES, ids=str)
def test_strategy_is_built_from_its_parts(values: dict[str, Any], strategy: BackpressureStrategy) -> None:
    assert parse_json(values).strategy == strategy
    assert parse_query([(name, str(value)) for name, value in values.items()]).strategy == strategy


def test_reduce_takes_a_bound_of_its_own() -> None:
    assert parse_query([("strategy", "reduce"), ("max_merged", "9")]).strategy.max_merged == 9


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ({"count": 5.0}, "count", 5),
        ({"count": None}, "count", None),
        ({"rate": 5}, "rate", 5.0),
        ({"rate": 0}, "rate", 0.0),
        ({"ttft_ms": 0}, "ttft_ms", 0.0),
        ({"trace": True}, "trace", True),
        ({"trace": 1}, "trace", True),
        ({"trace": 0}, "trace", False),
        ({"seed": 2**53 - 1}, "seed", 2**53 - 1),
        ({"source": "recording:a b/ü"}, "source", "recording:a b/ü"),
    ],
)
def test_json_value_is_taken_for_what_it_means(values: dict[str, Any], name: str, expected: object) -> None:
    assert getattr(parse_json(values), name) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("rate", "1e3", 1000.0),
        ("rate", ".5", 0.5),
        ("reader_rate", "0", 0.0),
        ("trace", "true", True),
        ("trace", "0", False),
        ("count", "0", 0),
        ("stats_ms", "10", 10),
        ("source", "upstream:a/b:c", "upstream:a/b:c"),
    ],
)
def test_text_is_taken_for_what_it_means(name: str, text: str, expected: object) -> None:
    assert getattr(parse_query([(name, text)]), name) == expected


@pytest.mark.parametrize("strategy", ["missing", "drop", "buffer"])
def test_only_the_strategy_missing_does_not_wait_for_the_socket(strategy: str) -> None:
    assert parse_query([("strategy", strategy)]).waits == (strategy != "missing")


@given(st.lists(st.tuples(st.sampled_from(sorted(NAMES)) | st.text(), st.text() | st.integers().map(str))))
def test_any_query_is_either_right_or_refused_by_name(pairs: list[tuple[str, str]]) -> None:
    try:
        described = parse_query(pairs).described()
    except ParameterError as error:
        refused = error.param
    else:
        assert json.dumps(described, allow_nan=False)
        return
    assert refused in {name for name, _ in pairs}


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)


@given(st.dictionaries(st.sampled_from(sorted(NAMES)), VALUES))
def test_any_object_is_either_right_or_refused_by_name(values: dict[str, Any]) -> None:
    try:
        described = parse_json(values).described()
    except ParameterError as error:
        refused = error.param
    else:
        assert json.dumps(described, allow_nan=False)
        return
    assert refused in values


@pytest.mark.parametrize("values", [values for values, _ in STRATEGIES[4:]] + [{"strategy": "reduce", "max_merged": 3}])
def test_what_is_described_can_be_asked_for_again(values: dict[str, Any]) -> None:
    parameters = parse_json({**values, "count": 3, "ttft_ms": 5})

    again = parse_json(parameters.described())

    assert again.described() == parameters.described()


@pytest.mark.slow
async def test_wrong_value_of_each_parameter_is_a_400_and_nothing_is_streamed(server: Server) -> None:
    for name, wrong in WRONG_TEXTS.items():
        reply = await server.get("/v1/chat/stream", params={name: wrong[-1]})
        assert (reply.status, reply.error["param"]) == (400, name)
        assert reply.error["type"] == "invalid_request_error"
        assert reply.error["message"].startswith(f"{name} must be ")
        assert reply.headers["X-Stream-Id"]  # of every answer, also of one that does not stream
    for name, value in [(name, values[1]) for name, values in WRONG_VALUES.items()]:
        reply = await server.post("/v1/chat/completions", {name: value})
        assert (reply.status, reply.error["param"]) == (400, name)
    assert server.journal.records == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("rate=5&rate=5", "rate"),
        ("nosuch=1", "nosuch"),
        ("strategy=drop&capacity=5", "capacity"),
        ("count=%FF", "count"),
        ("source=upstream:m", "source"),
        ("pacing=recorded", "pacing"),
        ("source=recording:x", "source"),
        ("rate=1;count=2", "rate"),
        ("&&=", ""),
    ],
)
async def test_wrong_query_is_a_400_on_every_route_that_has_one(server: Server, query: str, param: str) -> None:
    for path in ("/v1/chat/stream", "/v1/chat/ws"):
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
        reply = await server.get(f"{path}?{query}", headers=headers if path.endswith("ws") else {})
        assert (reply.status, reply.error["param"]) == (400, param)
    assert server.journal.records == []
