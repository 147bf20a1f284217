"""What is asked of an endpoint that is not ours: checked before any work, and told without its keys."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.load.plan import LoadOrder
from benchmarks.scenarios.cells import Closed, Transport
from benchmarks.scenarios.readers import FAST, ReaderProfile
from benchmarks.url.credentials import Header, parse_header, redacted_url, secrets_of
from streams.arguments import positive_int

__all__ = ("UrlRequest",)

_PORTS: Final = {"http": 80, "https": 443}
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class UrlRequest:
    """What is asked of an endpoint, and how often.

    Attributes:
        url: http or https, with path and query.
        method: GET or POST; None: POST if there is `data`.
        headers: as "Name: value"; $NAME stands for an environment variable.
        data: what is posted; "@FILE" is what FILE holds.
        profile: the shape of its tokens: openai, anthropic, aisdk, completion, data, ndjson, text, or sse for any
            other.
        requests: streams in all.
        connections: at a time.
        reader: how they are read.
        timeout_s: for each stream, from its first byte to its last.
        repeats: how often all of it is measured; two files of several repeats can be compared.
        verify: whether an https certificate must be valid.
        variables: where variables of headers come from; None: this process's environment.

    Raises:
        ValueError, TypeError: one of them is not accepted, a variable is not set, or the file cannot be read. No
            message holds the value of a header.
    """

    url: str
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
    variables: Mapping[str, str] | None = field(default=None, repr=False)
    order: LoadOrder = field(init=False, repr=False)
    """What the load client is told."""
    parsed_headers: tuple[Header, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        positive_int("requests", self.requests)
        positive_int("connections", self.connections)
        positive_int("repeats", self.repeats)
        variables = os.environ if self.variables is None else self.variables
        headers = tuple(parse_header(text, variables) for text in self.headers)
        object.__setattr__(self, "parsed_headers", headers)
        object.__setattr__(self, "order", self._order())

    def _order(self) -> LoadOrder:
        parts = urlsplit(self.url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"url must begin with http:// or https:// and a host; got {redacted_url(self.url)!r}")
        if parts.username is not None:
            raise ValueError("url must have no user and password in it; use --header 'Authorization: Basic $NAME'")
        body = _body(self.data)
        return LoadOrder(
            host=parts.hostname,
            port=parts.port or _PORTS[parts.scheme],
            target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            method=self.method or ("GET" if body is None else "POST"),
            headers={header.name: _checked_value(header) for header in self.parsed_headers},
            body=body,
            transport=Transport.SSE,
            profile=self.profile,
            reader=self.reader,
            load=Closed(min(self.connections, self.requests), self.requests),
            timeout_s=self.timeout_s,
            tls=parts.scheme == "https",
            tls_verify=self.verify,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be in no result."""
        return secrets_of(self.url, self.parsed_headers)

    def described(self) -> dict[str, Any]:
        """Return it as JSON values without secrets: the parameters of the cell."""
        order = self.order
        return {
            "url": redacted_url(self.url),
            "method": order.method,
            "headers": {header.name: header.shown for header in self.parsed_headers},
            "data": None if order.body is None else order.body.decode("utf-8", "replace"),
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
            ("--data", self.data, None),
            ("--requests", self.requests, 1),
            ("--connections", self.connections, 1),
            ("--repeats", self.repeats, 1),
            ("--reader", self.reader, FAST),
            ("--timeout-s", self.timeout_s, _TIMEOUT_S),
        ):
            words += [] if value == default else [name, str(value)]
        return shlex.join(words if self.verify else [*words, "--no-verify"])


def _body(data: str | None) -> bytes | None:
    if data is None or not data.startswith("@"):
        return None if data is None else data.encode()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise ValueError(f"data: {data[1:]} cannot be read: {error.strerror}") from None


def _checked_value(header: Header) -> str:
    # LoadOrder would quote what it refuses.
    if not header.value.isprintable() or not all(ord(character) <= 0xFF for character in header.value):
        raise ValueError(f"header {header.name}: its value must be one line of Latin-1 text")
    return header.value
