"""A live OpenAI-compatible endpoint (Ollama, vLLM, the llama.cpp server, a gateway) as a source of tokens.

    POST {base_url}/chat/completions  ->  bytes -> events -> chunks -> delta.content -> send(token)

Nothing is read ahead of `send` but what the connection holds: while `send` waits the socket fills up, and the endpoint
feels it. What an endpoint may send beyond the shape it documents is passed over: deltas without text, chunks without
choices, other choices than the first, unknown fields, comments, anything after [DONE]. So is reasoning (`reasoning`,
`reasoning_content`): it is no part of the answer and makes no token; the endpoint's `usage` says how much there was.
An answer is whole when [DONE] or a finish_reason has come; any other end is an error.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, cast
from urllib.parse import urlsplit

import aiohttp

from servers.sse import EventStreamDecoder, EventTooLargeError, ServerSentEvent
from servers.variants import Intake
from streams import EmitResult, StreamError, Token

__all__ = ("API_KEY_VARIABLES", "Completion", "Upstream", "UpstreamError")

API_KEY_VARIABLES: Final = ("TOKENWEIR_UPSTREAM_API_KEY", "OPENAI_API_KEY")
"""Where the API key comes from: the first of these environment variables that is not blank."""

_DEFAULT_MESSAGES: Final = ({"role": "user", "content": "Say something."},)
_OURS: Final = {"stream", "stream_options"}
_FAILED: Final = {EmitResult.FAIL_OVERFLOW, EmitResult.FAIL_CANCELLED, EmitResult.FAIL_TERMINATED}
_DONE: Final = "[DONE]"
_MAX_BODY_BYTES: Final = 1024 * 1024
_MAX_QUOTED_CHARACTERS: Final = 300
_MAX_TOKENS_PER_TURN: Final = 64
# aiohttp stops reading the socket at twice this. Its own 64 KiB would hide more than a thousand tokens.
_READ_BUFFER_BYTES: Final = 8 * 1024
_OK: Final = 200
_VISIBLE: Final = re.compile("[!-~]+")


class UpstreamError(StreamError):
    """The endpoint refused, failed, fell silent, sent something else than a completion, or was not there.

    Its text is for clients: it never holds the API key.

    Attributes:
        status: the HTTP status, when the endpoint answered with another than 200; None otherwise.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Upstream:
    """One endpoint. Make it once per server, and `aclose` it at the end; all completions share its connections.

    The API key is read from the environment (API_KEY_VARIABLES) when it is made. It goes into the Authorization header
    and nowhere else. Redirects are not followed and proxy variables are not read.

    Args:
        base_url: where the API begins, as http://127.0.0.1:11434/v1, with or without a slash at the end.
        connect_timeout_s: how long to wait for a connection, the look-up of the name included.
        read_timeout_s: how long the endpoint may be silent, before its answer and between two pieces of it. It
            counts only while we wait for it, never while a consumer makes us wait.

    Attributes:
        base_url: without the slash.

    Raises:
        TypeError: an argument is of another type.
        ValueError: `base_url` is no http or https URL, or has a user, a query or a fragment in it; a timeout is not
            above 0 and finite; the API key holds something else than visible ASCII.
    """

    def __init__(self, base_url: str, *, connect_timeout_s: float = 10.0, read_timeout_s: float = 120.0) -> None:
        self.base_url = _checked_url(base_url)
        self._endpoint = _Endpoint(
            self.base_url,
            _checked_timeout("connect_timeout_s", connect_timeout_s),
            _checked_timeout("read_timeout_s", read_timeout_s),
            _api_key(),
        )

    def __repr__(self) -> str:
        return f"Upstream({self.base_url!r})"

    def completion(
        self, model: str, messages: Sequence[Mapping[str, Any]] | None = None, **options: object
    ) -> Completion:
        """Prepare one completion, without I/O.

        Args:
            model: its name at the endpoint.
            messages: the conversation, as the endpoint understands it; None or empty: one short request.
            options: more fields of the request (max_tokens, temperature, seed, ...); those that are None are left out.

        Raises:
            TypeError: an argument is of another type.
            ValueError: `model` is empty, something cannot be written as JSON, or an option is `stream` or
                `stream_options`, which are set here.
        """
        return Completion(self._endpoint, _request_body(model, messages, options))

    async def models(self) -> tuple[str, ...]:
        """Ask for the names of the models that the endpoint serves, in its order.

        Waits as long as the timeouts allow.

        Raises:
            UpstreamError: the endpoint fails, or answers with something else than a list of models.
        """
        async with self._endpoint.answer("GET", "/models") as response:
            listed = _fields(self._endpoint.parsed(await self._endpoint.body(response))).get("data")
        if not isinstance(listed, list):
            raise UpstreamError("the upstream did not answer with a list of models; is the base URL right?")
        names = [_fields(model).get("id") for model in cast("list[object]", listed)]
        return tuple(name for name in names if isinstance(name, str))

    async def aclose(self) -> None:
        """Close all connections; completions under way fail. A later use opens new ones."""
        await self._endpoint.aclose()


class Completion:
    """One completion of an endpoint; made by `Upstream.completion`.

    Attributes:
        finish_reason: why the model stopped, as the endpoint says; None until it does.
        usage: the endpoint's token counts, as it sent them; None until it does.
    """

    def __init__(self, endpoint: _Endpoint, body: bytes) -> None:
        self._endpoint = endpoint
        self._body = body
        self.finish_reason: str | None = None
        self.usage: dict[str, Any] | None = None

    async def feed(self, intake: Intake) -> None:
        """Await `intake.send(token)` for each delta with text, first to last. Each call is a new request.

        `due_ns` and `emitted_ns` of a token are when its bytes were read. An answer that is not streamed is one token.
        Returns when the answer is whole, or as soon as `send` returns a FAIL_*; yields to the loop at least every 64
        tokens. However it ends, by cancellation too, the connection is closed then if anything is still to come.

        Args:
            intake: where the tokens go; while its `send` waits, nothing is read.

        Raises:
            UpstreamError: the endpoint fails. What `send` raises is passed on.
        """
        self.finish_reason = self.usage = None
        send = intake.send
        index = 0
        async with (
            self._endpoint.answer("POST", "/chat/completions", self._body) as response,
            aclosing(self._endpoint.data(response)) as items,
        ):
            async for item, arrived_ns in items:
                if item.startswith(_DONE):
                    return
                text = self._take(item)
                if not text:
                    continue
                if await send(Token(index, text, arrived_ns, arrived_ns)) in _FAILED:
                    return
                index += 1
                if index % _MAX_TOKENS_PER_TURN == 0:
                    await asyncio.sleep(0)
        if self.finish_reason is None:
            raise UpstreamError(f"the upstream cut off its answer after {index} tokens: no [DONE], no finish_reason")

    def _take(self, item: str) -> str:
        """Note what a chunk says of the whole answer, and return its text."""
        chunk = _fields(self._endpoint.parsed(item))
        # The second is how older versions of vLLM write it.
        if chunk.get("error") or chunk.get("object") == "error":
            raise UpstreamError(f"the upstream failed: {self._endpoint.quoted(_message(item))}")
        self.usage = _fields(chunk.get("usage")) or self.usage
        choice = _first_choice(chunk)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.finish_reason = reason
        # `message` is the whole answer of an endpoint that does not stream.
        content = _fields(choice.get("delta") or choice.get("message")).get("content")
        return content if isinstance(content, str) else ""


class _Endpoint:
    """The connections to one endpoint: requests out, data in, failures in our words."""

    def __init__(self, base_url: str, connect_timeout_s: float, read_timeout_s: float, api_key: str | None) -> None:
        self._base_url = base_url
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._api_key = api_key
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _new_session(self) -> aiohttp.ClientSession:
        # Compression would keep tokens back until a block of it is full.
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        return aiohttp.ClientSession(
            # The default of 100 connections would be a hidden limit of streams.
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            read_bufsize=_READ_BUFFER_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout_s),
            trust_env=False,
        )

    @asynccontextmanager
    async def answer(self, method: str, path: str, body: bytes | None = None) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send a request and wait for status and headers. The end closes the connection, unless all was read."""
        self._session = self._session or self._new_session()
        async with self._waiting():
            response = await self._session.request(method, self._base_url + path, data=body, allow_redirects=False)
        try:
            if response.status != _OK:
                raise await self._refusal(response)
            yield response
        finally:
            response.close()

    async def _refusal(self, response: aiohttp.ClientResponse) -> UpstreamError:
        try:
            said = self.quoted(_message((await self.body(response)).decode("utf-8", "replace")))
        except UpstreamError:  # the status says enough
            said = ""
        summary = f"the upstream answered with status {response.status}"
        return UpstreamError(f"{summary}: {said}" if said else summary, status=response.status)

    async def data(self, response: aiohttp.ClientResponse) -> AsyncGenerator[tuple[str, int]]:
        """Yield the data of each event, and when its bytes were read. Ends with the response.

        Anything but JSON and HTML is read as an event stream: not every gateway gives the right type.
        """
        if response.content_type == "text/html":
            raise UpstreamError("the upstream answered with a web page; the base URL usually ends in /v1")
        if response.content_type == "application/json":
            body = await self.body(response)
            yield body.decode("utf-8", "replace"), time.monotonic_ns()
            # It is whole by itself, finish_reason or not.
            yield _DONE, time.monotonic_ns()
        else:
            decoder = EventStreamDecoder()
            while piece := await self._read(response):
                arrived_ns = time.monotonic_ns()
                for event in _decoded(decoder, piece):
                    yield event.data, arrived_ns

    async def body(self, response: aiohttp.ClientResponse) -> bytes:
        """Read all of the response, but not much more than a MiB."""
        body = bytearray()
        while len(body) <= _MAX_BODY_BYTES and (piece := await self._read(response)):
            body += piece
        return bytes(body)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Wait for the next piece; nothing: the end."""
        async with self._waiting():
            return await response.content.readany()

    @asynccontextmanager
    async def _waiting(self) -> AsyncGenerator[None]:
        """Bound one wait for the endpoint, and say in our words how it failed.

        The causes are left out: some of them show the request with its headers, and so the key.
        """
        try:
            async with asyncio.timeout(self._read_timeout_s):
                yield
        except aiohttp.ConnectionTimeoutError:
            within = f"within {self._connect_timeout_s:g} s"
            raise UpstreamError(f"no connection to the upstream at {self._base_url} {within}") from None
        except TimeoutError:
            raise UpstreamError(f"the upstream was silent for {self._read_timeout_s:g} s") from None
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            reason = self.quoted(str(error))
            raise UpstreamError(f"cannot reach the upstream at {self._base_url}: {reason}") from None
        except (aiohttp.ClientError, OSError) as error:
            reason = self.quoted(str(error)) or type(error).__name__
            raise UpstreamError(f"the upstream broke off the connection: {reason}") from None

    def parsed(self, data: str | bytes) -> object:
        """Read JSON. NaN and the infinities, which some endpoints write and JSON does not have, are null.

        Raises:
            UpstreamError: it is no JSON.
        """
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        try:
            return json.loads(text, parse_constant=lambda _: None)
        except (ValueError, RecursionError):
            raise UpstreamError(f"the upstream sent malformed JSON: {self.quoted(text)}") from None

    def quoted(self, text: str) -> str:
        """Make a text of the endpoint fit for an error message: one line, not long, and without the key."""
        if self._api_key:
            text = text.replace(self._api_key, "[API key]")
        text = " ".join(text.split())
        return text if len(text) <= _MAX_QUOTED_CHARACTERS else f"{text[: _MAX_QUOTED_CHARACTERS - 3]}..."


# --- Reading what may have any shape --------------------------------------------------------------------------------


def _decoded(decoder: EventStreamDecoder, piece: bytes) -> list[ServerSentEvent]:
    try:
        events = decoder.feed(piece)
    except EventTooLargeError as error:
        raise UpstreamError(f"the upstream sent an event of more than {error.max_event_bytes} bytes") from None
    # Blank data is how some gateways keep a connection open.
    return [event for event in events if event.data.strip()]


def _fields(value: object) -> dict[str, Any]:
    """Return a JSON object, and for anything else one without fields."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _first_choice(chunk: Mapping[str, Any]) -> dict[str, Any]:
    choices: object = chunk.get("choices")
    for choice in map(_fields, cast("list[object]", choices) if isinstance(choices, list) else ()):
        if not choice.get("index"):
            return choice
    return {}


def _message(text: str) -> str:
    """Find the sentence in an error that may be an object as OpenAI or FastAPI write it, or a plain text; no HTML."""
    try:
        error: object = json.loads(text)
    except (ValueError, RecursionError):
        return "" if text.lstrip().startswith("<") else text
    for name in ("error", "message", "detail"):
        error = _fields(error).get(name) or error
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)


# --- Checking arguments ---------------------------------------------------------------------------------------------


def _request_body(model: str, messages: Sequence[Mapping[str, Any]] | None, options: Mapping[str, object]) -> bytes:
    if not isinstance(model, str):
        raise TypeError(f"model must be a str, got {model!r}")
    if not model:
        raise ValueError("model must be the name of a model, got ''")
    if messages is not None and (isinstance(messages, str) or not isinstance(messages, Sequence)):
        raise TypeError(f"messages must be a sequence of mappings, or None, got {messages!r}")
    if wrong := [message for message in messages or () if not isinstance(message, Mapping)]:
        raise TypeError(f"messages must hold nothing but mappings, got {wrong[0]!r}")
    if refused := sorted(_OURS & options.keys()):
        raise ValueError(f"{refused[0]} is set here and must not be given, got {options[refused[0]]!r}")
    request = {
        "model": model,
        "messages": [dict(message) for message in messages or _DEFAULT_MESSAGES],
        "stream": True,
        "stream_options": {"include_usage": True},
        **{name: value for name, value in options.items() if value is not None},
    }
    try:
        return json.dumps(request, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"messages and options must be what JSON can hold: {error}") from error


def _checked_url(base_url: str) -> str:
    accepted = "base_url must be an http or https URL such as http://127.0.0.1:11434/v1"
    if not isinstance(base_url, str):
        raise TypeError(f"{accepted}, got an object of type {type(base_url).__name__}")
    if re.search("[@?#]", base_url):
        raise ValueError(f"{accepted}, without user, query and fragment (not shown here: they may hold a secret)")
    try:
        url = urlsplit(base_url)
        is_whole = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or not _VISIBLE.fullmatch(base_url):
        raise ValueError(f"{accepted}, got {base_url!r}")
    return base_url.rstrip("/")


def _checked_timeout(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds above 0, got {value!r}")
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a finite number of seconds above 0, got {value!r}")
    return value


def _api_key() -> str | None:
    for name in API_KEY_VARIABLES:
        key = os.environ.get(name, "").strip()
        if key:
            if not _VISIBLE.fullmatch(key):
                raise ValueError(f"{name} must hold visible ASCII characters only (its value is not shown)")
            return key
    return None
