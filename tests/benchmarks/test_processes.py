"""Servers as processes: what they logged, and where they run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import HAS_PROC, cores, starting_all

__all__ = ()


def printing(*lines: str) -> tuple[str, ...]:
    """Return the command of a server that prints these lines, then its address, and waits."""
    text = "\n".join([*lines, "http://127.0.0.1:1"])
    return (sys.executable, "-c", f"import time; print({text!r}, flush=True); time.sleep(60)")


def test_records_are_the_lines_of_streams_that_have_ended() -> None:
    record = {"stream": "a", "reason": "completed", "statistics": {"emitted": 3}}
    lines = ("something else", json.dumps(record), '{"stream": "half', "{}", json.dumps({**record, "stream": "b"}))
    with starting_all([printing(*lines)]) as (server,):
        server.wait_listening()
        assert server.records() == {"a": record, "b": {**record, "stream": "b"}}


def test_log_of_any_length_is_read() -> None:
    script = (
        "import json, time; print('http://127.0.0.1:1')\n"
        "for index in range(200): print(json.dumps({'stream': str(index), 'padding': 'x' * 1_000}))\n"
        "print('{}', flush=True); time.sleep(60)"
    )
    with starting_all([(sys.executable, "-c", script)]) as (server,):
        server.wait_listening()
        while len(records := server.records()) < 200:
            pass
        assert records["199"]["padding"] == "x" * 1_000


def test_servers_start_anywhere_and_are_pinned_later() -> None:
    if cores().server is None or not HAS_PROC:
        pytest.skip("this system cannot pin")
    anywhere = os.sched_getaffinity(0)
    with starting_all([printing(), printing()]) as servers:
        for server in servers:
            server.wait_listening()
            assert os.sched_getaffinity(server.pid) == anywhere
            server.pin(0)
            assert os.sched_getaffinity(server.pid) == {cores().server}


def test_servers_are_ended_on_leaving() -> None:
    with starting_all([printing()]) as (server,):
        server.wait_listening()
    assert has_gone(server.pid)


LEAVES_A_FILE = """
import json, os, tempfile, time
print(json.dumps({"stream": tempfile.mkstemp()[1], "java": os.environ["JAVA_TOOL_OPTIONS"]}))
print("http://127.0.0.1:1", flush=True)
time.sleep(60)
"""


def test_temporary_files_of_a_server_are_removed_after_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dwanted=1")
    with starting_all([(sys.executable, "-c", LEAVES_A_FILE)] * 2) as servers:
        for server in servers:
            server.wait_listening()
        records = [record for server in servers for record in server.records().values()]
        paths = [Path(record["stream"]) for record in records]
        assert all(path.exists() for path in paths)
        assert [record["java"] for record in records] == [
            f'-Dwanted=1 -Djava.io.tmpdir="{path.parent}"' for path in paths
        ]
    assert len({path.parent for path in paths}) == 2
    assert not any(path.parent.exists() for path in paths)


def has_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [1, 2, 3])
def test_signal_while_servers_start_leaves_none_behind(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    popen = subprocess.Popen

    def interrupted(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = popen(*words, **options)
        started.append(process.pid)
        if len(started) == number:
            signal.raise_signal(signal.SIGINT)  # where it is worst: it has started, and nobody knows its id
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(KeyboardInterrupt), starting_all([printing()] * 3):
        pytest.fail("the signal was lost")
    assert len(started) == number
    assert all(map(has_gone, started))


def test_signal_while_servers_are_ended_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = ExitStack()
    servers = stack.enter_context(starting_all([printing()] * 3))
    monkeypatch.setattr(servers[-1], "end", interrupting(servers[-1].end))
    with pytest.raises(KeyboardInterrupt):
        stack.close()
    assert all(has_gone(server.pid) for server in servers)


def interrupting(end: Callable[[float], None]) -> Callable[[float], None]:
    """Return the same, with a signal that comes before."""

    def ended(deadline_s: float) -> None:
        signal.raise_signal(signal.SIGINT)
        end(deadline_s)

    return ended


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_server_ends_with_a_starter_that_is_killed(tmp_path: Path) -> None:
    script = (
        "from benchmarks.processes import starting_all\n"
        f"with starting_all([{printing()!r}]) as (server,):\n"
        "    server.wait_listening()\n"
        "    print(server.pid, flush=True)\n"
        "    input()\n"
    )
    words = [sys.executable, "-c", script]
    leaving = {**os.environ, "TMPDIR": str(tmp_path)}  # what it cannot remove any more
    starter = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=leaving)
    with starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert not has_gone(pid)
        starter.kill()
    wait_until_ended(pid)


def wait_until_ended(pid: int) -> None:
    """Wait for a process that is no child of this one; whoever is its parent now may leave it unread (Z)."""
    with suppress(FileNotFoundError):
        while HAS_PROC and b"State:\tZ" not in Path(f"/proc/{pid}/status").read_bytes():
            pass


@pytest.mark.skipif(not HAS_PROC, reason="the memory of a process is read from /proc")
def test_memory_of_a_server_that_has_ended_is_an_error() -> None:
    with starting_all([(sys.executable, "-c", "pass")]) as (server,):
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(RuntimeError, match="has ended"):
            server.rss_bytes()


def test_command_that_is_not_there_is_told_as_what_does_not_listen() -> None:
    with (
        starting_all([("/nowhere/at/all",)]) as (server,),
        pytest.raises(RuntimeError, match="does not listen; it printed:\n/nowhere/at/all cannot be run: No such file"),
    ):
        server.wait_listening()


PARENT = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
def end(*_):
    child.kill(); child.wait()
    open({path!r}, "w").write("tidied up")
    sys.exit()
signal.signal(signal.SIGTERM, {handler})
open({child!r}, "w").write(str(child.pid))
print("http://127.0.0.1:1", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("handler", "tidied"), [("end", True), ("signal.SIG_IGN", False)])
def test_server_with_processes_of_its_own_is_asked_first_and_none_is_left(
    handler: str, tidied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.processes._GRACE_S", 5.0 if tidied else 0.0)
    path, child = tmp_path / "tidied", tmp_path / "child"
    script = PARENT.format(path=str(path), child=str(child), handler=handler)
    with starting_all([(sys.executable, "-c", script)]) as (server,):
        server.wait_listening()
    assert path.exists() == tidied
    assert has_gone(server.pid)
    wait_until_ended(int(child.read_text()))
