"""What the server is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

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
        cors_origin: the origin that pages elsewhere may come from, `*` for all, or None: no CORS.
        max_streams: streams at a time, per process; beyond it clients get 503.
        max_buffer_bytes: with strategy missing, what may pile up for one client.
        heartbeat_s: a comment is sent when nothing was for so long; 0: never.
        send_timeout_s: how long a client may take nothing before it is dropped.
        grace_s: how long streams have to end at shutdown.
        buffers: the sizes of the buffers behind the boundary.
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
    grace_s: float = 5.0
    buffers: BufferSizes = field(default_factory=BufferSizes)
