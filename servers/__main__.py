"""`python -m servers`: the server and its page.

With several workers each is a process of its own that listens on the same port (SO_REUSEPORT); the kernel spreads the
connections. One that dies is replaced; when this process goes, they go too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from servers.listening import serving
from servers.response import BufferSizes
from servers.settings import ServerSettings
from servers.upstream import Upstream
from servers.workers import Workers

__all__ = ("main",)

_WORKER: Final = "TOKENWEIR_WORKER"
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_DEFAULTS: Final = ServerSettings()
_BUFFERS: Final = BufferSizes()

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = _DEFAULTS.host,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0: any free one.")] = _DEFAULTS.port,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that share the port.")] = _DEFAULTS.workers,
    threads: Annotated[
        int, typer.Option(min=1, max=1024, help="Threads that feed the streams with several producers.")
    ] = (_DEFAULTS.threads),
    recordings: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="A folder whose *.jsonl files become sources.")
    ] = None,
    upstream_url: Annotated[
        str | None, typer.Option(help="Base URL of an OpenAI-compatible endpoint, whose models become sources.")
    ] = None,
    cors_origin: Annotated[
        str | None, typer.Option(help="Origin of other pages that may use this server; * for all.")
    ] = None,
    max_streams: Annotated[int, typer.Option(min=1, help="Streams at a time, per worker.")] = _DEFAULTS.max_streams,
    max_buffer_bytes: Annotated[
        int, typer.Option(min=1, help="The most unsent bytes per client, with strategy missing.")
    ] = (_DEFAULTS.max_buffer_bytes),
    heartbeat_s: Annotated[float, typer.Option(min=0, help="Silence before a heartbeat; 0: none.")] = (
        _DEFAULTS.heartbeat_s
    ),
    send_timeout_s: Annotated[
        float, typer.Option(min=0.001, help="How long a client may take nothing before it is dropped.")
    ] = (_DEFAULTS.send_timeout_s),
    body_timeout_s: Annotated[float, typer.Option(min=0.001, help="How long the body of a request may take.")] = (
        _DEFAULTS.body_timeout_s
    ),
    grace_s: Annotated[float, typer.Option(min=0, help="How long a shutdown waits before it cuts streams off.")] = (
        _DEFAULTS.grace_s
    ),
    high_water_bytes: Annotated[int, typer.Option(min=0, help="Bytes in the transport before a write waits.")] = (
        _BUFFERS.high_water_bytes
    ),
    notsent_lowat_bytes: Annotated[
        int, typer.Option(min=0, help="Unsent bytes in the kernel before a write waits; 0: its own limit.")
    ] = (_BUFFERS.notsent_lowat_bytes or 0),
    sndbuf_bytes: Annotated[int, typer.Option(min=0, help="Send buffer of the kernel; 0: its own.")] = 0,
) -> None:
    """Stream tokens three ways, and serve the page that shows the difference."""
    settings = _checked(
        host=host,
        port=port,
        workers=workers,
        threads=threads,
        recordings=recordings,
        upstream_url=upstream_url,
        cors_origin=cors_origin,
        max_streams=max_streams,
        max_buffer_bytes=max_buffer_bytes,
        heartbeat_s=heartbeat_s,
        send_timeout_s=send_timeout_s,
        body_timeout_s=body_timeout_s,
        grace_s=grace_s,
        buffers=BufferSizes(high_water_bytes, notsent_lowat_bytes or None, sndbuf_bytes or None),
    )
    if workers > 1 and _WORKER not in os.environ:
        sys.exit(_run_workers(settings))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    sys.exit(_run(settings))


def _checked(**options: Any) -> ServerSettings:
    """Return the settings.

    Raises:
        typer.BadParameter: what `ServerSettings` or `Upstream` does not accept.
    """
    try:
        if options["upstream_url"] is not None:
            Upstream(options["upstream_url"])
        return ServerSettings(**options)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _run(settings: ServerSettings) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(settings))
    return uvloop.run(_serve(settings))


async def _serve(settings: ServerSettings) -> int:
    stopped = _stopped_by_signal()
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(serving(settings))
        except OSError as error:
            return _cannot_listen(settings, error)
        if _WORKER in os.environ:
            _end_with_parent(stopped)
            print("ready", flush=True)
        else:
            _show_banner(settings, port)
        await stopped.wait()
    return 0


def _cannot_listen(settings: ServerSettings, error: OSError) -> int:
    print(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
    return 1


def _stopped_by_signal() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set. The next one ends the process at once."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            os._exit(1)
        stopped.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    return stopped


def _end_with_parent(stopped: asyncio.Event) -> None:
    """Set `stopped` when the parent has gone, in whatever way: nobody holds the other end of standard input then."""
    loop = asyncio.get_running_loop()
    parent = sys.stdin.fileno()

    def end() -> None:
        loop.remove_reader(parent)
        stopped.set()

    loop.add_reader(parent, end)


def _run_workers(settings: ServerSettings) -> int:
    """Start the workers and wait for them; a signal goes on to all of them."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.create_server((settings.host, settings.port), family=family, reuse_port=True) as reserved:
            port = reserved.getsockname()[1]
    except OSError as error:
        return _cannot_listen(settings, error)
    with tempfile.TemporaryDirectory(prefix="tokenweir-metrics-") as folder:
        command = [sys.executable, "-m", "servers", *sys.argv[1:], "--port", str(port)]
        environment = {**os.environ, _WORKER: "1", "PROMETHEUS_MULTIPROC_DIR": folder}
        workers = Workers(command, environment, count=settings.workers, metrics_folder=folder)
        return asyncio.run(_watch(workers, lambda: _show_banner(settings, port)))


async def _watch(workers: Workers, on_ready: Callable[[], None]) -> int:
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, workers.stop)
    return await workers.run(on_ready)


def _show_banner(settings: ServerSettings, port: int) -> None:
    print(banner(settings.host, port, settings), file=sys.stderr, flush=True)


def banner(host: str, port: int, settings: ServerSettings) -> str:
    """Return what is printed at the start: the page, and three commands that work."""
    name = f"[{host}]" if ":" in host else host
    base = f"http://{name}:{port}"
    return "\n".join(
        [
            f"tokenweir: {base}/" + (f"   ({settings.workers} workers)" if settings.workers > 1 else ""),
            "",
            f"  curl -N '{base}/v1/chat/stream?variant=flux'",
            f"  curl -N '{base}/v1/chat/stream?source=counter&variant=rx&strategy=drop&reader_rate=5&trace=1'",
            f'  curl -N {base}/v1/chat/completions -d \'{{"messages": [], "stream": true}}\'',
            "",
        ]
    )


if __name__ == "__main__":
    app()
