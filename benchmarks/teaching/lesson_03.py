"""Lesson 03, backpressure strategies: every strategy on one schedule, and questions that a student answers by hand.

A question is a schedule, a reader and a strategy; `streams.simulate` knows the answer. Questions are made from a seed,
so that there are always more of them, and so that no two things happen at one instant: the rules of the lesson are
enough to answer each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from random import Random
from typing import Any, Final

from benchmarks.teaching.checks import check
from benchmarks.teaching.display import show_marbles, table
from benchmarks.teaching.lesson_02 import BUSY_MS, TEN
from benchmarks.teaching.plots import COLOURS
from streams.arguments import shown
from streams.marbles import Bar, BarKind, Diagram, Lane, Marble
from streams.simulate import SlowReader, SourceSchedule, StepKind, Trace, simulate
from streams.source import Token, join_tokens, parse_source
from streams.strategy import BackpressureStrategy, BufferOverflow, Join, StreamStatistics

__all__ = (
    "RULES",
    "SCHEDULE",
    "STRATEGIES",
    "WORDS",
    "Asked",
    "Exam",
    "Question",
    "arrivals",
    "draw_fates",
    "exam",
    "on_the_schedule",
    "question",
    "summary",
    "text_read",
)

_NS_PER_MS: Final = 1_000_000
_FOLD: Final[Join[Token]] = Join(join_tokens)

STRATEGIES: Final[Mapping[str, BackpressureStrategy]] = {
    "MISSING": BackpressureStrategy.MISSING,
    "ERROR": BackpressureStrategy.ERROR,
    "DROP": BackpressureStrategy.DROP,
    "LATEST": BackpressureStrategy.LATEST,
    "buffer(None)": BackpressureStrategy.buffer(None),
    "reduce": BackpressureStrategy.reduce(_FOLD),
    "suspend(0)": BackpressureStrategy.suspend(),
}
"""The seven, with the buffer that has no bound."""

RULES: Final[Mapping[str, BackpressureStrategy]] = {
    f"buffer(2) {rule.name}": BackpressureStrategy.buffer(2, rule) for rule in BufferOverflow
}
"""A buffer for two tokens, under each rule."""

SCHEDULE: Final = SourceSchedule.of_tokens(TEN)
"""The tokens 0 to 9, one every 10 ms."""

_WORDS_FROM: Final = 13
WORDS: Final = SourceSchedule(
    [
        (at_ms, Token(token.index, text, token.due_ns, token.emitted_ns))
        for (at_ms, token), text in zip(SCHEDULE.emissions, parse_source("demo").texts[_WORDS_FROM:], strict=False)
    ],
    SCHEDULE.end_ms,
)
"""Ten tokens of the demo text on the same schedule."""


def on_the_schedule(
    strategy: BackpressureStrategy, source: SourceSchedule = SCHEDULE, busy_ms: float | Sequence[float] = BUSY_MS
) -> Trace:
    """Run a strategy with the reader of the lesson, which needs 24 ms for each token."""
    return simulate(strategy, source, SlowReader(busy_ms))


def arrivals(trace: Trace) -> str:
    """Write down what the reader got: "0 1-3 |" are token 0, tokens 1 to 3 as one, and completion; "#" is failure.

    Tokens are named by their index, other items by themselves.
    """
    words = [_named(step.item) for step in trace.of(StepKind.DELIVER)]
    words += ["#" if step.error is not None else "|" for step in trace.of(StepKind.TERMINAL)]
    return " ".join(words)


def text_read(trace: Trace) -> str:
    """Return the text of the tokens that the reader got."""
    return "".join(step.item.text for step in trace.of(StepKind.DELIVER))


def _named(item: Any) -> str:
    if not isinstance(item, Token):
        return str(item)
    return str(item.index) if item.merged == 1 else f"{item.index}-{item.index + item.merged - 1}"


def _last_ms(trace: Trace, kind: StepKind) -> float:
    return max((step.at_ns / _NS_PER_MS for step in trace.of(kind)), default=0.0)


def _oldest_ms(trace: Trace) -> float:
    """Return how old a token was at most when it arrived, counted from when the source wanted to emit it."""
    ages_ns: list[int] = [step.at_ns - step.item.due_ns for step in trace.of(StepKind.DELIVER)]
    return max(ages_ns, default=0) / _NS_PER_MS


def _most_held(trace: Trace) -> int:
    """Return the most that were held for any time; what comes and goes at one instant was not held."""
    lasting = {step.at_ns: step.held for step in trace.steps}
    return max(lasting.values(), default=0)


def summary(traces: Mapping[str, Trace]) -> list[dict[str, object]]:
    """Return a row for each trace of tokens: what became of them, and what it cost."""
    return [
        {
            "strategy": name,
            "the reader gets": arrivals(trace),
            "lost": trace.statistics.dropped,
            "merged": trace.statistics.merged,
            "held at most": _most_held(trace),
            "oldest on arrival, ms": _oldest_ms(trace),
            "source done at, ms": _last_ms(trace, StepKind.EMIT),
        }
        for name, trace in traces.items()
    ]


def draw_fates(axes: Any, traces: Mapping[str, Trace]) -> None:
    """Draw what became of the tokens of each trace, as a bar: arrived alone, arrived joined, lost, never made."""
    whole = max(trace.statistics.emitted for trace in traces.values())
    left = dict.fromkeys(traces, 0)
    bars: list[Any] = []
    for count, colour, hatch in _FATES.values():
        counts = {name: count(trace.statistics, whole) for name, trace in traces.items()}
        drawn = axes.barh(list(counts), list(counts.values()), left=list(left.values()), height=0.66, edgecolor=colour)
        for bar in drawn:
            bar.set_facecolor("white" if hatch else colour)
            bar.set_hatch(hatch)
        bars.append(drawn[0])
        left = {name: left[name] + counts[name] for name in traces}
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xticks(range(whole + 1))
    axes.get_figure(root=True).legend(
        bars, list(_FATES), loc="outside lower center", ncols=len(_FATES), frameon=False, fontsize=8
    )


_FATES: Final[Mapping[str, tuple[Callable[[StreamStatistics, int], int], str, str]]] = {
    "arrived": (lambda counts, _: counts.delivered, COLOURS["passed"], ""),
    "arrived, joined to another": (lambda counts, _: counts.merged, COLOURS["merged"], "//"),
    "lost": (lambda counts, _: counts.dropped, COLOURS["lost"], "xx"),
    "never emitted": (lambda counts, whole: whole - counts.emitted, "#8a8f8f", ".."),
}


# --- Questions -----------------------------------------------------------------------------------------------------


class Asked(Enum):
    """What a question wants to know, and how an answer is written."""

    ARRIVALS = "What arrives? · 读者拿到什么？"
    LAST_EMITTED = "When does the last token leave the source, in ms? · 最后一个词元在第几毫秒离开源？"
    MOST_HELD = "How many are held at most? · 最多暂存几个？"


@dataclass(frozen=True, slots=True)
class Question:
    """A schedule, a reader, a strategy, and what is asked."""

    name: str
    """Of the strategy."""
    strategy: BackpressureStrategy
    times_ms: tuple[int, ...]
    """When the source wants to emit its tokens 0, 1, ...; it completes 10 ms after the last."""
    busy_ms: int
    asked: Asked

    @property
    def source(self) -> SourceSchedule:
        """The schedule."""
        tokens = [Token(index, str(index), ms * _NS_PER_MS, ms * _NS_PER_MS) for index, ms in enumerate(self.times_ms)]
        return SourceSchedule(list(zip(self.times_ms, tokens, strict=True)), self.times_ms[-1] + 10)

    @property
    def trace(self) -> Trace:
        """What happens: look at it when you have answered."""
        return on_the_schedule(self.strategy, self.source, self.busy_ms)

    @property
    def truth(self) -> str | float | int:
        """The answer."""
        if self.asked is Asked.ARRIVALS:
            return arrivals(self.trace)
        if self.asked is Asked.LAST_EMITTED:
            return _last_ms(self.trace, StepKind.EMIT)
        return _most_held(self.trace)

    def show(self) -> None:
        """Display the schedule: the source's lane, and a reader's that is still empty."""
        emissions = tuple(Marble(ms, str(index), first=index) for index, ms in enumerate(self.times_ms))
        lane = Lane("source", "due", emissions, (Bar(self.times_ms[-1] + 10, BarKind.COMPLETED),))
        show_marbles(Diagram((lane,), "token"), f"{self.name}: the reader needs {self.busy_ms} ms for each token")

    def check(self, answer: object, hint: str = "") -> bool:
        """Say whether an answer is right, without giving the right one away. How its words are spaced is all one."""
        if isinstance(answer, str) and isinstance(self.truth, str):
            return check(answer.split(), self.truth.split(), hint)
        return check(answer, self.truth, hint)


_ASKABLE: Final[Mapping[str, tuple[BackpressureStrategy, Asked]]] = {
    "DROP": (BackpressureStrategy.DROP, Asked.ARRIVALS),
    "LATEST": (BackpressureStrategy.LATEST, Asked.ARRIVALS),
    "ERROR": (BackpressureStrategy.ERROR, Asked.ARRIVALS),
    "reduce": (BackpressureStrategy.reduce(_FOLD), Asked.ARRIVALS),
    **{name: (rule, Asked.ARRIVALS) for name, rule in RULES.items() if rule.overflow is not BufferOverflow.SUSPEND},
    "buffer(None)": (BackpressureStrategy.buffer(None), Asked.MOST_HELD),
    "suspend(1)": (BackpressureStrategy.suspend(1), Asked.LAST_EMITTED),
}
_GAPS_MS: Final = (10, 10, 10, 20, 30)
_BUSY_MS: Final = (23, 26, 34, 37)
_FEWEST, _MOST = 6, 8


def question(name: str, seed: int) -> Question:
    """Make the question of this number about a strategy. Equal seeds ask alike.

    Raises:
        ValueError: there is no such strategy.
    """
    if name not in _ASKABLE:
        raise ValueError(f"name must be one of {', '.join(_ASKABLE)}; got {shown(name)}")
    strategy, asked = _ASKABLE[name]
    return next(found for found in _drawn(name, strategy, asked, seed) if _is_fair(found))


def _drawn(name: str, strategy: BackpressureStrategy, asked: Asked, seed: int) -> Iterator[Question]:
    random = Random(f"{name} {seed}")
    while True:
        gaps = random.choices(_GAPS_MS, k=random.randint(_FEWEST, _MOST) - 1)
        yield Question(name, strategy, tuple(accumulate(gaps, initial=0)), random.choice(_BUSY_MS), asked)


def _is_fair(drawn: Question) -> bool:
    """Tell whether the strategy has much to do, and no two things happen at one instant by chance."""
    trace, busy_ns = drawn.trace, drawn.busy_ms * _NS_PER_MS
    free_ms = {(step.at_ns + busy_ns) / _NS_PER_MS for step in trace.of(StepKind.DELIVER)}
    return free_ms.isdisjoint({*drawn.times_ms, drawn.times_ms[-1] + 10}) and _is_telling(drawn, trace)


def _is_telling(drawn: Question, trace: Trace) -> bool:
    """Tell whether an answer shows that the strategy was understood, and not only that there is one."""
    counts = trace.statistics
    if drawn.asked is Asked.MOST_HELD:
        return counts.peak_held >= 3
    if drawn.asked is Asked.LAST_EMITTED:
        return len(trace.of(StepKind.SUSPEND)) >= 2
    if drawn.name in RULES:
        answers = {arrivals(on_the_schedule(rule, drawn.source, drawn.busy_ms)) for rule in RULES.values()}
        return len(answers) == len(RULES)
    return counts.delivered >= 2 and counts.dropped + counts.merged >= (1 if drawn.name == "ERROR" else 2)


@dataclass(frozen=True, slots=True)
class Exam:
    """A question about each strategy, by name."""

    questions: Mapping[str, Question]

    def show(self) -> None:
        """Display all questions."""
        table(
            [
                {
                    "": str(number),
                    "strategy · 策略": asked.name,
                    "tokens 0, 1, ... at, ms · 到来时刻": ", ".join(map(str, asked.times_ms)),
                    "reader, ms · 读者": asked.busy_ms,
                    "question · 问题": asked.asked.value,
                }
                for number, asked in enumerate(self.questions.values(), 1)
            ]
        )

    def grade(self, answers: Mapping[str, object]) -> int:
        """Print which answers are right, and how many; `...` is no answer yet.

        Args:
            answers: to questions, by the name of the strategy; one that is left out is no answer yet.

        Returns:
            How many are right.

        Raises:
            ValueError: an answer to what was not asked.
        """
        unknown = [name for name in answers if name not in self.questions]
        if unknown:
            raise ValueError(f"answers must be to {', '.join(self.questions)}; got {shown(unknown[0])}")
        right = 0
        for name, asked in self.questions.items():
            print(f"{name:28}", end="")
            right += asked.check(answers.get(name, ...))
        print(f"{right} of · 共 {len(self.questions)}")
        return right


def exam(seed: int = 1) -> Exam:
    """Return a question about each strategy. Another seed is another exam."""
    return Exam({name: question(name, seed) for name in _ASKABLE})
