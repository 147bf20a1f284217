"""On what was measured: the machine, the versions, the commit. Figures of different environments are not comparable."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import cores

__all__ = ("environment",)

_PACKAGES: Final = (
    "tokenweir",
    "aiohttp",
    "hdrhistogram",
    "msgspec",
    "numpy",
    "reactivex",
    "uvloop",
    "aiohttp-sse",
    "fastapi",
    "sse-starlette",
    "starlette",
    "uvicorn",
    "httptools",
)


def environment() -> dict[str, Any]:
    """Return the environment as JSON values; what cannot be found out is null.

    "dirty" says whether files differ from the commit: then it does not say what was measured.
    """
    pinned = cores()
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "cores": {"server": pinned.server, "client": pinned.client},
        "packages": {name: _version(name) for name in _PACKAGES},
        "node": _printed_by("node", "--version"),
        "java": _printed_by("java", "--version"),
        "commit": _printed_by("git", "rev-parse", "HEAD"),
        "dirty": None if (changed := _printed_by("git", "status", "--porcelain")) is None else bool(changed),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _printed_by(*command: str) -> str | None:
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
