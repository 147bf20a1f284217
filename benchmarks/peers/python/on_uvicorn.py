"""How the ASGI peers run: uvicorn as `uvicorn[standard]` sets it up (uvloop, httptools), without its access log."""

from __future__ import annotations

import uvicorn
from starlette.applications import Starlette

from benchmarks.peers.python.asked import listen

__all__ = ("serve",)


def serve(app: Starlette) -> None:
    """Serve until the process is told to stop."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    server.run(sockets=[listen()])
