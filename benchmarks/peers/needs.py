"""What has to be installed, in which version, and how that is found out.

A program says its version itself, once per process; a package has it in its metadata. What is there and names no
version is as good as missing where one is needed: it may be a stand-in that says where to get the real thing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as metadata_version
from importlib.util import find_spec
from typing import Final

__all__ = ("Need", "Version", "dotted", "missing", "package", "program")

Version = tuple[int, ...]
"""(17,) is older than (17, 0, 2); () is none."""

_NUMBERS: Final = r"([0-9]{1,9}(?:\.[0-9]{1,9})*)"
_TIMEOUT_S: Final = 20  # the first start of a JVM on a busy machine


@dataclass(frozen=True, slots=True)
class Need:
    """Something that has to be installed.

    Attributes:
        name: of a program, or of a package as it is imported.
        install: what to install, for people.
        found: returns the version that is there, () where it is not known or not asked for; None: it is not there.
        least: the oldest version that will do; (): any.
    """

    name: str
    install: str
    found: Callable[[], Version | None]
    least: Version = ()

    def is_there(self) -> bool:
        """Whether it is, and new enough."""
        return not self.lack()

    def lack(self) -> str:
        """Name what is missing, beside what was found if that is too old; empty: nothing is."""
        found = self.found()
        if found is not None and found >= self.least:
            return ""
        wanted = f"{self.name} {dotted(self.least)} or later" if self.least else self.name
        return wanted if found is None else f"{wanted} (found {dotted(found) or 'one without a version'})"


def program(
    name: str, install: str, least: Version = (), *, option: str = "--version", before: str = r"\A\s*v?"
) -> Need:
    """Need a program on the PATH.

    Args:
        name: of the program.
        install: what to install, for people.
        least: the oldest version that will do; (): any, and it is not asked.
        option: what it is asked for its version with.
        before: a regular expression for what stands before the version in its answer.
    """

    def found() -> Version | None:
        path = shutil.which(name)
        if path is None:
            return None
        return _version_in(_answer(path, option), before) if least else ()

    return Need(name, install, found, least)


def package(name: str, least: Version = ()) -> Need:
    """Need a Python package, which the extra `peers` brings."""

    def found() -> Version | None:
        if find_spec(name) is None:
            return None
        with suppress(PackageNotFoundError):
            return _version_in(str(metadata_version(name)))
        return ()

    return Need(name, "pip install 'tokenweir[peers]'", found, least)


def missing(needs: Iterable[Need]) -> str:
    """Return one line that says what to install; empty: all is there."""
    absent: dict[str, list[str]] = {}
    for need in needs:
        if lack := need.lack():
            absent.setdefault(need.install, []).append(lack)
    return "; ".join(f"{', '.join(lacks)}: {install}" for install, lacks in absent.items())


@cache
def _answer(path: str, option: str) -> str:
    """Return what a program says on both its outputs; empty: it cannot be run, or takes too long."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            (path, option), stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
        return (done.stdout + done.stderr).decode(errors="replace")
    return ""


def _version_in(text: str, before: str = r"\A") -> Version:
    """Return the first version in a text; (): there is none."""
    seen = re.search(before + _NUMBERS, text)
    return tuple(map(int, seen[1].split("."))) if seen else ()


def dotted(version: Version) -> str:
    """Write a version as people do; empty: none."""
    return ".".join(map(str, version))
