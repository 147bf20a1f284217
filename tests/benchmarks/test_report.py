"""The report without a browser: one file that bears any results, keeps text text, and says what is missing."""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from benchmarks.measures.histograms import encoded, histogram_of
from benchmarks.report import render, write
from benchmarks.report.charts import latencies, losses
from benchmarks.report.colours import SLOT_COUNT, assign
from benchmarks.report.columns import Column, number, shown
from benchmarks.report.curves import PERCENTILES, mean_us, percentiles, pooled
from benchmarks.report.marbles import diagram, span_ms
from benchmarks.report.markup import Markup, tag
from benchmarks.results import ClientCheck, Repeat, Results, Timeline
from streams.marbles import Bar, BarKind, Held, Lane, MarbleKind
from tests.benchmarks.made_up import EXTREME, cell, made_up_results, many_cells, repeat_of, stream

__all__ = ()

ROOT: Final = Path(__file__).parents[2]
_MAY_RUN: Final = re.compile(r"<(script|style)([^>]*)>(.*?)</\1>", re.DOTALL)
_VOID: Final = frozenset({"meta", "br"})


@pytest.fixture(scope="module")
def whole() -> str:
    return render(made_up_results())


class _Reader(HTMLParser):
    """Checks that elements nest, and collects text, ids, links and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)


def _read(document: str) -> _Reader:
    reader = _Reader()
    reader.feed(document)
    reader.close()
    assert reader.open == []
    return reader


def _data(document: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', document, re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


# --- One file --------------------------------------------------------------------------------------------------------


def test_report_names_nothing_outside_itself(whole: str) -> None:
    reader = _read(whole)
    assert all(link.startswith("#") for link in reader.links)
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert not {"link", "img", "iframe", "object", "base"} & set(reader.tags)
    assert "@import" not in whole
    assert "url(" not in whole


def test_policy_allows_what_is_in_the_file_and_nothing_else(whole: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', whole)
    assert policy is not None
    directives = dict(directive.strip().split(" ", 1) for directive in policy[1].split(";"))
    assert directives["default-src"] == "'none'"
    hashes = {"script": set[str](), "style": set[str]()}
    for name, attributes, text in _MAY_RUN.findall(whole):
        if "application/json" not in attributes:
            hashes[name].add(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'")
    assert set(directives["script-src"].split()) == hashes["script"]
    assert set(directives["style-src"].split()) == hashes["style"]


def test_report_has_no_style_or_handler_in_an_attribute_which_the_policy_would_refuse(whole: str) -> None:
    names = {name for name, _ in _read(whole).attributes}
    assert not {name for name in names if name == "style" or name.startswith("on")}


def test_ids_are_unique(whole: str) -> None:
    ids = _read(whole).ids
    assert len(ids) == len(set(ids))


def test_report_keeps_the_licence_of_what_it_embeds(whole: str) -> None:
    assert "Permission is hereby granted, free of charge" in whole
    assert "Leon Sorokin" in whole


def test_write_puts_the_same_document_into_a_file(tmp_path: Path) -> None:
    results = EXTREME["one cell"]()
    write(results, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8") == render(results)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


# --- Any results -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", EXTREME.values(), ids=list(EXTREME))
def test_odd_results_give_a_whole_document(make: Callable[[], Results]) -> None:
    reader = _read(render(make()))
    assert "main" in reader.tags
    assert {"timelines", "accounting", "client", "environment", "definitions", "elsewhere"} <= set(reader.ids)


@pytest.mark.parametrize("make", EXTREME.values(), ids=list(EXTREME))
def test_no_chart_is_empty(make: Callable[[], Results]) -> None:
    for chart in _data(render(make())).values():
        assert chart["views"]
        assert all(view["panels"] for view in chart["views"])
        lines = [line for view in chart["views"] for panel in view["panels"] for line in panel["lines"]]
        assert all(len(line["x"]) == len(line["y"]) > 0 for line in lines)


def test_text_of_results_stays_text() -> None:
    document = render(EXTREME["text as markup"]())
    reader = _read(document)
    assert "img" not in reader.tags
    assert reader.tags.count("script") == 3
    assert not any(name.startswith("on") for name, _ in reader.attributes)
    assert "<img src=x onerror=alert(1)></script><b>&" in "".join(reader.texts)
    document.encode("utf-8")


def test_missing_parts_are_said_in_words() -> None:
    texts = " ".join(_read(render(EXTREME["nothing"]())).texts)
    assert "No cell was measured" in texts
    assert "no timeline to draw" in texts
    assert "does not say what its measures mean" in texts


def test_cell_with_an_error_is_a_row_and_its_words_stand_below() -> None:
    texts = "".join(_read(render(EXTREME["errored"]())).texts)
    assert "not measured: an error, see below" in texts
    assert "Not measured, wholly or in part:rx drop fastthe server did not start" in texts


def test_error_in_one_repeat_hides_no_figure_of_the_others() -> None:
    results = EXTREME["one cell"]()
    results.cells[0].error = "the second repeat failed"
    texts = "".join(_read(render(results)).texts)
    assert "error in a repeat, see below" in texts
    assert "the second repeat failed" in texts
    assert "not measured: " not in texts


def test_interrupted_run_says_so_and_shows_what_was_left_out() -> None:
    texts = "".join(_read(render(EXTREME["interrupted"]())).texts)
    assert "Interrupted." in texts
    assert "not measured: the run ended before" in texts


def test_scenario_that_was_never_reached_says_so() -> None:
    results = EXTREME["interrupted"]()
    results.questions["stalled"], results.cells = "What is lost?", results.cells[:1]
    texts = "".join(_read(render(results)).texts)
    assert "What is lost?The run ended before this scenario was measured." in texts


def test_client_that_was_the_limit_is_a_banner() -> None:
    texts = "".join(_read(render(EXTREME["client-bound"]())).texts)
    assert "Client-bound. In 1 cell the load client was the limit, so the figures are the client's: firehose" in texts
    assert "97 % of its core were used" in texts


def test_machine_that_was_busy_is_a_mild_banner_and_no_fault_of_the_client() -> None:
    results = EXTREME["client-bound"]()
    results.cells[0].repeats[0].client = ClientCheck(
        cpu_share=0.1, lag_p99_ms=90.0, lag_max_ms=99.0, bound=True, reason="its loop was late"
    )
    document = render(results)
    texts = "".join(_read(document).texts)
    assert "The machine was busy. In 1 cell the load client had little to do" in texts
    assert "the machine was busy: its loop was late" in texts
    assert "lient-bound" not in texts
    assert 'class="banner mild"' in document
    assert 'class="banner"' not in document


def test_violations_are_a_banner_and_named() -> None:
    texts = "".join(_read(render(EXTREME["violated"]())).texts)
    assert "Accounting mismatch. In 300 places the counts do not add up" in texts
    assert "stream 7: emitted 10 is not delivered 9" in texts
    assert "and 100 more" in texts


def test_one_violation_is_named_alone_above_counts_that_stand_open() -> None:
    results = EXTREME["one cell"]()
    results.cells[0].repeats[0].accounting = ["stream 1: one token is unaccounted for"]
    document = render(results)
    texts = "".join(_read(document).texts)
    assert "In 1 place the counts do not add up" in texts
    assert "one token is unaccounted for" in texts
    assert "the results file has all of them" not in texts
    assert '<details class="more" open><summary>The counts of every cell' in document


def test_good_run_has_no_banner(whole: str) -> None:
    assert "Every stream adds up." in whole
    assert "Accounting mismatch" not in whole
    assert "Client-bound" not in whole


def test_every_definition_is_printed_with_its_formula(whole: str) -> None:
    texts = "".join(_read(whole).texts)
    for words in made_up_results().definitions.values():
        assert words["title"] in texts
        assert words["formula"] in texts


def test_answers_stand_before_all_figures(whole: str) -> None:
    reader = _read(whole)
    order = ("scenario-0-title", "answers-title", "timelines-title", "scenario-1-title", "accounting-title")
    assert sorted(order, key=reader.ids.index) == list(order)
    assert "Nothing was lost with" in "".join(reader.texts)


def test_slow_reader_comes_first_with_its_answer_and_a_chart_before_its_table(whole: str) -> None:
    section = whole[whole.index('id="scenario-0"') : whole.index('id="answers"')]
    marks = ("Which one, for a slow reader?", "Nothing was lost with", 'class="bars"', "<table", "<details")
    places = [section.index(mark) for mark in marks]
    assert places == sorted(places)


def test_without_a_slow_reader_answers_come_first() -> None:
    results = made_up_results()
    results.cells = [each for each in results.cells if each.scenario != "slow-reader"]
    del results.questions["slow-reader"]
    ids = _read(render(results)).ids
    assert ids.index("answers-title") < ids.index("timelines-title") < ids.index("scenario-0-title")


def test_each_scenario_has_two_charts_open_at_most_and_the_rest_in_a_fold(whole: str) -> None:
    sections = re.findall(r'<section id="scenario-\d+".*?(?=<section id=)', whole, re.DOTALL)
    assert len(sections) == 5
    for section in sections:
        before, fold, after = section.partition('<details class="more">')
        assert before.count('class="chart"') == 2 if fold else before.count('class="chart"') <= 2
        assert bool(fold) is ('class="chart"' in after)


def test_first_table_has_what_the_question_asks_for_and_the_fold_has_all_others(whole: str) -> None:
    section = whole[whole.index('id="scenario-0"') : whole.index('id="answers"')]
    first, _, fold = section.partition("All other measures (")
    assert "CPU per million" in first
    assert "Source held back, p99" in first
    assert "Time to first byte" not in first
    assert "Time to first byte" in fold


def test_parts_of_a_delay_that_nobody_measured_are_not_named(whole: str) -> None:
    assert "queue and socket together are its delay" in whole
    assert "in the client" not in whole


def test_note_says_why_more_may_be_held_than_the_capacity(whole: str) -> None:
    assert "up to its capacity + the open demand; missing has no boundary" in whole


# --- Numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (1234567.8, "1,234,568"),
        (99.96, "100"),
        (12.34, "12.3"),
        (1.234, "1.23"),
        (0.01234, "0.012"),
        (-5.5, "-5.50"),
        (1e300, "1e+300"),
    ],
)
def test_number_is_shown_with_about_three_digits(value: float, words: str) -> None:
    assert shown(value) == words


@pytest.mark.parametrize("value", [None, True, "5", float("nan"), float("inf"), 10**400])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    assert number(value) is None


def test_share_is_shown_in_per_cent() -> None:
    column = Column.of("loss_share", {"loss_share": {"title": "Lost", "unit": "share"}})
    assert column.value(0.125) == "12.5 %"


def test_measure_without_a_definition_goes_by_its_name() -> None:
    assert Column.of("odd_ms", {}).title == "odd ms"


def _repeat(values_ms: list[float]) -> Repeat:
    histogram = histogram_of(np.array([round(value * 1e6) for value in values_ms], np.int64))
    return Repeat(measures={}, histograms=encoded({"x_us": histogram}))


def test_percentile_curve_is_by_nearest_rank_over_all_repeats() -> None:
    repeats = [_repeat([1.0, 2.0, 3.0, 4.0, 5.0]), _repeat([6.0, 7.0, 8.0, 9.0, 10.0])]
    curve = dict(percentiles(pooled(repeats, "x_us")))
    assert curve[PERCENTILES[50]] == pytest.approx(5_000, rel=2e-3)
    assert curve[PERCENTILES[90]] == pytest.approx(9_000, rel=2e-3)
    assert PERCENTILES[95] not in curve
    assert curve[max(curve)] == pytest.approx(10_000, rel=2e-3)


def test_percentile_curve_of_one_value_is_that_value() -> None:
    curve = percentiles(pooled([_repeat([7.0])], "x_us"))
    assert [value_us for _, value_us in curve] == pytest.approx([7_000, 7_000], rel=2e-3)


def test_mean_is_within_the_histograms_rounding() -> None:
    assert mean_us(pooled([_repeat([1.0, 2.0]), _repeat([30.0])], "x_us")) == pytest.approx(11_000, rel=2e-3)


@pytest.mark.parametrize("text", ["", "x", "AAAA", "no histogram", "é"])
def test_what_is_no_histogram_counts_as_none(text: str) -> None:
    assert pooled([Repeat(measures={}, histograms={"x_us": text})], "x_us") is None


def test_loss_is_set_against_speeds_in_their_order() -> None:
    def reader(speed: str, loss: float) -> Any:
        return cell("s", "flux", "drop", speed, [Repeat(measures={"loss_share": loss})])

    cells = [
        reader("fast", 0.0),
        reader("paced:50tokens/s", 0.5),
        reader("stalled:2s", 0.9),
        reader("paced:9tokens/s", 0.8),
    ]
    chart = losses("key", cells, assign(["drop"]))
    assert chart.ticks == ("9 tokens/s", "50 tokens/s", "as fast as it can")
    assert chart.views[0].panels[0].lines[0].y == [80.0, 50.0, 0.0]


def test_loss_at_one_speed_is_no_chart() -> None:
    only = cell("s", "flux", "drop", "paced:50tokens/s", [Repeat(measures={"loss_share": 0.5})])
    assert losses("key", [only], assign(["drop"])).views == []


def test_cells_that_share_a_strategy_in_one_panel_go_by_their_names() -> None:
    repeat = repeat_of([stream("drop", rate=400, count=20, read_gap_ms=1)])
    cells = [cell("s", "flux", "drop", "fast", [repeat]) for _ in range(2)]
    for count, each in enumerate(cells):
        each.name = f"number {count}"
    panel = latencies("key", cells, assign(["drop"])).views[0].panels[0]
    assert [line.label for line in panel.lines] == ["number 0", "number 1"]


# --- Markup ----------------------------------------------------------------------------------------------------------


def test_text_and_attributes_are_escaped_and_markup_is_not() -> None:
    element = tag("p", "<&\"'", Markup("<b>x</b>"), title='"<', class_="a", data_x=1, hidden=True, open=False)
    expected = '<p title="&quot;&lt;" class="a" data-x="1" hidden>&lt;&amp;&quot;&#x27;<b>x</b></p>'
    assert element == expected


def test_what_html_cannot_hold_is_replaced() -> None:
    assert tag("p", "a\0b\ud800c") == "<p>a\ufffdb?c</p>"


# --- Timelines -------------------------------------------------------------------------------------------------------


def _timeline(**others: Any) -> Timeline:
    tokens = [[0.0, 1.0, 0.0, 0.0, 1.0, 2.0], [3.0, 4.0, 30.0, 30.0, 31.0, 40.0]]
    fields: dict[str, Any] = {
        "stream_id": "s",
        "tokens": tokens,
        "missing": [1, 2],
        "held": [[0.0, 0.0], [20.0, 5.0]],
        "ended_ms": 40.0,
        "outcome": "completed",
    }
    return Timeline(**(fields | others))


def _lanes(timeline: Timeline, *, span: float = 40.0, **request: str) -> dict[str, Lane]:
    of = cell("s", "flux", "drop", "fast")
    of.parameters = {"request": request}
    return {lane.name: lane for lane in diagram(of, timeline, span).lanes}


def test_timeline_shows_every_token_in_every_lane_and_every_loss() -> None:
    lanes = _lanes(_timeline())
    assert {name: [item for marble in lane.marbles for item in marble.items] for name, lane in lanes.items()} == {
        "source": [0, 1, 2, 3, 4, 5, 6],
        "boundary": [1, 2],
        "socket": [0, 3, 4, 5, 6],
        "client": [0, 3, 4, 5, 6],
    }
    assert [marble.kind for marble in lanes["client"].marbles] == [MarbleKind.PASSED, MarbleKind.MERGED]
    assert [marble.kind for marble in lanes["boundary"].marbles] == [MarbleKind.DROPPED] * 2


def _drawn(*timelines: Timeline, strategy: str = "suspend", readers: tuple[str, ...] = ("fast",)) -> str:
    """Return the text of a report of one cell per reader and timeline."""
    cells = [
        cell("s", "flux", strategy, reader, [Repeat(measures={}, timeline=timeline)])
        for reader, timeline in zip(readers, timelines, strict=True)
    ]
    return "".join(_read(render(Results(cells=cells))).texts)


_QUIET: Final = [[float(seq), 1.0, seq, seq, seq, seq + 1.0] for seq in range(5)]
_HELD_BACK: Final = [[float(seq), 1.0, seq, seq * 40.0, seq * 40.0, seq * 40.0 + 1] for seq in range(5)]


def test_piece_in_which_nothing_is_seen_says_so() -> None:
    words = "In this piece the strategy has nothing to do"
    assert words in _drawn(_timeline(tokens=_QUIET, missing=[]))
    assert words not in _drawn(_timeline(tokens=_QUIET, missing=[], ended_ms=5.2, outcome="failed"))
    assert words not in _drawn(_timeline())


def test_source_that_is_held_back_is_said_beside_its_timeline() -> None:
    assert "The source fell 156 ms behind its schedule." in _drawn(_timeline(tokens=_HELD_BACK, missing=[]))


def test_timeline_in_which_something_is_seen_is_chosen_before_a_more_telling_reader() -> None:
    quiet, telling = _timeline(tokens=_QUIET, missing=[]), _timeline(tokens=_HELD_BACK, missing=[])
    texts = _drawn(quiet, telling, readers=("paced:9tokens/s", "bursty:1s/1s"))
    assert "behind its schedule" in texts
    assert "nothing to do" not in texts


def test_end_that_comes_soon_after_the_last_token_is_in_the_piece() -> None:
    assert span_ms(_timeline(ended_ms=43.0)) == 43
    assert span_ms(_timeline(ended_ms=80.0)) == 40


def test_lost_tokens_lie_between_those_beside_them_as_an_estimate() -> None:
    source = _lanes(_timeline())["source"]
    assert [(marble.at_ms, marble.about) for marble in source.marbles[:4]] == [
        (0, False),
        (pytest.approx(10), True),
        (pytest.approx(20), True),
        (30, False),
    ]


def test_timeline_without_server_times_has_one_lane() -> None:
    lanes = _lanes(_timeline(tokens=[[7.0, 1.0, math.nan, math.nan, math.nan, 5.0]], missing=[], held=[]))
    assert list(lanes) == ["client"]


def test_rows_without_an_index_or_a_time_are_not_drawn() -> None:
    rows = [[math.nan, 1, 0, 0, 0, 5.0], [-1, 1, 0, 0, 0, 5.0], [2.0, 1, 9.0], [], [3.0]]
    assert span_ms(_timeline(tokens=rows)) == 0


def test_piece_ends_before_a_token_that_claims_to_be_more_than_can_be_drawn() -> None:
    assert span_ms(_timeline(tokens=[[0, 1, 0, 0, 1, 2], [1, 10**9, 3, 3, 4, 5]])) == 2


@pytest.mark.parametrize(
    ("outcome", "bar"),
    [
        ("completed", Bar(40, BarKind.COMPLETED)),
        ("left", Bar(40, BarKind.CANCELLED)),
        ("failed", Bar(40, BarKind.FAILED)),
        ("not_a_stream", Bar(40, BarKind.FAILED, "not a stream")),
    ],
)
def test_end_of_a_stream_is_a_bar_at_the_client(outcome: str, bar: Bar) -> None:
    assert _lanes(_timeline(outcome=outcome))["client"].bars == (bar,)


@pytest.mark.parametrize("ended_ms", [None, math.nan, 40.5, -1.0])
def test_end_that_is_not_known_or_behind_the_piece_is_not_drawn(ended_ms: float | None) -> None:
    assert _lanes(_timeline(ended_ms=ended_ms))["client"].bars == ()


def test_boundary_shows_what_was_counted_within_the_piece_and_its_capacity() -> None:
    held = [[20.0, 5.0], [0.0, 0.0], [30.0, -1.0], [35.0, math.nan], [41.0, 9.0]]
    boundary = _lanes(_timeline(held=held), strategy="buffer", capacity="32")["boundary"]
    assert boundary.held == Held(((0.0, 0.0), (20.0, 5.0)), 32)


@pytest.mark.parametrize("capacity", ["unbounded", "", "-1", "²"])
def test_capacity_that_is_no_number_has_no_line(capacity: str) -> None:
    assert _lanes(_timeline(), capacity=capacity)["boundary"].held == Held(((0.0, 0.0), (20.0, 5.0)))


def test_counts_that_are_all_0_do_not_say_that_nothing_was_held() -> None:
    assert _lanes(_timeline(held=[[0.0, 0.0], [20.0, 0.0]]))["boundary"].held is None


def test_span_is_the_least_length_of_the_axis() -> None:
    of = cell("s", "flux", "drop", "fast")
    assert span_ms(_timeline()) == 40
    assert diagram(of, _timeline(), 90.0).span_ms == 90


def test_every_timeline_is_told_in_words_and_has_its_strategys_colour(whole: str) -> None:
    figures = re.findall(r'<figure class="timeline (s\d) style\d">.*?<p class="note">(.*?)</p>', whole)
    cells = made_up_results().cells
    looks = assign(each.strategy for each in cells)
    recorded = {each.strategy for each in cells if each.repeats[0].timeline is not None}
    assert len(figures) == whole.count('class="marble-diagram"') == len(recorded)
    assert {slot for slot, _ in figures} == {f"s{looks[strategy].slot}" for strategy in recorded}
    assert all("tokens were emitted" in words for _, words in figures)


# --- Colours ---------------------------------------------------------------------------------------------------------


def test_strategy_looks_the_same_whatever_stands_beside_it() -> None:
    alone = assign(["latest"])["latest"]
    assert assign(["buffer(3, drop_oldest)", "odd", "latest", "drop"])["latest"] == alone


def test_strategies_of_the_presets_all_look_different() -> None:
    rules = ("error", "drop_oldest", "drop_incoming", "drop_newest_held", "suspend")
    names = ["missing", "error", "drop", "latest", "reduce", "suspend", "buffer(unbounded)", "buffer(256, suspend)"]
    looks = assign([*names, *(f"buffer(32, {rule})" for rule in rules)])
    assert len(set(looks.values())) == len(looks)


def test_more_strategies_than_looks_share_them() -> None:
    looks = assign(each.strategy for each in many_cells().cells)
    assert {look.slot for look in looks.values()} <= set(range(SLOT_COUNT))
    assert assign(str(count) for count in range(100))["99"] in set(assign(map(str, range(24))).values())


# Linear RGB as people see it with a full deficiency of one kind: Machado, Oliveira and Fernandes, 2009, severity 1.
_SEEN: Final = {
    "all": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
_TO_LMS: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OKLAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _colours(theme: int) -> dict[str, Any]:
    """Return the custom properties of the light (0) or dark (1) theme as linear RGB."""
    style = (ROOT / "benchmarks/report/report.css").read_text("utf-8")
    blocks = re.findall(r":root[^{]*\{([^}]*--ground[^}]*)\}", style)
    found: dict[str, Any] = {}
    for name, code in re.findall(r"--([a-z0-9-]+): #([0-9a-f]{6});", blocks[theme]):
        channels = np.array([int(code[at : at + 2], 16) / 255 for at in (0, 2, 4)])
        found[name] = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return found


def _contrast(one: Any, other: Any) -> float:
    low, high = sorted(float(colour @ np.array([0.2126, 0.7152, 0.0722])) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("seen", _SEEN.values(), ids=list(_SEEN))
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_are_told_apart(theme: int, seen: Any) -> None:
    colours = _colours(theme)
    slots = [np.clip(seen @ colours[f"c{slot}"], 0, 1) for slot in range(SLOT_COUNT)]
    labs = [_TO_OKLAB @ np.cbrt(_TO_LMS @ slot) for slot in slots]
    # About five times what is just noticed when two colours touch.
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(labs, 2)) > 0.07


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_stand_out_from_the_ground(theme: int) -> None:
    colours = _colours(theme)
    for slot in range(SLOT_COUNT):
        assert _contrast(colours[f"c{slot}"], colours["paper"]) > 2.95
    for name in ("ink", "muted", "accent", "wrong"):
        assert _contrast(colours[name], colours["paper"]) > 4.5
        assert _contrast(colours[name], colours["ground"]) > 4.5
