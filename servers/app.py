"""Routes and wiring: a request becomes a source, a variant, an outlet, and a session that joins them."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, cast

from aiohttp import HttpVersion11, WSMessage, WSMsgType, web

from servers import metrics
from servers.bodies import Ask, read_aisdk, read_anthropic, read_completion
from servers.cors import allowing, preflight, refuse_foreign_page
from servers.marbles import drawn, parse_marbles
from servers.openapi import document
from servers.origins import Origin, open_origin, recording_names
from servers.outlets import ResponseOutlet, WebSocketOutlet, WholeOutlet
from servers.pages import Pages
from servers.parameters import ParameterError, StreamParameters, parse_query
from servers.profiles import PROFILES, CompletionPayloads, StreamIdentity
from servers.refusals import Refusal, errors_as_json, expectation
from servers.response import MAX_BATCH, ClientGoneError, SocketTail
from servers.session import EndReason, Outlet, Session
from servers.settings import ServerSettings
from servers.upstream import Upstream, UpstreamError
from servers.variants import ClientDemand, Exposure, expose
from streams.arguments import shown

__all__ = ("make_app",)

_MAX_BODY_BYTES: Final = 1024 * 1024
_RETRY_AFTER_S: Final = "1"
_STREAM_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
# Opened by itself it is a document, which may do nothing but look as it does.
_DRAWING_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_get = partial(web.get, expect_handler=expectation)
_post = partial(web.post, expect_handler=expectation)


def make_app(settings: ServerSettings | None = None) -> web.Application:
    """Return the application of one server process."""
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[errors_as_json])
    service = _Service(settings or ServerSettings())
    pages = Pages()
    if service.settings.cors_origin is not None:
        app.on_response_prepare.append(allowing(service.settings.cors_origin))
        app.middlewares.append(preflight)
    app.on_response_prepare.append(_name_stream)
    app.add_routes(
        [
            _get("/", pages.answer),
            _get("/page/{name}", pages.answer),
            _get("/v1/chat/stream", service.event_source),
            _post("/v1/chat/completions", service.completions),
            _post("/v1/messages", service.messages),
            _post("/api/chat", service.ai_chat),
            _get("/v1/chat/ws", service.web_socket, allow_head=False),
            _get("/v1/marbles", service.marbles),
            _get("/v1/models", service.models),
            # The name of an upstream's model may hold slashes.
            _get("/v1/models/{id:.+}", service.model),
            _get("/healthz", service.health),
            _get("/metrics", service.metrics),
            _get("/openapi.json", service.openapi),
        ]
    )
    app.cleanup_ctx.append(service.lifetime)
    app.cleanup_ctx.append(metrics.kept_current)
    app.on_shutdown.append(service.shut_down)
    return app


class _Service:
    """The handlers, and what they share."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._sessions: set[Session] = set()
        self._opening_count = 0
        self._body_limits: set[asyncio.Timeout] = set()
        self._is_stopping = False
        self._executor = ThreadPoolExecutor(settings.threads, thread_name_prefix="tokenweir")
        self._upstream: Upstream | None = None
        self._drawing = asyncio.Lock()

    async def lifetime(self, app: web.Application) -> AsyncIterator[None]:
        """Open the upstream, and in the end close it and the thread pool."""
        if self.settings.upstream_url is not None:
            self._upstream = Upstream(self.settings.upstream_url)
        yield
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._upstream is not None:
            await self._upstream.aclose()

    async def shut_down(self, app: web.Application) -> None:
        """End all streams: each client gets an error event in its own format. Nobody waits for a body any more."""
        self._is_stopping = True
        for limit in self._body_limits:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())
        for session in tuple(self._sessions):
            session.stop(EndReason.SHUTDOWN)

    # ------------------------------------------------------------------ streams

    async def event_source(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/chat/stream, for EventSource.

        A Last-Event-ID of the end is answered with 204, which tells a browser to reconnect no more. One from the middle
        of a stream resumes nothing: nobody keeps what has been sent, so the stream begins anew, from its first token
        and under an id of its own.
        """
        if request.headers.get("Last-Event-ID", "").endswith("-end"):
            return web.Response(status=204)  # the browser's reconnect after the end: there is no more
        return await self._answer(request, Ask(parse_query(request.query.items())))

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions, for fetch and for OpenAI clients."""
        return await self._answer(request, read_completion(await self._body(request)))

    async def messages(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages, for Anthropic clients."""
        return await self._answer(request, read_anthropic(await self._body(request)))

    async def ai_chat(self, request: web.Request) -> web.StreamResponse:
        """POST /api/chat, for the npm package `ai`."""
        return await self._answer(request, read_aisdk(await self._body(request)))

    async def _body(self, request: web.Request) -> bytes:
        """Wait for the body, for `body_timeout_s` at most; the end of the server ends the wait."""
        limit = asyncio.timeout(self.settings.body_timeout_s)
        self._body_limits.add(limit)
        try:
            async with limit:
                return await request.read()
        except TimeoutError:
            # aiohttp would wait for the rest before it closes the connection.
            request.protocol.close()
            request.content.feed_eof()
            if self._is_stopping:
                raise _shutting_down() from None
            message = f"the body has not arrived within {self.settings.body_timeout_s} s"
            raise Refusal(408, message, "request_timeout", param="body", headers={"Connection": "close"}) from None
        finally:
            self._body_limits.discard(limit)

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
        if request.version < HttpVersion11:
            response.force_close()  # without chunks nothing but the end of the connection tells the end of the body
        try:
            tail = await self._tail(request, response)
        except ClientGoneError:
            return await self._end_unsent(request, response, identity, ask, origin)
        outlet = ResponseOutlet(tail, self.settings.buffers, encoder, origin, waits=ask.parameters.waits)
        reason = await self._run(stream_id, ask.parameters, origin, outlet)
        if outlet.failed_in_silence:
            await tail.break_off()
        elif reason in {EndReason.COMPLETED, EndReason.ERROR, EndReason.SHUTDOWN} and tail.is_open:
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
            raise Refusal(503 if reason is EndReason.SHUTDOWN else 502, message, kind, headers=headers)
        return web.Response(body=outlet.body, headers=headers, content_type="application/json")

    async def web_socket(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/chat/ws: the same stream over WebSocket, with demand=N as the client demands."""
        refuse_foreign_page(request, self.settings.cors_origin)
        pairs = [(name, value) for name, value in request.query.items() if name != "demand"]
        demand = _client_demand(request.query.getall("demand", []))
        ask = Ask(parse_query(pairs))
        socket = web.WebSocketResponse(autoping=False, max_msg_size=64 * 1024)
        if not socket.can_prepare(request).ok:
            raise Refusal(426, "this route speaks WebSocket", "upgrade_required", headers={"Upgrade": "websocket"})
        origin = await self._open(ask)
        stream_id = secrets.token_hex(6)
        socket.headers["X-Stream-Id"] = stream_id
        identity = _identity(stream_id, ask)
        try:
            tail = await self._tail(request, socket)
        except ClientGoneError:
            return await self._end_unsent(request, socket, identity, ask, origin)
        outlet = WebSocketOutlet(
            tail,
            self.settings.buffers,
            socket,
            CompletionPayloads(identity),
            waits=ask.parameters.waits,
            answer_timeout_s=self.settings.send_timeout_s,
        )

        def listen(session: Session) -> Coroutine[Any, Any, None]:
            return _listen(socket, session, outlet, demand)

        await self._run(stream_id, ask.parameters, origin, outlet, demand=demand, listen=listen)
        await tail.finish(socket.close(code=outlet.close_code))
        return socket

    async def _open(self, ask: Ask) -> Origin:
        """Make the source ready, if there is room for one more stream."""
        if len(self._sessions) + self._opening_count >= self.settings.max_streams:
            raise Refusal(503, "too many streams at a time", "overloaded", headers={"Retry-After": _RETRY_AFTER_S})
        self._opening_count += 1
        try:
            origin = await open_origin(
                ask, recordings=self.settings.recordings, upstream=self._upstream, executor=self._executor
            )
        finally:
            self._opening_count -= 1
        if self._is_stopping:
            raise _shutting_down()
        return origin

    async def _tail(self, request: web.Request, response: web.StreamResponse) -> SocketTail:
        """Send the headers now, and set the buffers of the connection.

        Raises:
            ClientGoneError: there is no client any more.
        """
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ClientGoneError("the client has gone")
        try:
            writer = cast("Any", await response.prepare(request))
            writer.send_headers()
        except ConnectionError:
            raise ClientGoneError("the client has gone") from None
        self.settings.buffers.apply(transport)
        return SocketTail(
            request,
            writer,
            send_timeout_s=self.settings.send_timeout_s,
            max_buffer_bytes=self.settings.max_buffer_bytes,
        )

    async def _end_unsent(
        self, request: web.Request, response: web.StreamResponse, identity: StreamIdentity, ask: Ask, origin: Origin
    ) -> web.StreamResponse:
        """Count and log a stream whose client has gone before the headers, as any other; return what nobody gets."""
        outlet = WholeOutlet(request, PROFILES[ask.parameters.profile](identity), origin, max_text_bytes=0)
        await self._run(identity.stream_id, ask.parameters, origin, outlet)
        return response

    async def _run(
        self,
        stream_id: str,
        parameters: StreamParameters,
        origin: Origin,
        outlet: Outlet,
        *,
        demand: ClientDemand | None = None,
        listen: Callable[[Session], Coroutine[Any, Any, None]] | None = None,
    ) -> str:
        exposure = _expose(parameters, origin, demand)
        session = Session(stream_id, parameters, exposure, outlet, heartbeat_s=self.settings.heartbeat_s)
        listener = None
        if listen is not None:
            listener = asyncio.get_running_loop().create_task(listen(session))
        self._sessions.add(session)
        try:
            return await session.run()
        finally:
            self._sessions.discard(session)
            if listener is not None:
                listener.cancel()

    # ------------------------------------------------------------------ the rest

    async def models(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/models: what can be named as a model or source."""
        return _json({"object": "list", "data": [_model(name) for name in await self._model_names()]})

    async def model(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/models/{id}: one of them."""
        name = request.match_info["id"]
        if name not in await self._model_names():
            raise Refusal(404, f"there is no model {shown(name)}", "model_not_found", param="model")
        return _json(_model(name))

    async def _model_names(self) -> list[str]:
        names = ["demo", "counter"]
        if self.settings.recordings is not None:
            names += await asyncio.to_thread(recording_names, self.settings.recordings)
        if self._upstream is not None:
            with suppress(UpstreamError):  # one that is down does not take the local sources with it
                names += [f"upstream:{model}" for model in await self._upstream.models()]
        return names

    async def marbles(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/marbles: a strategy at work, as a drawing. One at a time is drawn, beside the streams."""
        asked = parse_marbles(request.query.items())
        async with self._drawing:
            text = await asyncio.to_thread(drawn, asked)
        return web.Response(text=text, content_type="image/svg+xml", headers=_DRAWING_HEADERS)

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


async def _listen(
    socket: web.WebSocketResponse, session: Session, outlet: WebSocketOutlet, demand: ClientDemand | None
) -> None:
    """Hear what the client of a WebSocket says: demand, cancel, that it is there, or that it leaves."""
    async for message in socket:
        outlet.heard()
        if message.type is WSMsgType.PING:
            with suppress(ConnectionError):  # it has gone, which the loop is told next
                await socket.pong(message.data)
        if message.type in {WSMsgType.PING, WSMsgType.PONG}:
            continue
        frame = _frame(message)
        if frame.get("cancel") is True:
            session.stop(EndReason.CANCELLED)
            return
        n = frame.get("request")
        if demand is None or not isinstance(n, int) or isinstance(n, bool):
            session.refuse('a frame must be {"request": n} on a stream with demand=N, or {"cancel": true}')
            return
        try:
            demand.request(n)
        except ValueError as error:
            session.refuse(str(error))
            return
    session.stop(EndReason.CLIENT_GONE)


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


def _shutting_down() -> web.HTTPException:
    return Refusal(503, "the server is shutting down", "server_shutdown", headers={"Retry-After": _RETRY_AFTER_S})


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
        given = shown(", ".join(values))
        raise ParameterError("demand", f"demand must be a whole number of at least 0, once; got {given}")
    return ClientDemand(int(text))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tokenweir"}


def _json(value: Any) -> web.Response:
    return web.json_response(value)


async def _name_stream(request: web.Request, response: web.StreamResponse) -> None:
    """Name every answer of a handler, also one that refuses to stream: it can be asked about."""
    response.headers.setdefault("X-Stream-Id", secrets.token_hex(6))
