"""How a client reads: as fast as it can, at a pace, in bursts, not at all for a while, or not to the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from streams.arguments import positive_int, positive_seconds, shown

__all__ = ("FAST", "Bursty", "Fast", "Leaving", "Paced", "ReaderProfile", "Stalled", "parse_reader")

_MOST_PER_S: Final = 1e12


@dataclass(frozen=True, slots=True)
class Fast:
    """Reads whatever has come, at once."""

    def __str__(self) -> str:
        return "fast"


@dataclass(frozen=True, slots=True)
class Paced:
    """Reads at a steady pace and leaves the rest in the socket, so that the server feels it.

    Attributes:
        tokens_per_s: or None, if bytes are counted.
        bytes_per_s: or None, if tokens are counted.
    """

    tokens_per_s: float | None = None
    bytes_per_s: float | None = None

    def __post_init__(self) -> None:
        if (self.tokens_per_s is None) == (self.bytes_per_s is None):
            raise ValueError(
                f"a paced reader needs one of tokens_per_s and bytes_per_s; got {self.tokens_per_s!r} and "
                f"{self.bytes_per_s!r}"
            )
        _check_rate("tokens_per_s", self.tokens_per_s, "tokens per second")
        _check_rate("bytes_per_s", self.bytes_per_s, "bytes per second")

    def __str__(self) -> str:
        if self.tokens_per_s is not None:
            return f"paced:{self.tokens_per_s:g}tokens/s"
        return f"paced:{self.bytes_per_s:g}bytes/s"


def _check_rate(name: str, value: object, unit: str) -> None:
    if value is None:  # the other one is given
        return
    accepted = f"{name} must be a number of {unit} above 0 and at most {_MOST_PER_S:g}; got {shown(value)}"
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(accepted)
    if not 0 < value <= _MOST_PER_S:
        raise ValueError(accepted)


@dataclass(frozen=True, slots=True)
class Bursty:
    """Reads all there is for `read_s` seconds, then nothing for `pause_s`, again and again."""

    read_s: float
    pause_s: float

    def __post_init__(self) -> None:
        positive_seconds("read_s", self.read_s)
        positive_seconds("pause_s", self.pause_s)

    def __str__(self) -> str:
        return f"bursty:{self.read_s:g}s/{self.pause_s:g}s"


@dataclass(frozen=True, slots=True)
class Stalled:
    """Asks for a stream, reads nothing for `stall_s` seconds so that its window closes, then all it can."""

    stall_s: float

    def __post_init__(self) -> None:
        positive_seconds("stall_s", self.stall_s)

    def __str__(self) -> str:
        return f"stalled:{self.stall_s:g}s"


@dataclass(frozen=True, slots=True)
class Leaving:
    """Reads fast, and closes the connection after `after_tokens` tokens."""

    after_tokens: int

    def __post_init__(self) -> None:
        positive_int("after_tokens", self.after_tokens)

    def __str__(self) -> str:
        return f"leaving:{self.after_tokens}"


ReaderProfile = Fast | Paced | Bursty | Stalled | Leaving
FAST: Final = Fast()


_ACCEPTED: Final = (
    "fast, paced:20tokens/s, paced:2000bytes/s, bursty:0.5s/2s (reads/pauses), stalled:2s or leaving:10 (tokens), "
    "with any numbers above 0"
)
_NUMBER: Final = r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
_PATTERNS: Final[tuple[tuple[str, Callable[[Sequence[str]], ReaderProfile]], ...]] = (
    ("fast", lambda _: FAST),
    (f"paced:{_NUMBER}tokens/s", lambda found: Paced(tokens_per_s=float(found[0]))),
    (f"paced:{_NUMBER}bytes/s", lambda found: Paced(bytes_per_s=float(found[0]))),
    (f"bursty:{_NUMBER}s/{_NUMBER}s", lambda found: Bursty(float(found[0]), float(found[1]))),
    (f"stalled:{_NUMBER}s", lambda found: Stalled(float(found[0]))),
    (r"leaving:(\d{1,18})", lambda found: Leaving(int(found[0]))),
)


def parse_reader(text: str) -> ReaderProfile:
    """Return the reader that `text` names, in the words of its `str`: "paced:20tokens/s", "stalled:2s", ...

    Raises:
        ValueError: naming the text and what is accepted.
    """
    for pattern, reader in _PATTERNS:
        if match := re.fullmatch(pattern, text, re.ASCII):
            try:
                return reader(match.groups())
            except ValueError as error:
                raise ValueError(f"reader {shown(text)}: {error}") from None
    raise ValueError(f"reader must be {_ACCEPTED}; got {shown(text)}")
