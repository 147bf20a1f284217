"""Lesson 05: what the originals said is recorded and still true, and what the lesson makes of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from matplotlib.figure import Figure

from benchmarks.claims.registry import claim
from benchmarks.peers import jvm
from benchmarks.teaching import lesson_05
from benchmarks.teaching.lesson_05 import (
    CLAIMS,
    CREATED,
    DROP_LATEST,
    FAILING,
    SCHEDULES,
    STRATEGIES,
    Told,
    ask,
    behaviours,
    can_ask,
    draw_producers,
    emitted_by,
    live,
    main,
    recorded,
    with_slow_reader,
)
from streams import BackpressureStrategy

__all__ = ()


@pytest.fixture
async def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What is told where there is no Java."""
    monkeypatch.setattr(lesson_05, "can_ask", lambda: False)
    return await ask()


def test_everything_that_the_lesson_asks_is_recorded_and_nothing_else() -> None:
    assert set(recorded().answers) == {schedule.name for schedule in SCHEDULES}
    assert all(len(recorded().answers[schedule.name]) == len(schedule.steps) for schedule in SCHEDULES)


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first build fetches what it needs
@pytest.mark.skipif(bool(jvm.missing()), reason=f"the Java originals need {jvm.missing()}")
def test_the_recording_is_what_the_originals_say() -> None:
    jvm.build()
    kept, now = recorded(), live()
    assert kept.answers == now.answers, "record them again: python -m benchmarks.teaching.lesson_05"
    assert kept.versions == now.versions
    assert kept.proof == now.proof


def test_without_java_or_its_program_nobody_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "semantics.jar"
    monkeypatch.setattr(jvm, "jar", lambda _: program)
    monkeypatch.setattr(lesson_05, "which", lambda _: "/usr/bin/java")
    assert not can_ask()
    program.touch()
    assert can_ask()
    monkeypatch.setattr(lesson_05, "which", lambda _: None)
    assert not can_ask()


def test_nothing_is_recorded_without_the_originals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lesson_05, "can_ask", lambda: False)
    assert main() == 2
    assert "build the originals first" in capsys.readouterr().err


async def test_it_is_said_that_the_recording_speaks(told: Told) -> None:
    assert not told.live
    assert told.source.startswith("RxJava 3.")
    assert "Reactor 3." in told.source
    assert "as recorded" in told.source


async def test_at_create_all_four_agree(told: Told) -> None:
    for of_libraries in CREATED.values():
        seen = {tell(schedule) for schedule in of_libraries.values() for tell in (told.originals, told.ours)}
        assert len(seen) == 1


async def test_drop_latest_loses_the_newest_held_in_rxjava_and_the_incoming_in_reactor(told: Told) -> None:
    assert {library: told.originals(schedule) for library, schedule in DROP_LATEST.items()} == {
        "RxJava": "1 2 8 complete",
        "Reactor": "1 2 3 complete",
    }
    assert {library: told.lost(schedule) for library, schedule in DROP_LATEST.items()} == {
        "RxJava": "3 4 5 6 7",
        "Reactor": "4 5 6 7 8",
    }
    assert all(told.originals(schedule) == told.ours(schedule) for schedule in DROP_LATEST.values())


async def test_ours_differs_in_the_one_row_that_the_lesson_names(told: Told) -> None:
    differ = [form for form, schedule in FAILING.items() if told.originals(schedule) != told.ours(schedule)]
    assert differ == ["Reactor buffer(8, DROP_OLDEST)"]


async def test_each_library_has_behaviours_that_the_other_has_not(told: Told) -> None:
    rx, flux = behaviours(told, "RxJava"), behaviours(told, "Reactor")
    assert sorted(rx[key] for key in rx.keys() - flux.keys()) == [
        "buffer(2, DROP_LATEST)",
        "buffer(2, ERROR)",
        "reduce()",
    ]
    assert sorted(flux[key] for key in flux.keys() - rx.keys()) == ["buffer(2, DROP_LATEST)", "error()"]


async def test_the_claims_of_the_lesson_are_the_projects(told: Told) -> None:
    assert set(told.rulings) == set(CLAIMS)
    assert all(claim(name).statement == ruling.statement for name, ruling in told.rulings.items())


def test_only_suspend_holds_the_source_back() -> None:
    traces = {name: with_slow_reader(strategy) for name, strategy in STRATEGIES.items()}
    emitted = {name: emitted_by(trace, 1000) for name, trace in traces.items()}
    assert [name for name, count in emitted.items() if count < 100] == ["ERROR", "suspend(4)"]
    assert traces["suspend(4)"].statistics.emitted == 100
    assert traces["ERROR"].statistics.emitted == 2


def test_emitted_by_counts_up_to_and_with_the_moment() -> None:
    trace = with_slow_reader(BackpressureStrategy.DROP)
    assert [emitted_by(trace, at_ms) for at_ms in (0, 9, 10, 5000)] == [1, 1, 2, 100]


def test_the_bars_of_producers_add_up_to_what_was_emitted() -> None:
    traces = {name: with_slow_reader(strategy) for name, strategy in STRATEGIES.items()}
    axes = Figure().subplots()
    draw_producers(axes, traces)
    ends = [max(bars[row].get_x() + bars[row].get_width() for bars in axes.containers) for row in range(len(traces))]
    assert ends == [emitted_by(trace, 1000) for trace in traces.values()]


def test_the_recording_is_written_as_it_would_be_now() -> None:
    text = Path(lesson_05.__file__).with_suffix(".json").read_bytes()
    assert text == msgspec.json.format(msgspec.json.encode(recorded()), indent=1) + b"\n"
