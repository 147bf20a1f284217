"""The claim that server-sent events are less real-time than a WebSocket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final
from urllib.parse import urlencode

import numpy as np

from benchmarks.claims.claim import Claim, Evidence, Figure, Verdict
from benchmarks.claims.tools import OUR_SERVER
from benchmarks.load.null import delays_ns
from benchmarks.load.plan import LoadOrder
from benchmarks.load.worker import LoadWorker
from benchmarks.processes import running
from benchmarks.scenarios.cells import Closed, Transport
from benchmarks.traces.captures import Outcome, Trace
from benchmarks.traces.parsing import parse

__all__ = ("CLAIM", "FULL", "Delays", "Size", "judge", "measure")

_PATHS: Final = {Transport.SSE: "/v1/chat/stream", Transport.WEBSOCKET: "/v1/chat/ws"}
_FRAME_MS: Final = 1_000 / 60
"""What happens within one picture of a screen, nobody sees."""
_MEASURABLE: Final = 0.1
_ROUNDS_TO_SPARE: Final = 4
_NS_PER_MS: Final = 1e6


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: in each of which both transports are measured; which one goes first changes.
        streams: at a time.
        tokens: of each stream.
        rate: tokens per second.
    """

    rounds: int = 8
    streams: int = 4
    tokens: int = 100
    rate: int = 250


FULL: Final = Size()


@dataclass(frozen=True, slots=True)
class Delays:
    """Of each round, how long tokens took from leaving the source to the client; and what they weighed.

    Attributes:
        sse_p50_ms: the medians.
        websocket_p50_ms: likewise.
        sse_p99_ms: the 99th percentiles.
        websocket_p99_ms: likewise.
        sse_bytes: of a token on the wire, framing included.
        websocket_bytes: likewise.
        tokens: that were measured on each.
    """

    sse_p50_ms: tuple[float, ...]
    websocket_p50_ms: tuple[float, ...]
    sse_p99_ms: tuple[float, ...]
    websocket_p99_ms: tuple[float, ...]
    sse_bytes: float
    websocket_bytes: float
    tokens: int

    @property
    def later_ms(self) -> float:
        """By how much server-sent events are later: the median of the rounds' differences."""
        return median(self._differences_ms)

    @property
    def bounds_ms(self) -> tuple[float, float]:
        """Between which that median is: the second least and the second greatest difference.

        Of eight rounds that is so with a confidence of 93 per cent. Of fewer than four it is the least and greatest.
        """
        ordered = sorted(self._differences_ms)
        spared = ordered[1:-1] if len(ordered) >= _ROUNDS_TO_SPARE else ordered
        return spared[0], spared[-1]

    @property
    def is_measurable(self) -> bool:
        """Whether server-sent events are later beyond noise, and by a tenth at least."""
        return self.bounds_ms[0] > 0 and self.later_ms > _MEASURABLE * median(self.websocket_p50_ms)

    @property
    def _differences_ms(self) -> list[float]:
        return [sse - websocket for sse, websocket in zip(self.sse_p50_ms, self.websocket_p50_ms, strict=True)]


def judge(delays: Delays) -> Evidence:
    """Holds from one picture of a screen on; refuted if it is less and not measurable; else noise decides nothing."""
    low, high = delays.bounds_ms
    figures = _figures(delays)
    sentences = _sentences(delays)
    if low >= _FRAME_MS:
        return Evidence(Verdict.HOLDS, figures, sentences)
    if high >= _FRAME_MS:
        noise = "The machine was too busy: by these rounds it may be more than that, or nothing."
        return Evidence(Verdict.UNTESTED, figures, (*sentences, noise))
    if delays.is_measurable:
        return Evidence(Verdict.CONDITIONAL, figures, sentences, f"where {delays.later_ms:.3f} ms matter")
    return Evidence(Verdict.REFUTED, figures, sentences)


def _figures(delays: Delays) -> tuple[Figure, ...]:
    return (
        Figure("delay of a token, median", median(delays.sse_p50_ms), "ms", "SSE"),
        Figure("delay of a token, median", median(delays.websocket_p50_ms), "ms", "WebSocket"),
        Figure("delay of a token, p99", median(delays.sse_p99_ms), "ms", "SSE"),
        Figure("delay of a token, p99", median(delays.websocket_p99_ms), "ms", "WebSocket"),
        Figure("bytes of a token on the wire", delays.sse_bytes, "bytes", "SSE"),
        Figure("bytes of a token on the wire", delays.websocket_bytes, "bytes", "WebSocket"),
    )


def _sentences(delays: Delays) -> tuple[str, ...]:
    low, high = delays.bounds_ms
    word = "later" if delays.later_ms >= 0 else "earlier"
    share = abs(delays.later_ms) / _FRAME_MS
    return (
        f"At the median a token came {abs(delays.later_ms):.3f} ms {word} by SSE than by WebSocket (between "
        f"{low:+.3f} and {high:+.3f} ms by {len(delays.sse_p50_ms)} rounds, {delays.tokens:,} tokens on each).",
        f"A screen shows a new picture every {_FRAME_MS:.1f} ms; that is {share:.1%} of it.",
        f"A token weighs {delays.sse_bytes:.0f} bytes by SSE and {delays.websocket_bytes:.0f} by WebSocket.",
    )


# --- The experiment ----------------------------------------------------------------------------------------------


def measure(size: Size = FULL) -> Delays:
    """Stream the same over both from our server, one after the other, so that neither is in the other's way.

    Raises:
        RuntimeError: the server or the client failed, or a stream did not complete.
    """
    traces: dict[Transport, list[list[Trace]]] = {transport: [] for transport in Transport}
    with running(OUR_SERVER) as server, LoadWorker() as worker:
        for number in range(size.rounds):
            for transport in (*Transport,)[:: -1 if number % 2 else 1]:
                traces[transport].append(_streams(worker, server.port, transport, size))
    sse, websocket = traces[Transport.SSE], traces[Transport.WEBSOCKET]
    return Delays(
        sse_p50_ms=_percentiles_ms(sse, 50),
        websocket_p50_ms=_percentiles_ms(websocket, 50),
        sse_p99_ms=_percentiles_ms(sse, 99),
        websocket_p99_ms=_percentiles_ms(websocket, 99),
        sse_bytes=_bytes_per_token(sse),
        websocket_bytes=_bytes_per_token(websocket),
        tokens=size.rounds * size.streams * size.tokens,
    )


def _streams(worker: LoadWorker, port: int, transport: Transport, size: Size) -> list[Trace]:
    query = {"source": "counter", "count": size.tokens, "rate": size.rate, "trace": 1}
    # Tokens of different streams are not due at the same moment.
    load = Closed(connections=size.streams, ramp_s=1 / size.rate)
    target = f"{_PATHS[transport]}?{urlencode(query)}"
    (done,) = worker.drive_all([LoadOrder(host="127.0.0.1", port=port, target=target, transport=transport, load=load)])
    traces = [parse(capture, profile="completion", transport=transport) for capture in done.captures]
    for trace in traces:
        if trace.outcome is not Outcome.COMPLETED or trace.token_count != size.tokens:
            raise RuntimeError(f"a stream by {transport.value}: {trace.outcome.value}, {trace.token_count} tokens")
    return traces


def _percentiles_ms(rounds: Sequence[Sequence[Trace]], percent: float) -> tuple[float, ...]:
    return tuple(
        float(np.percentile(np.concatenate([delays_ns(trace) for trace in traces]), percent)) / _NS_PER_MS
        for traces in rounds
    )


def _bytes_per_token(rounds: Sequence[Sequence[Trace]]) -> float:
    traces = [trace for each in rounds for trace in each]
    return sum(trace.bytes_received for trace in traces) / sum(trace.event_count for trace in traces)


CLAIM: Final = Claim(
    name="sse-real-time",
    statement="SSE is less real-time than WebSocket",
    said_by="comparisons of web transports",
    decided_by=(
        "One server streams the same tokens by both, in rounds that change which goes first; each token bears the time "
        "at which it left the source. It holds if tokens come later by SSE by one picture of a screen (1/60 s), "
        "with a condition if by a tenth of their delay, and is refuted if neither is seen."
    ),
    limits=(
        "Loopback, HTTP/1.1, server to client. The way back, and proxies that gather a response, are not in it. The "
        "verdict goes by the medians alone: the 99th percentiles, which pauses of the machine make, are shown beside "
        "them."
    ),
    experiment=lambda: judge(measure()),
)
