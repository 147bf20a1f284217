"""One stream in the letters in which the tools of the field define their metrics.

    s   the request was sent                  t1..tk  arrivals of events with content
    h   headers came                          e       the last of them
    c1  the first event, with content or not  d       the end of the body
    n   output tokens

All times count from s here, as guidellm, vLLM and AIPerf have it; `latencies` counts from the scheduled time, which is
`due` here: 0 or less.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.traces.captures import Outcome, Trace

__all__ = ("LETTERS", "NOTHING", "Values", "View")

LETTERS: Final = (
    "due: the schedule wanted the request sent; s: it was sent; h: headers; c1: the first event, with content or "
    "without; t1..tk: arrivals of events with content; e: the last of them; d: the end of the body; n: output tokens."
)
"""What the letters stand for, for people."""

_NS_PER_MS: Final = 1_000_000
_MS_PER_S: Final = 1000

Values = npt.NDArray[np.float64]
NOTHING: Final[Values] = np.empty(0)


class View:
    """One stream in the letters above, in milliseconds since s.

    A letter is None where the stream has no such time; `d`, and `e` as the end of a request, only completed ones have.
    """

    def __init__(self, trace: Trace) -> None:
        sent_ns = trace.times.sent_ns

        def since_sent(time_ns: int | None) -> float | None:
            return None if time_ns is None or sent_ns is None else (time_ns - sent_ns) / _NS_PER_MS

        completed = trace.outcome is Outcome.COMPLETED
        self.t: Values = NOTHING if sent_ns is None else (trace.received_ns - sent_ns) / _NS_PER_MS
        self.n = trace.token_count
        self.due = since_sent(trace.times.scheduled_ns)
        self.h = since_sent(trace.times.headers_ns)
        self.c1 = since_sent(trace.first_event_ns)
        self.t1: float | None = self.t[0].item() if len(self.t) else None
        self.e: float | None = self.t[-1].item() if len(self.t) else None
        self.e_of_request = self.e if completed else None
        self.d = since_sent(trace.times.ended_ns) if completed else None

    def first_from_schedule(self) -> float | None:
        """t1 - due: the client's own lateness is in it."""
        return None if self.t1 is None or self.due is None else self.t1 - self.due

    def gaps(self) -> Values:
        """t_i+1 - t_i."""
        return np.diff(self.t)

    def gaps_from_first_event(self) -> Values:
        """The same, and before them t1 - c1 if the first event had no content."""
        if self.c1 is None or self.t1 is None or self.c1 == self.t1:
            return self.gaps()
        return np.append(self.t1 - self.c1, self.gaps())

    def gaps_unless_zero(self) -> Values:
        """All gaps, or none at all if one of them is 0."""
        gaps = self.gaps()
        return gaps if np.all(gaps > 0) else NOTHING

    def coalesced(self) -> float | None:
        """Count the gaps of 0."""
        return float(np.count_nonzero(self.gaps() == 0)) if len(self.t) > 1 else None

    def per_token(self) -> float | None:
        """(e - s) / n."""
        return None if self.e is None else self.e / self.n

    def per_later_token(self, start: float | None) -> float | None:
        """(e - start) / (n - 1); None for fewer than two events, which have no time between them."""
        if self.e is None or start is None or len(self.t) < 2:
            return None
        return (self.e - start) / (self.n - 1)

    def speed(self) -> float | None:
        """1 / TPOT in tokens per second; None if all tokens came at once."""
        tpot = self.per_later_token(self.t1)
        return _MS_PER_S / tpot if tpot else None

    def speed_of_request(self) -> float | None:
        """Return n / (d - s) in tokens per second."""
        return _MS_PER_S * self.n / self.d if self.d else None
