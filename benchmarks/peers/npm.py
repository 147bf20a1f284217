"""Installs what the servers in `node` need, and says how each is started."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path
from typing import Final

from benchmarks.peers.needs import Need, missing, program

__all__ = ("NODE", "NPM", "command", "install")

NODE: Final = program("node", "Node.js", (20,))
"""What runs them: as old as the folder's package.json allows."""

NPM: Final = program("npm", "npm")
"""What installs their packages."""

_FOLDER: Final = Path(__file__).parent / "node"
_INSTALL: Final = ("ci", "--ignore-scripts", "--no-audit", "--no-fund")
_INSTALL_TIMEOUT_S: Final = 120


def command(script: str, *, packages: bool) -> tuple[str, ...]:
    """Return what starts a script of the folder; installs first if it needs packages that are not there.

    Raises:
        RuntimeError: node or npm is missing or too old, or the installation failed; the message says what to do.
    """
    _check(NODE)
    if packages:
        install()
    return (NODE.name, str(_FOLDER / script))


def install() -> None:
    """Install the packages of the lock file, unless they are there. Waits while another process does.

    Raises:
        RuntimeError: npm is missing, or it failed.
    """
    _check(NPM)
    stamp = _FOLDER / "node_modules" / ".installed"
    with (_FOLDER / "package-lock.json").open(encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = lock.read()
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            _run(NPM.name, *_INSTALL)
            stamp.write_text(wanted, "utf-8")


def _check(need: Need) -> None:
    if absent := missing([need]):
        raise RuntimeError(f"the Node.js peers need {absent}")


def _run(*words: str) -> None:
    try:
        done = subprocess.run(
            words, cwd=_FOLDER, capture_output=True, errors="replace", timeout=_INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"npm ci took more than {_INSTALL_TIMEOUT_S} s in {_FOLDER.name}") from error
    if done.returncode:
        raise RuntimeError(f"npm ci failed in {_FOLDER.name}:\n{(done.stdout + done.stderr)[-2000:].rstrip()}")
