"""Programs whose words nobody reads, or that cannot even write them."""

from __future__ import annotations

import os
import subprocess
import sys

__all__ = ("NOWHERE", "unread")

NOWHERE = (">&-", ">/dev/full", "2>&-", "2>/dev/full", ">&- 2>&-", ">/dev/full 2>/dev/full")
"""Where a shell may send words so that none can be written: nothing is open there, or the disk is full."""


def unread(program: str, *arguments: str, where: str = "") -> int:
    """Run Python source whose output and errors go into a pipe without a reader; returns its exit code.

    Args:
        program: the source.
        *arguments: its arguments.
        where: sends one or both elsewhere: of `NOWHERE`.
    """
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = ["sh", "-c", f'exec "$@" {where}', "sh", sys.executable, "-c", program, *arguments]
        return subprocess.run(command, stdout=writer, stderr=writer, timeout=30, check=False).returncode
    finally:
        os.close(writer)
