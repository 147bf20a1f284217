"""Which measures decide whether a run is a regression, and how much worse they must be.

    cpu_s_per_million_tokens   the threshold, as a ratio
    server_kib_per_stream      twice the threshold, as a ratio, and at least 64 KiB a stream
    loss_share                 half the threshold, in points: 5 points at 10 %; and more than 1 % in all repeats where
                               none lost anything before
    what must not happen       ordering violations, duplicates, failed streams, accounting violations: any, where no
                               repeat had one before. That is no question of statistics
    how streams end            in a way of failing that no repeat knew before, and all know now
    any of these               if it could be measured before, and cannot be in any repeat now

Wall-clock measures (latencies, throughput) are shown, but decide only if they are asked to: on a machine that others
use they move by a fifth and more between two runs of one commit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ("DEFAULT_THRESHOLD", "GATES", "Gate", "parse_threshold")

DEFAULT_THRESHOLD: Final = 0.1
"""Ten per cent."""

_LARGEST: Final = 10.0


@dataclass(frozen=True, slots=True)
class Gate:
    """How a measure decides.

    Attributes:
        factor: its threshold is the general one times this.
        floor: a change of less than this, in the measure's own unit, is nobody's concern.
        from_nothing: more than this in all repeats is a regression where all repeats before had 0, however few they
            are.
        exact: it is 0, or something is wrong: any other value is a regression, where all repeats before had 0.
    """

    factor: float = 1.0
    floor: float = 0.0
    from_nothing: float | None = None
    exact: bool = False


GATES: Final[Mapping[str, Gate]] = {
    "cpu_s_per_million_tokens": Gate(),
    "server_kib_per_stream": Gate(factor=2.0, floor=64.0),
    "loss_share": Gate(factor=0.5, from_nothing=0.01),
    "ordering_violations": Gate(exact=True),
    "duplicates": Gate(exact=True),
    "streams_failed": Gate(exact=True),
    "accounting_violations": Gate(exact=True),
}
"""The measures that always decide: they hold still on a noisy machine."""


def parse_threshold(text: str) -> float:
    """Return the share that "10%" or "0.1" means.

    Raises:
        ValueError: it is neither, or not above 0 and at most 1000 %.
    """
    number = text.strip()
    try:
        value = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 < value <= _LARGEST:
        raise ValueError(f'threshold must be above 0 and at most 1000 %, as "10%" or "0.1"; got {text!r}')
    return value
