"""Marble diagrams: the drawing shows exactly what the trace tells, in a form that anyone can read.

The golden files beside this one are the drawings as they were looked at and found good. After a change that is meant,
look at the new ones and renew them: RENEW_GOLDEN=1 pytest tests/streams/test_marbles.py
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.marbles import (
    Bar,
    BarKind,
    Diagram,
    Held,
    Lane,
    Marble,
    MarbleKind,
    RecordedItem,
    Tick,
    Wait,
    describe,
    diagram_of,
    diagram_of_recording,
    svg,
    text,
)
from streams.reactive import UNBOUNDED
from streams.simulate import DemandSchedule, SlowReader, SourceSchedule, Step, StepKind, Trace, simulate
from streams.source import Gaps, Pacing, Token, parse_source
from streams.strategy import BackpressureStrategy, BufferOverflow, EmitResult, Join, StreamStatistics

__all__ = ()

GOLDEN = Path(__file__).parent / "marbles"
SVG = "{http://www.w3.org/2000/svg}"
NS_PER_MS = 1_000_000

MISSING, ERROR, DROP, LATEST = (
    BackpressureStrategy.MISSING,
    BackpressureStrategy.ERROR,
    BackpressureStrategy.DROP,
    BackpressureStrategy.LATEST,
)
buffer, reduce, suspend = BackpressureStrategy.buffer, BackpressureStrategy.reduce, BackpressureStrategy.suspend
JOINED: Join[str] = Join("".join)


def every(gap_ms: float, items: str, *, error: Exception | None = None) -> SourceSchedule:
    """Emit one character after the other, and end one gap after the last."""
    return SourceSchedule([(gap_ms * i, item) for i, item in enumerate(items)], gap_ms * len(items), error)


TEN = every(10, "0123456789")
READER = SlowReader(busy_ms=25)


def ten_messages(strategy: BackpressureStrategy, consumer: SlowReader | DemandSchedule = READER) -> Diagram:
    capacity = strategy.capacity if strategy is not MISSING else None
    return diagram_of(simulate(strategy, TEN, consumer), capacity=capacity)


def failing() -> Diagram:
    trace = simulate(buffer(8), every(10, "012345", error=RuntimeError("gone")), READER, delay_error=False)
    return diagram_of(trace, capacity=8)


def crowd(count: int = 1000) -> Trace:
    source = parse_source("counter", count=count, pacing=Pacing(rate=500, gaps=Gaps.POISSON, seed=3))
    return simulate(buffer(32, BufferOverflow.DROP_OLDEST), SourceSchedule.of_tokens(source), SlowReader(3))


def recorded() -> Diagram:
    return diagram_of_recording(
        [
            RecordedItem(0, 1, 0, 0.4, 1.1),
            RecordedItem(1, 1, 20, 20.5, 22),
            RecordedItem(2, 3, 41, 70, 71.5),
            RecordedItem(7, 1, 100, 101, 140),
            RecordedItem(8, 4, 121, 180, 190),
        ],
        missing=[6, 5],
        held=[(0, 0), (41, 1), (50, 2), (60, 3), (70, 0), (121, 1), (150, 3), (180, 0)],
        terminal=Bar(200),
        capacity=3,
    )


DRAWINGS: dict[str, Callable[[], Diagram]] = {
    "missing": lambda: ten_messages(MISSING),
    "error": lambda: ten_messages(ERROR),
    "drop": lambda: ten_messages(DROP),
    "latest": lambda: ten_messages(LATEST),
    "buffer": lambda: ten_messages(buffer(2)),
    "drop-oldest": lambda: ten_messages(buffer(2, BufferOverflow.DROP_OLDEST)),
    "reduce": lambda: ten_messages(reduce(JOINED)),
    "suspend": lambda: ten_messages(suspend(2)),
    "cancel": lambda: ten_messages(suspend(2), SlowReader(busy_ms=25, cancel_ms=60)),
    "failure": failing,
    "demand": lambda: ten_messages(
        buffer(4, BufferOverflow.DROP_OLDEST), DemandSchedule([(0, 2), (35, 3), (95, UNBOUNDED)])
    ),
    "recorded": recorded,
    "crowd": lambda: diagram_of(crowd(), capacity=32),
}


# --- Reading a drawing -------------------------------------------------------------------------------------------


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def marks(drawing: str, attribute: str = "data-kind") -> Iterator[ElementTree.Element]:
    return (element for element in parsed(drawing).iter() if attribute in element.attrib)


def title_of(element: ElementTree.Element) -> str:
    return element.findtext(f"{SVG}title") or ""


def drawn_marbles(drawing: str) -> Counter[tuple[str, str, str]]:
    return Counter(
        (mark.attrib["data-lane"], mark.attrib["data-kind"], title_of(mark)) for mark in marks(drawing, "data-first")
    )


def drawn_kinds(drawing: str, lane: str) -> list[str]:
    return [mark.attrib["data-kind"] for mark in marks(drawing) if mark.get("data-lane") == lane]


def texts(drawing: str) -> list[str]:
    return [element.text or "" for element in parsed(drawing).iter(f"{SVG}text")]


# --- The drawing shows exactly the trace -------------------------------------------------------------------------


def told(step: Step, lane: str, kind: str, verb: str) -> tuple[str, str, str]:
    """Write down what a marble must say; items are single letters, folds are words."""
    item: str = step.item
    label = item if len(item) == 1 else f"{item[0]}-{item[-1]}"
    return lane, kind, f"{label}, {verb} at {step.at_ns / NS_PER_MS:g} ms"


def told_marbles(trace: Trace) -> Counter[tuple[str, str, str]]:
    marbles = [told(step, "source", "passed", "emitted") for step in trace.of(StepKind.EMIT)]
    marbles += [told(step, "boundary", "dropped", "dropped") for step in trace.of(StepKind.DROP)]
    marbles += [told(step, "boundary", "merged", "merged") for step in trace.of(StepKind.MERGE)]
    marbles += [told(step, "boundary", "rejected", "rejected") for step in trace.of(StepKind.REJECT)]
    for step in trace.of(StepKind.DELIVER):
        marbles.append(told(step, "consumer", "passed" if len(step.item) == 1 else "merged", "delivered"))
    return Counter(marbles)


def terminals(trace: Trace, *kinds: StepKind) -> list[str]:
    words = {True: "failed", False: "completed"}
    steps = trace.of(*kinds)
    return ["cancelled" if s.kind is StepKind.CANCEL else words[s.error is not None] for s in steps]


def lasting_peak(trace: Trace) -> int:
    return max({step.at_ns: step.held for step in trace.steps}.values(), default=0)


def concat(held: str, incoming: str) -> str:
    if incoming == "h":
        raise ValueError("no h")
    return held + incoming


GAPS_MS = st.sampled_from([0, 0, 1, 5, 10, 30])
STRATEGIES = st.sampled_from(
    [MISSING, ERROR, DROP, LATEST, suspend(), suspend(2), reduce(JOINED), reduce(JOINED, 3), reduce(concat)]
    + [buffer(2, overflow) for overflow in BufferOverflow]
)
CONSUMERS = st.one_of(
    st.builds(
        SlowReader,
        busy_ms=st.lists(st.sampled_from([0, 3, 12, 25]), min_size=1, max_size=3),
        prefetch=st.integers(1, 3),
        cancel_ms=st.sampled_from([None, None, 0, 20, 60]),
    ),
    st.builds(
        DemandSchedule,
        st.lists(st.tuples(st.integers(0, 80), st.sampled_from([1, 3, UNBOUNDED])), max_size=5).map(sorted),
        st.sampled_from([None, None, 40]),
    ),
)


@st.composite
def sources(draw: st.DrawFn) -> SourceSchedule:
    at_ms, emissions = 0, []
    for letter in "abcdefghijklmn"[: draw(st.integers(0, 14))]:
        at_ms += draw(GAPS_MS)
        emissions.append((at_ms, letter))
    end_ms = draw(st.sampled_from([None, at_ms, at_ms + 10]))
    error = draw(st.sampled_from([None, RuntimeError("gone")])) if end_ms is not None else None
    return SourceSchedule(emissions, end_ms, error)


@given(STRATEGIES, sources(), CONSUMERS, st.booleans(), st.sampled_from([None, 7 * NS_PER_MS]))
def test_drawing_shows_exactly_the_events_of_the_trace(
    strategy: BackpressureStrategy,
    source: SourceSchedule,
    consumer: SlowReader | DemandSchedule,
    delay_error: bool,
    ttl_ns: int | None,
) -> None:
    ttl_ns = ttl_ns if strategy.reducer is None else None
    trace = simulate(strategy, source, consumer, delay_error=delay_error, ttl_ns=ttl_ns)
    drawing = svg(diagram_of(trace))
    assert drawn_marbles(drawing) == told_marbles(trace)
    demand = [int(mark.attrib["data-n"]) for mark in marks(drawing, "data-n")]
    assert demand == [step.n for step in trace.of(StepKind.DEMAND)]
    assert [k for k in drawn_kinds(drawing, "source") if k in ("completed", "failed")] == terminals(trace, StepKind.END)
    ends = [kind for kind in drawn_kinds(drawing, "consumer") if kind in ("completed", "failed", "cancelled")]
    assert ends == terminals(trace, StepKind.TERMINAL, StepKind.CANCEL)
    assert drawn_kinds(drawing, "source").count("wait") == len(trace.of(StepKind.SUSPEND))
    assert [mark.attrib["data-peak"] for mark in marks(drawing, "data-peak")] == [str(lasting_peak(trace))]


@given(STRATEGIES, sources(), CONSUMERS, st.integers(240, 1200))
def test_texts_of_one_line_do_not_touch(
    strategy: BackpressureStrategy, source: SourceSchedule, consumer: SlowReader | DemandSchedule, width: int
) -> None:
    drawing = svg(diagram_of(simulate(strategy, source, consumer)), width=width)
    lines: dict[str, list[tuple[float, float]]] = {}
    for element in parsed(drawing).iter(f"{SVG}text"):
        if "md-beside" in element.get("class", ""):
            middle = float(element.attrib["x"])
            half = len(element.text or "") * float(element.attrib["font-size"]) * 0.3
            lines.setdefault(element.attrib["y"], []).append((middle - half, middle + half))
    for spans in lines.values():
        ordered = sorted(spans)
        assert all(end <= start for (_, end), (start, _) in pairwise(ordered))
        assert all(start >= 0 and end <= width for start, end in ordered)


def test_marbles_that_share_an_item_are_linked() -> None:
    drawing = svg(ten_messages(reduce(JOINED)))
    ways = Counter(
        line.attrib["class"] for line in parsed(drawing).iter(f"{SVG}line") if "md-way" in line.attrib["class"]
    )
    # 0 goes straight; 1, 3, 5, 8 and by way of the boundary 2, 4, 6, 7, 9 arrive joined.
    assert ways == {"md-way": 1, "md-way md-merged": 4 + 2 * 5}


def test_columns_count_every_marble_of_a_crowded_trace() -> None:
    trace = crowd()
    emitted, delivered, dropped, *_ = trace.statistics
    drawing = svg(diagram_of(trace))
    counts: Counter[tuple[str, str]] = Counter()
    for mark in marks(drawing, "data-count"):
        if mark.attrib["data-kind"] == "demand":
            assert mark.attrib["data-count"] == str(delivered)
            continue
        counts[mark.attrib["data-lane"], mark.attrib["data-kind"]] += int(mark.attrib["data-count"])
    assert counts == {
        ("source", "passed"): emitted,
        ("boundary", "dropped"): dropped,
        ("consumer", "passed"): delivered,
    }
    assert not list(marks(drawing, "data-first"))
    assert any("too many for marbles" in words for words in texts(drawing))
    assert "690 in 690 requests" in texts(drawing)


def test_many_items_at_one_instant_are_counted_too() -> None:
    burst = SourceSchedule([(0, i) for i in range(21)], 0)
    drawing = svg(diagram_of(simulate(reduce(lambda held, _: held), burst, DemandSchedule([(5, 1)]))))
    counted = {(m.attrib["data-kind"], m.attrib["data-count"]) for m in marks(drawing, "data-count")}
    assert counted == {("passed", "21"), ("merged", "20"), ("merged", "1")}
    assert any(words.startswith("Many items at one time: too many for marbles.") for words in texts(drawing))


def test_columns_of_one_instant_are_not_said_to_last() -> None:
    burst = Lane("source", "emitted", tuple(Marble(0, str(i), first=i) for i in range(30)))
    assert any(
        "counts those of one instant; the tallest" in words for words in texts(svg(Diagram((burst,)), width=900))
    )


# --- Golden files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawing_is_the_one_that_was_looked_at(name: str) -> None:
    drawing = svg(DRAWINGS[name](), title=name, prefix=name) + "\n"
    path = GOLDEN / f"{name}.svg"
    if os.environ.get("RENEW_GOLDEN"):
        path.write_text(drawing, encoding="utf-8")
    assert drawing == path.read_text(encoding="utf-8")


def test_every_golden_file_has_its_test() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(DRAWINGS)


# --- What a drawing is to a page and to a reader -----------------------------------------------------------------


def test_drawing_is_an_image_with_title_and_description() -> None:
    root = parsed(svg(ten_messages(DROP), title="Drop", prefix="first"))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-labelledby"] == "first-title first-desc"
    named = {element.attrib["id"]: element.text for element in root.iter() if "id" in element.attrib}
    assert named == {"first-title": "Drop", "first-desc": describe(ten_messages(DROP))}


def test_description_can_be_given() -> None:
    root = parsed(svg(ten_messages(DROP), description="What you see."))
    assert root.findtext(f"{SVG}desc") == "What you see."


def test_drawing_needs_nothing_from_elsewhere() -> None:
    drawing = svg(recorded())
    assert "<script" not in drawing
    assert not re.search(r"(href|src|url\(|@import)", drawing)


def test_theme_is_the_systems_unless_a_page_or_the_caller_says() -> None:
    drawing = svg(ten_messages(DROP))
    assert "prefers-color-scheme:dark" in drawing
    assert "[data-theme=dark] .marble-diagram" in drawing
    assert "var(--marbles-ink," in drawing
    assert "data-theme" not in parsed(drawing).attrib
    assert parsed(svg(ten_messages(DROP), theme="dark")).attrib["data-theme"] == "dark"


HOSTILE = {
    "markup": "<b>&\"'",
    "cdata": "]]>",
    "control": "\0\x1b[0m",
    "surrogate": "\ud800",
    "no character": "\ufffe",
    "lines": "a\nb\tc",
    "blanks": "  ",
    "nothing": "",
    "turned round": "\u202egnp",
    "combining": "e\u0301",
    "chinese": "你好",
    "emoji": "🙂",
    "long": "x" * 500,
}


@pytest.mark.parametrize("label", HOSTILE.values(), ids=HOSTILE)
def test_no_label_breaks_the_drawing(label: str) -> None:
    trace = simulate(DROP, every(10, "ab"), SlowReader(busy_ms=15))
    drawing = svg(diagram_of(trace, labels=lambda _: label), title=label, description=label)
    assert not {element.tag for element in parsed(drawing).iter()} - {
        f"{SVG}{name}" for name in ("svg", "title", "desc", "style", "rect", "g", "line", "path", "circle", "text")
    }
    assert drawn_marbles(drawing).total() == 4  # two emitted, one dropped, one delivered
    lane = Lane(label, label, (Marble(0, label),), (Bar(1, BarKind.FAILED, label),), held=Held(((0, 1),), 1))
    assert parsed(svg(Diagram((lane,), label)))
    written = text(Diagram((lane,), label))
    assert written
    assert set("\0\x1b\ud800\u202e").isdisjoint(written)
    assert describe(Diagram((lane,), label))


def test_joined_item_at_the_end_stays_on_the_sheet() -> None:
    joined = Marble(100, "a label of great length", MarbleKind.MERGED, 0, 5)
    drawing = parsed(svg(Diagram((Lane("client", "received", (joined,)),)), width=400))
    (mark,) = (rect for rect in drawing.iter(f"{SVG}rect") if "md-mark" in rect.attrib["class"])
    assert float(mark.attrib["x"]) + float(mark.attrib["width"]) <= 400


def test_labels_that_do_not_fit_stand_beside_their_marbles_as_far_as_there_is_room() -> None:
    spoken = ["The", " quick", " brown", " fox", " jumps", " over"]
    source = SourceSchedule([(20 * i, word) for i, word in enumerate(spoken)], 120)
    diagram = diagram_of(simulate(reduce(JOINED), source, SlowReader(50)))
    wide, narrow = texts(svg(diagram, width=900)), texts(svg(diagram, width=260))
    assert {word.strip() for word in spoken} <= set(wide)
    assert "quick-brown" in wide
    assert "jumps" not in narrow


def test_stacked_marbles_have_no_labels_beside_them() -> None:
    source = SourceSchedule([(0, "first word"), (0, "second word"), (10, "third word")], 20)
    drawing = svg(diagram_of(simulate(buffer(8), source, DemandSchedule([(5, 8)]))))
    assert not [words for words in texts(drawing) if "word" in words]
    assert drawn_marbles(drawing).total() == 6


def test_terminal_is_told_in_fewer_words_where_there_is_little_room() -> None:
    assert "failed: BufferOverflowError" in texts(svg(ten_messages(ERROR)))
    assert "failed" in texts(svg(ten_messages(ERROR), width=240))


def test_demand_that_is_too_long_to_write_has_its_ticks_all_the_same() -> None:
    drawing = svg(diagram_of(simulate(DROP, TEN, DemandSchedule([(0, 1)] * 60))))
    assert len(list(marks(drawing, "data-n"))) == 60
    assert not [words for words in texts(drawing) if words.startswith("1 1")]


@pytest.mark.parametrize(("count", "radius"), [(1, "11"), (10, "7.5"), (17, "4"), (20, "3.5")])
def test_marbles_are_smaller_the_more_there_are_at_one_instant(count: int, radius: str) -> None:
    burst = SourceSchedule([(0, i) for i in range(count)], 0)
    drawing = svg(diagram_of(simulate(buffer(None), burst, SlowReader(20))))
    radii = {circle.attrib["r"] for mark in marks(drawing, "data-first") for circle in mark.iter(f"{SVG}circle")}
    assert radii == {radius}


# --- Edges -------------------------------------------------------------------------------------------------------


def test_empty_trace_is_three_bare_lanes() -> None:
    diagram = diagram_of(Trace((), StreamStatistics(0, 0, 0, 0, 0, 0, 0, 0)))
    assert not list(marks(svg(diagram)))
    assert describe(diagram) == "No item was emitted."
    assert text(diagram).split() == ["ms", "0", "source", "---", "boundary", "---", "held", "consumer", "---"]


def test_one_item() -> None:
    diagram = diagram_of(simulate(DROP, SourceSchedule([(0, Token(0, "Hi", 0, 0))], 0), READER))
    assert [title for _, _, title in drawn_marbles(svg(diagram))] == ["0, emitted at 0 ms", "0, delivered at 0 ms"]
    assert describe(diagram) == (
        "1 token was emitted, 1 delivered. None was held. Demand was signalled 1 time, 1 in all. "
        "Source: completed at 0 ms. Consumer: completed at 25 ms."
    )


def test_wait_of_a_suspended_source_is_drawn_as_long_as_it_was() -> None:
    diagram = ten_messages(suspend(0))
    waits = diagram.lanes[0].waits
    assert [(wait.from_ms, wait.until_ms) for wait in waits[:2]] == [(10, 25), (25, 50)]
    assert "suspended from 10 ms to 25 ms" in [title_of(mark) for mark in marks(svg(diagram))]
    assert "waits 25 ms" in texts(svg(diagram, width=1200))
    assert "25 ms" in texts(svg(diagram, width=600))


def test_wait_without_an_end_goes_on_to_the_edge() -> None:
    trace = simulate(suspend(0), every(10, "ab"), DemandSchedule([(0, 1), (90, 1)], cancel_ms=95))
    never = Trace(tuple(step for step in trace.steps if step.at_ns < 50 * NS_PER_MS), trace.statistics)
    diagram = diagram_of(never, span_ms=60)
    assert diagram.lanes[0].waits == (Wait(10),)
    assert "suspended from 10 ms on" in [title_of(mark) for mark in marks(svg(diagram))]
    assert "The source was suspended 1 time, 50 ms in all." in describe(diagram)
    assert "a---" in text(diagram)
    assert "..." in text(diagram)


def test_long_streams_are_told_in_seconds() -> None:
    drawing = svg(diagram_of(simulate(DROP, every(1000, "abcdef"), READER)))
    assert "time, s" in texts(drawing)
    assert "6" in texts(drawing)


def test_capacity_far_above_what_was_held_is_only_named() -> None:
    assert "capacity 256 ↑" in texts(svg(diagram_of(simulate(buffer(256), TEN, READER), capacity=256)))


def test_capacity_below_what_was_promised_is_drawn_where_it_is() -> None:
    held = Held(tuple((10.0 * i, i) for i in range(6)), 1)
    drawing = svg(Diagram((Lane("boundary", "passed on", held=held),)))
    assert {"capacity 1", "held ≤ 5"} <= set(texts(drawing))


def test_diagrams_can_have_the_same_span() -> None:
    assert diagram_of(simulate(DROP, TEN, READER), span_ms=500).span_ms == 500
    assert diagram_of(simulate(DROP, TEN, READER), span_ms=5).span_ms == 115


def test_folds_that_are_lost_are_one_marble() -> None:
    trace = simulate(reduce(JOINED), every(10, "abcd"), DemandSchedule([(0, 1)], cancel_ms=35))
    (lost,) = [marble for marble in diagram_of(trace).lanes[1].marbles if marble.kind is MarbleKind.DROPPED]
    assert (lost.label, lost.first, lost.width) == ("b-d", 1, 3)
    assert "4 items were emitted, 1 delivered, 3 dropped (b-d)." in describe(diagram_of(trace))
    assert drawn_marbles(svg(diagram_of(trace)))["boundary", "dropped", "b-d, dropped at 35 ms"] == 1


def test_fold_that_a_join_cannot_make_is_lost_all_the_same() -> None:
    def fail(parts: Any) -> str:
        raise ValueError("cannot")

    trace = simulate(reduce(Join(fail)), every(10, "abc"), READER)
    assert [step.item for step in trace.of(StepKind.DROP)] == [None]
    assert "2 dropped (b-c)" in describe(diagram_of(trace))


def test_items_that_never_arrived_are_told() -> None:
    trace = simulate(buffer(8), every(10, "abc"), DemandSchedule([(0, 1)]))
    assert "2 items had not arrived at the end." in describe(diagram_of(trace))


# --- The description ---------------------------------------------------------------------------------------------


def test_description_tells_what_became_of_ten_messages() -> None:
    assert describe(ten_messages(buffer(2, BufferOverflow.DROP_OLDEST))) == (
        "10 items were emitted, 6 delivered, 4 dropped (2, 4, 5, 7). At most 2 were held (capacity 2). "
        "The longest way took 35 ms (9). Demand was signalled 6 times, 6 in all. "
        "Source: completed at 100 ms. Consumer: completed at 150 ms."
    )
    assert describe(ten_messages(reduce(JOINED))).startswith(
        "10 items were emitted, 10 delivered in 5, some of them merged (1-2, 3-4, 5-7, 8-9)."
    )
    assert describe(ten_messages(ERROR)).endswith("Consumer: failed: BufferOverflowError at 25 ms.")
    assert "1 rejected (5)" in describe(DRAWINGS["cancel"]())
    assert "3 times, in the end without bound" in describe(DRAWINGS["demand"]())
    assert "and 298 more" in describe(diagram_of(crowd()))


def test_description_of_a_single_lane_tells_what_was_emitted() -> None:
    assert describe(Diagram((Lane("source", "emitted", (Marble(0, "a"),)),))) == "1 item was emitted."


# --- As text -----------------------------------------------------------------------------------------------------


def test_text_is_marble_strings() -> None:
    assert text(ten_messages(reduce(JOINED))).splitlines() == [
        "ms        0   10  20  25     30  40  50     60  70  75     80  90  100    125",
        "source    0---1---2----------3---4---5------6---7----------8---9---|",
        "boundary  --------+2-------------+4---------+6--+7-------------+9--------------",
        "held      0   1       0      1                      0      1       0",
        "consumer  0-----------[1-2]----------[3-4]----------[5-7]----------[8-9]--|",
        "demand    +1          +1             +1             +1             +1",
    ]


def test_text_shows_waits_losses_and_cancellation() -> None:
    lines = text(DRAWINGS["cancel"]()).splitlines()
    assert lines[1] == "source    0---1---2-------3---....4...5-----------"
    assert lines[2] == "boundary  ----------------------------(x3 x4 /5)--"
    assert lines[4] == "consumer  0-----------1-----------2---!"
    assert "+inf" in text(DRAWINGS["demand"]())
    assert "#" in text(DRAWINGS["error"]())


def test_text_goes_on_further_down() -> None:
    whole, cut = text(ten_messages(DROP), width=200), text(ten_messages(DROP), width=40)
    assert len(whole.split("\n\n")) == 1
    assert len(cut.split("\n\n")) == 3
    assert all(len(line) <= 40 for line in cut.splitlines())
    assert Counter(re.findall(r"x\d", whole)) == Counter(re.findall(r"x\d", cut))


def test_text_leaves_chinese_two_columns() -> None:
    lines = text(diagram_of(simulate(DROP, SourceSchedule([(0, "你好"), (10, "b")], 20), READER))).splitlines()
    assert lines[0] == "ms        0     10  20  25"
    assert lines[1] == "source    你好--b---|"


# --- From a recording --------------------------------------------------------------------------------------------


def test_recording_has_a_lane_for_each_stage() -> None:
    diagram = recorded()
    assert [lane.name for lane in diagram.lanes] == ["source", "boundary", "socket", "client"]
    source, boundary, socket, client = diagram.lanes
    assert [marble.first for marble in source.marbles] == list(range(12))
    assert [marble.first for marble in source.marbles if marble.about] == [3, 4, 5, 6, 9, 10, 11]
    assert [(marble.first, marble.kind, marble.about) for marble in boundary.marbles] == [
        (5, MarbleKind.DROPPED, True),
        (6, MarbleKind.DROPPED, True),
    ]
    assert [marble.label for marble in socket.marbles] == ["0", "1", "2-4", "7", "8-11"]
    assert [marble.at_ms for marble in client.marbles] == [1.1, 22, 71.5, 140, 190]
    assert "5, dropped at about 76.4 ms" in {title for _, _, title in drawn_marbles(svg(diagram))}


def test_times_that_were_not_recorded_lie_between_those_that_were() -> None:
    source = recorded().lanes[0].marbles
    assert source[3].at_ms == pytest.approx(41 + (100 - 41) / 5)
    assert source[11].at_ms == 180  # the last part of the last one: not after it was taken
    (lane, *_) = diagram_of_recording([RecordedItem(5, emitted_ms=7)], missing=[1, 9]).lanes
    assert [(marble.first, marble.at_ms) for marble in lane.marbles] == [(1, 7), (5, 7), (9, 7)]


def test_stages_that_nothing_is_known_of_are_left_out() -> None:
    def names(*items: RecordedItem, **facts: Any) -> list[str]:
        return [lane.name for lane in diagram_of_recording(items, **facts).lanes]

    assert names() == ["source"]
    assert names(RecordedItem(0, received_ms=1)) == ["client"]
    assert names(RecordedItem(0, emitted_ms=-1, received_ms=1), demand=[(0, 3)]) == ["source", "client"]
    assert names(RecordedItem(0, received_ms=1), missing=[1]) == ["boundary", "client"]
    assert names(RecordedItem(0, taken_ms=1), held=[(-1, 0)]) == ["boundary", "socket"]


def test_ways_of_a_recording_go_from_every_part_to_the_joined_one() -> None:
    drawing = svg(recorded())
    lost = [line for line in parsed(drawing).iter(f"{SVG}line") if line.get("class") == "md-way md-lost"]
    merged = [line for line in parsed(drawing).iter(f"{SVG}line") if line.get("class") == "md-way md-merged"]
    assert (len(lost), len(merged)) == (2, 3 + 4 + 2)


# --- Arguments ---------------------------------------------------------------------------------------------------

LANE = Lane("source", "emitted", (Marble(0, "a"),))


def wrong(value: object) -> Any:
    """Return a value that no type checker would let through."""
    return value


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Marble(-1, "a"), ValueError, "at_ms must be finite and at least 0; got -1"),
        (lambda: Marble(float("nan"), "a"), ValueError, "at_ms must be finite"),
        (lambda: Marble(True, "a"), TypeError, "at_ms must be a number; got True"),
        (lambda: Marble(0, wrong(1)), TypeError, "label must be of type str; got 1"),
        (lambda: Marble(0, "a", wrong("passed")), TypeError, "kind must be of type MarbleKind"),
        (lambda: Marble(0, "a", width=0), ValueError, "width must be an int >= 1; got 0"),
        (lambda: Bar(0, wrong("completed")), TypeError, "kind must be of type BarKind"),
        (lambda: Tick(0, True), TypeError, "n must be of type int; got True"),
        (lambda: Wait(10, 5), ValueError, "until_ms must be finite and at least 10; got 5"),
        (lambda: Held(((5, 1), (4, 1))), ValueError, "the times of samples must be finite and at least 5; got 4"),
        (lambda: Held(((5, -1),)), ValueError, "the counts of samples must be finite and at least 0; got -1"),
        (lambda: Held((), -1), ValueError, "capacity must be an int >= 0, or None"),
        (lambda: Lane("a", "b", (Marble(5, "a"), Marble(4, "b"))), ValueError, "the times of marbles"),
        (lambda: Diagram(()), ValueError, "lanes must hold at least one Lane; got none"),
        (lambda: Diagram((wrong("source"),)), TypeError, "lanes must be of type Lane; got 'source'"),
        (lambda: Diagram((LANE,), span_ms=-1), ValueError, "span_ms must be finite and at least 0; got -1"),
        (lambda: diagram_of(wrong("trace")), TypeError, "trace must be a Trace; got 'trace'"),
        (lambda: diagram_of(crowd(1), labels=wrong("x")), TypeError, "labels must be a function"),
        (lambda: diagram_of(crowd(1), labels=lambda _: wrong(1)), TypeError, "label must be of type str; got 1"),
        (lambda: diagram_of(crowd(1), capacity=-1), ValueError, "capacity must be an int >= 0"),
        (lambda: diagram_of_recording([wrong("item")]), TypeError, "items must be RecordedItem; got 'item'"),
        (lambda: RecordedItem(-1), ValueError, "index must be an int >= 0; got -1"),
        (lambda: RecordedItem(0, 0), ValueError, "merged must be an int >= 1; got 0"),
        (lambda: svg(wrong("diagram")), TypeError, "diagram must be a Diagram; got 'diagram'"),
        (lambda: svg(Diagram((LANE,)), width=239), ValueError, "width must be an int >= 240; got 239"),
        (lambda: svg(Diagram((LANE,)), theme="red"), ValueError, "theme must be one of auto, light, dark; got 'red'"),
        (lambda: svg(Diagram((LANE,)), prefix='"'), ValueError, "prefix must be letters"),
        (lambda: svg(Diagram((LANE,)), prefix=wrong(1)), ValueError, "prefix must be letters"),
        (lambda: text(Diagram((LANE,)), width=39), ValueError, "width must be an int >= 40; got 39"),
    ],
)
def test_bad_arguments_are_refused_by_name(make: Callable[[], object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        make()


def steps(*kinds: StepKind, result: EmitResult | None = None) -> Trace:
    counts = StreamStatistics(0, 0, 0, 0, 0, 0, 0, 0)
    return Trace(tuple(Step(0, kind, 0, 0, "a", result=result) for kind in kinds), counts)


@pytest.mark.parametrize("kind", [StepKind.DELIVER, StepKind.DROP, StepKind.MERGE, StepKind.REJECT])
def test_trace_that_tells_of_items_never_emitted_is_refused(kind: StepKind) -> None:
    with pytest.raises(ValueError, match="trace must"):
        diagram_of(steps(kind))


def test_marbles_say_the_beginning_of_long_items() -> None:
    diagram = diagram_of(simulate(DROP, SourceSchedule([(0, "a rather long item"), (0, None)], 0), READER))
    assert [marble.label for marble in diagram.lanes[0].marbles] == ["a rather lo…", "None"]


def test_token_that_is_joined_already_says_which_it_stands_for() -> None:
    diagram = diagram_of(simulate(DROP, SourceSchedule([(0, Token(3, "abc", 0, 0, merged=3))], 0), READER))
    assert diagram.lanes[0].marbles[0].label == "3-5"
    assert diagram.noun == "token"
