"""Installs what the servers in `node` need, and says how each is started."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import Final

__all__ = ("command", "install")

_FOLDER: Final = Path(__file__).parent / "node"
_INSTALL: Final = ("ci", "--ignore-scripts", "--no-audit", "--no-fund")
_INSTALL_TIMEOUT_S: Final = 120


def command(script: str, *, packages: bool) -> tuple[str, ...]:
    """Return what starts a script of the folder; installs first if it needs packages that are not there.

    Raises:
        RuntimeError: node or npm is missing, or the installation failed; the message says what to do.
    """
    if packages:
        install()
    return (_program("node"), str(_FOLDER / script))


def install() -> None:
    """Install the packages of the lock file, unless they are there. Waits while another process does.

    Raises:
        RuntimeError: npm is missing, or it failed.
    """
    npm = _program("npm")
    stamp = _FOLDER / "node_modules" / ".installed"
    with (_FOLDER / "package-lock.json").open(encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = lock.read()
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            _run(npm, *_INSTALL)
            stamp.write_text(wanted, "utf-8")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not on the PATH: install Node.js 20 or later with npm")
    return found


def _run(*words: str) -> None:
    try:
        done = subprocess.run(
            words, cwd=_FOLDER, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"npm ci took more than {_INSTALL_TIMEOUT_S} s in {_FOLDER.name}") from error
    if done.returncode:
        raise RuntimeError(f"npm ci failed in {_FOLDER.name}:\n{(done.stdout + done.stderr)[-2000:].rstrip()}")
