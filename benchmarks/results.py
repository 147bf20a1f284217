"""The results file: its format, how it is written and read.

One JSON object, versioned. Times are in the unit that ends a name; a value that could not be measured is null. What a
measure means is in `benchmarks.measures.MEASURES`, by the same name, and is written into the file beside the values,
so that it explains itself in years to come.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

__all__ = ("FORMAT", "VERSION", "CellResult", "ClientCheck", "NullRun", "Repeat", "Results", "Timeline")

FORMAT: Final = "tokenweir-results"
VERSION: Final = 1


class ClientCheck(msgspec.Struct, kw_only=True):
    """Whether the load client was the limit.

    Attributes:
        cpu_share: of one core, while it measured.
        lag_p99_ms: how late its event loop was.
        lag_max_ms: the same, at worst.
        bound: whether it was the limit, so that the figures are the client's and not the server's.
        reason: why it is held to be, in words; empty if it is not.
    """

    cpu_share: float
    lag_p99_ms: float
    lag_max_ms: float
    bound: bool
    reason: str = ""


class Timeline(msgspec.Struct, kw_only=True):
    """The beginning of one recorded stream, for a marble diagram. Times are ms since the first token was due.

    Attributes:
        stream_id: whose it is.
        tokens: one row [seq, merged, due_ms, emitted_ms, taken_ms, received_ms] per token that arrived, in order.
        missing: indexes of tokens that never arrived, between those that did.
        held: [ms, held, dropped, merged] as the server counted on the way.
        ended_ms: when the stream ended; None: it was left.
        outcome: how.
    """

    stream_id: str
    tokens: list[list[float]]
    missing: list[int]
    held: list[list[float]]
    ended_ms: float | None
    outcome: str


class Repeat(msgspec.Struct, kw_only=True):
    """One measurement of a cell.

    Attributes:
        measures: name of a measure -> value; null: could not be measured.
        histograms: name of a distribution ("itl_us", "delay_us", ...) -> HdrHistogram in its V2 compressed base64 form,
            in microseconds.
        outcomes: how many streams ended how, by `Outcome`'s value.
        counts: emitted, delivered, dropped, merged, rejected, held, received, in_transit, duplicates, missing: summed
            over all streams.
        accounting: what did not add up, one line per stream that is named in it; empty: all did.
        per_stream: raw values, one per stream: "ttft_ms", "tpot_ms", "e2e_ms", "tokens", "outcome", "stream_id", ...
        memory: [ms since the start, resident bytes of the server].
        freshness: [ms since the start, age in ms of the newest token that the reader has], of one stream.
        window_ms: from the first request's due time to the last byte: what rates are divided by.
        client: see there.
        timeline: of one stream; null if streams were not traced.
    """

    measures: dict[str, float | None]
    histograms: dict[str, str] = {}
    outcomes: dict[str, int] = {}
    counts: dict[str, int] = {}
    accounting: list[str] = []
    per_stream: dict[str, list[Any]] = {}
    memory: list[list[float]] = []
    freshness: list[list[float]] = []
    window_ms: float = 0.0
    client: ClientCheck | None = None
    timeline: Timeline | None = None


class CellResult(msgspec.Struct, kw_only=True):
    """All measurements of one cell.

    Attributes:
        scenario: the name of its scenario.
        name: of the cell; unique within the scenario.
        variant: emitter, rx or flux; of a foreign endpoint "url".
        strategy: for people, as `Cell.strategy_name`.
        reader: for people, as `str(cell.reader)`.
        transport: sse or websocket.
        parameters: the whole request, and the load.
        repeats: one or more; none if it was interrupted before.
        error: why it could not be measured; empty if it could.
    """

    scenario: str
    name: str
    variant: str
    strategy: str
    reader: str
    transport: str
    parameters: dict[str, Any]
    repeats: list[Repeat] = []
    error: str = ""


class NullRun(msgspec.Struct, kw_only=True):
    """What the client can do at most: it reads a server that only sends prepared bytes.

    Attributes:
        counted_tokens_per_s: tokens only counted.
        checked_tokens_per_s: every index checked.
        delay_p50_us: from a bare write to the stamp.
    """

    counted_tokens_per_s: float
    checked_tokens_per_s: float
    delay_p50_us: float


class Results(msgspec.Struct, kw_only=True):
    """One run.

    Attributes:
        format: always FORMAT.
        version: of the format.
        created: ISO 8601, UTC.
        command: what was typed.
        preset: the scenarios that were run.
        environment: machine, versions, commit, cores.
        questions: name of a scenario -> its question.
        definitions: name of a measure -> {"title", "unit", "formula", "better"}.
        null_run: the client's own floor; null if it was not taken.
        cells: in the order in which they were defined.
        interrupted: whether the run was ended before its end; what is there was measured all the same.
        elapsed_s: of the whole run.
    """

    format: str = FORMAT
    version: int = VERSION
    created: str = ""
    command: str = ""
    preset: str = ""
    environment: dict[str, Any] = {}
    questions: dict[str, str] = {}
    definitions: dict[str, dict[str, str]] = {}
    null_run: NullRun | None = None
    cells: list[CellResult] = []
    interrupted: bool = False
    elapsed_s: float = 0.0


def load(path: Path) -> Results:
    """Read a results file.

    Raises:
        ResultsError: it is not there, is no JSON, or is of another format or version; the message names the file and
            what is accepted.
    """
    raise NotImplementedError(path)


def save(results: Results, path: Path) -> None:
    """Write a results file, whole or not at all. What is not a number is written as null."""
    raise NotImplementedError(path)
