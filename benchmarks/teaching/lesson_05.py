"""Lesson 05, RxJava and Reactor side by side: what the originals say, asked live where Java is, and else as recorded.

`python -m benchmarks.teaching.lesson_05` records their answers anew, in lesson_05.json: it needs the Java program of
`benchmarks.peers.semantics`. A test compares the recording with the originals where they can be run.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from re import fullmatch
from shutil import which
from typing import Any, Final

import msgspec

from benchmarks.peers import jvm
from benchmarks.peers.semantics.judging import Judged, compare
from benchmarks.peers.semantics.originals import Originals
from benchmarks.peers.semantics.ours import run_ours
from benchmarks.peers.semantics.schedules import (
    FORMS,
    Form,
    Library,
    Schedule,
    Seen,
    Step,
    complete,
    emit,
    error,
    request,
)
from benchmarks.peers.semantics.table import schedules
from benchmarks.teaching.plots import COLOURS
from streams import UNBOUNDED, BackpressureStrategy
from streams.simulate import SlowReader, SourceSchedule, StepKind, Trace, simulate

__all__ = (
    "CLAIMS",
    "CREATED",
    "DROP_LATEST",
    "FAILING",
    "SCHEDULES",
    "STRATEGIES",
    "Proof",
    "Ruling",
    "Told",
    "ask",
    "behaviours",
    "can_ask",
    "draw_producers",
    "emitted_by",
    "live",
    "main",
    "recorded",
    "with_slow_reader",
)

CLAIMS: Final = ("strategies", "default-buffer", "slows-producer")
"""What the lesson looks at of `benchmarks.claims`."""

_RECORDING: Final = Path(__file__).with_suffix(".json")
_LIBRARIES: Final[Mapping[str, Library]] = {"RxJava": "rxjava", "Reactor": "reactor"}
_JARS: Final = {"RxJava": r".*/rxjava-(.+)\.jar", "Reactor": r".*/reactor-core-(.+)\.jar"}
_ALL: Final = request(UNBOUNDED)
_END_MS: Final = 1000


# --- What is asked -------------------------------------------------------------------------------------------------


def _schedule(name: str, steps: tuple[Step, ...], library: str, operator: str, **arguments: Any) -> Schedule:
    form = msgspec.convert({"library": _LIBRARIES[library], "operator": operator, **arguments}, Form)
    return Schedule.of(form, name, steps)


_SLOW: Final = request(1) + emit("1", "2", "3", "4", "5", "6") + request(1) + complete + _ALL
_LATE: Final = emit("1", "2", "3", "4", "5", "6", "7", "8") + complete + _ALL
_FAILS: Final = request(1) + emit("1", "2", "3", "4") + error + _ALL

CREATED: Final[Mapping[str, Mapping[str, Schedule]]] = {
    strategy: {
        library: _schedule("a slow consumer", _SLOW, library, "create", strategy=strategy) for library in _LIBRARIES
    }
    for strategy in ("missing", "error", "drop", "latest", "buffer")
}
"""The strategies of create, by name and library: one item is wanted, six come, one more is wanted, and then all."""

DROP_LATEST: Final[Mapping[str, Schedule]] = {
    library: _schedule("late", _LATE, library, "buffer", capacity=3, overflow="drop_latest", callback="tells")
    for library in _LIBRARIES
}
"""A buffer of 3 with the overflow strategy DROP_LATEST, by library: eight items come before any is wanted."""

FAILING: Final[Mapping[str, Schedule]] = {
    "RxJava buffer()": _schedule("fails", _FAILS, "RxJava", "buffer", delay_error=False),
    "RxJava buffer(delayError = true)": _schedule("fails", _FAILS, "RxJava", "buffer", delay_error=True),
    "Reactor buffer()": _schedule("fails", _FAILS, "Reactor", "buffer"),
    "Reactor buffer(8, DROP_OLDEST)": _schedule(
        "fails", _FAILS, "Reactor", "buffer", capacity=8, overflow="drop_oldest"
    ),
    "Reactor buffer(8, callback, DROP_OLDEST)": _schedule(
        "fails", _FAILS, "Reactor", "buffer", capacity=8, overflow="drop_oldest", callback="tells"
    ),
    "RxJava create(BUFFER)": _schedule("fails", _FAILS, "RxJava", "create", strategy="buffer"),
    "Reactor create(BUFFER)": _schedule("fails", _FAILS, "Reactor", "create", strategy="buffer"),
    "RxJava create(LATEST)": _schedule("fails", _FAILS, "RxJava", "create", strategy="latest"),
    "RxJava latest()": _schedule("fails", _FAILS, "RxJava", "latest"),
    "Reactor latest()": _schedule("fails", _FAILS, "Reactor", "latest"),
}
"""The source fails while items are held: one is wanted, four come, then the failure, and then all are wanted."""


def _compared() -> list[Form]:
    """Return what can be chosen in either library, without callbacks, delays and other sizes than 2."""
    forms = [form for form in FORMS if form.operator not in ("create", "push") and form.capacity in (None, 2)]
    # RxJava's `error` is toFlowable of other types, no operator; Reactor's buffer(2) is that of 3 with another number.
    kept = [form for form in forms if (form.library, form.operator) != ("rxjava", "error")]
    return [*kept, Form(library="reactor", operator="buffer", capacity=2)]


_BEHAVIOURS: Final = tuple(
    Schedule.of(form, name, steps)
    for form in _compared()
    for name, steps in (("a slow consumer", _SLOW), ("late", _LATE))
)

SCHEDULES: Final = (
    *(schedule for of_libraries in CREATED.values() for schedule in of_libraries.values()),
    *DROP_LATEST.values(),
    *FAILING.values(),
    *_BEHAVIOURS,
)
"""Everything that the lesson asks."""


# --- Who is asked --------------------------------------------------------------------------------------------------


class _Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was seen during one step, as it is recorded."""

    next: tuple[str | None, ...] = ()
    dropped: tuple[str | None, ...] = ()
    ends: tuple[str, ...] = ()
    raised: tuple[str, ...] = ()

    def seen(self) -> Seen:
        return Seen(self.next, self.dropped, self.ends, self.raised)


class Proof(msgspec.Struct, frozen=True):
    """What came of the whole table of `benchmarks.peers.semantics`.

    Attributes:
        verdicts: by library: how many schedules were equal, on purpose, DIFFERENT.
        rules: how many schedules each deliberate difference was seen in.
    """

    verdicts: dict[str, dict[str, int]]
    rules: dict[str, int]


class Ruling(msgspec.Struct, frozen=True):
    """What `benchmarks.claims` found of a popular statement.

    Attributes:
        statement: as people say it.
        verdict: in words.
        condition: under which it holds; empty unless the verdict has one.
    """

    statement: str
    verdict: str
    condition: str


class _Said(msgspec.Struct, frozen=True):
    """What the originals said."""

    versions: dict[str, str]
    answers: dict[str, tuple[_Kept, ...]]
    proof: Proof


class _Recording(_Said, frozen=True):
    rulings: dict[str, Ruling]


@dataclass(frozen=True, slots=True)
class Told:
    """What the originals said, and what ours say.

    Attributes:
        versions: of RxJava and Reactor.
        live: whether they were asked just now; if not, their answers were recorded.
        proof: see there.
        rulings: on the claims of the lesson, by their names, as they were when it was recorded.
    """

    versions: Mapping[str, str]
    live: bool
    proof: Proof
    rulings: Mapping[str, Ruling]
    _originals: Mapping[str, Sequence[Seen]]
    _ours: Mapping[str, Sequence[Seen]]

    @property
    def source(self) -> str:
        """Who speaks, in words."""
        names = ", ".join(f"{library} {version}" for library, version in self.versions.items())
        return f"{names}, {'asked just now · 刚刚现场问的' if self.live else 'as recorded · 事先录下的'}"

    def originals(self, schedule: Schedule) -> str:
        """Return what the consumer of the original saw: items, then the end."""
        return _arrived(self._originals[schedule.name])

    def ours(self, schedule: Schedule) -> str:
        """Return what the consumer of ours saw: items, then the end."""
        return _arrived(self._ours[schedule.name])

    def steps(self, schedule: Schedule) -> str:
        """Return the same of the original step by step: equal for what behaves alike."""
        return repr(
            [(seen.next, [end.partition(",")[0] for end in seen.ends]) for seen in self._originals[schedule.name]]
        )

    def lost(self, schedule: Schedule) -> str:
        """Return which items the original said to be lost."""
        return " ".join(str(item) for seen in self._originals[schedule.name] for item in seen.dropped)


def _arrived(outcome: Iterable[Seen]) -> str:
    return " ".join(str(word) for seen in outcome for word in (*seen.next, *seen.ends))


async def ask() -> Told:
    """Ask RxJava, Reactor and ours, everything that the lesson wants to know. Without Java the recording speaks."""
    return await asyncio.to_thread(_ask)


def _ask() -> Told:
    ours = {schedule.name: outcome for schedule, outcome in zip(SCHEDULES, run_ours(SCHEDULES), strict=True)}
    kept = recorded()
    said = live() if can_ask() else kept
    answers = {name: [each.seen() for each in steps] for name, steps in said.answers.items()}
    return Told(said.versions, said is not kept, said.proof, kept.rulings, answers, ours)


def can_ask() -> bool:
    """Whether the originals can be run here. Nothing is built for a lesson: that may take minutes."""
    return which("java") is not None and jvm.jar("semantics").exists()


def recorded() -> _Recording:
    """Return what was recorded."""
    return msgspec.json.decode(_RECORDING.read_bytes(), type=_Recording)


def live() -> _Said:
    """Ask the originals.

    Raises:
        OSError, RuntimeError: they cannot be run.
    """
    with _running() as originals:
        answers = {schedule.name: originals.run(schedule) for schedule in SCHEDULES}
        proof = _proof(compare(schedules(), originals))
    kept = {
        name: tuple(_Kept(seen.next, seen.dropped, seen.ends, seen.raised) for seen in steps)
        for name, steps in answers.items()
    }
    return _Said(_versions(), kept, proof)


@contextmanager
def _running() -> Generator[Originals]:
    command = ("java", "-XX:+UseSerialGC", "-jar", str(jvm.jar("semantics")))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        yield Originals(process)
        process.stdin.close()


def _proof(judged: Sequence[Judged]) -> Proof:
    verdicts = Counter((one.schedule.library, one.verdict.value) for one in judged)
    rules = Counter(rule.name for one in judged for rule in one.rules)
    by_library = {
        library: {verdict: count for (of, verdict), count in sorted(verdicts.items()) if of == name}
        for library, name in _LIBRARIES.items()
    }
    return Proof(by_library, dict(rules.most_common()))


def _versions() -> dict[str, str]:
    with zipfile.ZipFile(jvm.jar("semantics")) as jar:
        names = jar.namelist()
    found = {
        library: [match[1] for name in names if (match := fullmatch(pattern, name))]
        for library, pattern in _JARS.items()
    }
    return {library: versions[0] if versions else "" for library, versions in found.items()}


def behaviours(told: Told, library: str) -> dict[str, str]:
    """Return the operators of a library that differ: what two consumers see -> the shortest title."""
    found: dict[str, str] = {}
    for slow, late in zip(_BEHAVIOURS[::2], _BEHAVIOURS[1::2], strict=True):
        if slow.library == _LIBRARIES[library]:
            seen = f"{told.steps(slow)} {told.steps(late)}"
            title = slow.title.replace(", callback", "").replace("(callback)", "()")
            found[seen] = min(found.get(seen, title), title, key=len)
    return found


def main() -> int:
    """Record the answers of the originals, and what became of the claims."""
    if not can_ask():
        print("to record, build the originals first: python -m benchmarks.peers.semantics", file=sys.stderr)
        return 2
    from benchmarks.claims.registry import claim  # only to record: it stands on all that can be measured

    rulings: dict[str, Ruling] = {}
    for name in CLAIMS:
        evidence = claim(name).check()
        rulings[name] = Ruling(claim(name).statement, evidence.verdict.value, evidence.condition)
    said = live()
    recording = _Recording(said.versions, said.answers, said.proof, rulings)
    _RECORDING.write_bytes(msgspec.json.format(msgspec.json.encode(recording), indent=1) + b"\n")
    return 0


# --- Who is slowed -------------------------------------------------------------------------------------------------


def _joined(held: str, incoming: str) -> str:
    return held + incoming


STRATEGIES: Final[Mapping[str, BackpressureStrategy]] = {
    "MISSING": BackpressureStrategy.MISSING,
    "ERROR": BackpressureStrategy.ERROR,
    "DROP": BackpressureStrategy.DROP,
    "LATEST": BackpressureStrategy.LATEST,
    "buffer(unbounded)": BackpressureStrategy.buffer(None),
    "reduce": BackpressureStrategy.reduce(_joined),
    "suspend(4)": BackpressureStrategy.suspend(4),
}
"""One of each kind."""


def with_slow_reader(strategy: BackpressureStrategy) -> Trace:
    """Simulate a source with a token every 10 ms for a second, and a reader that needs 100 ms for each."""
    source = SourceSchedule([(10 * number, str(number)) for number in range(_END_MS // 10)], _END_MS)
    return simulate(strategy, source, SlowReader(100))


def emitted_by(trace: Trace, at_ms: float) -> int:
    """Return how many items the source had emitted by then."""
    return sum(step.at_ns <= at_ms * 1e6 for step in trace.of(StepKind.EMIT))


def draw_producers(axes: Any, traces: Mapping[str, Trace]) -> None:
    """Draw what each source had emitted when its schedule was over, and what had become of it by then."""
    fates: dict[str, Callable[[Counter[StepKind]], int]] = {
        "delivered": lambda seen: seen[StepKind.DELIVER],
        "held": lambda seen: seen[StepKind.EMIT] - sum(seen[kind] for kind in _FATES),
        "merged": lambda seen: seen[StepKind.MERGE],
        "lost": lambda seen: seen[StepKind.DROP] + seen[StepKind.REJECT],
    }
    rows = range(len(traces))[::-1]
    counts = [Counter(step.kind for step in trace.steps if step.at_ns <= _END_MS * 1e6) for trace in traces.values()]
    left = [0] * len(traces)
    for fate, count_of in fates.items():
        widths = [count_of(seen) for seen in counts]
        axes.barh(rows, widths, 0.7, left=left, label=fate, color=COLOURS.get(fate, COLOURS["passed"]))
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.set_yticks(rows, list(traces))
    axes.set_xlim(0, _END_MS / 10 * 1.3)
    axes.grid(axis="y", visible=False)


_FATES: Final = (StepKind.DELIVER, StepKind.DROP, StepKind.MERGE, StepKind.REJECT)


if __name__ == "__main__":
    sys.exit(main())
