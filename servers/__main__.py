"""`python -m servers`: the server and its page.

With several workers each is a process of its own that listens on the same port (SO_REUSEPORT); the kernel spreads the
connections.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
from aiohttp import web

from servers.response import BufferSizes
from servers.settings import ServerSettings

__all__ = ("main",)

_WORKER: Final = "TOKENWEIR_WORKER"
_DEFAULTS: Final = ServerSettings()
_BUFFERS: Final = BufferSizes()

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = _DEFAULTS.host,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0: any free one.")] = _DEFAULTS.port,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that share the port.")] = _DEFAULTS.workers,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads that feed streams with producers=k.")] = (
        _DEFAULTS.threads
    ),
    recordings: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="The folder with recordings.")
    ] = None,
    upstream_url: Annotated[str | None, typer.Option(help="Base URL of an OpenAI-compatible endpoint.")] = None,
    cors_origin: Annotated[str | None, typer.Option(help="Origin that other pages may come from; * for all.")] = None,
    max_streams: Annotated[int, typer.Option(min=1, help="Streams at a time, per worker.")] = _DEFAULTS.max_streams,
    max_buffer_bytes: Annotated[int, typer.Option(min=1, help="Unsent bytes per client with strategy missing.")] = (
        _DEFAULTS.max_buffer_bytes
    ),
    heartbeat_s: Annotated[float, typer.Option(min=0, help="Silence before a heartbeat; 0: none.")] = (
        _DEFAULTS.heartbeat_s
    ),
    send_timeout_s: Annotated[float, typer.Option(min=0.001, help="How long a client may take nothing.")] = (
        _DEFAULTS.send_timeout_s
    ),
    grace_s: Annotated[float, typer.Option(min=0, help="How long streams have to end at shutdown.")] = (
        _DEFAULTS.grace_s
    ),
    high_water_bytes: Annotated[int, typer.Option(min=0, help="Transport buffer before a write waits.")] = (
        _BUFFERS.high_water_bytes
    ),
    notsent_lowat_bytes: Annotated[int, typer.Option(min=0, help="Unsent bytes in the kernel; 0: its own limit.")] = (
        _BUFFERS.notsent_lowat_bytes or 0
    ),
    sndbuf_bytes: Annotated[int, typer.Option(min=0, help="Send buffer of the kernel; 0: its own.")] = 0,
) -> None:
    """Stream tokens three ways, and serve the page that shows the difference."""
    settings = ServerSettings(
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
        grace_s=grace_s,
        buffers=BufferSizes(high_water_bytes, notsent_lowat_bytes or None, sndbuf_bytes or None),
    )
    if workers > 1 and _WORKER not in os.environ:
        sys.exit(_run_workers(settings))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    sys.exit(_run(settings))


def _run(settings: ServerSettings) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(settings))
    return uvloop.run(_serve(settings))


async def _serve(settings: ServerSettings) -> int:
    from servers.app import make_app

    runner = web.AppRunner(
        make_app(settings),
        access_log=None,
        shutdown_timeout=settings.grace_s,
        handler_cancellation=False,
    )
    await runner.setup()
    stopped = _stopped_by_signal()
    site = web.TCPSite(runner, settings.host, settings.port, reuse_port=settings.workers > 1 or None, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        return _cannot_listen(settings, error)
    if _WORKER in os.environ:
        print("ready", flush=True)
    else:
        print(banner(settings.host, runner.addresses[0][1], settings), file=sys.stderr, flush=True)
    await stopped.wait()
    await runner.cleanup()
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

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopped


def _run_workers(settings: ServerSettings) -> int:
    """Start the workers and wait for them; a signal goes on to all of them."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        reserved = socket.create_server((settings.host, settings.port), family=family, reuse_port=True)
    except OSError as error:
        return _cannot_listen(settings, error)
    with reserved, tempfile.TemporaryDirectory(prefix="tokenweir-metrics-") as folder:
        port = reserved.getsockname()[1]
        environment = {**os.environ, _WORKER: "1", "PROMETHEUS_MULTIPROC_DIR": folder}
        command = [sys.executable, "-m", "servers", *sys.argv[1:], "--port", str(port)]
        reserved.close()
        children: list[subprocess.Popen[bytes]] = []
        end_if_caught = _pass_signals_on(children)
        # In process groups of their own: a terminal's Ctrl-C reaches them through the parent, once.
        children.extend(
            subprocess.Popen(command, env=environment, process_group=0, stdout=subprocess.PIPE)
            for _ in range(settings.workers)
        )
        end_if_caught()
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()  # what it says when it listens, or nothing if it has ended
        print(banner(settings.host, port, replace(settings, port=port)), file=sys.stderr, flush=True)
        codes = [child.wait() for child in children]
    # One that was asked to end before it could listen to signals has done what it was asked.
    return max(0 if code == -signal.SIGTERM else abs(code) for code in codes)


def _pass_signals_on(children: list[subprocess.Popen[bytes]]) -> Callable[[], None]:
    """Have each signal end the children; what is returned does so for one that came before they were all there."""
    caught: list[int] = []

    def end_children() -> None:
        for child in children:
            if caught and child.poll() is None:
                child.send_signal(signal.SIGTERM)

    def catch(number: int, _: object) -> None:
        caught.append(number)
        end_children()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, catch)
    return end_children


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
