"""One stream as fast as it comes: JSON per token, one connection, ours and the peers in turn, round by round."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.load.self_check import SHARE_LIMIT, undisturbed
from benchmarks.peers.registry import Peer
from benchmarks.processes import ServerProcess, on_core, running, running_all
from benchmarks.served.client import Pull, pull
from benchmarks.served.contenders import AIOHTTP, EMITTER, FLUX, NODE, OURS, RX, SSE_STARLETTE, Contender
from benchmarks.served.report import Result, skipped

__all__ = ("FULL", "QUICK", "FirehoseSize", "firehose", "pull_anew", "warm_up")

_CASE: Final = "firehose"
_WARM_UPS: Final = 2
_GOALS: Final = (
    (FLUX, SSE_STARLETTE, 20.0),
    (FLUX, AIOHTTP, 5.0),
    (FLUX, NODE, 2.0),
    (RX, SSE_STARLETTE, 8.0),
    (EMITTER, SSE_STARLETTE, 4.0),
)
_PEERS: Final = (SSE_STARLETTE, AIOHTTP, NODE)


@dataclass(frozen=True, slots=True)
class FirehoseSize:
    """How much is measured.

    Attributes:
        tokens: in one stream.
        rounds: in each of which every contender sends one stream. One round more comes first and does not count.
        least: tokens of the first stream of `warm_up`, and the least of the others.
        about_s: how long its other streams should take.
    """

    tokens: int = 200_000
    rounds: int = 5
    least: int = 10_000
    about_s: float = 3.0


FULL: Final = FirehoseSize()
QUICK: Final = FirehoseSize(tokens=40_000, rounds=3)


def firehose(size: FirehoseSize) -> list[Result]:
    """Measure all goals. The ratio of a goal is the median of the ratios of the rounds."""
    contenders = (*OURS, *map(Contender.of_peer, _PEERS))
    present = [contender for contender in contenders if not contender.missing]
    pulls = _play_rounds(present, size)
    return [_result(ours, peer, goal, pulls) for ours, peer, goal in _GOALS]


def _play_rounds(present: Sequence[Contender], size: FirehoseSize) -> dict[str, list[Pull]]:
    pulls: dict[str, list[Pull]] = {contender.name: [] for contender in present}
    with running_all([contender.command for contender in present]) as servers, on_core(1), undisturbed():
        for _ in range(size.rounds + 1):
            for contender, server in zip(present, servers, strict=True):
                pulls[contender.name].append(_pull(contender, server, size.tokens))
    return {name: each[1:] for name, each in pulls.items()}


def pull_anew(contender: Contender, size: FirehoseSize) -> Pull:
    """Read one stream of a new server that has been warmed up.

    Raises:
        RuntimeError: the server did not start.
        ConnectionError, TimeoutError: a stream ended before it was due, or brought nothing.
    """
    with running(contender.command) as server, on_core(1), undisturbed():
        return _pull(contender, server, warm_up(contender, server, size))


def warm_up(contender: Contender, server: ServerProcess, size: FirehoseSize) -> int:
    """Read streams for as long as the contender needs, and at least two; return how many tokens take `about_s` then.

    Contenders are up to a hundred times as fast as each other. So each stream has as many tokens as the one before says
    that its server sends in `about_s`, up to `tokens`. None is left before it ends: there are servers that go on
    generating for a client that has gone, and what comes next would be measured beside that.

    Raises:
        ConnectionError, TimeoutError: a stream ended before it was due, or brought nothing.
    """
    tokens, read, began_s = min(size.least, size.tokens), 0, time.monotonic()
    while read < _WARM_UPS or time.monotonic() < began_s + contender.warm_up_s:
        rate = _pull(contender, server, tokens).frames_per_s
        tokens = min(max(round(rate * size.about_s), size.least), size.tokens)
        read += 1
    return tokens


def _pull(contender: Contender, server: ServerProcess, tokens: int) -> Pull:
    return pull(server.port, contender.target(count=tokens, rate=0), tokens)


def _result(ours: Contender, peer: Peer, goal: float, pulls: dict[str, list[Pull]]) -> Result:
    what, wanted = f"{ours.name} beside {peer.name}", f">= {goal:g} x"
    if missing := peer.missing():
        return skipped(_CASE, what, wanted, missing)
    our_rates, peer_rates = ([run.frames_per_s for run in pulls[name]] for name in (ours.name, peer.name))
    ratios = [our_rate / peer_rate for our_rate, peer_rate in zip(our_rates, peer_rates, strict=True)]
    shown = (
        f"{median(ratios):.1f} x ({min(ratios):.1f}..{max(ratios):.1f}, {len(ratios)} rounds): "
        f"{median(our_rates):,.0f} and {median(peer_rates):,.0f} tokens/s"
    )
    limited = [name for name in (ours.name, peer.name) if _client_share(pulls[name]) > SHARE_LIMIT]
    raw = {
        "goal_ratio": goal,
        "ratios": ratios,
        "our_tokens_per_s": our_rates,
        "peer_tokens_per_s": peer_rates,
        "our_client_share": [run.client_share for run in pulls[ours.name]],
        "peer_client_share": [run.client_share for run in pulls[peer.name]],
    }
    note = f"the client was the limit for {', '.join(limited)}" if limited else ""
    return Result(_CASE, what, wanted, shown, median(ratios) >= goal, note, raw)


def _client_share(runs: Sequence[Pull]) -> float:
    return median(run.client_share for run in runs)
