"""A scenario's section: what its question asks for stands open, all else is in folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.report import bars, charts, words
from benchmarks.report.bars import Bars
from benchmarks.report.charts import Chart
from benchmarks.report.colours import Look
from benchmarks.report.columns import Column
from benchmarks.report.document import folded, section
from benchmarks.report.figures import figures
from benchmarks.report.markup import Markup, tag
from benchmarks.results import CellResult, Results

__all__ = ("Scenario", "answers", "leading", "placed", "scenarios")

_LEADING: Final = "slow-reader"
"""What most people come for: it stands first."""

_OPEN: Final = 2
_ALL: Final = ("throughput", "delays", "latencies", "losses", "freshness", "memory")
_TELLING: Final[Mapping[str, tuple[str, ...]]] = {
    "slow-reader": ("delays", "freshness"),
    "stalled": ("memory", "delays"),
    "bursty": ("freshness", "delays"),
    "reader-speed": ("losses", "freshness"),
    "leaving": ("delays", "throughput"),
    "ordering": ("throughput", "delays"),
    "fan-out": ("latencies", "memory"),
    "sse-vs-websocket": ("latencies", "delays"),
    "firehose": ("throughput", "memory"),
    "arrivals": ("latencies", "throughput"),
}
"""The charts that say most to a scenario's question; of a scenario that is not here, the first of `_ALL`."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a run has of a scenario.

    Attributes:
        key: its id in the page.
        name: of the scenario.
        question: what it asks; "" if it is not known.
        answer: sentences.
        cells: those measured; none if the run ended before.
    """

    key: str
    name: str
    question: str
    answer: tuple[str, ...]
    cells: list[CellResult]


def scenarios(results: Results) -> list[Scenario]:
    """Return the scenarios that have cells or a question, in the order in which the cells name them."""
    by_name: dict[str, list[CellResult]] = {}
    for cell in results.cells:
        by_name.setdefault(cell.scenario, []).append(cell)
    for name in results.questions:
        by_name.setdefault(name, [])
    said = words.answers(results)
    return [
        Scenario(f"scenario-{index}", name, results.questions.get(name, ""), said.get(name, ()), cells)
        for index, (name, cells) in enumerate(by_name.items())
    ]


def leading(found: Iterable[Scenario]) -> Scenario | None:
    """Return the one that stands before all others, with its answer; None if it was not measured."""
    return next((each for each in found if each.name == _LEADING and each.cells), None)


def answers(found: Iterable[Scenario]) -> Markup | None:
    """Return the answers to all questions."""
    items = [
        tag(
            "div",
            tag("dt", tag("a", each.question, href=f"#{each.key}")),
            *(tag("dd", sentence) for sentence in each.answer or ("The figures are in its section.",)),
        )
        for each in found
        if each.question
    ]
    return section("answers", "In words", tag("dl", *items, class_="answers")) if items else None


def placed(
    scenario: Scenario, looks: Mapping[str, Look], results: Results, drawn: list[Chart], *, leads: bool = False
) -> Markup:
    """Return a scenario's section, and append its line charts to `drawn`.

    One that leads has its answer and its most telling chart before its table.
    """
    title, cells = scenario.question or scenario.name, scenario.cells
    if not cells:
        absent = tag("p", "The run ended before this scenario was measured.", class_="absent")
        return section(scenario.key, title, absent)
    blocks = _blocks(scenario, looks, results, drawn)
    there = [each.content for each in blocks if each.content is not None]
    first = 1 if leads else 0
    return section(
        scenario.key,
        title,
        tag("p", scenario.name, class_="tag") if scenario.question else None,
        tag("ul", *(tag("li", sentence) for sentence in scenario.answer), class_="answer") if leads else None,
        *there[:first],
        figures(scenario.name, cells, looks, results.definitions),
        *there[first:_OPEN],
        _more(blocks, there[_OPEN:]),
    )


def _blocks(scenario: Scenario, looks: Mapping[str, Look], results: Results, drawn: list[Chart]) -> list[Bars]:
    """Return all charts of a scenario, or why there is none, the most telling first."""
    cells = scenario.cells
    blocks = {
        "throughput": bars.throughput(cells, looks, Column.of("tokens_per_s", results.definitions)),
        "delays": bars.delays(cells, looks),
    }
    for make in (charts.latencies, charts.losses, charts.freshness, charts.memory):
        chart = make(f"{scenario.key}-{make.__name__}", cells, looks)
        blocks[make.__name__] = Bars(chart.title, charts.placed(chart) if chart.views else None, chart.absent)
        drawn += [chart] if chart.views else []
    order = dict.fromkeys([*_TELLING.get(scenario.name, ()), *_ALL])
    return [blocks[name] for name in order]


def _more(blocks: Sequence[Bars], rest: Sequence[Markup]) -> Markup | None:
    """Return the charts that are not open, and why others are not there."""
    absent = [tag("li", tag("b", each.title), ": ", each.absent) for each in blocks if each.content is None]
    why = tag("div", tag("p", "No chart of:"), tag("ul", *absent), class_="absent") if absent else None
    if not rest:
        return why
    names = [each.title for each in blocks if each.content is not None][-len(rest) :]
    return folded(f"More charts: {'; '.join(names)}", *rest, why)
