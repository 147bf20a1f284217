"""Pages of other origins: what they may read, and which of them may open a WebSocket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from servers.refusals import Handler, Refusal
from streams.arguments import shown

__all__ = ("allowing", "preflight", "refuse_foreign_page")


def allowing(origin: str) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return a signal handler that lets pages of `origin` read every answer."""

    async def allow(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "X-Stream-Id"
        response.headers.add("Vary", "Origin")

    return allow


@web.middleware
async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a browser that asks beforehand what a page may send."""
    if request.method != "OPTIONS":
        return await handler(request)
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
            "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", "Content-Type"),
            "Access-Control-Max-Age": "600",
        },
    )


def refuse_foreign_page(request: web.Request, allowed: str | None) -> None:
    """Refuse a WebSocket that a page of another origin opens: browsers leave that check to the server.

    Args:
        request: the one that asks for the upgrade. One without Origin comes from no page, and passes.
        allowed: the origin besides our own, `*` for all, or None.

    Raises:
        Refusal: 403; Origin is neither the host that was asked nor `allowed`.

    Source: RFC 6455, sections 4.2.2 and 10.2.
    """
    origin = request.headers.get("Origin")
    if origin is None or allowed in {"*", origin}:
        return
    if origin.partition("://")[2].lower() != request.host.lower():
        message = f"a page of {shown(origin)} may not open a WebSocket here; --cors-origin allows one"
        raise Refusal(403, message, "forbidden_origin", param="Origin")
