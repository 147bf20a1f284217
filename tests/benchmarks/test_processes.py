"""Servers as processes: what they logged, and where they run."""

from __future__ import annotations

import json
import os
import sys

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
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)
