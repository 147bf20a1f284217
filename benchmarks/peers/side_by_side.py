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
from typing import Final

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
        comparable: whether it may be held against another: not if it is a bound, or of something else than was asked.
    """

    value: float
    note: str = ""
    comparable: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured.

    Attributes:
        name: as `--case` takes it.
        unit: of a sample.
        measure: takes one sample with a new server. Raises RuntimeError or OSError if that fails.
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
    note = "the client was the limit" if pulled.client_share > SHARE_LIMIT else ""
    return Sample(pulled.frames_per_s, note)


def _paced(contender: Contender, size: Size) -> Sample:
    found = paced.search(contender, size.paced)
    return Sample(found.largest, found.note, comparable=found.found_limit)


def _memory(contender: Contender, size: Size) -> Sample:
    grown = memory.grow(contender, size.memory, memory.PAUSED)
    all_begun = grown.begun == size.memory.streams
    note = "" if all_begun else f"only {grown.begun} of {size.memory.streams} streams had begun"
    return Sample(grown.kib_per_stream, note, comparable=all_begun)


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
        except (RuntimeError, OSError) as error:  # of a folder that cannot be written, too
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
    except (RuntimeError, OSError) as error:  # of connections that break and of timeouts, too
        return Sample(math.nan, f"failed: {in_words(error)}")


# --- Rows --------------------------------------------------------------------------------------------------------


def _row(case: Case, contender: Contender, peer: Peer | None, samples: _Samples) -> Row:
    own = samples[case.name, contender.name]
    values = [None if math.isnan(sample.value) else sample.value for sample in own]
    ratio = None if contender is FLUX else _ratio(samples[case.name, FLUX.name], own)
    goal = None if peer is None else case.goal(peer)
    return Row(
        case=case.name,
        contender=contender.name,
        stack=OUR_STACK if peer is None else peer.stack.value,
        unit=case.unit,
        values=values,
        value=_median_of([value for value in values if value is not None]),
        ratio=ratio,
        goal="" if goal is None else f"{goal[0]} {goal[1]:g} x",
        met=None if goal is None or ratio is None else _is_met(ratio, *goal),
        note="; ".join(dict.fromkeys(sample.note for sample in own if sample.note)),
    )


def _ratio(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float | None:
    """Return the median of the rounds' ratios; None where no round has one."""
    rounds = zip(ours, theirs, strict=False)  # ours is ahead if it was interrupted: in each round it is the first
    pairs = [pair for pair in rounds if all(sample.comparable for sample in pair)]
    ratios = [our.value / their.value for our, their in pairs if their.value]
    return _median_of([ratio for ratio in ratios if not math.isnan(ratio)])


def _median_of(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _is_met(ratio: float, sign: str, limit: float) -> bool:
    return {">": ratio > limit, ">=": ratio >= limit, "<": ratio < limit}[sign]
