"""One HTML file that holds all it shows: its style, its scripts, and a policy that allows these and no request."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from string import Template
from typing import Final

from benchmarks.report.markup import Child, Markup, joined, tag

__all__ = ("contents", "document", "folded", "section")

_NONE: Final = "'none'"


def document(
    *,
    title: str,
    head: Iterable[Child],
    main: Iterable[Child],
    footer: Iterable[Child],
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    data: str = "",
) -> str:
    """Return the whole file.

    Args:
        title: of the window.
        head: what stands above `main`.
        main: the sections.
        footer: the last line.
        styles: of <style> elements within `main`; the report's own is always there.
        scripts: run in this order, the last one as a module; none: the file needs none.
        data: JSON for them, without any `<`.
    """
    style = _text("report.css")
    if scripts:
        style = files("servers").joinpath("page/uplot.min.css").read_text("utf-8") + style
    return Template(_text("template.html")).substitute(
        policy=_policy([style, *styles], scripts),
        title=tag("title", title),
        style=style,
        head=joined(head),
        main=joined(main),
        footer=tag("footer", tag("p", *footer)),
        scripts=_scripts(scripts, data) if scripts else "",
    )


def _text(name: str) -> str:
    return files("benchmarks").joinpath("report", name).read_text("utf-8")


def _scripts(scripts: Sequence[str], data: str) -> str:
    *libraries, module = scripts
    elements = [f'<script type="application/json" id="data">{data}</script>']
    elements += [f"<script>{library}</script>" for library in libraries]
    return "\n".join([*elements, f'<script type="module">{module}</script>'])


def _policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    style_hashes, script_hashes = (" ".join(map(_hash, texts)) for texts in (styles, scripts))
    allowed = f"script-src {script_hashes or _NONE}; style-src {style_hashes}"
    return f"default-src {_NONE}; {allowed}; base-uri {_NONE}; form-action {_NONE}"


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


# --- What a document is made of --------------------------------------------------------------------------------------


def section(key: str, title: str, *content: Child) -> Markup:
    """Return a section that a link finds by `key`."""
    return tag("section", tag("h2", title, id=f"{key}-title"), *content, id=key, aria_labelledby=f"{key}-title")


def contents(links: Mapping[str, str]) -> Markup:
    """Return links to sections: their keys, and what they are called."""
    items = [tag("li", tag("a", title, href=f"#{key}")) for key, title in links.items()]
    return tag("nav", tag("ul", *items), aria_label="Contents")


def folded(summary: str, *content: Child, is_open: bool = False, on_paper: bool = True) -> Markup:
    """Return what is shown when `summary` is pressed, and on paper if it has room for it."""
    return tag("details", tag("summary", summary), *content, class_="more" if on_paper else "wide", open=is_open)
