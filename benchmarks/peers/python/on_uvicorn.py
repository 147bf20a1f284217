"""How the ASGI peers run: uvicorn as `uvicorn[standard]` sets it up (uvloop, httptools), without its access log."""

from __future__ import annotations

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.python.asked import WrongQueryError, listen

__all__ = ("serve",)


def serve(app: Starlette) -> None:
    """Serve until the process is told to stop."""
    app.add_exception_handler(WrongQueryError, _refuse)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    server.run(sockets=[listen()])


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, WrongQueryError)  # it is the handler of these alone
    return Response(error.body, status_code=400, media_type="application/json")
