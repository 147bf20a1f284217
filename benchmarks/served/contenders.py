"""Who is measured: our server in its variants and the peers, and how each is asked for the same stream."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from benchmarks.peers.registry import Peer, peer

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
        warm_up_s: how long it has to stream until it is as fast as it becomes; see `benchmarks.peers.registry.Peer`.
    """

    name: str
    command: tuple[str, ...]
    path: str = "/stream"
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    missing: str = ""
    warm_up_s: float = 0.0

    @staticmethod
    def of_peer(peer: Peer) -> Contender:
        """Take a peer in, which is built if it has to be; one that lacks something has no command.

        Raises:
            RuntimeError: it cannot be built.
        """
        missing = peer.missing()
        return Contender(peer.name, () if missing else peer.command(), peer.path, peer.query, missing, peer.warm_up_s)

    def target(self, **parameters: object) -> str:
        """Return path and query of a request for `parameters`, which all contenders understand."""
        return f"{self.path}?{urlencode({**parameters, **self.query})}"


_SERVE: Final = (sys.executable, "-m", "servers", "--host", "127.0.0.1", "--port", "0")


def _ours(name: str, **query: str) -> Contender:
    return Contender(name, _SERVE, "/v1/chat/stream", {"source": "counter", "profile": "completion", **query})


FLUX: Final = _ours("flux buffer/suspend", variant="flux", strategy="buffer", capacity="256", overflow="suspend")
RX: Final = _ours("rx buffer unbounded", variant="rx", strategy="buffer", capacity="unbounded")
EMITTER: Final = _ours("emitter suspend", variant="emitter", strategy="suspend")
OURS: Final = (FLUX, RX, EMITTER)

# Not as contenders: whether something is missing is asked of programs, and not at every import.
SSE_STARLETTE: Final = peer("sse-starlette")
STARLETTE: Final = peer("Starlette StreamingResponse")
AIOHTTP: Final = peer("aiohttp write")
RAW: Final = peer("raw transport.write")
NODE: Final = peer("Node res.write")
