"""The results file: its format, how it is written and read.

One JSON object, versioned. Times are in the unit that ends a name; a value that could not be measured is null. What a
measure means is in `MEASURES`, by the same name, and is written into the file beside the values, so that it explains
itself in years to come.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

__all__ = (
    "FORMAT",
    "VERSION",
    "CellResult",
    "ClientCheck",
    "NullRun",
    "Repeat",
    "Results",
    "ResultsError",
    "Timeline",
    "load",
    "save",
    "write_csv",
    "write_whole",
)

FORMAT: Final = "tokenweir-results"
VERSION: Final = 1

_BUSY_SHARE: Final = 0.5


class ClientCheck(msgspec.Struct, kw_only=True):
    """Whether the load client was the limit.

    Attributes:
        cpu_share: of one core, while it measured; of the busiest if there were several clients.
        lag_p99_ms: how late its event loop was; the latest one's if there were several.
        lag_max_ms: the same, at worst.
        bound: whether the figures may be the client's and not the server's: it was the limit, or it was held up.
        reason: why it is held to be, in words; empty if it is not.
        kind: who was the limit: "client" (it used half of its core or more), "machine" (it had little to do and was
            late all the same: something else had the cores); "" if nobody was.
    """

    cpu_share: float
    lag_p99_ms: float
    lag_max_ms: float
    bound: bool
    reason: str = ""
    kind: Literal["", "client", "machine"] = ""

    def __post_init__(self) -> None:
        if self.bound and not self.kind:
            self.kind = "client" if self.cpu_share >= _BUSY_SHARE else "machine"


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
        notes: what else to know of it, one line each, such as a distribution that had to be left out.
        per_stream: raw values, one per stream: "ttft_ms", "tpot_ms", "e2e_ms", "tokens", "outcome", "stream_id", ...
        memory: [ms since the start, resident bytes of the server].
        freshness: [ms since the start, age in ms of the newest token that the reader has], of one stream.
        window_ms: from the first request's due time to the last byte: what rates are divided by.
        client: see there.
        load_average: of the machine over the minute before, as the system says; null: it does not.
        timeline: of one stream; null if streams were not traced.
    """

    measures: dict[str, float | None]
    histograms: dict[str, str] = {}
    outcomes: dict[str, int] = {}
    counts: dict[str, int] = {}
    accounting: list[str] = []
    notes: list[str] = []
    per_stream: dict[str, list[Any]] = {}
    memory: list[list[float]] = []
    freshness: list[list[float]] = []
    window_ms: float = 0.0
    client: ClientCheck | None = None
    load_average: float | None = None
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
        expects: how its streams may end, by `Outcome`'s value; empty: not stated.
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
    expects: list[str] = []
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
        clients: load client processes that shared the streams of each cell.
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
    clients: int = 1
    questions: dict[str, str] = {}
    definitions: dict[str, dict[str, str]] = {}
    null_run: NullRun | None = None
    cells: list[CellResult] = []
    interrupted: bool = False
    elapsed_s: float = 0.0


class ResultsError(Exception):
    """A results file that cannot be read. The message names the file, what is wrong and what is accepted."""


class _Head(msgspec.Struct):
    """What tells a file of ours from any other JSON."""

    format: Any = None
    version: Any = None


def load(path: Path) -> Results:
    """Read a results file.

    Raises:
        ResultsError: it is not there, is no JSON, or is of another format or version; the message names the file and
            what is accepted.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from None
    try:
        # msgspec takes text that is no UTF-8 for its ValueError's subclass UnicodeDecodeError.
        head = msgspec.json.decode(text, type=_Head)
    except msgspec.ValidationError:
        head = _Head()
    except ValueError as error:
        raise ResultsError(f"{path} is no JSON: {error}") from None
    if head.format != FORMAT:
        raise ResultsError(f'{path} is no results file: it has "format" {head.format!r}; accepted is {FORMAT!r}')
    if head.version != VERSION or isinstance(head.version, bool):
        raise ResultsError(f"{path} has version {head.version!r} of the format; accepted is {VERSION}")
    try:
        return msgspec.json.decode(text, type=Results)
    except msgspec.ValidationError as error:
        raise ResultsError(f"{path} is damaged: {error}") from None


def save(results: Results, path: Path) -> None:
    """Write a results file, whole or not at all. What is not a number is written as null.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    write_whole(path, msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def write_csv(results: Results, path: Path) -> None:
    """Write one row per cell, repeat and measure, for spreadsheets and data frames; no value is an empty field.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_CSV_HEAD)
    writer.writerows(_csv_rows(results))
    write_whole(path, text.getvalue().encode())


_CSV_HEAD: Final = (
    *("scenario", "cell", "variant", "strategy", "reader", "transport"),
    *("repeat", "measure", "value", "unit"),
)


def _csv_rows(results: Results) -> Iterator[tuple[object, ...]]:
    for cell in results.cells:
        named = (cell.scenario, cell.name, cell.variant, cell.strategy, cell.reader, cell.transport)
        for number, repeat in enumerate(cell.repeats, start=1):
            for measure, value in repeat.measures.items():
                unit = results.definitions.get(measure, {}).get("unit", "")
                known = value is not None and math.isfinite(value)
                yield (*named, number, measure, value if known else None, unit)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside `path`, then put it in its place: a reader finds the old one or the new one, never half.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
