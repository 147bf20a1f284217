"""Lesson 03: who knows only the rules that it teaches can answer every question that it asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.teaching.lesson_03 import (
    RULES,
    SCHEDULE,
    STRATEGIES,
    WORDS,
    Asked,
    Question,
    arrivals,
    draw_fates,
    exam,
    on_the_schedule,
    question,
    summary,
    text_read,
)
from benchmarks.teaching.plots import plot
from streams.simulate import StepKind

__all__ = ()

NAMES = tuple(exam().questions)
SEEDS = range(60)


class Student:
    """Knows the three rules of the game and one sentence about each strategy, and has paper for two rows."""

    def __init__(self, asked: Question) -> None:
        self.name, _, self.rule = asked.name.partition(" ")
        self.busy_ms = asked.busy_ms
        self.held: list[str] = []
        self.got: list[str] = []
        self.free_ms = 0
        self.most_held = 0
        self.last_emitted_ms = 0
        failed = not all(self.token(str(index), due_ms) for index, due_ms in enumerate(asked.times_ms))
        self.arrived = " ".join([*self.got, *self.held, "#" if failed else "|"])

    def token(self, token: str, due_ms: int) -> bool:
        """A token comes. False: the stream has failed."""
        now_ms = max(due_ms, self.last_emitted_ms)
        self.read_until(now_ms)
        if self.name.startswith("suspend") and self.free_ms > now_ms and len(self.held) == self.room:
            now_ms = self.free_ms
            self.read_until(now_ms)
        self.last_emitted_ms = now_ms
        if self.free_ms <= now_ms:
            self.got.append(token)
            self.free_ms = now_ms + self.busy_ms
            return True
        return self.decide(token)

    def read_until(self, now_ms: int) -> None:
        """When the reader becomes free, it takes the oldest token that is held; if none is, it waits."""
        while self.held and self.free_ms <= now_ms:
            self.got.append(self.held.pop(0))
            self.free_ms += self.busy_ms

    @property
    def room(self) -> int:
        return 10**6 if self.name == "buffer(None)" else int(self.name.partition("(")[2].rstrip(")") or 1)

    def decide(self, token: str) -> bool:
        """While the reader is busy, the strategy decides about a token that comes."""
        match self.name, self.rule:
            case "DROP", _:
                return True
            case "ERROR", _:
                return False
            case "LATEST", _:
                self.held = [token]
            case "reduce", _:
                first = self.held[0].partition("-")[0] if self.held else ""
                self.held = [f"{first}-{token}" if first else token]
            case _ if len(self.held) < self.room:
                self.held.append(token)
            case _, "ERROR":
                return False
            case _, "DROP_OLDEST":
                self.held = [*self.held[1:], token]
            case _, "DROP_NEWEST_HELD":
                self.held = [*self.held[:-1], token]
            case _:
                assert self.rule == "DROP_INCOMING"
        self.most_held = max(self.most_held, len(self.held))
        return True

    def answer(self, asked: Asked) -> str | int:
        if asked is Asked.ARRIVALS:
            return self.arrived
        return self.last_emitted_ms if asked is Asked.LAST_EMITTED else self.most_held


@pytest.mark.parametrize("name", NAMES)
def test_rules_of_the_lesson_answer_every_question(name: str) -> None:
    for seed in SEEDS:
        asked = question(name, seed)
        assert Student(asked).answer(asked.asked) == asked.truth, asked


@pytest.mark.parametrize("name", NAMES)
def test_other_seeds_ask_other_questions_and_equal_ones_the_same(name: str) -> None:
    assert question(name, 3) == question(name, 3)
    assert len({question(name, seed) for seed in SEEDS}) > len(SEEDS) // 2


@pytest.mark.parametrize("name", sorted(RULES.keys() & set(NAMES)))
def test_who_confuses_the_rules_is_found_out(name: str) -> None:
    for seed in SEEDS:
        asked = question(name, seed)
        others = [on_the_schedule(rule, asked.source, asked.busy_ms) for key, rule in RULES.items() if key != name]
        assert asked.truth not in [arrivals(trace) for trace in others]


def test_strategy_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="name must be one of DROP, LATEST"):
        question("DROP_LATEST", 1)


# The exam.


def lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line)


def test_exam_of_right_answers_is_passed(capsys: pytest.CaptureFixture[str]) -> None:
    paper = exam(5)
    assert paper.grade({name: asked.truth for name, asked in paper.questions.items()}) == len(NAMES)
    assert all("Right" in line for line in list(lines(capsys.readouterr().out))[:-1])


def test_exam_without_answers_waits(capsys: pytest.CaptureFixture[str]) -> None:
    assert exam().grade({"DROP": ...}) == 0
    assert capsys.readouterr().out.count("Waiting") == len(NAMES)


def test_wrong_answer_does_not_show_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    paper = exam(5)
    assert paper.grade({"DROP": "0 |", "buffer(None)": -1}) == 0
    printed = capsys.readouterr().out
    assert printed.count("Not yet") == 2
    assert str(paper.questions["DROP"].truth) not in printed


def test_answer_is_right_however_it_is_spaced() -> None:
    asked = question("LATEST", 1)
    assert asked.check(f"  {str(asked.truth).replace(' ', '   ')} ")


def test_answer_to_what_was_not_asked_is_refused() -> None:
    with pytest.raises(ValueError, match="answers must be to DROP"):
        exam().grade({"DROP_LATEST": "0 |"})


# What the lesson shows.

ON_THE_SCHEDULE = {
    "MISSING": "0 1 2 3 4 5 6 7 8 9 |",
    "ERROR": "0 #",
    "DROP": "0 3 6 9 |",
    "LATEST": "0 2 4 7 9 |",
    "buffer(None)": "0 1 2 3 4 5 6 7 8 9 |",
    "reduce": "0 1-2 3-4 5-7 8-9 |",
    "suspend(0)": "0 1 2 3 4 5 6 7 8 9 |",
    "buffer(2) ERROR": "0 1 2 3 #",
    "buffer(2) DROP_OLDEST": "0 1 3 6 8 9 |",
    "buffer(2) DROP_INCOMING": "0 1 2 3 5 8 |",
    "buffer(2) DROP_NEWEST_HELD": "0 1 2 4 7 9 |",
    "buffer(2) SUSPEND": "0 1 2 3 4 5 6 7 8 9 |",
}


def test_summary_has_a_row_for_every_strategy_on_the_schedule() -> None:
    rows = summary({name: on_the_schedule(strategy) for name, strategy in {**STRATEGIES, **RULES}.items()})
    assert {row["strategy"]: row["the reader gets"] for row in rows} == ON_THE_SCHEDULE
    assert [row["source done at, ms"] for row in rows if row["strategy"] in {"DROP", "suspend(0)"}] == [90, 216]
    assert [row["oldest on arrival, ms"] for row in rows if row["strategy"] == "LATEST"] == [8]


def test_what_goes_straight_through_was_not_held() -> None:
    rows = summary({name: on_the_schedule(strategy) for name, strategy in STRATEGIES.items()})
    held = {"MISSING": 6, "ERROR": 0, "DROP": 0, "LATEST": 1, "buffer(None)": 6, "reduce": 1, "suspend(0)": 0}
    assert {row["strategy"]: row["held at most"] for row in rows} == held


def test_words_are_on_the_same_schedule_and_reduce_keeps_their_text() -> None:
    assert [at_ms for at_ms, _ in WORDS.emissions] == [at_ms for at_ms, _ in SCHEDULE.emissions]
    read = {name: text_read(on_the_schedule(strategy, WORDS)) for name, strategy in STRATEGIES.items()}
    assert read["reduce"] == read["suspend(0)"] == " A language model never hands over its answer in one"
    assert read["DROP"] == " A never its one"


def test_bars_are_as_long_as_the_counts() -> None:
    axes = plot("", "", "")
    traces = {name: on_the_schedule(STRATEGIES[name]) for name in ("ERROR", "DROP", "reduce")}
    draw_fates(axes, traces)
    widths = [bar.get_width() for bar in axes.patches if hasattr(bar, "get_width")]
    assert widths == [1, 4, 5, 0, 0, 5, 1, 6, 0, 8, 0, 0]  # arrived, joined, lost, never emitted


def test_items_that_are_no_tokens_are_named_by_themselves() -> None:
    assert arrivals(on_the_schedule(STRATEGIES["DROP"], type(SCHEDULE)([(0, "a"), (1, "b")], 2))) == "a |"


def test_schedule_of_a_question_is_displayed_without_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []

    def show(bundle: dict[str, str], metadata: object = None) -> None:
        shown.append(bundle)

    monkeypatch.setattr("benchmarks.teaching.display.show", show)
    asked = question("DROP", 1)
    asked.show()
    exam(1).show()
    assert len(shown) == 2
    assert str(asked.truth) not in shown[0]["text/plain"]
    assert shown[1]["text/plain"].count("What arrives?") == len(NAMES) - 2


def test_failed_stream_emits_no_more() -> None:
    assert len(on_the_schedule(STRATEGIES["ERROR"]).of(StepKind.EMIT)) == 2
