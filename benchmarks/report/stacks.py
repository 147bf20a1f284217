"""Ours against other stacks: a comparison as a section of the report, and as a page of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.peers.comparison import OURS, WARMED_UP, Comparison, Row, Skipped, load
from benchmarks.report.bars import measured
from benchmarks.report.columns import Figure, number, shown
from benchmarks.report.document import document, folded, section
from benchmarks.report.markup import Child, Markup, tag
from benchmarks.report.tables import facts, scrolled
from benchmarks.results import ResultsError, write_whole

__all__ = ("OURS", "page", "section_of", "write_page")

_KEY: Final = "stacks"
_TITLE: Final = "Against other stacks"


@dataclass(frozen=True, slots=True)
class _Case:
    title: str
    note: str
    less_is_better: bool = False


_CASES: Final[Mapping[str, _Case]] = {
    "firehose": _Case(
        "One stream, as fast as it comes",
        "Tokens a second of one stream whose source never waits, JSON per token. More is better.",
    ),
    "paced": _Case(
        "Streams that are in time",
        "How many streams of 50 tokens a second a server holds on one core while 99 % of the tokens arrive within "
        "20 ms of when they were due. More is better.",
    ),
    "memory": _Case(
        "Memory of an open stream",
        "What 1,000 open, silent streams add to the server's process, divided by their number. Less is better.",
        less_is_better=True,
    ),
}


# --- Where it stands -------------------------------------------------------------------------------------------------


def page(comparison: Comparison) -> str:
    """Return a file that shows a comparison alone. It has no script."""
    rounds = max((len(row.values) for row in comparison.rows), default=0)
    contenders = len({row.contender for row in comparison.rows})
    told = [f"{contenders} contenders", f"{rounds} round{'' if rounds == 1 else 's'}", comparison.created]
    footer = f"{comparison.format}, version {comparison.version}. This file holds all that it shows and asks for "
    return document(
        title="tokenweir: against other stacks",
        head=[
            tag("h1", "The same stream from other stacks"),
            tag("p", " · ".join(each for each in told if each), class_="lead"),
        ],
        main=[_section(comparison)],
        footer=["Written by ", tag("code", "python -m benchmarks.peers"), f" from {footer}nothing over a network."],
    )


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(path, page(comparison).encode())


def section_of(path: Path) -> Markup:
    """Return the section that shows the comparison in a file, or says why it cannot be read."""
    try:
        return _section(load(path))
    except ResultsError as error:
        return section(_KEY, _TITLE, tag("p", f"There is no comparison to show: {error}", class_="absent"))


def _section(comparison: Comparison) -> Markup:
    by_case: dict[str, list[Row]] = {}
    for row in comparison.rows:
        by_case.setdefault(row.case, []).append(row)
    return section(
        _KEY,
        _TITLE,
        _interrupted() if comparison.interrupted else None,
        _first_look() if comparison.quick else None,
        tag("p", _how(comparison), class_="note"),
        _goals(comparison.rows),
        *(_case(name, rows) for name, rows in by_case.items()),
        None if by_case else tag("p", "Nothing was measured.", class_="absent"),
        _not_measured(comparison),
        folded("The machine of this comparison", facts({"created": comparison.created, **comparison.environment})),
    )


# --- In words --------------------------------------------------------------------------------------------------------


def _first_look() -> Markup:
    words = "One round and short windows: enough to see that all of them stream, too little to tell them apart."
    return _banner("A first look.", words)


def _interrupted() -> Markup:
    return _banner("Interrupted.", "This is what was measured before; rounds and contenders are missing.")


def _banner(begin: str, words: str) -> Markup:
    return tag("p", tag("strong", begin), " ", words, class_="banner mild", role="note")


def _how(comparison: Comparison) -> str:
    return " ".join(
        [
            "All were measured in one run over loopback, in turn, each time with a new server; a bar is the median of "
            "the rounds, the thin line reaches from the lowest to the highest.",
            *_reference(comparison.rows),
            *_warm_up(comparison),
        ]
    )


def _reference(rows: Iterable[Row]) -> list[str]:
    """Say what ratios are of: ours that has none itself."""
    names = dict.fromkeys(row.contender for row in rows if row.stack == OURS and row.ratio is None)
    return [f"“Ours / theirs” is {next(iter(names))} divided by the line's own, taken round by round."] if names else []


def _warm_up(comparison: Comparison) -> list[str]:
    if not any(row.case in WARMED_UP for row in comparison.rows):
        return []
    if not comparison.warm_up_s:
        return ["Each streamed before its speed was measured."]
    together: dict[float, list[str]] = {}
    for name, warm_up in comparison.warm_up_s.items():
        together.setdefault(warm_up, []).append(name)
    each = [f"{shown(warm_up)} s: {', '.join(names)}" for warm_up, names in sorted(together.items(), reverse=True)]
    longer = "; ".join(each)
    return [f"Each streamed before its speed was measured, those that compile while they run for longer ({longer})."]


def _goals(rows: Iterable[Row]) -> Markup | None:
    wanted = [row for row in rows if row.goal]
    if not wanted:
        return None
    met, missed, unknown = ([row for row in wanted if row.met is verdict] for verdict in (True, False, None))
    words = f"{len(met)} of {len(wanted)} goals were met"
    if unknown:
        words += f", {len(unknown)} not known: {', '.join(f'{row.case} {row.contender}' for row in unknown)}"
    if not missed:
        return tag("p", f"{words}.", class_="goals" if unknown else "right")
    items = [
        tag("li", f"{row.case}, {row.contender}: ours / theirs is {_ratio(row)}, wanted {_wanted(row)}")
        for row in missed
    ]
    return tag("div", tag("p", f"{words}. Missed:"), tag("ul", *items, class_="wrong-lines"), class_="goals")


def _not_measured(comparison: Comparison) -> Markup | None:
    items = [tag("li", tag("b", case), f": {reason}") for case, reason in comparison.left_out.items()]
    items += [tag("li", tag("b", each.contender), f" ({each.stack}): ", _reason(each)) for each in comparison.skipped]
    return tag("div", tag("p", "Not measured:"), tag("ul", *items), class_="absent") if items else None


def _reason(skipped: Skipped) -> Markup:
    return tag("span", skipped.reason, class_="wrong" if skipped.failed else None)


# --- A case ----------------------------------------------------------------------------------------------------------


def _case(name: str, rows: Sequence[Row]) -> Markup:
    case = _CASES.get(name, _Case(name, ""))
    figures = {id(row): found for row in rows if (found := _figure(row)) is not None}
    whole = max((figures[id(row)].high for row in rows if row.comparable and id(row) in figures), default=0.0)

    def rank(row: Row) -> tuple[bool, float]:
        found = figures.get(id(row))
        if found is None:
            return True, float("inf")
        return not row.comparable, found.median if case.less_is_better else -found.median

    with_goals, with_notes = any(row.goal for row in rows), any(row.note for row in rows)
    units = ", ".join(dict.fromkeys(row.unit for row in rows))
    heads = ["Contender", units, "Ours / theirs"] + ["Goal"] * with_goals + ["Note"] * with_notes
    head = [tag("th", words, scope="col", class_=_CSS.get(words, "words")) for words in heads]
    body = [
        _row(row, figures.get(id(row)), whole, with_goals=with_goals, with_notes=with_notes)
        for row in sorted(rows, key=rank)
    ]
    caption = f"{case.title}: ours and theirs"
    table = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
        class_="figures stacks",
    )
    note = tag("p", case.note, class_="note") if case.note else None
    return tag("section", tag("h3", case.title), note, scrolled(table, caption), class_="chart")


_CSS: Final[Mapping[str, str | None]] = {"Ours / theirs": None}


def _figure(row: Row) -> Figure | None:
    values = [value for each in row.values if (value := number(each)) is not None]
    middle = number(row.value)
    if middle is None:
        return Figure(median(values), min(values), max(values), len(values)) if values else None
    return Figure(middle, min([middle, *values]), max([middle, *values]), len(values))


def _row(row: Row, found: Figure | None, whole: float, *, with_goals: bool, with_notes: bool) -> Markup:
    is_ours = row.stack == OURS
    cells: list[Child] = [
        tag("th", tag("b" if is_ours else "span", row.contender), tag("small", row.stack), scope="row"),
        _bar(row, found, whole, "bar ours" if is_ours else "bar theirs"),
        tag("td", _ratio(row), class_=None if row.ratio is not None else "none"),
        _goal(row) if with_goals else None,
        tag("td", row.note, class_=f"words remark{' wrong' if None in row.values else ''}") if with_notes else None,
    ]
    return tag("tr", *cells, class_="ours" if is_ours else None)


def _bar(row: Row, found: Figure | None, whole: float, css: str) -> Markup:
    if found is None:
        return tag("td", tag("span", "no value", class_="none"), class_="words")
    words = f"{shown(found.median)} {row.unit}"
    track = measured(found, whole, css) if row.comparable else None
    rounds = ", ".join("failed" if (value := number(each)) is None else shown(value) for each in row.values)
    label = tag(
        "span",
        shown(found.median),
        class_="value" if row.comparable else "value none",
        title=f"{words}; by round: {rounds}",
    )
    return tag("td", tag("div", track, label, class_="bar-and-value"), class_="words")


def _ratio(row: Row) -> str:
    ratio = number(row.ratio)
    return "–" if ratio is None else f"{ratio:.2f} x"


def _wanted(row: Row) -> str:
    return row.goal.replace(">=", "≥").replace("<=", "≤")


def _goal(row: Row) -> Markup:
    if not row.goal:
        return tag("td")
    verdict, css = {True: ("✓ met", "right"), False: ("✗ missed", "wrong"), None: ("not known", "none")}[row.met]
    return tag("td", tag("span", verdict, class_=css), tag("small", f"wanted {_wanted(row)}"), class_="words lines")
