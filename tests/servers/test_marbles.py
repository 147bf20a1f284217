"""GET /v1/marbles: a strategy at work, simulated and drawn."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from servers.marbles import MARBLE_PARAMETERS, MOST_TOKENS, diagram, drawn, parse_marbles, simulated
from servers.parameters import PARAMETERS, STRATEGIES, ParameterError
from streams import BackpressureStrategy, BufferOverflow
from streams.traces import StepKind
from tests.servers.serving import Server

__all__ = ()


def test_no_query_is_the_default_strategy_and_a_reader_that_is_slower() -> None:
    asked = parse_marbles([])
    assert asked.strategy == BackpressureStrategy.buffer(256, BufferOverflow.SUSPEND)
    assert (asked.rate, asked.reader_rate, asked.count) == (20.0, 8.0, 20)


@pytest.mark.parametrize("row", MARBLE_PARAMETERS, ids=lambda row: row.name)
def test_parameter_is_checked_as_that_of_a_stream(row: object) -> None:
    names = {stream.name: stream.kind for stream in PARAMETERS}
    name, kind = row.name, row.kind  # type: ignore[attr-defined]
    assert type(kind) is type(names[name])
    if name != "count":
        assert kind.schema() == names[name].schema()


@pytest.mark.parametrize(
    ("pairs", "param", "words"),
    [
        ([("variant", "flux")], "variant", "unknown parameter 'variant'; there are strategy, capacity, overflow"),
        ([("count", "201")], "count", "count must be a whole number from 0 to 200; got '201'"),
        ([("count", "5"), ("count", "5")], "count", "count is given more than once"),
        ([("rate", "-1")], "rate", "rate must be 0 or a number from 0.001"),
        ([("reader_rate", "nan")], "reader_rate", "reader_rate must be 0 or a number from 0.001"),
        ([("strategy", "none")], "strategy", "strategy must be one of missing, error, drop"),
        ([("capacity", "4")], "capacity", "capacity goes with strategy=buffer or suspend; got strategy=none"),
        ([("strategy", "drop"), ("max_merged", "4")], "max_merged", "max_merged goes with strategy=reduce"),
        ([("strategy", "buffer"), ("capacity", "0")], "capacity", "capacity must be at least 1, or unbounded"),
        ([("strategy", "suspend"), ("capacity", "unbounded")], "capacity", "capacity must be a whole number"),
    ],
)
def test_wrong_query_names_the_parameter(pairs: list[tuple[str, str]], param: str, words: str) -> None:
    with pytest.raises(ParameterError, match=words) as refused:
        parse_marbles(pairs)
    assert refused.value.param == param


def test_reader_takes_one_token_after_the_other_at_its_rate() -> None:
    trace = simulated(parse_marbles([("strategy", "suspend"), ("rate", "0"), ("reader_rate", "10"), ("count", "3")]))
    assert [step.at_ns for step in trace.of(StepKind.DELIVER)] == [0, 100_000_000, 200_000_000]


@pytest.mark.parametrize(
    ("pairs", "capacity"),
    [
        ([("strategy", "buffer"), ("capacity", "4")], 4),
        ([("strategy", "buffer"), ("capacity", "unbounded")], None),
        ([("strategy", "suspend")], 0),
        ([("strategy", "latest")], None),
    ],
)
def test_capacity_that_was_chosen_is_drawn(pairs: list[tuple[str, str]], capacity: int | None) -> None:
    held = diagram(parse_marbles(pairs)).lanes[1].held
    assert held is not None
    assert held.capacity == capacity


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(("rate", "reader_rate"), [("0", "0"), ("0", "0.001"), ("0.001", "1e9"), ("1e9", "0")])
@pytest.mark.parametrize("count", ["0", "1", str(MOST_TOKENS)])
def test_every_strategy_is_drawn_at_every_pace(strategy: str, rate: str, reader_rate: str, count: str) -> None:
    pairs = [("strategy", strategy), ("rate", rate), ("reader_rate", reader_rate), ("count", count)]
    drawing = drawn(parse_marbles(pairs))
    assert ElementTree.fromstring(drawing).tag == "{http://www.w3.org/2000/svg}svg"
    assert len(drawing) < 200_000


async def test_answer_is_the_drawing_and_may_do_nothing(server: Server) -> None:
    reply = await server.get("/v1/marbles?strategy=drop&count=5")

    assert reply.status == 200
    assert reply.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert reply.body.decode() == drawn(parse_marbles([("strategy", "drop"), ("count", "5")]))


async def test_refusal_names_the_parameter_in_json(server: Server) -> None:
    reply = await server.get("/v1/marbles?strategy=drop&capacity=5")

    assert reply.status == 400
    assert reply.error["param"] == "capacity"
    assert "capacity goes with strategy=buffer or suspend" in reply.error["message"]
