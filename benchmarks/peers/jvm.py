"""Builds the Maven modules in `spring`, and says how each is started.

    semantics   runs schedules through real RxJava and Reactor operators
    mvc         Spring MVC on Tomcat: SseEmitter, Flowable, Flux
    webflux     Spring WebFlux on Reactor Netty: Flowable, Flux

The first build fetches Spring Boot and what it needs, later ones work offline.
"""

from __future__ import annotations

import fcntl
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Final

from benchmarks.peers import needs

__all__ = ("MODULES", "NEEDED", "PROJECT", "build", "command", "is_built", "jar", "missing")

MODULES: Final = ("semantics", "mvc", "webflux")
"""What can be started."""

NEEDED: Final = (
    # Before Java 9 it knows no --version.
    needs.program("java", "a Java runtime", (17,), option="-version", before='version "'),
    needs.program("mvn", "Maven and a JDK", (3, 6, 3), before="Apache Maven "),
)
"""The programs that build and run them, as old as Spring Boot allows."""

PROJECT: Final = Path(__file__).parent / "spring"
"""Where their sources are."""

_MAVEN: Final = ("mvn", "--batch-mode", "--quiet", "--no-transfer-progress", "-DskipTests", "package")
_BUILD_TIMEOUT_S: Final = 900
_OPTIONS: Final = ("-Xms64m", "-Xmx512m", "-Xss512k", "-XX:+UseSerialGC")

# Five peers are built by one Maven: none waits again for what has failed with the same sources for another.
_failures: Final[dict[tuple[Path, str], str]] = {}


def missing() -> str:
    """Say what has to be installed; empty: all is there."""
    return needs.missing(NEEDED)


def jar(module: str, project: Path = PROJECT) -> Path:
    """Where the build puts what starts `module`.

    Raises:
        ValueError: there is no such module.
    """
    if module not in MODULES:
        raise ValueError(f"module must be one of {', '.join(MODULES)}; got {module!r}")
    return project / module / "target" / f"{module}.jar"


def is_built(project: Path = PROJECT) -> bool:
    """Whether a build of these very sources came to its end. One that was interrupted may leave half a jar."""
    stamp = _stamp(project)
    are_there = stamp.exists() and all(jar(module, project).exists() for module in MODULES)
    return are_there and stamp.read_text("utf-8") == _digest(project)


def build(project: Path = PROJECT) -> None:
    """Build all modules unless they are. Waits while another process builds.

    Raises:
        RuntimeError: java or mvn is missing or too old, or the build failed; the message says what to do.
    """
    absent = missing()
    if absent:
        raise RuntimeError(f"the Java originals need {absent}")
    with (project / "pom.xml").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_built(project):
            return
        sources = _digest(project)
        if failure := _failures.get((project, sources)) or _run_maven(project):
            _failures[project, sources] = failure
            raise RuntimeError(failure)
        _stamp(project).parent.mkdir(exist_ok=True)
        _stamp(project).write_text(sources, "utf-8")


def command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return what starts `module`, built before if it has to be.

    The heap begins at 64 MiB and may grow to 512 MiB, enough for a thousand open streams; the collector is the one that
    Java picks by itself on one core; thread stacks are 512 KiB.

    Args:
        module: one of `MODULES`.
        arguments: what the program is given: the servers take --port=N (0, as without it: a free one), and mvc takes
            --threads=N.

    Raises:
        ValueError: there is no such module.
        RuntimeError: see `build`.
    """
    path = jar(module)
    build()
    return ("java", *_OPTIONS, "-jar", str(path), *arguments)


def _stamp(project: Path) -> Path:
    return project / "target" / ".built"


def _digest(project: Path) -> str:
    """Name the sources by what is in them: a time would not tell of one that was removed."""
    sources = sorted([*project.glob("pom.xml"), *project.glob("*/pom.xml"), *project.glob("*/src/**/*.*")])
    digest = sha256()
    for path in sources:
        digest.update(f"{path.relative_to(project)} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _run_maven(project: Path) -> str:
    """Return what went wrong; empty: nothing."""
    for path in project.glob("*/target/*.jar"):
        path.unlink()  # Maven goes by its time, and would leave half a jar alone
    try:
        built = subprocess.run(
            _MAVEN, cwd=project, capture_output=True, errors="replace", timeout=_BUILD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"mvn package took more than {_BUILD_TIMEOUT_S} s in {project.name}"
    if built.returncode:
        return f"mvn package failed in {project.name}:\n{(built.stdout + built.stderr)[:2000].strip()}"
    return ""
