"""Ours against other stacks: one drawing for a page and for the report, and words instead of a broken file."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.peers.comparison import Comparison, Row, Skipped, save
from benchmarks.report import render, write
from benchmarks.report.stacks import OURS, page, section_of, write_page
from tests.benchmarks.made_up import EXTREME, MARKUP

__all__ = ("comparison",)

CASES: Final = {"firehose": "tokens/s", "paced": "streams", "memory": "KiB/stream"}


def row(case: str, contender: str, stack: str, values: list[float | None], **others: Any) -> Row:
    known = sorted(value for value in values if value is not None)
    value = known[len(known) // 2] if known else None
    unit = CASES.get(case, "things")
    return Row(case=case, contender=contender, stack=stack, unit=unit, values=values, value=value, **others)


def comparison(**others: Any) -> Comparison:
    """Make up a comparison of three cases, with goals met, missed and not judged, and two peers that are not in it."""
    rows = [
        row("firehose", "theirs", "Node.js", [500.0, 400.0, 600.0], ratio=1.6, goal="> 1 x", met=True),
        row("firehose", "ours", OURS, [790.0, 800.0, 810.0]),
        row("paced", "ours", OURS, [2_000.0]),
        row("paced", "theirs", "Node.js", [2_700.0], ratio=0.74, goal=">= 0.8 x", met=False),
        row("paced", "broken", "Python", [None], goal=">= 1.75 x", note="failed: connection reset"),
        row("memory", "ours", OURS, [6.0]),
        row("memory", "theirs", "Node.js", [9.0], ratio=0.67),
        row("memory", "small", "Python", [3.0], comparable=False, note="only 10 of 1000 streams had begun"),
    ]
    skipped = [
        Skipped(contender="another", stack="Spring MVC", reason="install java: Java 17"),
        Skipped(contender="unbuilt", stack="Node.js", reason="npm ci failed", failed=True),
    ]
    fields: dict[str, Any] = {
        "quick": False,
        "environment": {"cpu": "A Processor"},
        "rows": rows,
        "skipped": skipped,
        "warm_up_s": {"theirs": 5.0},
        "created": "2026-01-02T03:04:05+00:00",
    }
    return Comparison(**(fields | others))


def texts_of(document: str) -> str:
    body = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", document, flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]+>", " ", body))


def contenders_of(document: str) -> list[list[str]]:
    """Return the contenders of each table, from top to bottom."""
    return [re.findall(r'<th scope="row"><\w+>(\w+)</', each) for each in document.split("<table")[1:]]


# --- What is shown ---------------------------------------------------------------------------------------------------


def test_each_case_is_a_table_the_best_on_top_and_what_is_not_comparable_or_has_no_value_below() -> None:
    assert contenders_of(page(comparison())) == [
        ["ours", "theirs"],
        ["theirs", "ours", "broken"],
        ["ours", "theirs", "small"],
    ]


def test_value_that_is_not_comparable_has_its_number_and_note_but_no_bar_and_no_part_in_the_scale() -> None:
    rows = [row("memory", "ours", OURS, [6.0]), row("memory", "queued", "Python", [600.0], comparable=False, note="so")]
    document = page(comparison(rows=rows, skipped=[]))
    assert "queued Python 600 – so" in " ".join(texts_of(document).split())
    assert "bar theirs" not in document
    assert 'width="100.000%"' in document


def test_row_has_its_value_its_ratio_its_goal_and_its_note() -> None:
    texts = " ".join(texts_of(page(comparison())).split())
    assert "theirs Node.js 500 1.60 x ✓ met wanted > 1 x" in texts
    assert "theirs Node.js 2,700 0.74 x ✗ missed wanted ≥ 0.8 x" in texts
    assert "broken Python no value – not known wanted ≥ 1.75 x failed: connection reset" in texts


def test_goals_are_counted_and_those_missed_are_named_above_all_tables() -> None:
    texts = " ".join(texts_of(page(comparison())).split())
    counted = "1 of 3 goals were met, 1 not known: paced broken. Missed:"
    assert f"{counted} paced, theirs: ours / theirs is 0.74 x, wanted ≥ 0.8 x" in texts


def test_goals_that_are_not_known_are_no_success() -> None:
    rows = [row("paced", name, "Node.js", [1.0], goal=">= 0.8 x", met=met) for name, met in (("a", True), ("b", None))]
    document = page(comparison(rows=rows))
    assert '<p class="goals">1 of 2 goals were met, 1 not known: paced b.</p>' in document


def test_comparison_that_met_every_goal_has_no_list() -> None:
    rows = [row("paced", "theirs", "Node.js", [1.0], ratio=2.0, goal=">= 0.8 x", met=True)]
    texts = " ".join(texts_of(page(comparison(rows=rows))).split())
    assert "1 of 1 goals were met." in texts
    assert "Missed" not in texts
    assert '<p class="right">' in page(comparison(rows=rows))


def test_ours_are_set_apart() -> None:
    document = page(comparison())
    assert document.count('<tr class="ours">') == document.count('class="bar ours"') == 3
    assert document.count('class="bar theirs"') == 3


def test_bar_has_a_line_over_its_rounds_if_there_are_several() -> None:
    assert page(comparison()).count('class="spread"') == 2


def test_skipped_peers_stand_with_what_to_install() -> None:
    texts = " ".join(texts_of(page(comparison())).split())
    assert "Not measured: another (Spring MVC): install java: Java 17 unbuilt (Node.js): npm ci failed" in texts


def test_case_that_was_left_out_stands_with_the_reason() -> None:
    texts = " ".join(texts_of(page(comparison(left_out={"memory": "needs Linux"}, skipped=[]))).split())
    assert "Not measured: memory : needs Linux" in texts


def test_what_was_done_before_measuring_is_said() -> None:
    texts = texts_of(page(comparison()))
    assert "those that compile while they run for longer (5 s: theirs)" in texts
    assert "“Ours / theirs” is ours divided by" in texts
    assert "A Processor" in texts


@pytest.mark.parametrize(("case", "is_said"), [("firehose", True), ("paced", True), ("memory", False)])
def test_warm_up_is_said_only_of_cases_that_have_one(case: str, is_said: bool) -> None:
    document = page(comparison(rows=[row(case, "theirs", "Python", [1.0])], warm_up_s={}))
    assert ("Each streamed before its speed was measured." in document) is is_said


@pytest.mark.parametrize("interrupted", [True, False])
def test_comparison_that_was_interrupted_says_so(interrupted: bool) -> None:
    assert ("Interrupted." in page(comparison(interrupted=interrupted))) is interrupted


@pytest.mark.parametrize("quick", [True, False])
def test_first_look_says_what_it_is(quick: bool) -> None:
    assert ("A first look." in page(comparison(quick=quick))) is quick


def test_case_that_is_not_known_goes_by_its_name() -> None:
    assert "<h3>another case</h3>" in page(comparison(rows=[row("another case", "ours", OURS, [1.0])]))


def test_nothing_measured_is_said_in_words() -> None:
    assert "Nothing was measured." in page(comparison(rows=[], skipped=[], warm_up_s={}))


def test_odd_numbers_and_markup_are_no_trouble() -> None:
    rows = [
        row("paced", MARKUP, MARKUP, [float("nan"), float("inf")], note=MARKUP, goal=MARKUP, ratio=float("nan")),
        Row(case=MARKUP, contender="x", stack=OURS, unit=MARKUP, values=[0.0, 3.0], value=None),
    ]
    document = page(comparison(rows=rows, environment={MARKUP: [MARKUP]}))
    assert "<img" not in document
    assert "nan" not in texts_of(document).casefold()


def test_page_names_nothing_outside_itself_and_has_no_script() -> None:
    document = page(comparison())
    assert "<script" not in document
    assert "url(" not in document
    assert "script-src 'none'" in document
    assert set(re.findall(r'href="([^"]*)"', document)) == {"#main"}


def test_write_page_puts_the_document_into_a_file(tmp_path: Path) -> None:
    write_page(comparison(), tmp_path / "peers.html")
    assert (tmp_path / "peers.html").read_text("utf-8") == page(comparison())


# --- In the report ---------------------------------------------------------------------------------------------------


def test_report_shows_the_comparison_that_lies_beside_it_as_its_own_page_does(tmp_path: Path) -> None:
    save(comparison(), tmp_path / "peers.json")
    write(EXTREME["one cell"](), tmp_path / "report.html")
    document = (tmp_path / "report.html").read_text("utf-8")
    assert section_of(tmp_path / "peers.json") in document
    assert section_of(tmp_path / "peers.json") in page(comparison())
    assert 'href="#stacks"' in document


def test_report_alone_has_no_such_section(tmp_path: Path) -> None:
    write(EXTREME["one cell"](), tmp_path / "report.html")
    assert "stacks" not in re.findall(r'id="(\w+)"', (tmp_path / "report.html").read_text("utf-8"))


def test_report_shows_the_comparison_that_is_named(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    save(comparison(), elsewhere)
    write(EXTREME["one cell"](), tmp_path / "report.html", peers=elsewhere)
    assert (tmp_path / "report.html").read_text("utf-8") == render(EXTREME["one cell"](), elsewhere)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": "tokenweir-peers", "version": 9}', "[" * 100_000])
def test_broken_or_foreign_comparison_is_a_sentence_in_the_report(tmp_path: Path, text: str) -> None:
    (tmp_path / "peers.json").write_text(text, encoding="utf-8")
    write(EXTREME["one cell"](), tmp_path / "report.html")
    assert "There is no comparison to show:" in texts_of((tmp_path / "report.html").read_text("utf-8"))


def test_comparison_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in texts_of(section_of(tmp_path / "none.json"))
