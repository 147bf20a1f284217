"""What is asked of an endpoint that is not ours: checked before any work, and told without its keys."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from benchmarks.load.plan import LoadOrder
from benchmarks.scenarios.cells import Closed, Transport
from benchmarks.scenarios.readers import FAST, ReaderProfile
from benchmarks.url.credentials import (
    Data,
    Header,
    parse_data,
    parse_header,
    redacted_url,
    refused_url,
    secrets_of,
)
from streams.arguments import positive_int

__all__ = ("UrlRequest",)

_PORTS: Final = {"http": 80, "https": 443}
_TARGET: Final = re.compile(r"[!-~]*")
_TIMEOUT_S: Final = 60.0
_MAX_STREAM_MIB: Final = 256
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class UrlRequest:
    """What is asked of an endpoint, and how often.

    Attributes:
        url: http or https, with path and query.
        method: GET or POST; None: POST if there is `data`.
        headers: as "Name: value"; $NAME stands for an environment variable.
        data: what is posted; $NAME, of capitals, stands for an environment variable, and $$NAME for itself. "@FILE" is
            what FILE holds, as it is.
        profile: the shape of its tokens: openai, anthropic, aisdk, completion, data, ndjson, text, or sse for any
            other.
        requests: streams in all.
        connections: at a time.
        reader: how they are read.
        timeout_s: for each stream, from its first byte to its last.
        repeats: how often all of it is measured; two files of several repeats can be compared.
        verify: whether an https certificate must be valid.
        max_stream_mib: a stream that sends more is ended as too long.
        clients: load client processes that share the streams.
        variables: where variables come from; None: this process's environment.

    Raises:
        ValueError, TypeError: one of them is not accepted, a variable is not set, or the file cannot be read. No
            message holds a secret.
    """

    url: str = field(repr=False)
    method: str | None = None
    headers: Sequence[str] = field(default=(), repr=False)
    data: str | None = field(default=None, repr=False)
    profile: str = "openai"
    requests: int = 1
    connections: int = 1
    reader: ReaderProfile = FAST
    timeout_s: float = _TIMEOUT_S
    repeats: int = 1
    verify: bool = True
    max_stream_mib: int = _MAX_STREAM_MIB
    clients: int = 1
    variables: Mapping[str, str] | None = field(default=None, repr=False)
    order: LoadOrder = field(init=False, repr=False)
    """What the load client is told."""
    parsed_headers: tuple[Header, ...] = field(init=False, repr=False)
    parsed_data: Data | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        positive_int("requests", self.requests)
        positive_int("connections", self.connections)
        positive_int("repeats", self.repeats)
        positive_int("max_stream_mib", self.max_stream_mib)
        positive_int("clients", self.clients)
        variables = os.environ if self.variables is None else self.variables
        headers = tuple(parse_header(text, variables) for text in self.headers)
        object.__setattr__(self, "parsed_headers", headers)
        object.__setattr__(self, "parsed_data", _data(self.data, variables))
        object.__setattr__(self, "order", self._order())

    def _order(self) -> LoadOrder:
        parts, port = _split(self.url)
        assert parts.hostname is not None
        body = None if self.parsed_data is None else self.parsed_data.body
        return LoadOrder(
            host=parts.hostname,
            port=port,
            target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            method=self.method or ("GET" if body is None else "POST"),
            headers={header.name: _checked_value(header) for header in self.parsed_headers},
            body=body,
            transport=Transport.SSE,
            profile=self.profile,
            reader=self.reader,
            load=Closed(min(self.connections, self.requests), self.requests),
            timeout_s=self.timeout_s,
            max_kept_bytes=self.max_stream_mib * _MIB,
            tls=parts.scheme == "https",
            tls_verify=self.verify,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be in no result."""
        return secrets_of(self.url, self.parsed_headers, self.parsed_data)

    def described(self) -> dict[str, Any]:
        """Return it as JSON values without secrets: the parameters of the cell."""
        order = self.order
        return {
            "url": redacted_url(self.url),
            "method": order.method,
            "headers": {header.name: header.shown for header in self.parsed_headers},
            "data": None if self.parsed_data is None else self.parsed_data.shown,
            "profile": self.profile,
            "load": {"kind": "closed", **asdict(Closed(self.connections, self.requests))},
            "timeout_s": self.timeout_s,
        }

    @property
    def command(self) -> str:
        """What to type for it, without secrets."""
        words = ["python", "-m", "benchmarks", "url", redacted_url(self.url), "--profile", self.profile]
        for header in self.parsed_headers:
            words += ["--header", f"{header.name}: {header.shown}"]
        for name, value, default in (
            ("--method", self.method, None),
            ("--data", self._shown_data, None),
            ("--requests", self.requests, 1),
            ("--connections", self.connections, 1),
            ("--repeats", self.repeats, 1),
            ("--reader", self.reader, FAST),
            ("--timeout-s", self.timeout_s, _TIMEOUT_S),
            ("--max-stream-mib", self.max_stream_mib, _MAX_STREAM_MIB),
            ("--clients", self.clients, 1),
        ):
            words += [] if value == default else [name, str(value)]
        return shlex.join(words if self.verify else [*words, "--no-verify"])

    @property
    def _shown_data(self) -> str | None:
        """The body as it may be typed again: a file by its name."""
        if self.data is None or self.parsed_data is None or self.data.startswith("@"):
            return self.data
        return self.parsed_data.shown


def _split(url: str) -> tuple[SplitResult, int]:
    """Return the parts of an address, and its port.

    Raises:
        ValueError: it is none that can be asked. The message holds no secret of it.
    """
    told = refused_url(url)
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise ValueError(
            f"url must have a host that is a name, an IPv4 address or [an IPv6 one]; got {told!r}"
        ) from None
    if parts.username is not None:
        raise ValueError("url must have no user and password in it; use --header 'Authorization: Basic $NAME'")
    if parts.scheme not in _PORTS or not host:
        raise ValueError(f"url must begin with http:// or https:// and a host; got {told!r}")
    if not _TARGET.fullmatch(f"{parts.path}{parts.query}"):
        raise ValueError(f"url must have a path and query of printable ASCII, all else as %XX; got {told!r}")
    try:
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError:
        port = 0
    if not port:
        raise ValueError(f"url must have a port from 1 to 65535, or none; got {told!r}")
    return parts, port


def _data(data: str | None, variables: Mapping[str, str]) -> Data | None:
    if data is None or not data.startswith("@"):
        return None if data is None else parse_data(data, variables)
    try:
        content = Path(data[1:]).read_bytes()
    except OSError as error:
        raise ValueError(f"data: {data[1:]} cannot be read: {error.strerror}") from None
    # What a file holds was not typed for this command: a $HOME in it is its own. Any bytes are sent as they are.
    return replace(parse_data(content.decode("utf-8", "replace"), None), body=content)


def _checked_value(header: Header) -> str:
    # LoadOrder would quote what it refuses.
    if not header.value.isprintable() or not all(ord(character) <= 0xFF for character in header.value):
        raise ValueError(f"header {header.name}: its value must be one line of Latin-1 text")
    return header.value
