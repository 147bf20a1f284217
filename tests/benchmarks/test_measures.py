"""Each measure against figures that were worked out by hand, and what holds for all of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.measures.computing import MEASURES, SYMBOLS, ServerCost, Slo, measure, per_stream
from benchmarks.measures.histograms import distributions
from benchmarks.measures.latencies import FRESHNESS_SAMPLES, freshness
from benchmarks.traces.captures import Outcome, Trace
from tests.benchmarks.traces import ORIGIN_NS, made

__all__ = ()

ROUNDING = 0.001


def measured(*traces: Trace, window_s: float = 1.0, **more: Any) -> dict[str, float | None]:
    return measure(traces, began_ns=ORIGIN_NS, ended_ns=ORIGIN_NS + round(window_s * 1e9), **more)


def paced(**changes: Any) -> Trace:
    """Five tokens every 10 ms: the third waits 40 ms in the boundary, the rest arrive as fast as they can."""
    arguments: dict[str, Any] = {
        "seq": range(5),
        "due_ms": (0, 10, 20, 30, 40),
        "emitted_ms": (1, 11, 21, 31, 41),
        "taken_ms": (2, 12, 61, 62, 63),
        "ended_ms": 100,
        "statistics": {"emitted": 5, "peak_held": 3},
        **changes,
    }
    return made((3, 13, 64, 64, 65), **arguments)


# --- The registry ------------------------------------------------------------------------------------------------


def test_every_measure_explains_itself() -> None:
    for name, each in MEASURES.items():
        assert each.name == name
        assert each.title
        assert each.unit
        assert each.formula.endswith(".")
        assert each.better in ("lower", "higher", None)
        assert each.unit != "ms" or name.endswith("_ms")
        assert name.endswith("_ms") == (each.unit == "ms")
    assert len({each.title for each in MEASURES.values()}) == len(MEASURES)


def test_every_letter_of_a_formula_is_explained() -> None:
    for letter in ("S", "Q", "H", "B", "D_i", "E_i", "K_i", "R_i", "a_i", "c_i", "n", "m", "W"):
        assert letter in SYMBOLS.replace(",", " ").replace(".", " ").replace("(", " ").split(), letter


def test_a_value_is_given_for_exactly_the_names_of_the_registry() -> None:
    assert list(measured(paced())) == list(MEASURES)
    assert list(measured()) == list(MEASURES)


# --- Throughput --------------------------------------------------------------------------------------------------


def test_rates_are_sums_over_the_window() -> None:
    values = measured(
        made([1, 2], merged=[1, 3], event_count=4, bytes_received=600),
        made([5], event_count=1, bytes_received=400),
        window_s=2,
    )
    assert (values["tokens_per_s"], values["events_per_s"], values["bytes_per_s"]) == (2.5, 2.5, 500)


def test_a_window_without_length_has_no_rates() -> None:
    assert measured(paced(), window_s=0)["tokens_per_s"] is None


# --- Latency -----------------------------------------------------------------------------------------------------


def test_latency_counts_from_the_scheduled_time_with_the_one_from_send_beside_it() -> None:
    values = measured(made([60, 70], sent_ms=40, headers_ms=50, first_event_ms=55, ended_ms=90))
    assert values["ttfb_ms"] == pytest.approx(50, rel=ROUNDING)
    assert values["first_event_ms"] == pytest.approx(55, rel=ROUNDING)
    assert values["ttft_p50_ms"] == pytest.approx(60, rel=ROUNDING)
    assert values["ttft_from_send_p50_ms"] == pytest.approx(20, rel=ROUNDING)
    assert values["e2e_p50_ms"] == pytest.approx(70, rel=ROUNDING)
    assert values["e2e_body_p50_ms"] == pytest.approx(90, rel=ROUNDING)


def test_gaps_are_pooled_and_time_per_token_is_one_per_stream() -> None:
    values = measured(made([0, 10, 30, 30, 100]), made([0, 40], merged=[1, 4]))
    assert values["itl_p50_ms"] == pytest.approx(20, rel=ROUNDING)  # of 0, 10, 20, 40, 70
    assert values["itl_p90_ms"] == values["itl_max_ms"] == pytest.approx(70, rel=ROUNDING)
    assert values["tpot_p50_ms"] == pytest.approx(10, rel=ROUNDING)  # 40 / 4
    assert values["tpot_p99_ms"] == pytest.approx(25, rel=ROUNDING)  # 100 / 4
    assert values["coalesced_gaps"] == 1


def test_one_token_has_neither_a_gap_nor_a_time_per_token() -> None:
    values = measured(made([5]))
    assert values["itl_p50_ms"] is values["tpot_p50_ms"] is values["coalesced_gaps"] is None
    assert values["ttft_p50_ms"] is not None


def test_only_completed_streams_have_an_end() -> None:
    for outcome in Outcome:
        value = measured(made([5, 9], outcome=outcome))["e2e_body_p50_ms"]
        assert (value is not None) == (outcome is Outcome.COMPLETED)


def test_delay_splits_into_queue_and_socket_and_lateness_into_pacing_and_delay() -> None:
    values = measured(paced())
    assert values["delay_max_ms"] == pytest.approx(43, rel=ROUNDING)  # 64 - 21
    assert values["queue_max_ms"] == pytest.approx(40, rel=ROUNDING)  # 61 - 21
    assert values["socket_max_ms"] == pytest.approx(3, rel=ROUNDING)  # 64 - 61
    assert values["lateness_max_ms"] == pytest.approx(44, rel=ROUNDING)  # 64 - 20
    assert values["pacing_max_ms"] == pytest.approx(1, rel=ROUNDING)


def test_a_source_that_is_made_to_wait_shows_in_lateness_not_in_delay() -> None:
    held_back = made([500], seq=[0], due_ms=[0], emitted_ms=[490], taken_ms=[495])
    values = measured(held_back)
    assert values["delay_p50_ms"] == pytest.approx(10, rel=ROUNDING)
    assert values["pacing_p50_ms"] == pytest.approx(490, rel=ROUNDING)
    assert values["lateness_p50_ms"] == pytest.approx(500, rel=ROUNDING)


# --- Freshness ---------------------------------------------------------------------------------------------------


def ages_ms(trace: Trace) -> list[float]:
    return [age_ns / 1e6 for age_ns in freshness(trace)[1].tolist()]


def age_ms_at(trace: Trace, at_ms: float) -> float:
    at_ns, age_ns = freshness(trace)
    (found_ns,) = age_ns[at_ns == ORIGIN_NS + round(at_ms * 1e6)].tolist()
    return float(found_ns / 1e6)


def test_freshness_is_the_age_of_the_newest_token_read_so_far() -> None:
    trace = made([10, 30], seq=[0, 1], due_ms=[0, 20], emitted_ms=[0, 25], ended_ms=40)
    assert [age_ms_at(trace, at_ms) for at_ms in (10, 20, 30, 40)] == [10, 20, 5, 15]
    values = measured(trace)
    assert values["freshness_p50_ms"] == pytest.approx(12.5, abs=0.3)
    assert values["freshness_max_ms"] == pytest.approx(29.8, rel=ROUNDING)


def test_a_reader_that_waits_for_its_first_token_grows_as_stale_as_one_that_waits_for_its_second() -> None:
    first = made([2000, 2001], seq=[0, 1], due_ms=[0, 10], emitted_ms=[0, 2000], ended_ms=2001)
    second = made([1, 2000], seq=[0, 1], due_ms=[0, 10], emitted_ms=[0, 2000], ended_ms=2001)
    for trace in (first, second):
        assert measured(trace)["freshness_p50_ms"] == pytest.approx(1000, rel=0.02)
        assert max(ages_ms(trace)) >= 1990


def test_age_counts_from_the_due_time_of_the_first_token_or_from_the_request_if_that_never_came() -> None:
    assert ages_ms(made([100], seq=[0], due_ms=[80], emitted_ms=[90], ended_ms=100))[:2] == [0, 0.1]
    lost = made([100], seq=[7], due_ms=[80], emitted_ms=[90], ended_ms=100)
    assert freshness(lost)[0][0] == ORIGIN_NS
    assert age_ms_at(lost, 50) == 50


@pytest.mark.parametrize("length_ms", [0.001, 1, 50, 1999])
def test_a_short_stream_has_as_many_samples_as_a_longer_one(length_ms: float) -> None:
    trace = made([length_ms], seq=[0], due_ms=[0], emitted_ms=[0], ended_ms=length_ms)
    assert len(ages_ms(trace)) >= FRESHNESS_SAMPLES
    assert ages_ms(trace) == ages_ms(trace)


def test_a_long_stream_has_a_sample_every_ten_milliseconds() -> None:
    assert len(ages_ms(made([1], seq=[0], due_ms=[0], emitted_ms=[0], ended_ms=60_000))) == 6_001


def test_an_old_token_that_comes_late_makes_the_reader_no_staler() -> None:
    trace = made([10, 20], seq=[1, 0], due_ms=[5, 0], emitted_ms=[8, 0], ended_ms=20)
    assert (age_ms_at(trace, 10), age_ms_at(trace, 20)) == (2, 12)


def test_a_merged_token_is_as_fresh_as_its_newest_part() -> None:
    due_ms, taken_ms = [0, 10, 110], [5, 105, 205]
    trace = made(
        [10, 110, 210],
        seq=[0, 1, 11],
        merged=[1, 10, 1],
        due_ms=due_ms,
        emitted_ms=due_ms,
        taken_ms=taken_ms,
    )
    assert age_ms_at(trace, 110.25) == 10.25  # the newest of ten parts from 10 on left at 100


def test_the_newest_part_is_never_newer_than_when_it_was_taken() -> None:
    due_ms, taken_ms = [0, 10, 300], [5, 50, 390]
    trace = made([10, 60, 400], seq=[0, 1, 3], merged=[1, 2, 1], due_ms=due_ms, emitted_ms=due_ms, taken_ms=taken_ms)
    assert age_ms_at(trace, 60) == 10  # spread evenly its second part would have left at 155


def test_a_stream_without_emission_times_has_no_freshness() -> None:
    assert measured(made([1, 2]))["freshness_p50_ms"] is None


# --- Order and loss ----------------------------------------------------------------------------------------------


def test_loss_is_the_share_of_indexes_that_never_came() -> None:
    values = measured(made([1, 2, 3], seq=[0, 1, 7], merged=[1, 3, 1], statistics={"emitted": 10}))
    assert (values["missing"], values["loss_share"]) == (5, 0.5)  # 4, 5, 6, 8, 9
    assert values["merged_tokens"] == 2
    assert values["duplicates"] == values["ordering_violations"] == values["inversions"] == 0


def test_order_and_loss_are_not_known_without_indexes() -> None:
    values = measured(made([1, 2, 3]))
    names = ("missing", "loss_share", "duplicates", "ordering_violations", "inversions", "merged_tokens")
    assert all(values[name] is None for name in names)


def test_loss_is_not_known_if_one_stream_of_several_does_not_tell() -> None:
    merged_across_producers = made([1, 2], seq=[0, 3], merged=[2, 1], producer=[0, 1])
    values = measured(made([1], seq=[0]), merged_across_producers)
    assert values["missing"] is values["loss_share"] is values["duplicates"] is None
    assert (values["merged_tokens"], values["inversions"]) == (1, 0)


def test_duplicates_are_known_though_loss_is_not_where_several_producers_were_left() -> None:
    values = measured(made([1, 2], seq=[0, 3], producer=[0, 0], outcome=Outcome.LEFT))
    assert (values["missing"], values["loss_share"], values["duplicates"]) == (None, None, 0)


def test_streams_that_never_came_about_lose_nothing() -> None:
    assert measured(made([], outcome=Outcome.UNREACHABLE))["missing"] is None


# --- The server --------------------------------------------------------------------------------------------------


def test_what_the_server_spent_is_shared_out() -> None:
    cost = ServerCost(cpu_s=0.5, idle_bytes=10_000_000, peak_bytes=10_000_000 + 4096 * 1024, streams=8)
    values = measured(paced(), paced(stream_id="s2"), server=cost)
    assert values["cpu_s_per_million_tokens"] == 50_000
    assert values["server_kib_per_stream"] == 512
    assert values["peak_held"] == 3


def test_the_most_that_was_held_is_the_servers_record_or_what_the_stream_says() -> None:
    sampled = made([1], outcome=Outcome.LEFT, samples=[(0, {"peak_held": 9}), (1, {"peak_held": 12})])
    assert measured(paced(), sampled)["peak_held"] == 12
    assert measured(paced(), sampled, server=ServerCost(peak_held=40))["peak_held"] == 40
    assert measured(made([1]))["peak_held"] is None


def test_what_the_system_does_not_tell_is_no_measure() -> None:
    values = measured(paced(), server=ServerCost())
    assert values["cpu_s_per_million_tokens"] is values["server_kib_per_stream"] is None
    assert measured(made([]), server=ServerCost(cpu_s=1.0))["cpu_s_per_million_tokens"] is None


# --- Goodput and outcomes ----------------------------------------------------------------------------------------


def test_goodput_counts_what_holds_every_stated_limit() -> None:
    good, slow_start = made([50, 60]), made([150, 160])
    values = measured(good, slow_start, slo=Slo(ttft_ms=100), window_s=2)
    assert values["goodput_streams_per_s"] == 0.5
    assert values["goodput_tokens_per_s"] == 1
    assert values["goodput_share"] == 0.5


@pytest.mark.parametrize(("late", "is_good"), [(1, True), (2, False)])
def test_one_gap_in_a_hundred_may_be_longer(late: int, is_good: bool) -> None:
    gaps_ms = [10] * (100 - late) + [60] * late
    received_ms = np.cumsum([0, *gaps_ms]).tolist()
    assert measured(made(received_ms), slo=Slo(itl_ms=50))["goodput_share"] == is_good


def test_a_failed_stream_is_never_good_however_fast() -> None:
    for outcome in Outcome:
        value = measured(made([1, 2], outcome=outcome), slo=Slo(ttft_ms=100))["goodput_share"]
        assert value == (outcome in (Outcome.COMPLETED, Outcome.LEFT))


def test_a_stream_without_a_token_is_not_good() -> None:
    assert measured(made([]), slo=Slo(itl_ms=100))["goodput_share"] == 0


def test_goodput_needs_an_slo_and_the_times_it_asks_for() -> None:
    assert measured(paced())["goodput_share"] is None
    assert measured(paced(), slo=Slo(delay_ms=50))["goodput_share"] == 1
    assert measured(paced(), slo=Slo(delay_ms=42))["goodput_share"] == 0
    assert measured(made([1, 2]), slo=Slo(delay_ms=50))["goodput_share"] is None


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({}, ValueError),
        ({"ttft_ms": 0}, ValueError),
        ({"ttft_ms": -1}, ValueError),
        ({"itl_ms": math.nan}, ValueError),
        ({"itl_ms": math.inf}, ValueError),
        ({"delay_ms": True}, TypeError),
        ({"delay_ms": "50"}, TypeError),
    ],
)
def test_an_slo_refuses_what_is_no_limit(limits: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(limits), "at least one of ttft_ms, itl_ms, delay_ms")):
        Slo(**limits)


def test_outcomes_are_completed_left_or_failed() -> None:
    values = measured(*(made([], outcome=outcome) for outcome in Outcome))
    assert values["streams_completed"] == values["streams_left"] == 1
    assert values["streams_failed"] == len(Outcome) - 2


# --- What holds for all ------------------------------------------------------------------------------------------


def test_a_run_of_nothing_but_failures_has_no_latency_and_no_exception() -> None:
    nothing = made([], outcome=Outcome.UNREACHABLE, sent_ms=None, headers_ms=None, stream_id="")
    values = measured(nothing, slo=Slo(ttft_ms=1), server=ServerCost(cpu_s=0.1))
    assert values["streams_failed"] == 1
    assert values["goodput_share"] == 0
    assert all(value is None for name, value in values.items() if name.endswith("_ms"))


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    count = draw(st.integers(0, 8))
    received_ms = sorted(draw(st.lists(st.integers(0, 5000), min_size=count, max_size=count)))
    is_traced = draw(st.booleans())
    times = received_ms if is_traced else None
    return made(
        received_ms,
        outcome=draw(st.sampled_from(list(Outcome))),
        sent_ms=draw(st.sampled_from([0, 3, None])),
        headers_ms=draw(st.sampled_from([4, None])),
        seq=draw(st.lists(st.integers(0, 50), min_size=count, max_size=count)) if is_traced else None,
        due_ms=times,
        emitted_ms=times,
        taken_ms=times,
        merged=draw(st.lists(st.integers(1, 9), min_size=count, max_size=count)) if is_traced else None,
        producer=[0] * count if is_traced and draw(st.booleans()) else None,
        statistics=draw(st.sampled_from([None, {"emitted": 60, "peak_held": 4}])),
    )


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(traces(), max_size=4), st.booleans(), st.integers(0, 3))
def test_no_value_is_ever_nan_infinite_or_negative(several: list[Trace], with_slo: bool, window_s: int) -> None:
    slo = Slo(ttft_ms=10, itl_ms=10) if with_slo else None
    values = measured(*several, slo=slo, server=ServerCost(0.1, 0, 1024), window_s=window_s)
    assert all(value is None or (math.isfinite(value) and value >= 0) for value in values.values())


@pytest.mark.slow
@settings(max_examples=20)
@given(st.lists(traces(), max_size=4))
def test_histograms_that_are_there_already_give_the_same(several: list[Trace]) -> None:
    assert measured(*several, histograms=distributions(several)) == measured(*several)


@given(traces())
def test_lateness_is_pacing_and_delay_and_delay_is_queue_and_socket(trace: Trace) -> None:
    if trace.due_ns is None or trace.emitted_ns is None or trace.taken_ns is None:
        return
    parts = (trace.emitted_ns - trace.due_ns, trace.taken_ns - trace.emitted_ns, trace.received_ns - trace.taken_ns)
    assert np.array_equal(sum(parts), trace.received_ns - trace.due_ns)


def test_raw_values_are_columns_of_equal_length() -> None:
    columns = per_stream([paced(), made([], stream_id="s2", outcome=Outcome.REFUSED)])
    assert {len(column) for column in columns.values()} == {2}
    assert columns["stream_id"] == ["s1", "s2"]
    assert columns["outcome"] == ["completed", "refused"]
    assert columns["ttft_ms"] == [3, None]
    assert columns["tokens"] == [5, 0]


@pytest.mark.slow
def test_two_hundred_thousand_tokens_are_measured_whole() -> None:
    count = 200_000
    times_ms = np.arange(count) * 0.01
    shuffled = np.random.default_rng(1).permutation(count).tolist()
    trace = made(
        times_ms.tolist(),
        seq=shuffled,
        due_ms=times_ms.tolist(),
        emitted_ms=times_ms.tolist(),
        taken_ms=times_ms.tolist(),
    )
    values = measured(trace)
    assert values["missing"] == values["duplicates"] == 0
    assert values["inversions"] == pytest.approx(count * (count - 1) / 4, rel=0.01)
    assert values["tokens_per_s"] == count
