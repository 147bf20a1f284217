"""The parts of a report that are mostly words: what is wrong, the answers, what measures mean and who names them so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from benchmarks.measures.definitions import DEFINITIONS, LETTERS, TOOLS, Definition
from benchmarks.measures.formulas import SYMBOLS
from benchmarks.report.columns import number, shown
from benchmarks.report.markup import Markup, tag
from benchmarks.report.tables import limits, scrolled, violations
from benchmarks.results import CellResult, NullRun, Results
from benchmarks.summary import answers as summary

__all__ = ("answers", "banners", "definitions", "floor", "names_elsewhere", "wrong_lines")

_MOST_LINES: Final = 200


# --- What is wrong ---------------------------------------------------------------------------------------------------


def banners(results: Results) -> list[Markup]:
    """Return what a reader must know before all figures: whether they are whole, add up, and are the server's."""
    wrong = sum(len(violations(cell)) for cell in results.cells)
    limited = [cell for cell in results.cells if "client" in limits(cell)]
    busy = [cell for cell in results.cells if limits(cell) == ["machine"]]
    failed = [cell for cell in results.cells if cell.error]
    found: list[Markup] = []
    if wrong:
        words = f"In {_count(wrong, 'place')} the counts do not add up: tokens are unaccounted for. "
        found.append(_banner("Accounting mismatch.", words, tag("a", "See which.", href="#accounting")))
    if limited:
        words = f"In {_count(len(limited), 'cell')} the load client was the limit, so the figures are the client's: "
        found.append(_banner("Client-bound.", words + _some(_once(limited)) + "."))
    if failed:
        words = f"{_count(len(failed), 'cell')} could not be measured, wholly or in part: "
        found.append(_banner("Errors.", words + _some(_once(failed)) + "."))
    if busy:
        words = (
            f"In {_count(len(busy), 'cell')} the load client had little to do and was late all the same, so something "
            "else had the cores. Times there may be too long; counts and losses stand: "
        )
        found.append(_banner("The machine was busy.", words + _some(_once(busy)) + ".", css="banner mild"))
    if results.interrupted:
        words = "The run was ended before its end. What is here was measured all the same; the rest is missing."
        found.append(_banner("Interrupted.", words, css="banner mild"))
    return found


def _banner(title: str, words: str, more: Markup | None = None, css: str = "banner") -> Markup:
    return tag("p", tag("strong", title), " ", words, more, class_=css, role="note")


def _once(cells: Iterable[CellResult]) -> list[str]:
    return list(dict.fromkeys(f"{cell.scenario}, {cell.name}" for cell in cells))


def _some(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def wrong_lines(cells: Iterable[CellResult]) -> Markup:
    """Return every line of what did not add up, or that all did."""
    lines = [(cell, line) for cell in cells for line in violations(cell)]
    if not lines:
        return tag("p", "Every stream adds up.", class_="right")
    items = [tag("li", tag("b", f"{cell.scenario}: {cell.name}"), " – ", line) for cell, line in lines[:_MOST_LINES]]
    if len(lines) > _MOST_LINES:
        items.append(tag("li", f"and {len(lines) - _MOST_LINES} more; the results file has all of them."))
    return tag("ul", *items, class_="wrong-lines")


# --- The answers -----------------------------------------------------------------------------------------------------


def answers(results: Results) -> dict[str, tuple[str, ...]]:
    """Return the sentences that answer each scenario's question, by the scenario's name."""
    return {answer.scenario: answer.sentences for answer in summary.answers(results)}


# --- The client's floor ----------------------------------------------------------------------------------------------


def floor(null_run: NullRun | None, clients: int) -> Markup:
    """Return what the client can do at most, or each of several."""
    if null_run is None:
        return tag("p", "The client's own floor was not measured in this run.", class_="absent")
    figures: Mapping[str, tuple[object, str]] = {
        "Tokens only counted": (null_run.counted_tokens_per_s, "tokens/s"),
        "Every index checked": (null_run.checked_tokens_per_s, "tokens/s"),
        "From a bare write to the client's stamp, median": (null_run.delay_p50_us, "µs"),
    }
    rows = [
        tag("div", tag("dt", title), tag("dd", "not known" if value is None else f"{shown(value)} {unit}"))
        for title, (raw, unit) in figures.items()
        for value in [number(raw)]
    ]
    who = "the client does" if clients == 1 else f"each of the {clients} clients does"
    note = f"What {who} at most, reading a server that only sends prepared bytes. Figures near it are its own."
    return tag("div", tag("p", note, class_="note"), tag("dl", *rows, class_="facts"))


# --- What the names mean ---------------------------------------------------------------------------------------------


def definitions(results: Results) -> Markup:
    """Return every measure of the results with its formula, as the results file itself defines it."""
    if not results.definitions:
        return tag("p", "The results file does not say what its measures mean.", class_="absent")
    head = tag("tr", *(tag("th", title, scope="col") for title in ("Measure", "Unit", "Formula", "Better", "Name")))
    rows = [_definition(name, words) for name, words in results.definitions.items()]
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="prose")
    return tag("div", tag("p", SYMBOLS, class_="note"), scrolled(table, "Definitions of the measures"))


def _definition(name: str, words: Mapping[str, str]) -> Markup:
    return tag(
        "tr",
        tag("th", words.get("title") or name, scope="row"),
        *(tag("td", str(words.get(key) or "")) for key in ("unit", "formula", "better")),
        tag("td", tag("code", name)),
    )


def names_elsewhere() -> Markup:
    """Return what other tools call the same, or what they mean by the same name."""
    head = tag("tr", tag("th", "", scope="col"), *(tag("th", tool, scope="col") for tool in TOOLS))
    rows = [
        tag("tr", tag("th", metric.title, scope="row"), *(_called(metric.tools.get(tool)) for tool in TOOLS))
        for metric in DEFINITIONS.values()
    ]
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="prose")
    return tag("div", tag("p", LETTERS, class_="note"), scrolled(table, "The same under other tools' names"))


def _called(definition: Definition | None) -> Markup:
    if definition is None:
        return tag("td", "–", class_="none")
    note = tag("small", definition.note) if definition.note else None
    return tag("td", tag("b", definition.called), tag("span", definition.formula), note, class_="lines")
