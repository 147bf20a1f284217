"""Who is measured: our server in its variants and the peers, and how each is asked for the same stream."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

__all__ = (
    "AIOHTTP",
    "EMITTER",
    "FLUX",
    "NODE",
    "OURS",
    "RAW",
    "RX",
    "SSE_STARLETTE",
    "STARLETTE",
    "Contender",
)


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to serve a stream of tokens.

    Attributes:
        name: as the tables show it.
        command: what starts its server.
        path: where its server streams.
        query: what goes with every request: variant and strategy of ours.
        missing: what has to be installed; empty: all is there.
    """

    name: str
    command: tuple[str, ...]
    path: str = "/stream"
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    missing: str = ""

    def target(self, **parameters: object) -> str:
        """Return path and query of a request for `parameters`, which all contenders understand."""
        return f"{self.path}?{urlencode({**parameters, **self.query})}"


_SERVE: Final = (sys.executable, "-m", "servers", "--host", "127.0.0.1", "--port", "0")
_PEERS: Final = "benchmarks.served.peers"


def _ours(name: str, **query: str) -> Contender:
    return Contender(name, _SERVE, "/v1/chat/stream", {"source": "counter", "profile": "completion", **query})


def _peer(name: str, module: str, *packages: str) -> Contender:
    absent = [package for package in packages if find_spec(package) is None]
    missing = f"{', '.join(absent)}: pip install 'tokenweir[peers]'" if absent else ""
    return Contender(name, (sys.executable, "-m", f"{_PEERS}.{module}"), missing=missing)


def _node() -> Contender:
    script = Path(__file__).parent / "peers" / "node_write.mjs"
    node = shutil.which("node")
    missing = "" if node else "node: Node.js 20 or later"
    return Contender("Node res.write", (node or "node", str(script)), missing=missing)


FLUX: Final = _ours("flux buffer/suspend", variant="flux", strategy="buffer", capacity="256", overflow="suspend")
RX: Final = _ours("rx buffer unbounded", variant="rx", strategy="buffer", capacity="unbounded")
EMITTER: Final = _ours("emitter suspend", variant="emitter", strategy="suspend")
OURS: Final = (FLUX, RX, EMITTER)

SSE_STARLETTE: Final = _peer("sse-starlette", "sse_starlette_events", "sse_starlette", "starlette", "uvicorn")
STARLETTE: Final = _peer("Starlette StreamingResponse", "starlette_stream", "starlette", "uvicorn")
AIOHTTP: Final = _peer("aiohttp write", "aiohttp_write")
RAW: Final = _peer("raw transport.write", "raw_protocol")
NODE: Final = _node()
