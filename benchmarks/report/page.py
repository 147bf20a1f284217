"""The report's page, put together: its sections in order, and the one file that holds them, their style and script."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import Any, Final

from benchmarks.report import bars, charts, marbles, tables, words
from benchmarks.report.charts import Chart
from benchmarks.report.colours import Look, assign
from benchmarks.report.columns import Column, number
from benchmarks.report.markup import Markup, joined, tag
from benchmarks.results import CellResult, Results, Timeline
from streams.marbles import describe
from streams.marbles.look import STYLE

__all__ = ("page",)

# A reader that the strategies show themselves to comes first.
_TELLING: Final = ("paced", "bursty", "stalled", "leaving", "fast")


@dataclass(frozen=True, slots=True)
class _Scenario:
    name: str
    question: str
    answer: tuple[str, ...]
    cells: list[CellResult]


def page(results: Results) -> str:
    """Return the whole file."""
    looks = assign(cell.strategy for cell in results.cells)
    scenarios = _scenarios(results)
    drawn: list[Chart] = []
    sections = [_scenario(index, each, looks, results, drawn) for index, each in enumerate(scenarios)]
    main = joined(
        [
            *words.banners(results),
            _answers(scenarios),
            _timelines(results.cells, looks),
            *(sections or [tag("p", "No cell was measured in this run.", class_="absent")]),
            _accounting(results.cells),
            _client(results),
            _section("environment", "The machine and the run", tables.environment(results)),
            _section("definitions", "What the measures mean", words.definitions(results)),
            _section("elsewhere", "The same under other tools' names", words.names_elsewhere()),
        ]
    )
    return _file(results, main, scenarios, drawn)


def _section(key: str, title: str, *content: Markup | None) -> Markup:
    return tag("section", tag("h2", title, id=f"{key}-title"), *content, id=key, aria_labelledby=f"{key}-title")


# --- Scenarios -------------------------------------------------------------------------------------------------------


def _scenarios(results: Results) -> list[_Scenario]:
    """Return the scenarios that have cells or a question, in the order in which the cells name them."""
    by_name: dict[str, list[CellResult]] = {}
    for cell in results.cells:
        by_name.setdefault(cell.scenario, []).append(cell)
    for name in results.questions:
        by_name.setdefault(name, [])
    answers = words.answers(results)
    questions = {name: results.questions.get(name, "") for name in by_name}
    return [_Scenario(name, questions[name], answers.get(name, ()), cells) for name, cells in by_name.items()]


def _answers(scenarios: Sequence[_Scenario]) -> Markup | None:
    asked = [(index, each) for index, each in enumerate(scenarios) if each.question]
    if not asked:
        return None
    items = [
        tag(
            "div",
            tag("dt", tag("a", each.question, href=f"#scenario-{index}")),
            *(tag("dd", sentence) for sentence in each.answer or ("The figures are in its section.",)),
        )
        for index, each in asked
    ]
    return _section("answers", "In words", tag("dl", *items, class_="answers"))


def _scenario(
    index: int, scenario: _Scenario, looks: Mapping[str, Look], results: Results, drawn: list[Chart]
) -> Markup:
    """Return a scenario's section, and append its line charts to `drawn`."""
    key, cells = f"scenario-{index}", scenario.cells
    title = scenario.question or scenario.name
    if not cells:
        return _section(key, title, tag("p", "The run ended before this scenario was measured.", class_="absent"))
    column = Column.of("tokens_per_s", results.definitions)
    lines = [
        make(f"{key}-{make.__name__}", cells, looks)
        for make in (charts.latencies, charts.losses, charts.freshness, charts.memory)
    ]
    drawn.extend(chart for chart in lines if chart.views)
    blocks = [bars.throughput(cells, looks, column), bars.delays(cells, looks)]
    absent = [(each.title, each.absent) for each in blocks if each.content is None]
    absent += [(chart.title, chart.absent) for chart in lines if not chart.views]
    return _section(
        key,
        title,
        tag("p", scenario.name, class_="tag") if scenario.question else None,
        tables.figures(scenario.name, cells, looks, results.definitions),
        *(each.content for each in blocks),
        *(charts.placed(chart) for chart in lines if chart.views),
        _absent(absent),
    )


def _absent(charts_and_reasons: Iterable[tuple[str, str]]) -> Markup | None:
    items = [tag("li", tag("b", title), ": ", reason) for title, reason in charts_and_reasons]
    return tag("div", tag("p", "No chart of:"), tag("ul", *items), class_="absent") if items else None


# --- Timelines -------------------------------------------------------------------------------------------------------


def _timelines(cells: Sequence[CellResult], looks: Mapping[str, Look]) -> Markup:
    """Return a diagram per strategy: of the scenario that shows most strategies, and of others for the rest."""
    chosen = _one_per_strategy(cells)
    if not chosen:
        absent = tag("p", "No stream was recorded token by token, so there is no timeline to draw.", class_="absent")
        return _section("timelines", "One stream per strategy, token by token", absent)
    spans: dict[tuple[str, str], float] = {}
    for cell, timeline in chosen:
        kind = (cell.scenario, cell.reader)
        spans[kind] = max(spans.get(kind, 0.0), marbles.span_ms(timeline))
    figures = [
        _timeline(index, cell, timeline, looks, spans[cell.scenario, cell.reader])
        for index, (cell, timeline) in enumerate(chosen)
    ]
    note = tag(
        "p",
        "A piece of one recorded stream per strategy; what came behind its last token is not drawn, but for the end. "
        "Time runs to the right, at the same scale for those with the same reader. A line leads from when a token left "
        "the source to when the reader had it. A full marble is a token; a wide one stands for several, merged into "
        "one event; a hollow one, crossed out, was lost. A pale one left the source at a time that was not recorded, "
        "and is placed by those beside it. How many were held is what the server counted now and then.",
        class_="note",
    )
    return _section(
        "timelines",
        "One stream per strategy, token by token",
        note,
        tag("div", *figures, class_="panels timelines"),
    )


def _timeline(index: int, cell: CellResult, timeline: Timeline, looks: Mapping[str, Look], span: float) -> Markup:
    name = f"{cell.variant} {cell.strategy}, reader {cell.reader}"
    diagram = marbles.diagram(cell, timeline, span)
    head = tag("figcaption", tag("b", cell.strategy), tag("span", f"{cell.variant}, {cell.reader}, {cell.scenario}"))
    story = tag("p", describe(diagram), class_="note")
    drawn = marbles.drawn(diagram, name=name, key=f"timeline-{index}")
    box = tag("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=f"Timeline of {name}")
    return tag("figure", head, story, box, class_=f"timeline {looks[cell.strategy].css}")


def _one_per_strategy(cells: Sequence[CellResult]) -> list[tuple[CellResult, Timeline]]:
    recorded = [(cell, timeline) for cell in cells if (timeline := _recorded(cell)) is not None]
    counts: dict[tuple[str, str], set[str]] = {}
    for cell, _ in recorded:
        counts.setdefault((cell.scenario, cell.reader), set()).add(cell.strategy)

    def rank(pair: tuple[CellResult, Timeline]) -> tuple[int, int]:
        cell, _ = pair
        kind = cell.reader.partition(":")[0]
        telling = _TELLING.index(kind) if kind in _TELLING else len(_TELLING)
        return telling, -len(counts[cell.scenario, cell.reader])

    chosen: dict[str, tuple[CellResult, Timeline]] = {}
    for cell, timeline in sorted(recorded, key=rank):
        chosen.setdefault(cell.strategy, (cell, timeline))
    return list(chosen.values())


def _recorded(cell: CellResult) -> Timeline | None:
    for repeat in cell.repeats:
        if repeat.timeline is not None and marbles.span_ms(repeat.timeline) > 0:
            return repeat.timeline
    return None


# --- Whether the figures can be trusted ------------------------------------------------------------------------------


def _accounting(cells: Sequence[CellResult]) -> Markup:
    identity = tag(
        "p",
        "On the server: emitted = delivered + dropped + merged + rejected + held. Between both: delivered = received, "
        "and for a reader that left, + in transit.",
        class_="note",
    )
    content = [words.wrong_lines(cells), tables.accounting(cells)] if _any_counts(cells) else [tables.accounting(cells)]
    return _section("accounting", "Is every token accounted for?", identity, *content)


def _any_counts(cells: Iterable[CellResult]) -> bool:
    return any(repeat.counts or repeat.accounting for cell in cells for repeat in cell.repeats)


def _client(results: Results) -> Markup:
    return _section(
        "client", "Was the load client the limit?", words.floor(results.null_run), tables.clients(results.cells)
    )


# --- The file --------------------------------------------------------------------------------------------------------


def _file(results: Results, main: Markup, scenarios: Sequence[_Scenario], drawn: Sequence[Chart]) -> str:
    ours, uplot = files("benchmarks") / "report", files("servers") / "page"
    licence = uplot.joinpath("uplot.LICENSE").read_text("utf-8").replace("*/", "* /").strip()
    style = uplot.joinpath("uplot.min.css").read_text("utf-8") + ours.joinpath("report.css").read_text("utf-8")
    scripts = [ours.joinpath(name).read_text("utf-8") for name in ("charts.js", "tables.js", "report.js")]
    library = f"/*!\n{licence}\n*/\n{uplot.joinpath('uplot.min.js').read_text('utf-8')}"
    script = "\n".join(scripts)
    title = f"tokenweir benchmark{': ' + results.preset if results.preset else ''}"
    return Template(ours.joinpath("template.html").read_text("utf-8")).substitute(
        policy=_policy([style, STYLE], [library, script]),
        title=tag("title", title),
        style=style,
        heading=_heading(results),
        contents=_contents(scenarios),
        main=main,
        format=tag("span", f"{results.format}, version {results.version}"),
        data=_data({chart.key: chart.data() for chart in drawn}),
        library=library,
        script=script,
    )


def _policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    """Return a content security policy that allows what is in the file and no request at all."""
    style_hashes, script_hashes = (" ".join(map(_hash, texts)) for texts in (styles, scripts))
    allowed = f"script-src {script_hashes}; style-src {style_hashes}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _data(charts_by_key: Mapping[str, Any]) -> str:
    """Return JSON that no text in it can end: ASCII alone, and no `<`."""
    return json.dumps(charts_by_key, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _heading(results: Results) -> Markup:
    streams = sum(sum(repeat.outcomes.values()) for cell in results.cells for repeat in cell.repeats)
    seconds = number(results.elapsed_s)
    facts = [
        f"preset {results.preset}" if results.preset else "",
        f"{len(results.cells)} cell{'' if len(results.cells) == 1 else 's'}",
        f"{streams:,} stream{'' if streams == 1 else 's'}" if streams else "",
        f"{seconds:,.0f} s" if seconds else "",
        results.created,
    ]
    return joined(
        [
            tag("h1", "What backpressure does to a token stream"),
            tag("p", " · ".join(fact for fact in facts if fact), class_="lead"),
        ]
    )


def _contents(scenarios: Sequence[_Scenario]) -> Markup:
    links = {"timelines": "Timelines"}
    links |= {f"scenario-{index}": each.name for index, each in enumerate(scenarios)}
    links |= {"accounting": "Accounting", "client": "Client", "environment": "Machine", "definitions": "Definitions"}
    items = [tag("li", tag("a", title, href=f"#{key}")) for key, title in links.items()]
    return tag("nav", tag("ul", *items), aria_label="Contents")
