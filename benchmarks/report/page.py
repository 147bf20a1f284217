"""The report's page, put together: its sections in order, and the one file that holds them, their style and script."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from benchmarks.report import scenarios, tables, timelines, words
from benchmarks.report.charts import Chart
from benchmarks.report.colours import assign
from benchmarks.report.columns import number
from benchmarks.report.document import contents, document, folded, section
from benchmarks.report.markup import Child, Markup, tag
from benchmarks.report.scenarios import Scenario
from benchmarks.results import CellResult, Results
from streams.marbles.look import STYLE

__all__ = ("page",)

_NO_SCRIPT: Final = tag(
    "noscript",
    tag(
        "p",
        "Line charts and sorting need JavaScript. All tables, bars and timelines are here without it.",
        class_="banner mild",
    ),
)


def page(results: Results, stacks: Markup | None = None) -> str:
    """Return the whole file.

    Args:
        results: what is shown.
        stacks: the section "Against other stacks"; None: there is none.
    """
    looks = assign(cell.strategy for cell in results.cells)
    found = scenarios.scenarios(results)
    first = scenarios.leading(found)
    rest = [each for each in found if each is not first]
    drawn: list[Chart] = []
    main = [
        _NO_SCRIPT,
        *words.banners(results),
        None if first is None else scenarios.placed(first, looks, results, drawn, leads=True),
        scenarios.answers(rest),
        timelines.timelines(results.cells, looks),
        *(scenarios.placed(each, looks, results, drawn) for each in rest),
        None if found else tag("p", "No cell was measured in this run.", class_="absent"),
        stacks,
        _accounting(results.cells),
        _client(results),
        section("environment", "The machine and the run", tables.environment(results)),
        section("definitions", "What the measures mean", _definitions(results)),
        section(
            "elsewhere", "The same under other tools' names", folded("Names and formulas", words.names_elsewhere())
        ),
    ]
    return _file(results, main, [*_heading(results), _contents(found, has_stacks=stacks is not None)], drawn)


def _definitions(results: Results) -> Markup:
    count = len(results.definitions)
    said = words.definitions(results)
    return folded(f"All {count} measures with their formulas", said) if count else said


# --- Whether the figures can be trusted ------------------------------------------------------------------------------


def _accounting(cells: Sequence[CellResult]) -> Markup:
    identity = tag(
        "p",
        "On the server: emitted = delivered + dropped + merged + rejected + held. Between both: delivered = received, "
        "and for a reader that left, + in transit.",
        class_="note",
    )
    title = "Is every token accounted for?"
    if not _any_counts(cells):
        return section("accounting", title, identity, tables.accounting(cells))
    is_wrong = any(tables.violations(cell) for cell in cells)
    counts = folded("The counts of every cell", tables.accounting(cells), is_open=is_wrong)
    return section("accounting", title, identity, words.wrong_lines(cells), counts)


def _any_counts(cells: Iterable[CellResult]) -> bool:
    return any(repeat.counts or repeat.accounting for cell in cells for repeat in cell.repeats)


def _client(results: Results) -> Markup:
    is_limit = any("client" in tables.limits(cell) for cell in results.cells)
    checks = folded("What the client says of itself, cell by cell", tables.clients(results.cells), is_open=is_limit)
    return section("client", "Was the load client the limit?", words.floor(results.null_run, results.clients), checks)


# --- The file --------------------------------------------------------------------------------------------------------


def _file(results: Results, main: Iterable[Child], head: Iterable[Child], drawn: Sequence[Chart]) -> str:
    ours, uplot = files("benchmarks") / "report", files("servers") / "page"
    licence = uplot.joinpath("uplot.LICENSE").read_text("utf-8").replace("*/", "* /").strip()
    library = f"/*!\n{licence}\n*/\n{uplot.joinpath('uplot.min.js').read_text('utf-8')}"
    module = "\n".join(ours.joinpath(name).read_text("utf-8") for name in ("charts.js", "tables.js", "report.js"))
    footer = (
        "Written by ",
        tag("code", "python -m benchmarks"),
        " from ",
        tag("span", f"{results.format}, version {results.version}"),
        ". This file holds all that it shows and asks for nothing over a network. Charts are drawn by uPlot, "
        "© Leon Sorokin, MIT licence, whose text is in this file's source.",
    )
    return document(
        title=f"tokenweir benchmark{': ' + results.preset if results.preset else ''}",
        head=head,
        main=main,
        footer=footer,
        styles=[STYLE],
        scripts=[library, module],
        data=_data({chart.key: chart.data() for chart in drawn}),
    )


def _data(charts_by_key: Mapping[str, Any]) -> str:
    """Return JSON that no text in it can end: ASCII alone, and no `<`."""
    return json.dumps(charts_by_key, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _heading(results: Results) -> list[Markup]:
    streams = sum(sum(repeat.outcomes.values()) for cell in results.cells for repeat in cell.repeats)
    seconds = number(results.elapsed_s)
    facts = [
        f"preset {results.preset}" if results.preset else "",
        f"{len(results.cells)} cell{'' if len(results.cells) == 1 else 's'}",
        f"{streams:,} stream{'' if streams == 1 else 's'}" if streams else "",
        f"{seconds:,.0f} s" if seconds else "",
        results.created,
    ]
    return [
        tag("h1", "What backpressure does to a token stream"),
        tag("p", " · ".join(fact for fact in facts if fact), class_="lead"),
    ]


def _contents(found: Sequence[Scenario], *, has_stacks: bool) -> Markup:
    links = {each.key: each.name for each in found}
    links |= {"timelines": "Timelines"}
    links |= {"stacks": "Other stacks"} if has_stacks else {}
    links |= {"accounting": "Accounting", "client": "Client", "environment": "Machine", "definitions": "Definitions"}
    return contents(links)
