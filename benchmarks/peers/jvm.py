"""Builds the Maven modules in `spring`, and says how each is started.

    semantics   runs schedules through real RxJava and Reactor operators
    mvc         Spring MVC on Tomcat: SseEmitter, Flowable, Flux
    webflux     Spring WebFlux on Reactor Netty: Flowable, Flux

The first build fetches Spring Boot and what it needs, later ones work offline.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import Final

__all__ = ("MODULES", "build", "command", "jar", "missing")

MODULES: Final = ("semantics", "mvc", "webflux")
"""What can be started."""

_PROJECT: Final = Path(__file__).parent / "spring"
_MAVEN: Final = ("mvn", "--batch-mode", "--quiet", "--no-transfer-progress", "-DskipTests", "package")
_BUILD_TIMEOUT_S: Final = 900
_OPTIONS: Final = ("-Xms64m", "-Xmx512m", "-Xss512k", "-XX:+UseSerialGC")


def missing() -> str:
    """Say what has to be installed; empty: all is there."""
    wanted = {"java": "a Java 17 runtime or later", "mvn": "Maven 3.8 or later and a JDK"}
    return ", ".join(f"{program}: {what}" for program, what in wanted.items() if shutil.which(program) is None)


def jar(module: str) -> Path:
    """Where the build puts what starts `module`.

    Raises:
        ValueError: there is no such module.
    """
    if module not in MODULES:
        raise ValueError(f"module must be one of {', '.join(MODULES)}; got {module!r}")
    return _PROJECT / module / "target" / f"{module}.jar"


def build() -> None:
    """Build all modules if a source is newer than a jar. Waits while another process builds.

    Raises:
        RuntimeError: java or mvn is missing, or the build failed; the message says what to do.
    """
    absent = missing()
    if absent:
        raise RuntimeError(f"the Java originals need {absent}")
    with (_PROJECT / "pom.xml").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_stale():
            _run_maven()


def command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return what starts `module`, built before if it has to be.

    The heap begins at 64 MiB and may grow to 512 MiB, enough for a thousand open streams; the collector is the one that
    Java picks by itself on one core; thread stacks are 512 KiB.

    Args:
        module: one of `MODULES`.
        arguments: what the program is given: the servers take --port=N (0, as without it: a free one) and --threads=N.

    Raises:
        ValueError: there is no such module.
        RuntimeError: see `build`.
    """
    path = jar(module)
    build()
    return ("java", *_OPTIONS, "-jar", str(path), *arguments)


def _is_stale() -> bool:
    built = [path.stat().st_mtime_ns for path in map(jar, MODULES) if path.exists()]
    return len(built) < len(MODULES) or max(map(_modified_ns, _sources())) > min(built)


def _sources() -> list[Path]:
    return [*_PROJECT.glob("pom.xml"), *_PROJECT.glob("*/pom.xml"), *_PROJECT.glob("*/src/**/*.*")]


def _modified_ns(path: Path) -> int:
    return path.stat().st_mtime_ns


def _run_maven() -> None:
    built = subprocess.run(_MAVEN, cwd=_PROJECT, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S, check=False)
    if built.returncode:
        raise RuntimeError(f"{' '.join(_MAVEN)} failed in {_PROJECT.name}:\n{(built.stdout + built.stderr)[-2000:]}")
    for path in map(jar, MODULES):
        path.touch()  # Maven leaves a jar alone that would be the same, and it would look older than its sources
