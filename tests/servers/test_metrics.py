"""What /metrics says, and the one log line of each stream."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from servers import metrics
from streams import StreamStatistics
from tests.servers.serving import Server, sample, texts

__all__ = ()

LABELS = {
    "tokenweir_active_streams": {"variant", "strategy"},
    "tokenweir_tokens_total": {"variant", "strategy", "outcome"},
    "tokenweir_held_tokens": set(),
    "tokenweir_disconnects_total": {"reason"},
    "tokenweir_residence_seconds_bucket": {"variant", "strategy", "le"},
}
OUTCOMES = ("emitted", "delivered", "dropped", "merged", "rejected")


async def tokens(server: Server, **labels: str) -> dict[str, float]:
    return {outcome: await server.metric("tokenweir_tokens_total", outcome=outcome, **labels) for outcome in OUTCOMES}


async def test_metrics_have_the_names_and_labels_of_the_design(server: Server) -> None:
    await server.stream(count=1)
    async with server.opened(hang_after=0):
        pass
    await server.journal.all_ended(2)

    reply = await server.get("/metrics")

    found = {
        one.name: set(one.labels)
        for family in text_string_to_metric_families(reply.body.decode())
        for one in family.samples
    }
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert found.items() >= LABELS.items()


@pytest.mark.parametrize("variant", ["emitter", "rx", "flux"])
async def test_tokens_are_counted_by_outcome(server: Server, variant: str) -> None:
    before = await tokens(server, variant=variant)

    reply = await server.stream(variant=variant, source="counter", count=500)

    after = await tokens(server, variant=variant)
    rise = {outcome: after[outcome] - before[outcome] for outcome in OUTCOMES}
    assert rise["emitted"] == 500 == sum(rise[outcome] for outcome in OUTCOMES[1:])
    assert rise["delivered"] == len(texts(reply.events))


async def test_whole_answers_and_web_sockets_are_counted_too(server: Server) -> None:
    before = await tokens(server)
    await server.post("/v1/chat/completions", {"stream": False, "source": "counter", "rate": 0})
    async with server.session.ws_connect("/v1/chat/ws?source=counter&rate=0") as socket:
        async for _ in socket:
            pass
    assert (await tokens(server))["emitted"] - before["emitted"] == 20


@pytest.mark.slow
async def test_active_streams_and_held_tokens_are_gauges(server: Server) -> None:
    labels = {"variant": "flux", "strategy": "suspend"}
    client = await server.connect()
    await client.ask(**labels, source="counter", count=10**6, capacity=50, reader_rate=0.01)
    await client.read_until(b'"0"')

    assert await server.metric("tokenweir_active_streams", **labels) == 1
    while not await server.metric("tokenweir_held_tokens") > 0:
        continue
    client.reset()
    await server.journal.all_ended(1)

    assert await server.metric("tokenweir_active_streams", **labels) == 0
    assert await server.metric("tokenweir_held_tokens") == 0


async def test_residence_is_observed_for_each_batch(server: Server) -> None:
    name = "tokenweir_residence_seconds_count"
    before = await server.metric(name, variant="flux")
    await server.stream(source="counter", count=1)
    assert await server.metric(name, variant="flux") == before + 1


async def test_only_streams_that_end_before_their_end_are_disconnects(server: Server) -> None:
    name = "tokenweir_disconnects_total"
    before = await server.metric(name), await server.metric(name, reason="error")

    await server.stream(count=1)
    await server.stream(fail_after=1)

    assert (await server.metric(name), await server.metric(name, reason="error")) == (before[0] + 1, before[1] + 1)


async def test_each_stream_leaves_one_log_line_with_all_that_was_asked(server: Server) -> None:
    reply = await server.stream(variant="rx", strategy="buffer", capacity=7, overflow="drop_oldest", count=3, seed=5)

    assert len(server.journal.records) == 1
    record = await server.journal.ended(reply.headers["X-Stream-Id"])
    assert set(record) == {"stream", "reason", "parameters", "statistics"}
    asked = {"variant": "rx", "strategy": "buffer", "capacity": 7, "overflow": "drop_oldest", "count": 3, "seed": 5}
    assert record["parameters"].items() >= asked.items()
    assert record["statistics"]["emitted"] == 3


def test_meter_takes_a_stream_out_of_the_gauges_at_its_end() -> None:
    def held() -> float:
        return sample(metrics.exposition().decode(), "tokenweir_held_tokens")

    before = held()
    counts = [StreamStatistics(5, 1, 0, 0, 0, 4, 4, 0)]
    meter = metrics.StreamMeter("flux", "buffer", lambda: counts[-1])
    assert held() == before + 4

    counts.append(StreamStatistics(6, 2, 0, 0, 0, 4, 4, 0))
    meter.close()

    assert held() == before
