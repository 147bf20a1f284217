"""SVG that no text can break: whatever is put into it is escaped, and what XML cannot hold is replaced."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from html import escape
from typing import Final

__all__ = ("Markup", "joined", "tag", "text_width", "visible")

_UNSEEN: Final = {"\n": "↵", "\r": "↵", "\t": "⇥"}
_TURNS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # would reorder their neighbours
_NO_XML: Final = frozenset("\ufffe\uffff")


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """Return one element.

    Args:
        name: of the element.
        *children: text, which is escaped, or markup, which is not.
        **attributes: `class_` is written `class`, other underscores as hyphens; None is left out; numbers are rounded
            to hundredths.
    """
    start = name + "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    return Markup(f"<{start}>{joined(children)}</{name}>" if children else f"<{start}/>")


def joined(children: Iterable[str]) -> Markup:
    """Return all of them, one after the other."""
    return Markup("".join(child if isinstance(child, Markup) else _escaped(child) for child in children))


def visible(label: str, most: int = 80) -> str:
    """Return a label in one line, its beginning if it is longer than `most`, with a sign for what is not seen."""
    label = label.strip(" ") or "␣" * len(label)
    seen = "".join(_UNSEEN.get(character) or _legal(character) for character in label)
    return seen if len(seen) <= most else f"{seen[: most - 1]}…"


def text_width(text: str, size: float) -> float:
    """Return how wide a text may become, in any common sans-serif font of that size: rather too much."""
    return size * sum(_advance(character) for character in text)


def _advance(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    return 0.8 if character.isupper() or character in "mw%@…" else 0.64


def _attribute(key: str, value: str | float) -> str:
    name = key if key == "viewBox" else key.rstrip("_").replace("_", "-")
    return f' {name}="{_escaped(value if isinstance(value, str) else number(value))}"'


def number(value: float) -> str:
    """Return a number as short as it is exact to a hundredth."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return escape("".join(map(_legal, text)))


def _legal(character: str) -> str:
    is_bad = character in _TURNS or character in _NO_XML or unicodedata.category(character) in ("Cc", "Cs")
    return "\ufffd" if is_bad and character != "\n" else character
