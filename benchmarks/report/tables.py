"""Tables of a report that sort and scroll: what became of the tokens, the client, the machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from benchmarks.report.columns import number, shown
from benchmarks.report.markup import Child, Markup, tag
from benchmarks.results import CellResult, ClientCheck, Repeat, Results

__all__ = (
    "LIMITS",
    "accounting",
    "clients",
    "environment",
    "facts",
    "heading",
    "limits",
    "scrolled",
    "sortable",
    "violations",
)

_COUNTS: Final = (
    "emitted",
    "delivered",
    "dropped",
    "merged",
    "rejected",
    "held",
    "received",
    "in_transit",
    "duplicates",
    "missing",
)

LIMITS: Final[Mapping[str, str]] = {"client": "client-bound", "machine": "the machine was busy"}
"""Who was the limit, by `ClientCheck.kind`."""


def scrolled(table: Markup, label: str) -> Markup:
    """Put a table where it can be moved sideways, by keyboard too, if the window is too narrow for it."""
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=label)


def sortable(head: Iterable[Child], body: Iterable[Child], caption: str, css: str = "") -> Markup:
    """Return a table that a press on a heading sorts."""
    table = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
        class_=f"{css} sortable".lstrip(),
    )
    return scrolled(table, caption)


def heading(title: str, unit: str = "", *, tip: str = "", css: str = "") -> Markup:
    """Return a column's heading; `tip` is shown to who points at it."""
    button = tag("button", title, tag("small", unit) if unit else None, type="button")
    return tag("th", button, scope="col", title=tip or None, aria_sort="none", class_=css or None)


# --- Whether all tokens are accounted for ----------------------------------------------------------------------------


def accounting(cells: Sequence[CellResult]) -> Markup:
    """Return the counts of every cell, summed over its streams and repeats."""
    counted = [(cell, _summed(repeat.counts for repeat in cell.repeats)) for cell in cells]
    names = [name for name in _COUNTS if any(name in counts for _, counts in counted)]
    if not names:
        return tag("p", "No stream was counted by its server, so there is nothing to add up.", class_="absent")
    head = [
        heading("Scenario", css="words"),
        heading("Cell", css="words"),
        *(heading(name.replace("_", " ")) for name in names),
        heading("Adds up"),
    ]
    body = [_counts(cell, counts, names) for cell, counts in counted if counts]
    return sortable(head, body, "Tokens by what became of them")


def _counts(cell: CellResult, counts: Mapping[str, int], names: Iterable[str]) -> Markup:
    wrong = len(violations(cell))
    verdict = tag("td", f"✗ {wrong}" if wrong else "✓", class_="wrong" if wrong else "right", data_value=wrong)
    values = [
        tag("td", f"{counts[name]:,}", data_value=counts[name]) if name in counts else tag("td", "–", class_="none")
        for name in names
    ]
    return tag("tr", tag("td", cell.scenario, class_="words"), tag("th", cell.name, scope="row"), *values, verdict)


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by name."""
    totals: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            totals[name] = totals.get(name, 0) + count
    return totals


def violations(cell: CellResult) -> list[str]:
    """Return what did not add up in any repeat of a cell."""
    return [line for repeat in cell.repeats for line in repeat.accounting]


# --- Whether the client was the limit --------------------------------------------------------------------------------


def clients(cells: Sequence[CellResult]) -> Markup:
    """Return what the load client says of itself, cell by cell, at worst over the repeats."""
    rows = [(cell, checks) for cell in cells if (checks := _checks(cell.repeats))]
    if not rows:
        return tag("p", "The client did not look at itself in this run.", class_="absent")
    head = [
        heading("Scenario", css="words"),
        heading("Cell", css="words"),
        heading("CPU of one core", "%"),
        heading("Loop lag, p99", "ms"),
        heading("Loop lag, greatest", "ms"),
        heading("Was it the limit?", css="words"),
    ]
    return sortable(head, [_client(cell, checks) for cell, checks in rows], "The load client")


def _checks(repeats: Iterable[Repeat]) -> list[ClientCheck]:
    return [repeat.client for repeat in repeats if repeat.client is not None]


def limits(cell: CellResult) -> list[str]:
    """Return who was the limit in some repeat of a cell: "client", "machine", both or nobody."""
    return list(dict.fromkeys(check.kind or "client" for check in _checks(cell.repeats) if check.bound))


def _client(cell: CellResult, checks: Sequence[ClientCheck]) -> Markup:
    kinds = limits(cell)
    said = [f"{LIMITS[kind]}: {'; '.join(_reasons(checks, kind))}" for kind in kinds]
    return tag(
        "tr",
        tag("td", cell.scenario, class_="words"),
        tag("th", cell.name, scope="row"),
        _worst([check.cpu_share for check in checks], 100.0),
        _worst([check.lag_p99_ms for check in checks]),
        _worst([check.lag_max_ms for check in checks]),
        tag("td", "; ".join(said) or "no", class_="words wrong" if "client" in kinds else "words"),
    )


def _reasons(checks: Iterable[ClientCheck], kind: str) -> Iterable[str]:
    bound = (check for check in checks if check.bound and (check.kind or "client") == kind)
    return dict.fromkeys(check.reason or "no reason given" for check in bound)


def _worst(values: Iterable[object], factor: float = 1.0) -> Markup:
    finite = [found for value in values if (found := number(value)) is not None]
    if not finite:
        return tag("td", "–", class_="none")
    return tag("td", shown(max(finite) * factor), data_value=repr(max(finite)))


# --- The machine -----------------------------------------------------------------------------------------------------


def environment(results: Results) -> Markup:
    """Return what the run was and where it ran."""
    run: dict[str, object] = {
        "command": results.command,
        "preset": results.preset,
        "created": results.created,
        "took": f"{shown(seconds)} s" if (seconds := number(results.elapsed_s)) else "",
        "load clients": results.clients,
    }
    return facts({**run, **results.environment})


def facts(named: Mapping[str, object]) -> Markup:
    """Return facts with their names, but for those that are not known."""
    rows = [_fact(name, value) for name, value in named.items() if value not in ("", None)]
    if not rows:
        return tag("p", "The results file does not say where it comes from.", class_="absent")
    return tag("dl", *rows, class_="facts")


def _fact(name: str, value: object) -> Markup:
    return tag("div", tag("dt", name.replace("_", " ")), tag("dd", _plain(value)))


def _plain(value: object) -> str:
    if isinstance(value, dict):
        pairs = cast("Mapping[object, object]", value)
        return ", ".join(f"{key} {_word(each)}" for key, each in pairs.items())
    return _word(value)


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
