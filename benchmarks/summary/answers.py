"""The answers in words: one per scenario, each sentence computed from the figures of this run and of no other.

A sentence is left out where there is nothing to say, such as when no strategy lost a token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.results import CellResult, Results
from benchmarks.summary.figures import (
    GOOD,
    bound,
    failed,
    figure,
    joined,
    notes,
    outcomes,
    overlap,
    seconds,
    share,
    short,
    spread,
    total,
    unexpected,
    violations,
)

__all__ = ("Answer", "answers", "verdicts")

_HELD_BACK_MS: Final = 100.0
_NEARLY: Final = 1.2
_MEBIBYTE_KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a scenario's cells say to its question.

    Attributes:
        scenario: its name.
        question: what it asks.
        sentences: the answer.
    """

    scenario: str
    question: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """The answer as one paragraph."""
        return " ".join(self.sentences)


Sentences = list[str]


def answers(results: Results) -> list[Answer]:
    """Return one answer per scenario, in the order of the questions."""
    return [_answer(scenario, question, results.cells) for scenario, question in results.questions.items()]


def _answer(scenario: str, question: str, cells: Iterable[CellResult]) -> Answer:
    measured = [cell for cell in cells if cell.scenario == scenario and cell.repeats]
    if not measured:
        return Answer(scenario, question, ("It was not measured.",))
    said = _ANSWERS.get(scenario, _of_any)(measured)
    return Answer(scenario, question, tuple(said) or ("The figures do not tell.",))


def verdicts(results: Results) -> list[str]:
    """Say of the run as a whole what must be known before its figures are used."""
    lines: list[str] = []
    if results.interrupted:
        measured = sum(bool(cell.repeats) for cell in results.cells)
        lines.append(f"INTERRUPTED: {measured} of {len(results.cells)} cells were measured; they are kept.")
    if broken := violations(results.cells):
        lines += [f"ACCOUNTING: {len(broken)} mismatches; a token was lost or made up unnoticed:", *broken]
    elif streams := sum(sum(outcomes(cell).values()) for cell in results.cells if total([cell], "emitted")):
        tokens = short(total(results.cells, "emitted"))
        lines.append(
            f"All counts add up: {streams} streams, {tokens} tokens emitted = delivered + dropped + merged + rejected "
            "+ held, and what the server delivered is what the clients received."
        )
    if ended := unexpected(results.cells):
        lines += ["FAILED: streams ended as they may not, so that the figures of their cells are doubtful:", *ended]
    errors = [(cell, cell.error) for cell in results.cells if cell.error]
    lines += _together("NOT MEASURED", errors)
    lines += _together(
        "CLIENT-BOUND: the client, not the server, may have been the limit", bound(results.cells, "client")
    )
    lines += _together(
        "MACHINE BUSY: something else had the cores, so that times are later and rates lower than the server's own",
        bound(results.cells, "machine"),
    )
    lines += _together("LEFT OUT", notes(results.cells))
    return lines


def _together(what: str, reasons: Sequence[tuple[CellResult, str]]) -> list[str]:
    """Return one line for all cells: the one, or how many of each scenario, with the first one's reason."""
    if not reasons:
        return []
    cell, reason = reasons[0]
    if len(reasons) == 1:
        return [f"{what}: {cell.scenario}: {cell.name}: {reason}"]
    counts = Counter(each.scenario for each, _ in reasons)
    where = joined([f"{count} of {scenario}" for scenario, count in counts.items()])
    return [f"{what}: {len(reasons)} cells, {where}; the first because {reason}"]


# --- Naming cells ------------------------------------------------------------------------------------------------


def _named(cells: Iterable[CellResult]) -> str:
    """Name cells by strategy, an endpoint by its own name: "drop (rx, flux) and suspend (emitter, flux)"."""
    by_strategy: dict[str, list[str]] = {}
    for cell in cells:
        by_strategy.setdefault(cell.strategy or cell.name, []).append(cell.variant)
    return joined([f"{strategy} ({', '.join(dict.fromkeys(each))})" for strategy, each in by_strategy.items()])


def _known(cells: Iterable[CellResult], measure: str) -> dict[int, float]:
    return {index: value for index, cell in enumerate(cells) if (value := figure(cell, measure)) is not None}


def _ranked(cells: Sequence[CellResult], measure: str) -> list[tuple[CellResult, float]]:
    """Return the cells that have the measure, the least first."""
    found = sorted(_known(cells, measure).items(), key=lambda item: item[1])
    return [(cells[index], value) for index, value in found]


@dataclass(frozen=True, slots=True)
class _Equals:
    """Cells between which a measure tells no difference."""

    cells: list[CellResult]
    least: float
    greatest: float


def _groups(cells: Sequence[CellResult], measure: str) -> list[_Equals]:
    """Put cells that are about equal together, the least first.

    About equal is what is no more than a fifth above the first of its group, or whose repeats overlap with those of the
    first: what repeats cannot tell apart has no rank.
    """
    groups: list[list[tuple[CellResult, float]]] = []
    for cell, value in _ranked(cells, measure):
        first, least = groups[-1][0] if groups else (cell, value)
        if groups and (value <= least * _NEARLY or overlap(first, cell, measure)):
            groups[-1].append((cell, value))
        else:
            groups.append([(cell, value)])
    return [_Equals([cell for cell, _ in group], group[0][1], group[-1][1]) for group in groups]


def _range(least: float, greatest: float, show: Callable[[float | None], str]) -> str:
    low, high = show(least), show(greatest)
    return low if low == high else f"{low} to {high}"


# --- Slow readers ------------------------------------------------------------------------------------------------


def _of_slow(cells: Sequence[CellResult]) -> Sentences:
    return [*_in_short(cells), *_on_loss(cells), *_on_source(cells), *_on_lateness(cells), *_on_memory(cells)]


def _of_bursty(cells: Sequence[CellResult]) -> Sentences:
    return [*_on_loss(cells), *_on_source(cells), *_on_lateness(cells)]


def _of_stalled(cells: Sequence[CellResult]) -> Sentences:
    return [*_on_loss(cells), *_on_source(cells), *_on_memory(cells)]


def _in_short(cells: Sequence[CellResult]) -> Sentences:
    """Name the most punctual for each of three wishes, as far as a strategy fulfils it.

    By lateness, from when a token was due: its age since it was emitted is small where the source was held back.
    """
    whole = _lossless(cells)
    held_back = _held_back(cells)
    wishes = (
        ("every token by itself", [cell for cell in whole if not figure(cell, "merged_tokens")]),
        (
            f"the whole text without holding the source back by {_HELD_BACK_MS:g} ms or more",
            [cell for cell in whole if cell not in held_back],
        ),
        ("the newest, whatever is lost", [cell for cell in cells if not failed(cell)]),
    )
    picks: list[str] = []
    for wish, able in wishes:
        if best := _groups(able, "lateness_p50_ms")[:1]:
            alike = ", about equal" if len(best[0].cells) > 1 else ""
            picks.append(
                f"{_named(best[0].cells)} for {wish} ({_range(best[0].least, best[0].greatest, seconds)}{alike})"
            )
    if not picks:
        return []
    return [f"In short, by how far tokens came behind the source's schedule at the median: {'; '.join(picks)}."]


def _lossless(cells: Iterable[CellResult]) -> list[CellResult]:
    return [cell for cell in cells if not failed(cell) and figure(cell, "loss_share") == 0]


def _held_back(cells: Sequence[CellResult]) -> list[CellResult]:
    """Return the cells whose source was late by far more than the most punctual one's, the least late first."""
    ranked = _ranked(cells, "pacing_p99_ms")
    return [cell for cell, value in ranked if value >= ranked[0][1] + _HELD_BACK_MS]


def _on_loss(cells: Sequence[CellResult]) -> Sentences:
    ended = [cell for cell in cells if failed(cell)]
    whole = _lossless(cells)
    said: Sentences = []
    if whole:
        merged = [cell for cell in whole if figure(cell, "merged_tokens")]
        joining = f"; {_named(merged)} joined tokens into fewer, longer events for it" if merged else ""
        said.append(f"Nothing was lost with {_named(whole)}{joining}.")
    lossy = [pair for pair in _ranked([cell for cell in cells if cell not in ended], "loss_share") if pair[1] > 0]
    if lossy:
        range_ = _range(lossy[0][1], lossy[-1][1], share)
        said.append(f"Tokens were lost with {_named(cell for cell, _ in lossy)}: {range_} of them.")
    if ended:
        said.append(f"The stream broke with {_named(ended)} ({_endings(ended)}).")
    return said


def _endings(cells: Iterable[CellResult]) -> str:
    found = {outcome for cell in cells for outcome in outcomes(cell) if outcome not in GOOD}
    return ", ".join(sorted(outcome.replace("_", " ") for outcome in found))


def _on_source(cells: Sequence[CellResult]) -> Sentences:
    late = _ranked(_held_back(cells), "pacing_p99_ms")
    if not late:
        limit = f"No strategy held the source back by {_HELD_BACK_MS:g} ms or more than the most punctual one."
        return [limit] if _known(cells, "pacing_p99_ms") else []
    range_ = _range(late[0][1], late[-1][1], seconds)
    return [
        f"The source was held back by {_named(cell for cell, _ in late)}: by {range_} (99th percentile; said of those "
        f"that held it back {_HELD_BACK_MS:g} ms longer than the most punctual one, or more)."
    ]


def _on_lateness(cells: Sequence[CellResult]) -> Sentences:
    groups = _groups([cell for cell in cells if not failed(cell)], "lateness_p50_ms")
    if sum(len(group.cells) for group in groups) < 2:
        return []
    if len(groups) == 1:
        range_ = _range(groups[0].least, groups[0].greatest, seconds)
        return [f"Tokens came about equally late with all: {range_} at the median."]
    best, worst = groups[0], groups[-1]
    return [
        f"Tokens came least behind the source's schedule with {_named(best.cells)}: {_span(best, seconds)} at the "
        f"median; most with {_named(worst.cells)}: {_span(worst, seconds)}."
    ]


def _on_memory(cells: Sequence[CellResult]) -> Sentences:
    peaks = [(cell, found[1]) for cell in cells if (found := spread(cell, "peak_held")) is not None]
    grown = _ranked(cells, "server_kib_per_stream")
    said: Sentences = []
    if peaks:
        most = max(peak for _, peak in peaks)
        who = _named(cell for cell, peak in peaks if peak == most)
        said.append(f"The server held at most {short(most)} tokens at the boundary, with {who}.")
    if grown and grown[-1][1] >= _MEBIBYTE_KIB:
        cell, kib = grown[-1]
        said.append(
            f"Its process grew most with {_named([cell])}: by {short(kib / _MEBIBYTE_KIB)} MiB a stream; least with "
            f"{_named([grown[0][0]])}: by {short(grown[0][1] / _MEBIBYTE_KIB)} MiB."
        )
    elif grown:
        said.append(f"No process grew by more than {short(grown[-1][1])} KiB a stream.")
    return said


def _of_speeds(cells: Sequence[CellResult]) -> Sentences:
    losses: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        if (loss := figure(cell, "loss_share")) is not None:
            speed = cell.reader.removeprefix("paced:").replace("tokens", " tokens")
            losses.setdefault((cell.strategy, cell.variant), []).append(f"{share(loss)} at {speed}")
    return [f"{strategy} ({variant}) lost {joined(each)}." for (strategy, variant), each in losses.items()]


# --- The other questions -----------------------------------------------------------------------------------------


def _of_leaving(cells: Sequence[CellResult]) -> Sentences:
    missing = violations(cells)
    if missing:
        return [f"No: {len(missing)} streams do not add up."]
    delivered, received = total(cells, "delivered"), total(cells, "received")
    in_transit = total(cells, "in_transit")
    return [
        f"Yes: of {delivered:,} tokens that left the boundary, {received:,} were received and {in_transit:,} were on "
        f"the way when the readers left; {total(cells, 'dropped'):,} more were dropped where they waited."
    ]


def _of_ordering(cells: Sequence[CellResult]) -> Sentences:
    broken = [cell for cell in cells if (figure(cell, "ordering_violations") or 0) > 0]
    known = [cell for cell in cells if figure(cell, "ordering_violations") is not None]
    said: Sentences = []
    if broken:
        said.append(f"No: tokens of one thread overtook each other with {_named(broken)}.")
    elif known:
        said.append(f"Yes: no token overtook another of its thread, with {_named(known)}.")
    mixed = [(cell, value) for cell, value in _ranked(cells, "inversions") if value > 0]
    if mixed:
        each = joined([f"{_named([cell])} {short(value)} pairs" for cell, value in mixed])
        said.append(f"Between threads, order is a matter of luck; out of the source's order were: {each}.")
    return said


def _of_fan_out(cells: Sequence[CellResult]) -> Sentences:
    return [
        *_ranking(cells, "cpu_s_per_million_tokens", "A million tokens cost", " CPU seconds", short),
        *_ranking(cells, "server_kib_per_stream", "An open stream took", " KiB of the server", short),
        *_ranking(cells, "lateness_p99_ms", "99 % of the tokens were late by at most", "", seconds),
    ]


def _ranking(
    cells: Sequence[CellResult], measure: str, what: str, unit: str, show: Callable[[float | None], str]
) -> Sentences:
    groups = _groups(cells, measure)
    units = [unit, *[""] * len(groups)]  # said once
    each = [
        f"{_span(group, show, then)} with {_by_transport(group)}" for group, then in zip(groups, units, strict=False)
    ]
    return [f"{what} {joined(each)}."] if groups else []


def _span(group: _Equals, show: Callable[[float | None], str], unit: str = "") -> str:
    """Show the figures of a group: "20 to 21 s (about equal)"."""
    alike = " (about equal)" if len(group.cells) > 1 else ""
    return f"{_range(group.least, group.greatest, show)}{unit}{alike}"


def _by_transport(group: _Equals) -> str:
    """Name the cells of a group, those of each transport but SSE apart."""
    transports = dict.fromkeys(cell.transport for cell in group.cells)
    named = [
        _named(cell for cell in group.cells if cell.transport == transport)
        + (f" over {transport}" if transport != "sse" else "")
        for transport in transports
    ]
    return joined(named)


def _of_transports(cells: Sequence[CellResult]) -> Sentences:
    return [
        sentence
        for sse, other in _pairs(cells)
        for sentence in (
            _compared(sse, other, "cpu_s_per_million_tokens", "CPU per token"),
            _compared(sse, other, "lateness_p99_ms", "lateness at the 99th percentile"),
            _compared(sse, other, "bytes_per_s", "bytes for the same tokens"),
        )
        if sentence
    ]


def _pairs(cells: Sequence[CellResult]) -> list[tuple[CellResult, CellResult]]:
    """Return the cells that differ in nothing but the transport."""
    others = {(cell.variant, cell.strategy, cell.reader): cell for cell in cells if cell.transport != "sse"}
    return [
        (cell, other)
        for cell in cells
        if cell.transport == "sse" and (other := others.get((cell.variant, cell.strategy, cell.reader))) is not None
    ]


def _compared(sse: CellResult, other: CellResult, measure: str, what: str) -> str:
    ours, theirs = figure(sse, measure), figure(other, measure)
    if not ours or not theirs:
        return ""
    ratio, repeats = ours / theirs, min(len(sse.repeats), len(other.repeats))
    if overlap(sse, other, measure):
        told = f"no difference in {what} that {_counted(repeats)} could show"
        return f"{_named([sse])}: between SSE and WebSocket there is {told} ({ratio:.2f} times)."
    word = "about as much as" if 1 / _NEARLY <= ratio <= _NEARLY else "more than" if ratio > 1 else "less than"
    return f"{_named([sse])}: SSE took {word} WebSocket in {what} ({ratio:.2f} times)."


def _counted(repeats: int) -> str:
    words = ("no", "one", "two", "three", "four", "five")
    number = words[repeats] if repeats < len(words) else str(repeats)
    return f"{number} repeat" if repeats == 1 else f"{number} repeats"


def _of_firehose(cells: Sequence[CellResult]) -> Sentences:
    groups = _groups(cells, "tokens_per_s")[::-1]
    each = [f"{_span(group, short)} with {_by_transport(group)}" for group in groups]
    said = [f"Tokens per second, on one core: {joined(each)}."] if groups else []
    return said + _ranking(cells, "cpu_s_per_million_tokens", "A million tokens cost", " CPU seconds", short)


def _of_arrivals(cells: Sequence[CellResult]) -> Sentences:
    return [
        *_ranking(
            cells, "ttft_p99_ms", "99 % had their first token, from the time they were to come, within", "", seconds
        ),
        *_ranking(cells, "ttft_from_send_p99_ms", "From the time their request was sent, within", "", seconds),
    ]


def _of_any(cells: Sequence[CellResult]) -> Sentences:
    return [
        *_ranking(cells, "ttft_p50_ms", "The first token came after", "", seconds),
        *_ranking(cells, "itl_p50_ms", "The gap between tokens was", " at the median", seconds),
    ]


_ANSWERS: Final[Mapping[str, Callable[[Sequence[CellResult]], Sentences]]] = {
    "slow-reader": _of_slow,
    "stalled": _of_stalled,
    "bursty": _of_bursty,
    "reader-speed": _of_speeds,
    "leaving": _of_leaving,
    "ordering": _of_ordering,
    "fan-out": _of_fan_out,
    "sse-vs-websocket": _of_transports,
    "firehose": _of_firehose,
    "arrivals": _of_arrivals,
}
