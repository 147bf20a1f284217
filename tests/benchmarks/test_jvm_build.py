"""The build of the Java originals: once for the same sources, whole or not at all. A small mvn stands for Maven."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.peers import jvm

__all__ = ()

BUILDS = "for module in semantics mvc webflux; do mkdir -p $module/target && echo $$ > $module/target/$module.jar; done"
IS_KILLED = f"{BUILDS}; kill -KILL $$"
SAYS_ITS_VERSION = """case "$1" in -*version) echo 'java version "17", Apache Maven 3.9'; exit;; esac"""
FAILS = "echo '[ERROR] no parent'; exit 1"

Maven = Callable[[str], None]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The sources, and nothing that was built of them."""
    return shutil.copytree(jvm.PROJECT, tmp_path / "spring", ignore=shutil.ignore_patterns("target"))


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maven:
    """Put a java, and an mvn that does what it is told and counts how often, before all others."""

    def write(script: str) -> None:
        tools = tmp_path / "tools"
        tools.mkdir(exist_ok=True)
        for need in jvm.NEEDED:
            (tools / need.name).write_text(f"#!/bin/sh\n{SAYS_ITS_VERSION}\necho >> {tmp_path}/runs\n{script}\n")
            (tools / need.name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")

    return write


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


def test_the_same_sources_are_built_once(tmp_path: Path, project: Path, maven: Maven) -> None:
    maven(BUILDS)
    assert not jvm.is_built(project)
    jvm.build(project)
    jvm.build(project)
    assert jvm.is_built(project)
    assert runs(tmp_path) == 1


def change(project: Path) -> None:
    path = next(project.glob("mvc/src/**/*.java"))
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    os.utime(path, ns=times)


def remove_source(project: Path) -> None:
    next(project.glob("mvc/src/**/*.java")).unlink()


def remove_jar(project: Path) -> None:
    jvm.jar("mvc", project).unlink()


@pytest.mark.parametrize("act", [change, remove_source, remove_jar])
def test_what_is_built_of_other_sources_or_lost_is_built_again(
    project: Path, maven: Maven, act: Callable[[Path], None]
) -> None:
    maven(BUILDS)
    jvm.build(project)
    act(project)
    assert not jvm.is_built(project)
    jvm.build(project)
    assert jvm.is_built(project)


def test_a_build_that_was_killed_leaves_nothing_that_counts(project: Path, maven: Maven) -> None:
    maven(IS_KILLED)
    with pytest.raises(RuntimeError, match="mvn package failed in spring"):
        jvm.build(project)
    assert jvm.jar("mvc", project).exists()
    assert not jvm.is_built(project)


def test_a_failed_build_is_told_and_not_tried_again_for_each_that_needs_it(
    tmp_path: Path, project: Path, maven: Maven
) -> None:
    maven(FAILS)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"mvn package failed in spring:\n\[ERROR\] no parent"):
            jvm.build(project)
    assert runs(tmp_path) == 1


def test_output_of_a_failed_build_need_not_be_text(project: Path, maven: Maven) -> None:
    maven(f"printf '\\377'; {FAILS}")
    with pytest.raises(RuntimeError, match=r"mvn package failed in spring:\n\ufffd.*no parent"):
        jvm.build(project)


def test_a_build_that_takes_too_long_is_told(project: Path, maven: Maven, monkeypatch: pytest.MonkeyPatch) -> None:
    maven("exec tail -f /dev/null")
    monkeypatch.setattr(jvm, "_BUILD_TIMEOUT_S", 0)
    with pytest.raises(RuntimeError, match="mvn package took more than 0 s in spring"):
        jvm.build(project)
