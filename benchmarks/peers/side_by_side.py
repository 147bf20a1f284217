"""Ours and every peer in one run: three of the cases of `benchmarks.served`, in interleaved rounds.

    firehose    tokens/s of one stream as fast as it comes, JSON per token
    paced       streams of 50 tokens/s with p99 from due to received under 20 ms, on one core
    memory      what 1,000 open, silent streams add to the process

In each round each contender is measured once in each case, with a new server process, so that a slow minute of the
machine falls on all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from benchmarks.environment import environment
from benchmarks.load.self_check import SHARE_LIMIT
from benchmarks.peers.comparison import OURS as OUR_STACK
from benchmarks.peers.comparison import Comparison, Row, Skipped
from benchmarks.peers.failures import in_words
from benchmarks.peers.registry import Peer, Stack
from benchmarks.processes import HAS_PROC
from benchmarks.served import firehose, memory, paced
from benchmarks.served.contenders import FLUX, OURS, Contender

__all__ = ("CASES", "FULL", "QUICK", "Case", "Sample", "Size", "compare")

_JVM_OR_NODE: Final = frozenset({Stack.SPRING_MVC, Stack.SPRING_WEBFLUX, Stack.NODE})
_SPRING: Final = frozenset({Stack.SPRING_MVC, Stack.SPRING_WEBFLUX})


# --- How much ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured; the rounds of the parts are not looked at.

    Attributes:
        rounds: in each of which everything is measured once.
        firehose: how long a stream takes, and its tokens at most.
        paced: where the search begins and ends, and how fine it is.
        memory: how many streams.
    """

    rounds: int
    firehose: firehose.FirehoseSize
    paced: paced.PacedSize
    memory: memory.MemorySize


# The first number of streams is one that the slowest peers hold.
_FIREHOSE: Final = firehose.FirehoseSize(tokens=3_000_000, about_s=1.0)
FULL: Final = Size(
    rounds=3,
    firehose=firehose.FirehoseSize(tokens=3_000_000, about_s=3.0),
    paced=paced.PacedSize(first=50, window_s=2.0, firehose=_FIREHOSE),
    memory=memory.MemorySize(streams=1_000, before=100, first_timeout_s=20.0),
)
QUICK: Final = Size(
    rounds=1,
    firehose=_FIREHOSE,
    paced=paced.PacedSize(first=50, bisections=2, warm_up_s=0.5, window_s=1.0, rest_s=0.5, firehose=_FIREHOSE),
    memory=memory.MemorySize(streams=1_000, before=50, settle_s=0.3, first_timeout_s=10.0),
)


# --- What --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One contender in one case in one round.

    Attributes:
        value: NaN where nothing came out.
        note: what a reader of it must know.
        is_bound: whether the true value may be higher, as what it was measured with came to its limit.
        comparable: whether it may be held against another: not if it is of something else than was asked.
    """

    value: float
    note: str = ""
    is_bound: bool = False
    comparable: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured.

    Attributes:
        name: as `--case` takes it.
        unit: of a sample.
        measure: takes one sample with a new server; whatever it raises is told as a failure.
        goal: what is wanted beside a peer: a sign and a limit of ours divided by theirs; None: nothing.
        obstacle: why it cannot be measured on this system; empty: it can.
    """

    name: str
    unit: str
    measure: Callable[[Contender, Size], Sample]
    goal: Callable[[Peer], tuple[str, float] | None]
    obstacle: Callable[[], str] = lambda: ""


def _firehose(contender: Contender, size: Size) -> Sample:
    pulled = firehose.pull_anew(contender, size.firehose)
    is_bound = pulled.client_share > SHARE_LIMIT
    return Sample(pulled.frames_per_s, "the client was the limit" if is_bound else "", is_bound)


def _paced(contender: Contender, size: Size) -> Sample:
    found = paced.search(contender, size.paced)
    return Sample(found.largest, found.note, found.is_bound)


def _memory(contender: Contender, size: Size) -> Sample:
    grown = memory.grow(contender, size.memory, memory.PAUSED)
    if grown.begun < size.memory.streams:
        note = f"only {grown.begun} of {size.memory.streams} streams had begun"
    else:
        note = "" if grown.kib_per_stream > 0 else "within the noise"
    return Sample(grown.kib_per_stream, note, comparable=not note)


def _memory_obstacle() -> str:
    return "" if HAS_PROC else "needs Linux: memory is read from /proc"


def _firehose_goal(peer: Peer) -> tuple[str, float] | None:
    wanted = (Stack.SPRING_MVC, "emitter"), (Stack.SPRING_WEBFLUX, "flux")
    return (">", 1.0) if (peer.stack, peer.query.get("variant")) in wanted else None


def _paced_goal(peer: Peer) -> tuple[str, float] | None:
    # Within 0.8 of the best of them is within 0.8 of each.
    return (">=", 0.8) if peer.stack in _JVM_OR_NODE else (">=", 1.75)


def _memory_goal(peer: Peer) -> tuple[str, float] | None:
    return ("<", 1.0) if peer.stack in _SPRING else None


CASES: Final = (
    Case("firehose", "tokens/s", _firehose, _firehose_goal),
    Case("paced", "streams", _paced, _paced_goal),
    Case("memory", "KiB/stream", _memory, _memory_goal, _memory_obstacle),
)
"""All, in the order of the table."""


# --- One run -----------------------------------------------------------------------------------------------------


def compare(
    peers: Sequence[Peer],
    size: Size,
    *,
    cases: Sequence[Case] = CASES,
    quick: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Build the peers, and measure them and ours. What fails is a row, or a line, that says so.

    A KeyboardInterrupt while they are measured ends it and is not passed on: the result says that it was interrupted.

    Args:
        peers: which; one that lacks something, or cannot be built, is skipped with one line.
        size: how much.
        cases: what; one that cannot be measured on this system is left out, with the reason.
        quick: what the result says of the size.
        say: is told what is being done, one line at a time.
    """
    left_out = {case.name: reason for case in cases if (reason := case.obstacle())}
    cases = [case for case in cases if case.name not in left_out]
    present, skipped = _build(peers, say)
    contenders = (*OURS, *(contender for _, contender in present))
    samples: _Samples = {}
    interrupted = False
    try:
        _play_rounds(contenders, cases, size, say, samples)
    except KeyboardInterrupt:
        interrupted = True
    owners = {contender.name: peer for peer, contender in present}
    rows = [
        _row(case, contender, owners.get(contender.name), samples)
        for case in cases
        for contender in contenders
        if (case.name, contender.name) in samples
    ]
    return Comparison(
        quick=quick,
        environment=environment(),
        rows=rows,
        skipped=skipped,
        left_out=left_out,
        interrupted=interrupted,
    )


def _build(peers: Sequence[Peer], say: Callable[[str], None]) -> tuple[list[tuple[Peer, Contender]], list[Skipped]]:
    present: list[tuple[Peer, Contender]] = []
    skipped: list[Skipped] = []
    for peer in peers:
        say(f"building {peer.name}")
        try:
            contender = Contender.of_peer(peer)
        except Exception as error:  # whatever it is, the others can be measured
            skipped.append(Skipped(contender=peer.name, stack=peer.stack.value, reason=in_words(error), failed=True))
            continue
        if contender.missing:
            reason = f"install {contender.missing}"
            skipped.append(Skipped(contender=peer.name, stack=peer.stack.value, reason=reason))
        else:
            present.append((peer, contender))
    return present, skipped


_Samples = dict[tuple[str, str], list[Sample]]


def _play_rounds(
    contenders: Sequence[Contender], cases: Sequence[Case], size: Size, say: Callable[[str], None], samples: _Samples
) -> None:
    for number in range(1, size.rounds + 1):
        for case in cases:
            for contender in contenders:
                say(f"round {number} of {size.rounds}: {case.name}, {contender.name}")
                sample = _sample(case, contender, size)
                samples.setdefault((case.name, contender.name), []).append(sample)


def _sample(case: Case, contender: Contender, size: Size) -> Sample:
    try:
        return case.measure(contender, size)
    except Exception as error:  # whatever it is, what was measured before is kept
        return Sample(math.nan, f"failed: {in_words(error)}")


# --- Rows --------------------------------------------------------------------------------------------------------


def _row(case: Case, contender: Contender, peer: Peer | None, samples: _Samples) -> Row:
    own, ours = samples[case.name, contender.name], samples[case.name, FLUX.name]
    values = [None if math.isnan(sample.value) else sample.value for sample in own]
    ratios = [] if contender is FLUX else _ratios(ours, own)
    goal = None if peer is None else case.goal(peer)
    met = None if goal is None else _met(ratios, *goal)
    notes = [sample.note for sample in own if sample.note]
    if goal is not None and met is None:
        notes += [f"ours: {sample.note}" for sample in ours if sample.note]
    return Row(
        case=case.name,
        contender=contender.name,
        stack=OUR_STACK if peer is None else peer.stack.value,
        unit=case.unit,
        values=values,
        value=_median_of([value for value in values if value is not None]),
        ratio=_median_of([ratio.measured for ratio in ratios]),
        goal="" if goal is None else f"{goal[0]} {goal[1]:g} x",
        met=met,
        note="; ".join(dict.fromkeys(notes)),
        comparable=all(sample.comparable for sample in own),
    )


class _Ratio(NamedTuple):
    """Ours divided by theirs in one round: as it was measured, and between which two the true one is."""

    measured: float
    least: float
    most: float


def _ratios(ours: Sequence[Sample], theirs: Sequence[Sample]) -> list[_Ratio]:
    """Return those of the rounds that have one: both values are comparable, and theirs is greater than 0."""
    ratios: list[_Ratio] = []
    # Ours may be ahead if it was interrupted: in each round it is the first.
    for our, their in zip(ours, theirs, strict=False):
        if our.comparable and their.comparable and our.value >= 0 and their.value > 0:
            measured = our.value / their.value
            least, most = 0.0 if their.is_bound else measured, math.inf if our.is_bound else measured
            ratios.append(_Ratio(measured, least, most))
    return ratios


def _met(ratios: Sequence[_Ratio], sign: str, limit: float) -> bool | None:
    """Return whether the median meets a goal; None: there is none, or it depends on where within its bounds it is."""
    if not ratios:
        return None
    ends = (median(ratio.least for ratio in ratios), median(ratio.most for ratio in ratios))
    at_least, at_most = (_is_met(end, sign, limit) for end in ends)
    return at_least if at_least == at_most else None


def _median_of(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _is_met(ratio: float, sign: str, limit: float) -> bool:
    return {">": ratio > limit, ">=": ratio >= limit, "<": ratio < limit}[sign]
