"""What a completion consists of: tokens, the local sources that give their texts, and the faults to inject.

A `TokenSource` is a value and does nothing by itself; `streams.pacing` plays it in time. Every local source
is repeatable: the same value plays the same tokens with the same due times.

    counter            "0", "1", ... as in the classic ten-message demo
    demo               the text that ships with the project, split as an LLM tokeniser would
    recording:FILE     the deltas of a recorded stream, one chat.completion.chunk a line
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from importlib.resources import files
from itertools import chain, islice, repeat
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Final, cast, overload

import msgspec

from streams.arguments import positive_int, shown

__all__ = (
    "Gaps",
    "Pacing",
    "Token",
    "TokenSource",
    "demo_texts",
    "join_tokens",
    "parse_source",
    "read_recording",
    "split_text",
)

_COUNTER_COUNT: Final = 10
_MAX_TTFT_MS: Final = 86_400_000
_MIN_RATE: Final = 0.001
_SOURCE_NAMES: Final = "source must be 'counter', 'demo' or 'recording:FILE'"


class Token(msgspec.Struct, frozen=True, gc=False):
    """One token of a completion, or several adjacent ones merged into one.

    Immutable. A msgspec.Struct because it is made in a quarter of the time and held in three quarters of the memory
    of a NamedTuple (benchmarks/micro/test_token.py).
    """

    index: int
    """Place in the completion, from 0. A merged token covers [index, index + merged)."""
    text: str
    due_ns: int
    """When the schedule wanted it, on the scale of `time.monotonic_ns()`."""
    emitted_ns: int
    """When it left the source; equal to `due_ns` in an unpaced source. The difference is the lateness of the pacing."""
    merged: int = 1
    """How many tokens of the source it stands for."""
    producer: int | None = None
    """Which of several producers made it, from 0; None when there is only one."""

    def __str__(self) -> str:
        return f"{self.index} ({self.text!r})"


def join_tokens(parts: Sequence[Token]) -> Token:
    """Make adjacent tokens one token with all their text, and everything else from the first.

    Cheap enough to be called once over all parts, not once per part: the text is joined once.

    Raises:
        TypeError: `parts` is no sequence, or holds something else.
        ValueError: `parts` is empty.
    """
    # Looked at only when something fails: this runs for every merged token.
    try:
        first = parts[0]
        return Token(
            index=first.index,
            text="".join([part.text for part in parts]),
            due_ns=first.due_ns,
            emitted_ns=first.emitted_ns,
            merged=sum([part.merged for part in parts]),
            producer=first.producer,
        )
    except IndexError:
        raise ValueError("parts must hold at least one token; got none") from None
    except (AttributeError, KeyError, TypeError):
        raise TypeError(f"parts must be a sequence of Token; got {shown(parts)}") from None


class Gaps(Enum):
    """How the time between tokens is spread. Where `rate` counts, it is the mean."""

    STEADY = "steady"
    """All gaps are equal."""
    POISSON = "poisson"
    """Gaps are exponentially distributed: tokens come independently of each other."""
    BURSTY = "bursty"
    """One to eight tokens are due together, then a gap as long as all of them should have taken."""
    RECORDED = "recorded"
    """The times of the recording; `rate` is not used."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """When the tokens of a source are due, counted from the start of the play.

    Attributes:
        rate: tokens per second; 0 is as fast as possible.
        gaps: how they are spread. The first is due at once (RECORDED: when it came), unless `ttft_ms` is given.
        ttft_ms: time to the first token in milliseconds; the gaps after it stay as they are. None: by the schedule.
        seed: of the random gaps; equal values give equal schedules.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of its range.
    """

    rate: float = 0
    gaps: Gaps = Gaps.STEADY
    ttft_ms: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if _check_number("rate", self.rate) != 0 and self.rate < _MIN_RATE:
            raise ValueError(f"rate must be 0 or at least {_MIN_RATE} tokens per second; got {shown(self.rate)}")
        _check_type("gaps", self.gaps, Gaps)
        if self.ttft_ms is not None and not 0 <= _check_number("ttft_ms", self.ttft_ms) <= _MAX_TTFT_MS:
            raise ValueError(
                f"ttft_ms must be from 0 to {_MAX_TTFT_MS} milliseconds, or None; got {shown(self.ttft_ms)}"
            )
        _check_type("seed", self.seed, int)


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Everything that decides which tokens a play emits, and when. `len(source)` is their number.

    Attributes:
        texts: the text of each token; a `count` beyond them repeats them from the first.
        count: how many tokens the completion has; None: each text once.
        pacing: when they are due.
        fail_after: raise SourceFailure after so many tokens; None, or more than there are: do not.
        hang_after: never end after so many tokens, as a producer does whose exception was swallowed; None, or
            more than there are: do not. Not together with `fail_after`.
        at_ms: of a recording, when each text came, in milliseconds since the request: the gaps of Gaps.RECORDED.
        finish_reason: of a recording, why the model stopped, for a server to pass on.
        usage: of a recording, the provider's token counts as it sent them, for a server to pass on.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of its range, or two contradict each other.
    """

    texts: Sequence[str]
    count: int | None = None
    pacing: Pacing = field(default_factory=Pacing)
    fail_after: int | None = None
    hang_after: int | None = None
    at_ms: Sequence[float] | None = None
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", _check_texts(self.texts))
        positive_int("count", self.count, minimum=0, or_none="each text once")
        positive_int("fail_after", self.fail_after, minimum=0, or_none="no failure")
        positive_int("hang_after", self.hang_after, minimum=0, or_none="an end")
        if self.count is not None and self.count > sys.maxsize:
            raise ValueError(f"count must be at most {sys.maxsize}; got {self.count}")
        if self.count and not self.texts:
            raise ValueError(f"count must be 0 or None when there are no texts to repeat; got {self.count}")
        if self.fail_after is not None and self.hang_after is not None:
            raise ValueError(f"fail_after ({self.fail_after}) and hang_after ({self.hang_after}) exclude each other")
        self._check_times()

    def _check_times(self) -> None:
        _check_type("pacing", self.pacing, Pacing)
        if self.at_ms is not None and (isinstance(self.at_ms, str) or not isinstance(self.at_ms, Sequence)):
            raise TypeError(f"at_ms must be a sequence of numbers, or None; got {shown(self.at_ms)}")
        if self.pacing.gaps is Gaps.RECORDED and not self.at_ms:
            raise ValueError("gaps=Gaps.RECORDED needs a recording with at_ms; use another of Gaps for this source")
        if self.at_ms is None:
            return
        object.__setattr__(self, "at_ms", tuple(self.at_ms))
        if len(self.at_ms) != len(self.texts):
            raise ValueError(f"at_ms must hold one time for each of {len(self.texts)} texts; got {len(self.at_ms)}")
        before = 0.0
        for time_ms in self.at_ms:
            if _check_number("at_ms", time_ms) < before:
                raise ValueError(f"at_ms must not be below 0 nor go backwards; got {shown(time_ms)} after {before!r}")
            before = time_ms

    def __len__(self) -> int:
        return len(self.texts) if self.count is None else self.count

    @property
    def played_count(self) -> int:
        """How many tokens are emitted: all of them, or those before the fault."""
        fault_after = self.fail_after if self.hang_after is None else self.hang_after
        return len(self) if fault_after is None else min(len(self), fault_after)

    def played_texts(self) -> Iterator[str]:
        """Go through the texts of the tokens that are emitted, `played_count` in all."""
        return islice(chain.from_iterable(repeat(self.texts)), self.played_count)


def parse_source(
    name: str,
    *,
    recordings_dir: str | PathLike[str] | None = None,
    count: int | None = None,
    pacing: Pacing | None = None,
    fail_after: int | None = None,
    hang_after: int | None = None,
) -> TokenSource:
    """Build the local source that `name` asks for: `counter`, `demo` or `recording:FILE`.

    A FILE is looked up inside `recordings_dir` and nowhere else: what leads out of it, be it by `..`, an
    absolute path or a symbolic link, is refused in the same words as what is not there. Reading it blocks.

    Args:
        name: the source; any string, whoever sent it.
        recordings_dir: the one folder with recordings; None: there are none.
        count: see TokenSource; None is 10 for the counter, and each text once for the others.
        pacing: see TokenSource; None is as fast as possible.
        fail_after: see TokenSource.
        hang_after: see TokenSource.

    Raises:
        ValueError: there is no such source, its file is malformed, or an argument is out of its range.
        TypeError: an argument is of the wrong type.
        OSError: the file cannot be read.
    """
    if not isinstance(name, str):
        raise TypeError(f"{_SOURCE_NAMES}; got {shown(name)}")
    folder = None if recordings_dir is None else _checked_path("recordings_dir", recordings_dir)
    kind, _, file = name.partition(":")
    if name == "counter":
        source = TokenSource(_NUMBERS, _COUNTER_COUNT)
    elif name == "demo":
        source = TokenSource(demo_texts())
    elif kind == "recording" and file:
        source = read_recording(_find_recording(folder, file))
    else:
        raise ValueError(f"{_SOURCE_NAMES}; got {shown(name)}")
    return replace(
        source,
        count=source.count if count is None else count,
        pacing=source.pacing if pacing is None else pacing,
        fail_after=fail_after,
        hang_after=hang_after,
    )


@dataclass(frozen=True, slots=True)
class _Numbers(Sequence[str]):
    """The numbers from 0 in decimal, made when asked for: a count of a billion costs no memory."""

    def __len__(self) -> int:
        return sys.maxsize

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        numbers = range(sys.maxsize)[index]
        return str(numbers) if isinstance(numbers, int) else tuple(map(str, numbers))

    def __iter__(self) -> Iterator[str]:
        return map(int.__repr__, range(sys.maxsize))  # as str does, in half the time


_NUMBERS: Final = _Numbers()


@cache
def demo_texts() -> tuple[str, ...]:
    """Give the tokens of the text that ships with the project: English, Chinese, emoji and code."""
    text = files("streams").joinpath("data", "demo.txt").read_text(encoding="utf-8")
    return split_text(text.strip())


_PIECES: Final = re.compile(
    r"""
      \n+                                 # an empty line is one token
    | [ ]+(?=[ ])                         # an indent, but for the space that goes with the next word
    | [\u4e00-\u9fff]{1,2}                # one or two Chinese characters
    | [ ]?[^\W\d_\u4e00-\u9fff]{1,8}      # a word with the space before it, a long one in parts
    | [ ]?\d{1,3}
    | [ ]?[!-/:-@\[-`{-~]{1,3}            # ASCII punctuation
    | .                                   # anything else: each code point of an emoji
    """,
    re.VERBOSE | re.DOTALL,
)


def split_text(text: str) -> tuple[str, ...]:
    """Split a text about as an LLM tokeniser would; the pieces joined are the text again.

    A word takes the space before it along, a line break stands alone, and an emoji of several code points falls
    apart into them, so that a lost or reordered token shows.
    """
    return tuple(_PIECES.findall(text))


def _find_recording(recordings_dir: Path | None, file: str) -> Path:
    if recordings_dir is None:
        raise ValueError(f"there is no folder with recordings to look for {file!r} in; name one, or use 'demo'")
    # A name that is too long, a loop of links, a NUL.
    with suppress(OSError, RuntimeError, ValueError):
        folder = recordings_dir.resolve()
        path = (folder / file).resolve()
        if path.is_relative_to(folder) and path.is_file():
            return path
    raise ValueError(f"there is no recording {file!r} in the folder with recordings")


# Only what is read of a chunk is described; msgspec passes over all other fields.
class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice]
    usage: dict[str, Any] | None = None
    at_ms: Annotated[float, msgspec.Meta(ge=0)] | None = None


_CHUNK_DECODER: Final = msgspec.json.Decoder(_Chunk)


def read_recording(path: str | PathLike[str]) -> TokenSource:
    """Read a recorded stream as a source of its first choice: one JSON `chat.completion.chunk` a line.

    Blank lines, unknown fields, deltas without text and chunks without choices hold no token. A line without
    `at_ms` came together with the one before it. Reading blocks.

    Raises:
        ValueError: a line is malformed, or its `at_ms` is before that of an earlier line (the message has
            file and line number), or there is no text at all.
        TypeError: `path` is no path.
        OSError: the file cannot be read.
    """
    path = _checked_path("path", path)
    texts: list[str] = []
    at_ms: list[float] = []
    now_ms: float | None = None
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if not line.strip():
            continue
        chunk = _decode_chunk(line, f"{path.name}, line {number}", now_ms or 0)
        now_ms = now_ms if chunk.at_ms is None else chunk.at_ms
        usage = usage if chunk.usage is None else chunk.usage
        for choice in chunk.choices:
            if choice.index != 0:
                continue
            finish_reason = choice.finish_reason or finish_reason
            if choice.delta and choice.delta.content:
                texts.append(choice.delta.content)
                at_ms.append(now_ms or 0)
    if not texts:
        raise ValueError(f"{path.name}: no line holds any text")
    return TokenSource(
        texts,
        at_ms=None if now_ms is None else at_ms,
        finish_reason=finish_reason,
        usage=usage,
    )


def _decode_chunk(line: bytes, place: str, earliest_ms: float) -> _Chunk:
    try:
        chunk = _CHUNK_DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ValueError(f"{place}: not a chat.completion.chunk: {exc}") from exc
    if chunk.at_ms is not None and chunk.at_ms < earliest_ms:
        raise ValueError(f"{place}: at_ms is {chunk.at_ms} after {earliest_ms} on an earlier line")
    return chunk


def _check_texts(texts: object) -> Sequence[str]:
    if isinstance(texts, _Numbers):
        return texts
    # A str is a sequence of str, too, but never meant as one.
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"texts must be a sequence of str; got {shown(texts)}")
    wrong = [text for text in cast("Sequence[object]", texts) if not isinstance(text, str)]
    if wrong:
        raise TypeError(f"texts must hold nothing but str; got {shown(wrong[0])}")
    return tuple(cast("Sequence[str]", texts))


def _checked_path(name: str, value: object) -> Path:
    if not isinstance(value, str | PathLike):
        raise TypeError(f"{name} must be a str or a path; got {shown(value)}")
    return Path(cast("str | PathLike[str]", value))


def _check_type(name: str, value: object, accepted: type) -> None:
    if not isinstance(value, accepted) or isinstance(value, bool):
        raise TypeError(f"{name} must be of type {accepted.__name__}; got {shown(value)}")


def _check_number(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number; got {shown(value)}")
    # False for NaN, and works for an int that no float can hold.
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name} must be a finite number; got {shown(value)}")
    return value
