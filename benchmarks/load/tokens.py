"""Tokens in the bytes of a stream as they come: counted by what marks one, or every index checked.

Bytes are searched and not parsed, framing and all: that costs a tenth. It is exact for what our server sends, whose
marks cannot stand in a text, where every quote is escaped, and are never cut by HTTP's chunks. A foreign server may
cut a mark in two; then a token is not seen.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from benchmarks.scenarios.cells import Transport
from benchmarks.traces.captures import Outcome

__all__ = ("Indexes", "TokenCounter", "ending_of")

_OURS: Final = re.compile(rb'\{"ended": false')
_CONTENT: Final = re.compile(rb'"(?:content|text)":\s*"[^"]')
_EVENT: Final = re.compile(rb"\n\n|\r\n\r\n")
_MARKS: Final = {
    "completion": _OURS,
    "ndjson": _OURS,
    "openai": _CONTENT,
    "anthropic": re.compile(rb'"text_delta"'),
    "aisdk": re.compile(rb'"text-delta"'),
    "data": _EVENT,
    "sse": _EVENT,
}
_ID: Final = re.compile(rb'-(\d+)\ndata: \{"ended": false')
_SEQ: Final = re.compile(rb'"seq": (\d+), "due_ns": \d+, "emitted_ns": \d+, "taken_ns": \d+(?:, "merged": (\d+))?')


class TokenCounter:
    """Counts the tokens of one stream, in pieces of any size.

    Args:
        profile: what a token looks like.
        transport: what carries it.
        indexes: where every index is checked; None: tokens are only counted.
    """

    def __init__(self, profile: str, transport: Transport, indexes: Indexes | None = None) -> None:
        web_socket = transport is Transport.WEBSOCKET
        self._mark = _OURS if web_socket else _MARKS[profile]
        self._has_ids = profile == "completion" and not web_socket
        self._indexes = indexes
        # Behind what no mark stands across: all of one token is searched at once.
        self._end = b"}" if web_socket else b"\n\n" if self._has_ids else b"\n"
        self._rest = b""

    def feed(self, data: bytes) -> int:
        """Return how many tokens the data completes."""
        if self._mark is _EVENT:
            return self._blank_lines(data)
        complete, end, self._rest = (self._rest + data if self._rest else data).rpartition(self._end)
        if not end:
            return 0
        if self._indexes is not None:
            self._check(complete, self._indexes)
        # The search for constant bytes is several times that of an expression.
        return complete.count(b'{"ended": false') if self._mark is _OURS else len(self._mark.findall(complete))

    def _blank_lines(self, data: bytes) -> int:
        # A line end alone at the end of a piece may be the first half of a blank line.
        data = self._rest + data
        found = list(self._mark.finditer(data))
        behind = data[found[-1].end() :] if found else data
        self._rest = behind[-3:] if behind.endswith((b"\n", b"\r")) else b""
        return len(found)

    def _check(self, complete: bytes, indexes: Indexes) -> None:
        if self._has_ids and b'"merged"' not in complete:
            indexes.take(list(map(int, _ID.findall(complete))))
        else:
            indexes.take_merged((int(index), int(merged or 1)) for index, merged in _SEQ.findall(complete))


class Indexes:
    """Which indexes of one stream have come: in order at next to no cost, and however else.

    Attributes:
        checked: tokens that were looked at.
        out_of_order: tokens that came after a later one.
        missing: indexes below the highest one that have not come.
        duplicates: tokens whose index had come before.
    """

    def __init__(self) -> None:
        self.checked = self.out_of_order = self.missing = self.duplicates = 0
        self._next = 0
        self._gaps: list[tuple[int, int]] = []  # [from, to) of what is missing, in ascending order

    def take(self, indexes: list[int]) -> None:
        """Look at indexes in the order in which they came."""
        if indexes == list(range(self._next, self._next + len(indexes))):
            self.checked += len(indexes)
            self._next += len(indexes)
        else:
            self.take_merged((index, 1) for index in indexes)

    def take_merged(self, tokens: Iterable[tuple[int, int]]) -> None:
        """Look at tokens in the order in which they came, each an index and how many tokens it stands for."""
        for index, merged in tokens:
            self.checked += 1
            if index < self._next:
                self._take_late(index, index + merged)
            elif index > self._next:
                self._gaps.append((self._next, index))
                self.missing += index - self._next
            self._next = max(self._next, index + merged)

    def _take_late(self, begin: int, end: int) -> None:
        at = bisect_right(self._gaps, (begin, self._next)) - 1
        if at < 0 or begin >= self._gaps[at][1]:
            self.duplicates += 1
            return
        gap_begin, gap_end = self._gaps[at]
        end = min(end, gap_end)
        left = ((gap_begin, begin), (end, gap_end))
        self._gaps[at : at + 1] = [(low, high) for low, high in left if low < high]
        self.missing -= end - begin
        self.out_of_order += 1


# --- How a stream ended of which only the last bytes were kept -----------------------------------------------------

_DONE: Final = re.compile(rb"data: ?\[DONE\]")
_OWN_END: Final = (re.compile(rb'\{"ended": true'), re.compile(rb'\{"error": '))
_ENDS: Final = {
    "completion": _OWN_END,
    "ndjson": _OWN_END,
    "openai": (_DONE, re.compile(rb'data: ?\{"error":')),
    "anthropic": (re.compile(rb'"message_stop"'), re.compile(rb'"type": ?"error"')),
    "aisdk": (_DONE, re.compile(rb'"type": ?"error"')),
}
_ERROR_EVENT: Final = re.compile(rb"event: ?error")


def ending_of(profile: str, transport: Transport, tail: bytes, *, body_complete: bool) -> Outcome | None:
    """Say how a stream ended, from its last bytes; None: it has no end in them.

    Args:
        profile: of the stream.
        transport: what carried it.
        tail: the last few kilobytes, framing included.
        body_complete: whether the body came whole: that is the end where the profile marks none.
    """
    key = "ndjson" if transport is Transport.WEBSOCKET else profile
    end, error = _ENDS.get(key, (None, _ERROR_EVENT))
    if error.search(tail):
        return Outcome.FAILED
    return Outcome.COMPLETED if (body_complete if end is None else end.search(tail)) else None
