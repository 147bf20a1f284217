"""Programs whose words nobody reads."""

from __future__ import annotations

import os
import subprocess
import sys

__all__ = ("unread",)


def unread(program: str, *arguments: str) -> int:
    """Run Python source whose output and errors go into a pipe without a reader; returns its exit code."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, stdout=writer, stderr=writer, timeout=30, check=False).returncode
    finally:
        os.close(writer)
