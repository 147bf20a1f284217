"""What has to be installed: what is too old is as good as missing, and is told with its version."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.peers import jvm, npm
from benchmarks.peers.needs import Need, missing, package, program
from benchmarks.peers.registry import PACKAGES

__all__ = ()

PROJECT = Path(__file__).parents[2]
JAVA, MVN = jvm.NEEDED
UNKNOWN = "found one without a version"

Says = Callable[[Need, bytes], None]


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Put a program of that name, which says so on stderr, in place of all others."""
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))

    def write(need: Need, words: bytes) -> None:
        (tmp_path / "tools").mkdir(exist_ok=True)
        (tmp_path / "words").write_bytes(words)
        tool = tmp_path / "tools" / need.name
        tool.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\nexec /bin/cat {tmp_path}/words >&2\n")
        tool.chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("need", "words", "lack"),
    [
        (JAVA, b'openjdk version "17.0.15" 2025-04-15', ""),
        (JAVA, b'openjdk version "22-ea" 2024-03-19', ""),
        (JAVA, b'Picked up JAVA_TOOL_OPTIONS: -Dversion=1\nopenjdk version "21" 2023-09-19', ""),
        (JAVA, b'openjdk version "11.0.2" 2019-01-15', "java 17 or later (found 11.0.2)"),
        (JAVA, b'java version "1.8.0_402"', "java 17 or later (found 1.8.0)"),
        (JAVA, b"Unable to locate a Java Runtime.", f"java 17 or later ({UNKNOWN})"),
        (JAVA, b"", f"java 17 or later ({UNKNOWN})"),
        (JAVA, b'\xff\xfe version "' + b"9" * 5_000, ""),
        (MVN, b"\x1b[1mApache Maven 3.8.7\x1b[m\nJava version: 17.0.15", ""),
        (MVN, b"Apache Maven 4.0.0-rc-3", ""),
        (MVN, b"Apache Maven 3.5.4 (1edded0)", "mvn 3.6.3 or later (found 3.5.4)"),
        (npm.NODE, b"v20.20.2", ""),
        (npm.NODE, b"v18.19.0", "node 20 or later (found 18.19.0)"),
        (npm.NODE, b"no version 20", f"node 20 or later ({UNKNOWN})"),
    ],
)
def test_program_that_is_too_old_or_says_no_version_is_missing(need: Need, words: bytes, lack: str, says: Says) -> None:
    says(need, words)
    assert need.lack() == lack
    assert need.is_there() is (lack == "")


def test_program_that_is_not_there_is_missing(says: Says) -> None:
    assert JAVA.lack() == "java 17 or later"
    assert npm.NPM.lack() == "npm"


def test_program_that_cannot_be_run_is_missing(says: Says, tmp_path: Path) -> None:
    says(JAVA, b"")
    (tmp_path / "tools" / "java").write_bytes(b"")
    assert JAVA.lack() == f"java 17 or later ({UNKNOWN})"


def test_program_that_does_not_answer_is_missing(says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(JAVA, b"")
    (tmp_path / "tools" / "java").write_text("#!/bin/sh\nexec /usr/bin/tail -f /dev/null\n")
    monkeypatch.setattr("benchmarks.peers.needs._TIMEOUT_S", 0)
    assert JAVA.lack() == f"java 17 or later ({UNKNOWN})"


def test_program_is_asked_once_and_only_where_a_version_is_needed(says: Says, tmp_path: Path) -> None:
    says(npm.NPM, b"")
    assert npm.NPM.is_there()
    assert not (tmp_path / "asked").exists()
    says(npm.NODE, b"v20.20.2")
    assert npm.NODE.is_there()
    assert npm.NODE.is_there()
    assert (tmp_path / "asked").read_text() == "asked\n"


@pytest.mark.parametrize(
    ("version", "lack"),
    [
        ("0.135", ""),
        ("0.135.0", ""),
        ("1.0rc1", ""),
        ("0.134.9", "json 0.135 or later (found 0.134.9)"),
        ("unknown", f"json 0.135 or later ({UNKNOWN})"),
        (None, f"json 0.135 or later ({UNKNOWN})"),
    ],
)
def test_package_that_is_too_old_or_has_no_version_is_missing(
    version: str | None, lack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.peers.needs.metadata_version", lambda name: version)
    assert package("json", (0, 135)).lack() == lack


def test_package_without_metadata_is_missing_where_a_version_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("benchmarks.peers.needs.metadata_version", nothing)
    assert package("json", (1,)).lack() == f"json 1 or later ({UNKNOWN})"
    assert package("json").lack() == ""


def test_what_is_missing_is_one_line_that_says_what_to_install() -> None:
    there = program("python3", "Python")
    absent = [program("no-such-java", "Java", (17,)), program("no-such-jdk", "Java"), package("no_such_package", (2,))]
    line = "no-such-java 17 or later, no-such-jdk: Java; no_such_package 2 or later: pip install 'tokenweir[peers]'"
    assert missing([there, *absent]) == line
    assert missing([there]) == ""


# --- The versions are those that are declared --------------------------------------------------------------------


def test_oldest_packages_are_those_of_the_extra() -> None:
    extra = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["peers"]
    declared = {
        name.partition("[")[0].replace("-", "_"): tuple(map(int, least.split(".")))
        for name, least in (each.split(">=") for each in extra)
    }
    assert {name: least for name, least in PACKAGES.items() if least} == declared


def test_oldest_node_is_that_of_the_peers_and_of_their_packages() -> None:
    folder = PROJECT / "benchmarks" / "peers" / "node"
    files = [json.loads((folder / name).read_text("utf-8")) for name in ("package.json", "package-lock.json")]
    engines = [files[0]["engines"], *(each["engines"] for each in files[1]["packages"].values() if "engines" in each)]
    assert {each["node"] for each in engines} == {f">={npm.NODE.least[0]}"}


def test_oldest_java_is_that_which_is_compiled_for() -> None:
    pom = ElementTree.parse(jvm.PROJECT / "pom.xml")
    release = pom.findtext(".//{*}properties/{*}java.version")
    assert JAVA.least == (int(release or 0),)
