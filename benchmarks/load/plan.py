"""What a load client is asked to do, and what it hands back. Plain data that can go from one process to another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, Literal, Protocol, TypeVar

import msgspec

from benchmarks.results import ClientCheck
from benchmarks.scenarios.cells import Closed, Load, Open, Transport
from benchmarks.scenarios.readers import FAST, Fast, Leaving, Paced, ReaderProfile
from benchmarks.traces.captures import Capture
from streams.arguments import positive_int, positive_seconds, shown

__all__ = ("SLOW_RECEIVE_BUFFER_BYTES", "Client", "Counted", "LoadOrder", "LoadRun", "Mode", "Share")

T = TypeVar("T")

Mode = Literal["capture", "count", "check"]

SLOW_RECEIVE_BUFFER_BYTES: Final = 4_096
"""What a reader that is not fast asks the kernel for, which doubles it: little is hidden between it and the server."""

_PROFILES: Final = ("completion", "data", "ndjson", "text", "openai", "anthropic", "aisdk", "sse")
_MODES: Final = ("capture", "count", "check")
_INDEXED: Final = ("completion", "ndjson")
_MAX_PORT: Final = 65_535
_HOST: Final = re.compile(rb"[0-9A-Za-z_.:%-]+")
_TARGET: Final = re.compile(r"/[!-~]*")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one of several clients does of a load that they do together.

    Attributes:
        number: of this client, from 0.
        of: how many clients there are; each has every `of`-th connection, or scheduled request, from its number on.
            The requests of a closed loop go with the connections: as many as if these took turns.

    Raises:
        TypeError, ValueError: there is no such client.
    """

    number: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        positive_int("of", self.of)
        positive_int("number", self.number, minimum=0)
        if self.number >= self.of:
            raise ValueError(f"number must be below {self.of}; got {self.number}")

    def taken(self, things: Iterable[T]) -> Iterator[T]:
        """Yield this client's ones."""
        return islice(things, self.number, None, self.of)


class LoadOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One load on one target.

    Attributes:
        host: a name or an address.
        port: of its server.
        target: path and query, as they stand in a request.
        method: GET or POST; a WebSocket begins with GET.
        headers: beside those that every request has (Host, Accept, Accept-Encoding: identity, Connection: close), or
            in their place.
        body: what is posted.
        transport: what carries the tokens.
        profile: what a token looks like on the wire: completion, data, ndjson, text, openai, anthropic, aisdk, or sse
            for any other event stream. On a WebSocket it is not looked at: its messages are those of ndjson.
        reader: how the answers are read.
        load: how many requests, and when. Thousands at the same moment find the server's backlog full: use `ramp_s`.
        share: what of it this client does.
        window_s: after so many seconds the client leaves; None: when all streams have ended.
        mode: capture keeps all bytes with their times. count only counts tokens, and check also looks at each index
            (profiles completion and ndjson, and a WebSocket; all but plain completion need trace=1): nothing is kept.
        timeout_s: for one request, from its first byte to its last.
        max_kept_bytes: of one stream, in mode capture. One that sends more is ended as TOO_LONG: an endless one would
            take all memory in seconds.
        receive_buffer_bytes: of each socket (SO_RCVBUF, set before it connects); None: the system's choice for a fast
            reader, 4096 for any other.
        tls: whether it is https.
        tls_verify: whether the server's certificate has to be valid.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of its range, or two do not go together.
    """

    host: str
    port: int
    target: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    transport: Transport = Transport.SSE
    profile: str = "completion"
    reader: ReaderProfile = FAST
    load: Load = Closed()
    share: Share = Share()
    window_s: float | None = None
    mode: Mode = "capture"
    timeout_s: float = 60.0
    max_kept_bytes: int = 256 * 1024 * 1024
    receive_buffer_bytes: int | None = None
    tls: bool = False
    tls_verify: bool = True

    def __post_init__(self) -> None:
        _check_host(self.host)
        positive_int("port", self.port)
        if self.port > _MAX_PORT:
            raise ValueError(f"port must be at most {_MAX_PORT}; got {self.port}")
        self._check_request()
        self._check_load()
        _one_of("profile", self.profile, _PROFILES)
        _one_of("mode", self.mode, _MODES)
        positive_seconds("window_s", self.window_s, "until all streams have ended")
        positive_seconds("timeout_s", self.timeout_s)
        positive_int("max_kept_bytes", self.max_kept_bytes)
        positive_int("receive_buffer_bytes", self.receive_buffer_bytes, or_none="as the reader needs it")
        self._check_combinations()

    def _check_request(self) -> None:
        _matching("target", self.target, _TARGET, "a path and query of printable ASCII without spaces, from / on")
        _one_of("method", self.method, ("GET", "POST"))
        for name, value in self.headers.items():
            _matching("the name of a header", name, _HEADER_NAME, "letters, digits and any of !#$%&'*+-.^_`|~")
            _matching(f"header {name}", value, _HEADER_VALUE, "one line of Latin-1 text")

    def _check_load(self) -> None:
        load = self.load
        if isinstance(load, Open):
            positive_int("requests", load.requests)
            positive_seconds("the gap of `per_s`", 1 / load.per_s if load.per_s else 0)
            return
        positive_int("connections", load.connections)
        positive_int("requests", load.requests, or_none="each connection asks once")
        if load.ramp_s:
            positive_seconds("ramp_s", load.ramp_s)

    def _check_combinations(self) -> None:
        web_socket = self.transport is Transport.WEBSOCKET
        if web_socket and (self.method != "GET" or self.body is not None):
            raise ValueError("a WebSocket begins with GET and has no body")
        if self.mode == "check" and not (web_socket or self.profile in _INDEXED):
            raise ValueError(f"mode check needs an index in each token, which profile {self.profile} has not")
        counts_tokens = self.mode != "capture" or (isinstance(self.reader, Paced) and self.reader.tokens_per_s)
        if (counts_tokens or isinstance(self.reader, Leaving)) and self.profile == "text" and not web_socket:
            raise ValueError("profile text has no bounds between tokens to count them by; pace it in bytes per second")

    @property
    def receive_buffer(self) -> int | None:
        """What every socket asks for; None: nothing."""
        if self.receive_buffer_bytes is None and not isinstance(self.reader, Fast):
            return SLOW_RECEIVE_BUFFER_BYTES
        return self.receive_buffer_bytes


def _check_host(host: str) -> None:
    try:
        name = host.encode("idna")
    except UnicodeError:
        name = b""
    if not _HOST.fullmatch(name):
        raise ValueError(f"host must be a name or an address, without brackets; got {shown(host)}")


def _one_of(name: str, value: object, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(accepted)}; got {shown(value)}")


def _matching(name: str, value: str, pattern: re.Pattern[str], accepted: str) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"{name} must be {accepted}; got {shown(value)}")


class Counted(msgspec.Struct, kw_only=True):
    """What a client saw that kept nothing, summed over its streams.

    Attributes:
        tokens: events with a token in them; a merged one counts as one.
        bytes: of the bodies, framing included.
        first_ns: when the first of them came; None: nothing came.
        last_ns: the last ones.
        checked: tokens whose index was looked at: all of them in mode check, if each bore one; 0 in mode count.
        out_of_order: of them, those that came after a later one, but came.
        missing: indexes between 0 and the highest one seen that never came. What a traced token says to be merged
            into it counts as come.
        duplicates: tokens whose index had come before.
    """

    tokens: int = 0
    bytes: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    checked: int = 0
    out_of_order: int = 0
    missing: int = 0
    duplicates: int = 0

    @property
    def tokens_per_s(self) -> float:
        """Tokens over the time from the first bytes to the last; 0.0 if there was no such time."""
        if self.first_ns is None or self.last_ns is None or self.last_ns <= self.first_ns:
            return 0.0
        return self.tokens * 1e9 / (self.last_ns - self.first_ns)


class LoadRun(msgspec.Struct, kw_only=True):
    """What came of one order.

    Attributes:
        captures: one per request, in the order in which they were due. In modes count and check without pieces, and
            with an outcome that was read from the last bytes.
        counted: in modes count and check; None in mode capture.
        began_ns: when the load began: its first request was due then.
        ended_ns: when the last answer had ended, or was left.
        client: whether the client was the limit.
    """

    captures: list[Capture]
    counted: Counted | None
    began_ns: int
    ended_ns: int
    client: ClientCheck


class Client(Protocol):
    """Whoever does orders: one load client process, or several together."""

    def drive_all(self, orders: Sequence[LoadOrder]) -> list[LoadRun]:
        """Do all of them side by side, and wait. Blocks. What goes wrong with a stream is in its capture.

        Raises:
            WorkerError: the client died, or could not do it.
        """
        ...
