"""What values a parameter accepts: as text of a query string, as a JSON value, and as a JSON schema."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Final

__all__ = ("Choice", "Flag", "Integer", "Kind", "Number", "SourceName")

_LARGEST: Final = 2**53 - 1  # what JSON numbers hold exactly everywhere


class Kind(ABC):
    """What values a parameter accepts."""

    accepted: str
    """In words, for an error message: "must be ..."."""

    @abstractmethod
    def of_text(self, text: str) -> Any:
        """Return the value that `text` of a query string stands for; a ValueError without message if none."""

    @abstractmethod
    def of_json(self, value: Any) -> Any:
        """Return the value that a JSON `value` stands for; a ValueError without message if none."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""


class Choice(Kind):
    """One of several words."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        self.accepted = "one of " + ", ".join(self.words)

    def of_text(self, text: str) -> str:
        """Return the word that `text` is."""
        if text not in self.words:
            raise ValueError
        return text

    def of_json(self, value: Any) -> str:
        """Return the word that `value` is."""
        return self.of_text(value if isinstance(value, str) else "")

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "string", "enum": list(self.words)}


class Number(Kind):
    """A finite number, 0 or from `smallest` to `largest`."""

    def __init__(self, unit: str, smallest: float, largest: float) -> None:
        self._smallest, self._largest = smallest, largest
        self.accepted = f"0 or a number from {smallest:g} to {largest:g} {unit}"

    def of_text(self, text: str) -> float:
        """Return the number that `text` is."""
        if not text.isascii() or "_" in text or text != text.strip():
            raise ValueError
        return self._checked(float(text))

    def of_json(self, value: Any) -> float:
        """Return the number that `value` is."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError
        try:
            return self._checked(float(value))
        except OverflowError:
            raise ValueError from None

    def _checked(self, value: float) -> float:
        if not math.isfinite(value) or not (value == 0 or self._smallest <= value <= self._largest):
            raise ValueError
        return value

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {
            "anyOf": [
                {"type": "number", "minimum": self._smallest, "maximum": self._largest},
                {"type": "number", "enum": [0]},
            ]
        }


class Integer(Kind):
    """A whole number in a range, or one word."""

    def __init__(self, minimum: int, maximum: int = _LARGEST, *, word: str | None = None) -> None:
        self._minimum, self._maximum, self._word = minimum, maximum, word
        self.accepted = f"a whole number from {minimum} to {maximum}" + (f", or {word}" if word else "")

    def of_text(self, text: str) -> int | str:
        """Return the number or word that `text` is."""
        if text == self._word:
            return text
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 20):
            raise ValueError
        return self._checked(int(text))

    def of_json(self, value: Any) -> int | str:
        """Return the number or word that `value` is."""
        if self._word is not None and value == self._word:
            return self._word
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON knows one kind of number: 5.0 is 5
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError
        return self._checked(value)

    def _checked(self, value: int) -> int:
        if not self._minimum <= value <= self._maximum:
            raise ValueError
        return value

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        number = {"type": "integer", "minimum": self._minimum, "maximum": self._maximum}
        return number if self._word is None else {"anyOf": [number, {"type": "string", "enum": [self._word]}]}


class Flag(Kind):
    """Yes or no."""

    accepted = "0, 1, false or true"

    def of_text(self, text: str) -> bool:
        """Return the flag that `text` is."""
        if text not in {"0", "1", "false", "true"}:
            raise ValueError
        return text in {"1", "true"}

    def of_json(self, value: Any) -> bool:
        """Return the flag that `value` is."""
        if isinstance(value, bool):
            return value
        if isinstance(value, int) and value in {0, 1}:
            return bool(value)
        raise ValueError

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"anyOf": [{"type": "boolean"}, {"type": "integer", "enum": [0, 1]}]}


class SourceName(Kind):
    """The name of a token source."""

    accepted = "counter, demo, recording:FILE or upstream:MODEL"

    def of_text(self, text: str) -> str:
        """Return the name that `text` is."""
        kind, colon, rest = text.partition(":")
        local = text in {"counter", "demo"}
        if not local and not (colon and rest and kind in {"recording", "upstream"} and len(text) <= 300):
            raise ValueError
        return text

    def of_json(self, value: Any) -> str:
        """Return the name that `value` is."""
        return self.of_text(value if isinstance(value, str) else "")

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        return {"type": "string", "maxLength": 300, "pattern": "^(counter|demo|recording:(.|\n)+|upstream:(.|\n)+)$"}
