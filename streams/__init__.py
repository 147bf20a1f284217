"""One token source, three ways to stream it: an Emitter, a Flowable and a Flux, over one overflow core.

    source      variant                             boundary
    tokens  ->  Emitter.send                    ->  none: the producer waits for the handler
    tokens  ->  Observable, on_backpressure_*   ->  OverflowBuffer
    tokens  ->  FluxSink.next, send             ->  OverflowBuffer

Data goes right, demand and cancellation go left. To read it all, follow one item: `source`, `flux` or `flowable` or
`emitter`, `boundary`, `overflow`, `batches`. Tools for tests are in `streams.testing`.
"""

from __future__ import annotations

from streams.emitter import Emitter
from streams.errors import (
    AlreadySubscribedError,
    BufferOverflowError,
    SourceFailure,
    StreamClosedError,
    StreamError,
)
from streams.flowable import (
    Flowable,
    FlowableEmitter,
    limit_rate,
    on_backpressure_buffer,
    on_backpressure_drop,
    on_backpressure_error,
    on_backpressure_latest,
    on_backpressure_reduce,
)
from streams.flux import Flux, FluxSink
from streams.overflow import (
    EMPTY,
    BackpressureStrategy,
    BufferOverflow,
    EmitResult,
    Join,
    OverflowBuffer,
    StreamStatistics,
)
from streams.reactive import UNBOUNDED, Publisher, Subscriber, Subscription
from streams.source import Gaps, Pacing, Token, TokenSource, join_tokens, parse_source

__all__ = (
    "EMPTY",
    "UNBOUNDED",
    "AlreadySubscribedError",
    "BackpressureStrategy",
    "BufferOverflow",
    "BufferOverflowError",
    "EmitResult",
    "Emitter",
    "Flowable",
    "FlowableEmitter",
    "Flux",
    "FluxSink",
    "Gaps",
    "Join",
    "OverflowBuffer",
    "Pacing",
    "Publisher",
    "SourceFailure",
    "StreamClosedError",
    "StreamError",
    "StreamStatistics",
    "Subscriber",
    "Subscription",
    "Token",
    "TokenSource",
    "join_tokens",
    "limit_rate",
    "on_backpressure_buffer",
    "on_backpressure_drop",
    "on_backpressure_error",
    "on_backpressure_latest",
    "on_backpressure_reduce",
    "parse_source",
)
