"""Routes and wiring: a request becomes a source, a variant, an outlet, and a session that joins them."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from aiohttp import WSMessage, WSMsgType, web

from servers import metrics
from servers.bodies import Ask, read_aisdk, read_anthropic, read_completion
from servers.openapi import document
from servers.origins import Origin, open_origin
from servers.outlets import ResponseOutlet, WebSocketOutlet, WholeOutlet
from servers.parameters import ParameterError, StreamParameters, parse_query
from servers.profiles import PROFILES, CompletionPayloads, StreamIdentity
from servers.response import MAX_BATCH, SocketTail
from servers.session import Outlet, Session
from servers.settings import ServerSettings
from servers.upstream import Upstream, UpstreamError
from servers.variants import ClientDemand, Exposure, expose
from streams import BackpressureStrategy

__all__ = ("make_app",)

_MAX_BODY_BYTES: Final = 1024 * 1024
_RETRY_AFTER_S: Final = "1"
_PAGE: Final = Path(__file__).parent / "page"
_PAGE_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STREAM_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(settings: ServerSettings | None = None) -> web.Application:
    """Return the application of one server process."""
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_errors_as_json])
    service = _Service(settings or ServerSettings())
    if service.settings.cors_origin is not None:
        app.on_response_prepare.append(_allowing(service.settings.cors_origin))
        app.middlewares.append(_preflight)
    app.on_response_prepare.append(_name_stream)
    app.add_routes(
        [
            web.get("/", service.page),
            web.get("/page/{name}", service.page),
            web.get("/v1/chat/stream", service.event_source),
            web.post("/v1/chat/completions", service.completions),
            web.post("/v1/messages", service.messages),
            web.post("/api/chat", service.ai_chat),
            web.get("/v1/chat/ws", service.web_socket, allow_head=False),
            web.get("/v1/models", service.models),
            web.get("/healthz", service.health),
            web.get("/metrics", service.metrics),
            web.get("/openapi.json", service.openapi),
        ]
    )
    app.cleanup_ctx.append(service.lifetime)
    app.on_shutdown.append(service.shut_down)
    return app


class _Service:
    """The handlers, and what they share."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._sessions: set[Session] = set()
        self._opening_count = 0
        self._executor = ThreadPoolExecutor(settings.threads, thread_name_prefix="tokenweir")
        self._upstream: Upstream | None = None

    async def lifetime(self, app: web.Application) -> AsyncIterator[None]:
        """Open the upstream, and in the end close it and the thread pool."""
        if self.settings.upstream_url is not None:
            self._upstream = Upstream(self.settings.upstream_url)
        yield
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._upstream is not None:
            await self._upstream.aclose()

    async def shut_down(self, app: web.Application) -> None:
        """End all streams: each client gets an error event in its own format."""
        for session in tuple(self._sessions):
            session.stop("shutdown")

    # ------------------------------------------------------------------ streams

    async def event_source(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/chat/stream, for EventSource."""
        if request.headers.get("Last-Event-ID", "").endswith("-end"):
            return web.Response(status=204)  # the browser's reconnect after the end: there is no more
        return await self._answer(request, Ask(parse_query(request.query.items())))

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions, for fetch and for OpenAI clients."""
        return await self._answer(request, read_completion(await request.read()))

    async def messages(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages, for Anthropic clients."""
        return await self._answer(request, read_anthropic(await request.read()))

    async def ai_chat(self, request: web.Request) -> web.StreamResponse:
        """POST /api/chat, for the npm package `ai`."""
        return await self._answer(request, read_aisdk(await request.read()))

    async def _answer(self, request: web.Request, ask: Ask) -> web.StreamResponse:
        origin = await self._open(ask)
        stream_id = secrets.token_hex(6)
        headers = {"X-Stream-Id": stream_id}
        profile = PROFILES[ask.parameters.profile]
        if request.method == "HEAD":
            return web.Response(headers={**headers, **_STREAM_HEADERS, "Content-Type": profile.content_type})
        identity = _identity(stream_id, ask)
        if not ask.stream:
            return await self._answer_whole(request, identity, ask, origin, headers)
        encoder = profile(identity)
        response = web.StreamResponse(
            headers={**headers, **_STREAM_HEADERS, **encoder.headers, "Content-Type": encoder.content_type}
        )
        tail = await self._tail(request, response)
        outlet = ResponseOutlet(tail, self.settings.buffers, encoder, origin, waits=_waits(ask.parameters))
        reason = await self._run(stream_id, ask.parameters, origin, outlet)
        if outlet.failed_in_silence:
            await tail.break_off()
        elif reason in {"completed", "error", "shutdown"} and tail.is_open:
            await tail.finish(response.write_eof())
        return response

    async def _answer_whole(
        self, request: web.Request, identity: StreamIdentity, ask: Ask, origin: Origin, headers: Mapping[str, str]
    ) -> web.Response:
        """Answer with one object: the Mono of the comparison."""
        encoder = PROFILES[ask.parameters.profile](identity)
        outlet = WholeOutlet(request, encoder, origin, max_text_bytes=self.settings.max_buffer_bytes)
        reason = await self._run(identity.stream_id, ask.parameters, origin, outlet)
        if outlet.body is None:
            message, kind = outlet.failed or ("the stream has ended", reason)
            raise _error(503 if reason == "shutdown" else 502, message, kind, headers=headers)
        return web.Response(body=outlet.body, headers=headers, content_type="application/json")

    async def web_socket(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/chat/ws: the same stream over WebSocket, with demand=N as the client demands."""
        pairs = [(name, value) for name, value in request.query.items() if name != "demand"]
        demand = _client_demand(request.query.getall("demand", []))
        ask = Ask(parse_query(pairs))
        socket = web.WebSocketResponse(heartbeat=self.settings.heartbeat_s or None, max_msg_size=64 * 1024)
        if not socket.can_prepare(request).ok:
            raise _error(426, "this route speaks WebSocket", "upgrade_required", headers={"Upgrade": "websocket"})
        origin = await self._open(ask)
        stream_id = secrets.token_hex(6)
        socket.headers["X-Stream-Id"] = stream_id
        tail = await self._tail(request, socket)
        payloads = CompletionPayloads(_identity(stream_id, ask))
        outlet = WebSocketOutlet(tail, self.settings.buffers, socket, payloads, waits=_waits(ask.parameters))
        await self._run(stream_id, ask.parameters, origin, outlet, demand=demand, socket=socket)
        await tail.finish(socket.close(code=outlet.close_code))
        return socket

    async def _open(self, ask: Ask) -> Origin:
        """Make the source ready, if there is room for one more stream."""
        if len(self._sessions) + self._opening_count >= self.settings.max_streams:
            raise _error(503, "too many streams at a time", "overloaded", headers={"Retry-After": _RETRY_AFTER_S})
        self._opening_count += 1
        try:
            return await open_origin(
                ask, recordings=self.settings.recordings, upstream=self._upstream, executor=self._executor
            )
        finally:
            self._opening_count -= 1

    async def _tail(self, request: web.Request, response: web.StreamResponse) -> SocketTail:
        """Send the headers now, and set the buffers of the connection."""
        writer = cast("Any", await response.prepare(request))
        writer.send_headers()
        if request.transport is not None:
            self.settings.buffers.apply(request.transport)
        return SocketTail(
            request,
            writer,
            send_timeout_s=self.settings.send_timeout_s,
            max_buffer_bytes=self.settings.max_buffer_bytes,
        )

    async def _run(
        self,
        stream_id: str,
        parameters: StreamParameters,
        origin: Origin,
        outlet: Outlet,
        *,
        demand: ClientDemand | None = None,
        socket: web.WebSocketResponse | None = None,
    ) -> str:
        exposure = _expose(parameters, origin, demand)
        session = Session(stream_id, parameters, exposure, outlet, heartbeat_s=self.settings.heartbeat_s)
        listener = None
        if socket is not None:
            listener = asyncio.get_running_loop().create_task(_listen(socket, session, demand))
        self._sessions.add(session)
        try:
            return await session.run()
        finally:
            self._sessions.discard(session)
            if listener is not None:
                listener.cancel()

    # ------------------------------------------------------------------ the rest

    async def page(self, request: web.Request) -> web.StreamResponse:
        """GET /: the page and its parts."""
        path = _PAGE / request.match_info.get("name", "index.html")
        # A name may hold slashes, percent-encoded: it leads nowhere but into this one folder.
        if path.parent != _PAGE or path.suffix not in _PAGE_TYPES or not path.is_file():
            raise _error(404, f"there is no page {request.path}", "not_found")
        headers = {
            "Content-Security-Policy": _CSP,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return web.Response(
            text=path.read_text(encoding="utf-8"),
            content_type=_PAGE_TYPES[path.suffix],
            charset="utf-8",
            headers=headers,
        )

    async def models(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/models: what can be named as a model or source."""
        names = ["demo", "counter"]
        if self.settings.recordings is not None:
            names += [f"recording:{path.name}" for path in sorted(self.settings.recordings.glob("*.jsonl"))]
        if self._upstream is not None:
            with suppress(UpstreamError):  # one that is down does not take the local sources with it
                names += [f"upstream:{model}" for model in await self._upstream.models()]
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "tokenweir"} for name in names]
        return _json({"object": "list", "data": data})

    async def health(self, request: web.Request) -> web.StreamResponse:
        """GET /healthz."""
        return _json({"status": "ok", "streams": len(self._sessions)})

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """GET /metrics, of all workers."""
        return web.Response(body=metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def openapi(self, request: web.Request) -> web.StreamResponse:
        """GET /openapi.json."""
        return _json(document())


def _frame(message: WSMessage) -> dict[str, Any]:
    """Return the object that a client sent; an empty one if it is none."""
    try:
        frame = json.loads(message.data) if message.type is WSMsgType.TEXT else None
    except (ValueError, RecursionError):
        frame = None
    return cast("dict[str, Any]", frame) if isinstance(frame, dict) else {}


async def _listen(socket: web.WebSocketResponse, session: Session, demand: ClientDemand | None) -> None:
    """Hear what the client of a WebSocket says: demand, cancel, or that it leaves."""
    async for message in socket:
        frame = _frame(message)
        if frame.get("cancel") is True:
            session.stop("cancelled")
            return
        n = frame.get("request")
        if demand is None or not isinstance(n, int) or isinstance(n, bool):
            session.refuse('a frame must be {"request": n} on a stream with demand=N, or {"cancel": true}')
            return
        if n < 1:
            session.refuse(f"request must be at least 1 (Reactive Streams rule 3.9); got {n}")
            return
        demand.request(n)
    session.stop("client_gone")


def _expose(parameters: StreamParameters, origin: Origin, demand: ClientDemand | None) -> Exposure:
    # A simulated slow reader takes one token at a time, a fast one some at each of 500 ticks a second.
    max_items = max(1, min(MAX_BATCH, int(parameters.reader_rate / 500))) if parameters.reader_rate else MAX_BATCH
    return expose(
        parameters.variant,
        origin.feed,
        parameters.strategy,
        max_items=max_items,
        prefetch=parameters.prefetch,
        demand=demand,
    )


def _waits(parameters: StreamParameters) -> bool:
    return parameters.strategy != BackpressureStrategy.MISSING


def _identity(stream_id: str, ask: Ask) -> StreamIdentity:
    return StreamIdentity(
        stream_id,
        ask.model or ask.parameters.source,
        int(time.time()),
        trace=ask.parameters.trace,
        include_usage=ask.include_usage,
    )


def _client_demand(values: list[str]) -> ClientDemand | None:
    if not values:
        return None
    text = values[0]
    if len(values) > 1 or not (text.isascii() and text.isdecimal() and len(text) <= 16):
        raise ParameterError("demand", f"demand must be a whole number of at least 0, once; got {', '.join(values)!r}")
    return ClientDemand(int(text))


# ---------------------------------------------------------------------- errors, CORS, JSON


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(value, status=status, headers=headers)


def _error(
    status: int, message: str, kind: str, *, param: str | None = None, headers: Mapping[str, str] | None = None
) -> web.HTTPException:
    """Return the exception that answers with an error object, in the shape that OpenAI's clients know."""
    error = {"message": message, "type": kind, "param": param, "code": kind}

    class _Refused(web.HTTPException):
        status_code = status

    return _Refused(text=json.dumps({"error": error}), content_type="application/json", headers=headers)


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ParameterError as error:
        raise _error(400, str(error), "invalid_request_error", param=error.param) from None
    except web.RequestPayloadError:
        message = "body cannot be read: it is not what Content-Encoding and Transfer-Encoding say"
        raise _error(400, message, "invalid_request_error", param="body") from None
    except web.HTTPException as error:
        if error.content_type == "application/json" or error.status < 400:
            raise
        headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        raise _error(error.status, error.reason, error.reason.lower().replace(" ", "_"), headers=headers) from None


async def _name_stream(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer bears an X-Stream-Id, also one that refuses to stream: it can be asked about."""
    response.headers.setdefault("X-Stream-Id", secrets.token_hex(6))


def _allowing(origin: str) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def allow(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "X-Stream-Id"
        response.headers.add("Vary", "Origin")

    return allow


@web.middleware
async def _preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
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
