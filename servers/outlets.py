"""The ways to a client: the body of an HTTP response, in pieces or as one object, and the frames of a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, web

from servers.profiles import CompletionPayloads, Ending, Failure, StreamEncoder
from servers.response import BufferSizes, ClientGoneError, SocketTail, TooMuchUnsentError

if TYPE_CHECKING:
    from servers.origins import Origin
    from streams import Token

__all__ = ("ResponseOutlet", "WebSocketOutlet", "WholeOutlet")


class _SocketOutlet:
    """What both share: a tail, and buffers whose sizes are known."""

    def __init__(self, tail: SocketTail, sizes: BufferSizes) -> None:
        self._tail = tail
        self._sizes = sizes

    @property
    def is_open(self) -> bool:
        """Whether the client is still there."""
        return self._tail.is_open

    @property
    def is_stalled(self) -> bool:
        """Whether it takes nothing at the moment."""
        return self._tail.is_stalled

    def buffers(self) -> Mapping[str, Any]:
        """Return the sizes of the buffers behind the boundary, and what is in the last one we see."""
        return {**self._sizes.described(), "unsent_bytes": self._tail.unsent_bytes}


class ResponseOutlet(_SocketOutlet):
    """Writes what a profile's encoder makes.

    Args:
        waits: whether a write waits for the socket; not with the strategy missing.
    """

    def __init__(
        self, tail: SocketTail, sizes: BufferSizes, encoder: StreamEncoder, origin: Origin, *, waits: bool
    ) -> None:
        super().__init__(tail, sizes)
        self._encoder = encoder
        self._origin = origin
        self.failed_in_silence = False
        """Whether the stream failed and the profile has no words for it."""
        self._waits = waits

    async def begin(self) -> None:
        """Write what comes before the first token."""
        if (first := self._encoder.begin()) and (taking := self._write(first)) is not None:
            await taking

    def tokens(self, tokens: list[Token], taken_ns: int) -> Awaitable[None] | None:
        """Write tokens. Returns what to wait for if they are not taken at once."""
        return self._write(self._encoder.tokens(tokens, taken_ns))

    def _write(self, data: bytes) -> Awaitable[None] | None:
        tail = self._tail
        has_taken = tail.put(data)
        if not self._waits:
            tail.check_unsent()
            return None
        return None if has_taken else tail.wait_taken()

    async def end(self, statistics: Mapping[str, Any]) -> None:
        """Write what comes after the last token."""
        ending = Ending(self._origin.finish_reason or "stop", self._origin.usage, statistics)
        await self._tail.write(self._encoder.end(ending))

    async def failure(self, message: str, kind: str, statistics: Mapping[str, Any]) -> None:
        """Write that the stream failed, without waiting."""
        frame = self._encoder.failure(Failure(message, kind, statistics=statistics))
        self.failed_in_silence = not frame
        self._tail.put(frame)

    async def statistics(self, statistics: Mapping[str, Any]) -> None:
        """Write the counts, without waiting."""
        self._tail.put(self._encoder.statistics(statistics))

    async def heartbeat(self) -> None:
        """Write a sign of life, without waiting."""
        self._tail.put(self._encoder.heartbeat())


class WholeOutlet:
    """Keeps everything until the end, for an answer with one object.

    Args:
        request: whose answer it is.
        max_text_bytes: how much text it may have; a longer one has to be streamed.

    Attributes:
        body: the object, once the stream has completed.
        failed: what went wrong, and its type; None if nothing did.
    """

    is_stalled = True  # nothing can be written before the end, be it a heartbeat or statistics

    def __init__(
        self, request: web.BaseRequest, encoder: StreamEncoder, origin: Origin, *, max_text_bytes: int
    ) -> None:
        self._request = request
        self._encoder = encoder
        self._origin = origin
        self._max_text_bytes = max_text_bytes
        self._text_bytes = 0
        self._tokens: list[Token] = []
        self.body: bytes | None = None
        self.failed: tuple[str, str] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the client is still there."""
        transport = self._request.transport
        return transport is not None and not transport.is_closing()

    async def begin(self) -> None:
        """Do nothing: it all comes at the end."""

    async def tokens(self, tokens: list[Token], taken_ns: int) -> None:
        """Keep tokens.

        Raises:
            TooMuchUnsentError: they have more text than one object may have.
        """
        self._tokens += tokens
        self._text_bytes += sum(len(token.text.encode(errors="surrogatepass")) for token in tokens)
        if self._text_bytes > self._max_text_bytes:
            self.failed = (f"the text has more than {self._max_text_bytes} bytes; ask for a stream", "buffer_limit")
            raise TooMuchUnsentError(self.failed[0])

    async def end(self, statistics: Mapping[str, Any]) -> None:
        """Make the object."""
        ending = Ending(self._origin.finish_reason or "stop", self._origin.usage, statistics)
        self.body = self._encoder.whole(self._tokens, ending)

    async def failure(self, message: str, kind: str, statistics: Mapping[str, Any]) -> None:
        """Keep what went wrong."""
        self.failed = (message, kind)

    async def statistics(self, statistics: Mapping[str, Any]) -> None:
        """Do nothing: they come at the end."""

    async def heartbeat(self) -> None:
        """Do nothing: an object has no room for it."""

    def buffers(self) -> Mapping[str, Any]:
        """Return nothing: there is no buffer but the object."""
        return {}


class WebSocketOutlet(_SocketOutlet):
    """Sends one completion payload in each text frame. Pings are the sign of life, in both directions.

    They are the session's, and the only ones: aiohttp's own `heartbeat` would drop whoever does not answer within
    half its period, and a slow reader, who has to read what is before the ping first, cannot.

    Args:
        answer_timeout_s: how long after a ping the client may say nothing at all.
    """

    def __init__(
        self,
        tail: SocketTail,
        sizes: BufferSizes,
        socket: web.WebSocketResponse,
        payloads: CompletionPayloads,
        *,
        waits: bool,
        answer_timeout_s: float,
    ) -> None:
        super().__init__(tail, sizes)
        self._answer_timeout_s = answer_timeout_s
        self._unanswered_since_s: float | None = None
        self._socket = socket
        self._payloads = payloads
        self._waits = waits
        self.close_code: int = WSCloseCode.OK

    async def begin(self) -> None:
        """A WebSocket has nothing to say before the first token."""

    async def tokens(self, tokens: list[Token], taken_ns: int) -> None:
        """Write tokens, and wait until they are taken."""
        for payload in self._payloads.tokens(tokens, taken_ns):
            await self._send(payload)
        if self._waits:
            await self._tail.wait_taken()
        else:
            self._tail.check_unsent()

    async def end(self, statistics: Mapping[str, Any]) -> None:
        """Write what comes after the last token."""
        await self._send(self._payloads.end(Ending(statistics=statistics)))

    async def failure(self, message: str, kind: str, statistics: Mapping[str, Any]) -> None:
        """Write that the stream failed, without waiting."""
        self.close_code = WSCloseCode.INTERNAL_ERROR
        # aiohttp waits when much is unsent, as with the strategy missing: then for the send timeout at most.
        await self._tail.finish(self._send(self._payloads.failure(Failure(message, kind, statistics=statistics))))

    async def statistics(self, statistics: Mapping[str, Any]) -> None:
        """Write the counts, without waiting."""
        await self._send(self._payloads.statistics(statistics))

    async def heartbeat(self) -> None:
        """Ping, without waiting.

        Raises:
            ClientGoneError: nothing was heard for `answer_timeout_s` since a ping; the connection has been aborted.
        """
        now_s = asyncio.get_running_loop().time()
        if self._unanswered_since_s is None:
            self._unanswered_since_s = now_s
        elif now_s - self._unanswered_since_s >= self._answer_timeout_s:
            self._tail.abort()
            raise ClientGoneError(f"the client has not answered for {self._answer_timeout_s} s")
        await self._socket.ping()

    def heard(self) -> None:
        """Note that the client said something, and so is there."""
        self._unanswered_since_s = None

    async def _send(self, payload: str) -> None:
        try:
            await self._socket.send_str(payload)
        except (ConnectionError, RuntimeError):  # RuntimeError: it is closing
            raise ClientGoneError("the client has gone") from None
