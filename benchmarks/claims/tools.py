"""What the experiments run on: the real Java libraries, our server, a browser. Each says what is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.peers import jvm
from benchmarks.peers.needs import Need, dotted, program
from benchmarks.processes import ServerProcess, starting_all

__all__ = ("CHROMIUM", "JAVA", "OUR_SERVER", "Demand", "Tried", "browser", "demand", "has", "spring", "versions")

OUR_SERVER: Final = (sys.executable, "-m", "servers", "--host", "127.0.0.1", "--port", "0")
"""Starts our server; it prints its address."""

_CHROMIUMS: Final = tuple(
    program(
        name,
        "chromium (Debian: apt-get install chromium)",
        (59,),  # the first that runs without a screen
        before="(?:Chromium|Google Chrome) ",
    )
    for name in ("chromium", "chromium-browser", "google-chrome")
)
_FOLDER: Final = Path(__file__).parent / "java"
_QUIET: Final = (
    "--server.port=0",
    "--server.address=127.0.0.1",
    "--logging.level.root=off",
    "--spring.main.banner-mode=off",
    "--spring.main.lazy-initialization=true",  # they start sooner
)
_NAMED: Final = re.compile(r"BOOT-INF/lib/(rxjava|reactor-core|spring-web|tomcat-embed-core)-([0-9.]+)\.jar")
_LIBRARIES: Final = "BOOT-INF/lib/"
_FAST_START: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
_ITEMS: Final = 100_000
_TIMEOUT_S: Final = 120


def _chromium() -> Need:
    """Return the first that will do; where none does, the first that is there, which says what it lacks."""
    there = [each for each in _CHROMIUMS if each.found() is not None]
    return next((each for each in there if each.is_there()), (there or _CHROMIUMS)[0])


CHROMIUM: Final = Need("chromium", _CHROMIUMS[0].install, lambda: _chromium().found(), _CHROMIUMS[0].least)

JAVA: Final = jvm.NEEDED
"""What builds and runs the Java originals."""


def browser() -> str | None:
    """Return the path of a Chromium, if there is one that will do."""
    return shutil.which(_chromium().name) if CHROMIUM.is_there() else None


def has(needs: Sequence[Need]) -> bool:
    """Whether all of it is there."""
    return all(need.is_there() for need in needs)


@contextmanager
def _starting(commands: Sequence[Sequence[str]]) -> Generator[list[ServerProcess]]:
    """Run servers, all of which listen; on any core, since some experiments run several at a time."""
    with starting_all(commands) as servers:
        for server in servers:
            server.wait_listening()
        yield servers


def versions(needs: Iterable[Need]) -> dict[str, str]:
    """Return the versions of these programs and of the Java libraries: name -> version, of what is there.

    A program that an experiment has asked for is not asked again.
    """
    found = {need.name: dotted(version) for need in needs if (version := need.found())}
    with suppress(OSError, zipfile.BadZipFile):  # the experiments say so of a damaged jar
        if jvm.is_built():
            with zipfile.ZipFile(jvm.jar("mvc")) as entries:
                found.update(_NAMED.findall("\n".join(entries.namelist())))
    return found


# --- Java --------------------------------------------------------------------------------------------------------


class Tried(msgspec.Struct, frozen=True, rename="camel"):
    """What one source of RxJava or Reactor did when a few items were wanted, and then all.

    Attributes:
        library: RxJava or Reactor.
        source: how it was written.
        made: items that it had made while a few were wanted.
        received: items that came meanwhile.
        received_after: items that had come once all were wanted.
        ended: complete, or the class of the error; empty: it has not ended.
    """

    library: str
    source: str
    made: int
    received: int
    received_after: int
    ended: str

    @property
    def has_failed(self) -> bool:
        """Whether an error ended it."""
        return self.ended not in {"", "complete"}


class Demand(msgspec.Struct, frozen=True):
    """What the two libraries offer, and what their sources do about demand.

    Attributes:
        items: how many a source has.
        wanted: how many are requested at first.
        strategies: by library: the constants of its strategies of `create`.
        operators: by library: the signatures of its public operators onBackpressure...
        tried: one per source.
    """

    items: int
    wanted: int
    strategies: dict[str, list[str]]
    operators: dict[str, list[str]]
    tried: list[Tried]


@cache
def demand() -> Demand:
    """Run the sources of RxJava and Reactor; once, however often it is asked for.

    Raises:
        RuntimeError: java or mvn is missing, or something failed.
    """
    jvm.build()
    with _unpacked("semantics") as folder:
        command = (*_java(folder, "Demand"), str(_ITEMS))
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"Demand.java failed:\n{done.stderr[-2000:].rstrip()}")
    return msgspec.json.decode(done.stdout, type=Demand)


@contextmanager
def spring(
    *modules_and_programs: tuple[str, str], beside: Sequence[Sequence[str]] = ()
) -> Generator[list[ServerProcess]]:
    """Run programs of `java/` with the libraries of a Maven module each: ("mvc", "Texts"). They listen.

    Args:
        *modules_and_programs: what is run.
        beside: other servers that start at the same time; they come last.

    Raises:
        RuntimeError: java or mvn is missing, or something failed.
    """
    jvm.build()
    with ExitStack() as stack:
        commands = [
            (*_java(stack.enter_context(_unpacked(module)), name), *_QUIET) for module, name in modules_and_programs
        ]
        yield stack.enter_context(_starting([*commands, *beside]))


def _java(folder: Path, name: str) -> tuple[str, ...]:
    """Return what compiles and runs one source file."""
    return ("java", *_FAST_START, "-cp", f"{folder}/*", str(_FOLDER / f"{name}.java"))


@contextmanager
def _unpacked(module: str) -> Generator[Path]:
    """Put the libraries that a jar of Spring Boot brings into a folder: one class path for all."""
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(jvm.jar(module)) as jar:
        folder = Path(name)
        for entry in jar.namelist():
            if entry.startswith(_LIBRARIES) and entry.endswith(".jar"):
                (folder / Path(entry).name).write_bytes(jar.read(entry))
        yield folder
