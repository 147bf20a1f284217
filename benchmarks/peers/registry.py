"""Every server that ours is measured beside: its stack, what it needs, how it is built, started and asked.

All stream the frames of our profile completion, and understand `count`, `rate` (tokens per second on an absolute
schedule that is caught up with; 0: as fast as possible) and `trace=1` (seq, due_ns and emitted_ns in each payload, on
`time.monotonic_ns()`'s clock). A peer is one row in the table at the end.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from importlib.util import find_spec
from typing import Final

from benchmarks.peers import jvm, npm

__all__ = ("JAVA", "PEERS", "Need", "Peer", "Stack", "package", "peer", "program")


class Stack(Enum):
    """What a peer runs on."""

    PYTHON = "Python"
    NODE = "Node.js"
    SPRING_MVC = "Spring MVC"
    SPRING_WEBFLUX = "Spring WebFlux"


@dataclass(frozen=True, slots=True)
class Need:
    """Something that has to be installed.

    Attributes:
        name: of a program, or of a package as it is imported.
        install: what to install, for people.
        is_there: whether it is.
    """

    name: str
    install: str
    is_there: Callable[[], bool]


def program(name: str, install: str) -> Need:
    """Need a program on the PATH."""
    return Need(name, install, lambda: shutil.which(name) is not None)


def package(name: str) -> Need:
    """Need a Python package, which the extra `peers` brings."""
    return Need(name, "pip install 'tokenweir[peers]'", lambda: find_spec(name) is not None)


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
        absent: dict[str, list[str]] = {}
        for need in self.needs:
            if not need.is_there():
                absent.setdefault(need.install, []).append(need.name)
        return "; ".join(f"{', '.join(names)}: {install}" for install, names in absent.items())


# --- Python ------------------------------------------------------------------------------------------------------


def _python(name: str, module: str, *packages: str) -> Peer:
    words = (sys.executable, "-m", f"benchmarks.peers.python.{module}")
    return Peer(name, Stack.PYTHON, tuple(map(package, packages)), lambda: words)


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

_NODE_JS: Final = program("node", "Node.js 20 or later")
_NPM: Final = program("npm", "npm")


def _node(name: str, script: str, *needs: Need) -> Peer:
    command = partial(npm.command, script, packages=_NPM in needs)
    return Peer(name, Stack.NODE, needs, command, warm_up_s=5.0)


_NODE: Final = (
    _node("Node res.write", "http_write.mjs", _NODE_JS),
    _node("Node better-sse", "better_sse.mjs", _NODE_JS, _NPM),
)


# --- Spring ------------------------------------------------------------------------------------------------------

JAVA: Final = tuple(program(name, install) for name, install in jvm.NEEDED.items())
"""What builds and runs the Java originals."""


def _spring(name: str, stack: Stack, module: str, variant: str) -> Peer:
    query = {"variant": variant, "strategy": "buffer"}
    return Peer(name, stack, JAVA, partial(jvm.command, module), "/v1/chat/stream", query, warm_up_s=12.0)


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
