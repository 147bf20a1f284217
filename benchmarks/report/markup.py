"""HTML and SVG that no text can break: all that is put into them is escaped, but for what this module made itself."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ("Attribute", "Child", "Markup", "joined", "tag")

_VOID = frozenset({"br", "circle", "line", "path", "polygon", "polyline", "rect"})


class Markup(str):
    """Text that is markup already, made by `tag` or `joined` or written in this package."""

    __slots__ = ()


Child = str | Markup | None
Attribute = str | int | float | bool | None


def tag(name: str, *children: Child, **attributes: Attribute) -> Markup:
    """Return one element.

    Args:
        name: of the element.
        *children: text, which is escaped; markup, which is not; None, which is left out.
        **attributes: `class_` is written `class`, other underscores as hyphens. True: the bare name. False and None:
            left out.
    """
    start = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID and not children:
        return Markup(f"<{start}/>")
    return Markup(f"<{start}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Return all of them, one after the other."""
    return Markup("".join(_written(child) for child in children if child is not None))


def _written(child: str) -> str:
    return child if isinstance(child, Markup) else _escaped(child)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{_escaped(f"{value:.6g}" if isinstance(value, float) else str(value))}"'


def _escaped(text: str) -> str:
    # HTML has no way to write NUL, and UTF-8 none to write half a surrogate pair.
    return escape(text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8"))
