"""Flowable and Flux against real RxJava and real Reactor operators: every schedule equal, or different on purpose."""

from __future__ import annotations

from collections.abc import Generator

import msgspec
import pytest

from benchmarks.peers.semantics.__main__ import report
from benchmarks.peers.semantics.judging import Judged, Verdict, compare, judge
from benchmarks.peers.semantics.originals import Originals, originals
from benchmarks.peers.semantics.ours import run_ours
from benchmarks.peers.semantics.rules import RULES, Rule
from benchmarks.peers.semantics.schedules import FORMS, Form, Schedule, complete, emit, error, request
from benchmarks.peers.semantics.table import GENERATED_PER_FORM, schedules
from tests.benchmarks.java import NEEDS_JAVA

__all__ = ()

pytestmark = NEEDS_JAVA

DROPPING = Form(library="rxjava", operator="drop", callback="tells")
REFUSES_ZERO = next(rule for rule in RULES if rule.name == "request(0) fails the stream")


@pytest.fixture(scope="module")
def java() -> Generator[Originals]:
    with originals() as running:
        yield running


@pytest.fixture(scope="module")
def judged(java: Originals) -> list[Judged]:
    return compare(schedules(), java)


def test_every_schedule_is_equal_or_different_on_purpose(judged: list[Judged]) -> None:
    assert [str(one) for one in judged if one.verdict is Verdict.DIFFERENT] == []


def test_every_rule_is_shown_by_a_schedule(judged: list[Judged]) -> None:
    shown = {rule.name for one in judged for rule in one.rules}
    assert shown == {rule.name for rule in RULES}


def test_most_schedules_need_no_rule(judged: list[Judged]) -> None:
    assert sum(one.verdict is Verdict.EQUAL for one in judged) > len(judged) / 2


def test_the_table_holds_every_strategy_of_both_libraries() -> None:
    created = {(form.library, form.operator, form.strategy) for form in FORMS if form.strategy}
    strategies = {"missing", "error", "drop", "latest", "buffer"}
    makers = (("rxjava", "create"), ("reactor", "create"), ("reactor", "push"))
    assert created == {(*maker, strategy) for maker in makers for strategy in strategies}
    operators = {(form.library, form.operator) for form in FORMS if not form.strategy}
    both = {"buffer", "drop", "latest", "error"}
    assert operators == {(library, one) for library in ("rxjava", "reactor") for one in both} | {("rxjava", "reduce")}
    overflows = {(form.library, form.overflow) for form in FORMS if form.overflow}
    assert overflows == {(library, one) for library in ("rxjava", "reactor") for one in _OVERFLOWS}


_OVERFLOWS = ("error", "drop_oldest", "drop_latest")


def test_the_table_is_large_repeatable_and_named() -> None:
    table = schedules()
    assert len(table) >= 120
    assert len(table) > len(FORMS) * GENERATED_PER_FORM
    assert table == schedules()
    assert len({one.name for one in table}) == len(table)


def test_drop_latest_means_opposite_things(java: Originals) -> None:
    steps = (emit(*map(str, range(500))), request(9), complete)
    rx, reactor = (
        Schedule.of(Form(library=library, operator="buffer", capacity=3, overflow="drop_latest"), "500", *steps)
        for library in ("rxjava", "reactor")
    )
    delivered = [[item for seen in java.run(one) for item in seen.next] for one in (rx, reactor)]
    assert delivered == [["0", "1", "499"], ["0", "1", "2"]]
    assert [one.verdict for one in compare([rx, reactor], java)] == [Verdict.EQUAL, Verdict.EQUAL]


def test_rxjava_keeps_rule_3_9_for_a_foreign_subscriber(java: Originals) -> None:
    form = Form(library="rxjava", operator="create", strategy="missing")
    foreign = Schedule.of(form, "foreign", request(1), emit("1"), request(0), strict=True)
    own = Schedule.of(form, "own", request(1), emit("1"), request(0))
    verdicts = compare([foreign, own], java)
    assert [one.verdict for one in verdicts] == [Verdict.EQUAL, Verdict.ON_PURPOSE]
    assert verdicts[1].rules == (REFUSES_ZERO,)
    assert verdicts[0].theirs[-1].ends == verdicts[1].foretold[-1].ends == ("bad request",)


# ---------------------------------------------------------------------- what the verdict itself is worth


def test_a_difference_without_a_rule_is_different(java: Originals) -> None:
    schedule = Schedule.of(DROPPING, "plain", request(1), emit("1", "2"), complete)
    (ours,) = run_ours([schedule])
    assert judge(schedule, ours, java).verdict is Verdict.EQUAL
    for place in range(len(ours)):
        for changed in ({"next": ("9",)}, {"dropped": ("9",)}, {"ends": ("source",)}, {"raised": ("oops",)}):
            wrong = list(ours)
            wrong[place] = msgspec.structs.replace(ours[place], **changed)
            assert judge(schedule, tuple(wrong), java).verdict is Verdict.DIFFERENT


def test_a_rule_whose_difference_is_not_there_is_different(java: Originals) -> None:
    schedule = Schedule.of(DROPPING, "zero", request(1), emit("1"), request(0), emit("2"), complete)
    theirs = java.run(schedule)
    (ours,) = run_ours([schedule])
    assert judge(schedule, ours, java).verdict is Verdict.ON_PURPOSE
    assert judge(schedule, theirs, java).verdict is Verdict.DIFFERENT


@pytest.mark.parametrize("left_out", RULES, ids=[rule.name for rule in RULES])
def test_without_a_rule_its_schedules_are_different(java: Originals, judged: list[Judged], left_out: Rule) -> None:
    affected = [one for one in judged if left_out in one.rules]
    others = [rule for rule in RULES if rule is not left_out]
    verdicts = [judge(one.schedule, one.ours, java, others).verdict for one in affected]
    assert Verdict.DIFFERENT in verdicts


def test_the_report_shows_forms_reasons_and_differences(java: Originals) -> None:
    equal = Schedule.of(DROPPING, "plain", request(1), emit("1"), complete)
    failing = Schedule.of(DROPPING, "failing", error)
    (fine,) = compare([equal], java)
    wrong = judge(failing, run_ours([equal])[0][:1], java)
    text = report([fine, wrong])
    assert "2 schedules: 1 equal, 0 on purpose, 1 DIFFERENT" in text
    assert "Reactor's push is held against our Flux.create" in text
    assert all(rule.reason in text for rule in RULES)
    assert "theirs source; foretold source; ours -" in text


def test_both_sides_are_asked_about_every_step(judged: list[Judged]) -> None:
    lengths = (len(outcome) for one in judged for outcome in (one.theirs, one.foretold, one.ours))
    expected = [len(one.schedule.steps) for one in judged for _ in range(3)]
    assert list(lengths) == expected
