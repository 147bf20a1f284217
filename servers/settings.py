"""What the server is told when it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from servers.response import BufferSizes

__all__ = ("ServerSettings",)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of one server process.

    Attributes:
        host: the address to listen on; loopback unless asked otherwise.
        port: the port; 0 lets the system choose.
        workers: processes that share the port.
        threads: the pool that feeds streams with several producers.
        recordings: the one folder with recordings, or None.
        upstream_url: base URL of an OpenAI-compatible endpoint, or None.
        cors_origin: the origin that pages elsewhere may come from, `*` for all, or None: no CORS, and no WebSocket
            of a page that is not ours.
        max_streams: streams at a time, per process; beyond it clients get 503.
        max_buffer_bytes: with strategy missing, what may pile up for one client.
        heartbeat_s: a comment is sent when nothing was for so long; 0: never.
        send_timeout_s: how long a client may take nothing before it is dropped.
        body_timeout_s: how long the body of a request may take to arrive.
        grace_s: how long streams have to end at shutdown.
        buffers: the sizes of the buffers behind the boundary.

    Raises:
        ValueError: a duration is no finite number of at least 0, or 0 where there has to be some time; `cors_origin`
            is neither `*` nor what a browser sends as Origin.
    """

    host: str = "127.0.0.1"
    port: int = 8090
    workers: int = 1
    threads: int = 5
    recordings: Path | None = None
    upstream_url: str | None = None
    cors_origin: str | None = None
    max_streams: int = 10_000
    max_buffer_bytes: int = 8 * 1024 * 1024
    heartbeat_s: float = 15.0
    send_timeout_s: float = 60.0
    body_timeout_s: float = 30.0
    grace_s: float = 5.0
    buffers: BufferSizes = field(default_factory=BufferSizes)

    def __post_init__(self) -> None:
        for name in ("heartbeat_s", "grace_s"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} must be a finite number of at least 0; got {getattr(self, name)}")
        for name in ("send_timeout_s", "body_timeout_s"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be a finite number above 0; got {getattr(self, name)}")
        if self.cors_origin not in {None, "*"} and not _is_origin(str(self.cors_origin)):
            accepted = "* or scheme://host or scheme://host:port, in lower case"
            raise ValueError(f"cors_origin must be {accepted}; got {self.cors_origin!r}")


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return (
        bool(parts.scheme and parts.netloc) and "@" not in text and text == f"{parts.scheme}://{parts.netloc}".lower()
    )
