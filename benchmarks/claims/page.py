"""The claims as one HTML file that opens without a network: no script, the style of the benchmark's report."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any, cast

from benchmarks.claims.claim import Claim, Evidence, Figure, Verdict
from benchmarks.claims.showing import FORMAT, VERSION, Checked, verdict_words
from benchmarks.report.markup import Markup, joined, tag
from benchmarks.report.tables import scrolled

__all__ = ("page",)


def page(checked: Sequence[Checked], environment: Mapping[str, Any], *, interrupted: bool = False) -> str:
    """Return the whole file. Text is shown as text, whatever is in it.

    Args:
        checked: in the order of the page.
        environment: on what they were checked.
        interrupted: whether more were to be checked.
    """
    main = joined([_overview(checked), *(_section(each) for each in checked), _environment(environment)])
    header = joined(
        [
            tag("p", "tokenweir", class_="mark"),
            tag("h1", "The claims, checked"),
            tag("p", _counted(checked), class_="lead"),
            _interrupted() if interrupted else None,
            _contents(checked),
        ]
    )
    footer = (
        f"Written by python -m benchmarks.claims, {FORMAT}, version {VERSION}. This file holds all that it shows and "
        "asks for nothing over a network."
    )
    body = tag(
        "body",
        tag("a", "Skip to the claims", class_="skip", href="#main"),
        tag("header", header),
        tag("main", main, id="main"),
        tag("footer", tag("p", footer)),
    )
    return f'<!doctype html>\n<html lang="en">\n{_head()}\n{body}\n</html>\n'


def _head() -> Markup:
    css = files("benchmarks").joinpath("report/report.css").read_text("utf-8")
    css += files("benchmarks").joinpath("claims/claims.css").read_text("utf-8")
    allowed = b64encode(sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    return Markup(
        '<head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>tokenweir: the claims, checked</title><style>{css}</style></head>"
    )


def _counted(checked: Sequence[Checked]) -> str:
    counts = ((verdict, sum(each.evidence.verdict is verdict for each in checked)) for verdict in Verdict)
    return " · ".join(f"{count} {verdict.value}" for verdict, count in counts if count)


def _interrupted() -> Markup:
    words = " These claims were checked before; the others are missing."
    return tag("p", tag("strong", "Interrupted."), words, class_="banner mild", role="note")


def _contents(checked: Sequence[Checked]) -> Markup:
    items = [tag("li", tag("a", each.claim.name, href=f"#{each.claim.name}")) for each in checked]
    return tag("nav", tag("ul", *items), aria_label="Contents")


def _overview(checked: Sequence[Checked]) -> Markup:
    items = [
        tag(
            "div",
            tag("dt", tag("a", f"“{each.claim.statement}”", href=f"#{each.claim.name}")),
            tag("dd", verdict_words(each.evidence)),
        )
        for each in checked
    ]
    return tag(
        "section",
        tag("h2", "In words", id="overview-title"),
        tag("dl", *items, class_="answers"),
        id="overview",
        aria_labelledby="overview-title",
    )


def _section(each: Checked) -> Markup:
    claim, evidence = each.claim, each.evidence
    key = f"{claim.name}-title"
    return tag(
        "section",
        tag("h2", f"“{claim.statement}”", id=key),
        tag("p", f"Heard in {claim.said_by}.", class_="note"),
        tag("p", verdict_words(evidence), class_=f"verdict {evidence.verdict.name.lower()}"),
        tag("ul", *(tag("li", sentence) for sentence in evidence.sentences), class_="says"),
        _figures(claim, evidence.figures),
        _told("What decides it: ", claim.decided_by),
        _told("What it does not look at: ", claim.limits),
        _absent(evidence),
        id=claim.name,
        aria_labelledby=key,
    )


def _told(head: str, text: str) -> Markup:
    return tag("p", tag("b", head), text, class_="note")


def _absent(evidence: Evidence) -> Markup | None:
    if not evidence.missing or evidence.verdict is Verdict.UNTESTED:
        return None
    items = [tag("li", line) for line in evidence.missing]
    return tag("div", tag("p", "Not measured for want of:"), tag("ul", *items), class_="absent")


def _figures(claim: Claim, figures: Sequence[Figure]) -> Markup | None:
    if not figures:
        return None
    head = [tag("th", title, scope="col", class_="words") for title in ("Whose", "What")]
    rows = [
        tag(
            "tr",
            tag("th", figure.of or "–", scope="row"),
            tag("td", figure.what, class_="words"),
            tag("td", figure.shown, class_="words" if isinstance(figure.value, str) else None),
        )
        for figure in figures
    ]
    label = f"Figures of {claim.name}"
    table = tag(
        "table",
        tag("caption", label, class_="unseen"),
        tag("thead", tag("tr", *head, tag("th", "Figure", scope="col"))),
        tag("tbody", *rows),
    )
    return scrolled(table, label)


def _environment(environment: Mapping[str, Any]) -> Markup:
    facts = [
        tag("div", tag("dt", name.replace("_", " ")), tag("dd", _plain(value)))
        for name, value in environment.items()
        if value not in ("", None)
    ]
    return tag(
        "section",
        tag("h2", "The machine", id="environment-title"),
        tag("dl", *facts, class_="facts"),
        id="environment",
        aria_labelledby="environment-title",
    )


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value)
        return ", ".join(f"{name} {each}" for name, each in pairs.items() if each is not None)
    return str(value)
