"""Every server that ours is measured beside: its stack, what it needs, how it is built, started and asked.

All stream the frames of our profile completion, and understand `count`, `rate` (tokens per second on an absolute
schedule that is caught up with; 0: as fast as possible) and `trace=1` (seq, due_ns and emitted_ns in each payload, on
`time.monotonic_ns()`'s clock). A peer is one row in the table at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final

from benchmarks.peers import jvm, npm
from benchmarks.peers.needs import Need, Version, missing, package

__all__ = ("PACKAGES", "PEERS", "Peer", "Stack", "peer")


class Stack(Enum):
    """What a peer runs on."""

    PYTHON = "Python"
    NODE = "Node.js"
    SPRING_MVC = "Spring MVC"
    SPRING_WEBFLUX = "Spring WebFlux"


@dataclass(frozen=True, slots=True)
class Peer:
    """One server in another stack.

    Attributes:
        name: as the tables show it; no two are the same.
        stack: what it runs on.
        needs: what has to be installed before it can be built and started.
        command: builds what has to be built, and returns what starts it. It prints its address on 127.0.0.1. May take
            minutes the first time. Raises RuntimeError, with what to do, if that fails.
        path: where it streams.
        query: what goes with every request.
        warm_up_s: how long it has to stream as fast as it can until its compiler is through; before, it may have a
            tenth of its speed. 0: it compiles nothing while it runs.
    """

    name: str
    stack: Stack
    needs: tuple[Need, ...]
    command: Callable[[], tuple[str, ...]]
    path: str = "/stream"
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    warm_up_s: float = 0.0

    def missing(self) -> str:
        """Return one line that says what to install; empty: all is there."""
        return missing(self.needs)


# --- Python ------------------------------------------------------------------------------------------------------


PACKAGES: Final[Mapping[str, Version]] = {
    "aiohttp_sse": (2, 2),
    "fastapi": (0, 135),  # its own EventSourceResponse
    "httptools": (),
    "sse_starlette": (3,),
    "starlette": (1,),
    "uvicorn": (0, 50),
}
"""What they import -> the oldest version that will do, as the extra `peers` has it."""


def _python(name: str, module: str, *packages: str) -> Peer:
    words = (sys.executable, "-m", f"benchmarks.peers.python.{module}")
    return Peer(name, Stack.PYTHON, tuple(package(each, PACKAGES[each]) for each in packages), lambda: words)


_UVICORN: Final = ("uvicorn", "httptools", "starlette")

_PYTHON: Final = (
    _python("raw transport.write", "raw_protocol"),
    _python("aiohttp write", "aiohttp_write"),
    _python("aiohttp-sse", "aiohttp_sse_send", "aiohttp_sse"),
    _python("Starlette StreamingResponse", "starlette_stream", *_UVICORN),
    _python("sse-starlette", "sse_starlette_events", "sse_starlette", *_UVICORN),
    _python("FastAPI EventSourceResponse", "fastapi_events", "fastapi", *_UVICORN),
)


# --- Node.js -----------------------------------------------------------------------------------------------------


def _node(name: str, script: str, *needs: Need) -> Peer:
    command = partial(npm.command, script, packages=npm.NPM in needs)
    return Peer(name, Stack.NODE, needs, command, warm_up_s=5.0)


_NODE: Final = (
    _node("Node res.write", "http_write.mjs", npm.NODE),
    _node("Node better-sse", "better_sse.mjs", npm.NODE, npm.NPM),
)


# --- Spring ------------------------------------------------------------------------------------------------------


def _spring(name: str, stack: Stack, module: str, variant: str) -> Peer:
    query = {"variant": variant, "strategy": "buffer"}
    return Peer(name, stack, jvm.NEEDED, partial(jvm.command, module), "/v1/chat/stream", query, warm_up_s=12.0)


_SPRING: Final = (
    _spring("MVC SseEmitter, 5 threads", Stack.SPRING_MVC, "mvc", "emitter"),
    _spring("MVC Flowable BUFFER", Stack.SPRING_MVC, "mvc", "rx"),
    _spring("MVC Flux BUFFER", Stack.SPRING_MVC, "mvc", "flux"),
    _spring("WebFlux Flowable BUFFER", Stack.SPRING_WEBFLUX, "webflux", "rx"),
    _spring("WebFlux Flux BUFFER", Stack.SPRING_WEBFLUX, "webflux", "flux"),
)


# --- All ---------------------------------------------------------------------------------------------------------

PEERS: Final = (*_PYTHON, *_NODE, *_SPRING)
"""In the order of the tables."""


def peer(name: str) -> Peer:
    """Return the one of that name.

    Raises:
        ValueError: there is none.
    """
    for each in PEERS:
        if each.name == name:
            return each
    raise ValueError(f"name must be one of {', '.join(each.name for each in PEERS)}; got {name!r}")
