"""What cannot be done is refused before any work, by the name of the argument."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from benchmarks.load.arrivals import offsets_s
from benchmarks.load.plan import Counted, LoadOrder, Share
from benchmarks.scenarios.cells import Closed, Open, Transport
from benchmarks.scenarios.readers import Leaving, Paced

__all__ = ()

RIGHT: dict[str, Any] = {"host": "127.0.0.1", "port": 80, "target": "/"}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"host": ""}, "host must be a name or an address"),
        ({"host": "a b"}, "host must be"),
        ({"host": "[::1]"}, "without brackets"),
        ({"port": 0}, "port must be an int >= 1"),
        ({"port": 65_536}, "port must be at most 65535"),
        ({"port": True}, "port must be"),
        ({"target": "v1"}, "target must be a path"),
        ({"target": "/a b"}, "target must be"),
        ({"target": "/\r\nX: y"}, "target must be"),
        ({"method": "PUT"}, "method must be one of GET, POST; got 'PUT'"),
        ({"headers": {"a b": "c"}}, "the name of a header must be"),
        ({"headers": {"a": "b\r\nc: d"}}, "header a must be one line"),
        ({"profile": "xml"}, "profile must be one of completion, .*; got 'xml'"),
        ({"mode": "parse"}, "mode must be one of capture, count, check"),
        ({"window_s": 0}, "window_s must be"),
        ({"window_s": float("nan")}, "window_s must be"),
        ({"timeout_s": -1}, "timeout_s must be"),
        ({"timeout_s": None}, "timeout_s must be"),
        ({"max_kept_bytes": 0}, "max_kept_bytes must be"),
        ({"receive_buffer_bytes": 0}, "receive_buffer_bytes must be"),
        ({"load": Closed(connections=0)}, "connections must be"),
        ({"load": Closed(requests=0)}, "requests must be"),
        ({"load": Closed(ramp_s=-1)}, "ramp_s must be"),
        ({"load": Open(per_s=0, requests=1)}, "per_s` must be"),
        ({"load": Open(per_s=1, requests=0)}, "requests must be"),
        ({"transport": Transport.WEBSOCKET, "method": "POST"}, "a WebSocket begins with GET"),
        ({"transport": Transport.WEBSOCKET, "body": b""}, "a WebSocket begins with GET"),
        ({"mode": "check", "profile": "openai"}, "profile openai has not"),
        ({"mode": "count", "profile": "text"}, "profile text has no bounds"),
        ({"reader": Leaving(1), "profile": "text"}, "profile text has no bounds"),
        ({"reader": Paced(tokens_per_s=1), "profile": "text"}, "bytes per second"),
    ],
)
def test_wrong_order_is_refused_by_name(parts: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        LoadOrder(**{**RIGHT, **parts})


@pytest.mark.parametrize(
    "parts",
    [
        {"host": "::1"},
        {"host": "bücher.example"},
        {"reader": Paced(bytes_per_s=1), "profile": "text"},
        {"mode": "check", "profile": "text", "transport": Transport.WEBSOCKET},
        {"load": Open(per_s=0.5, requests=3), "method": "POST", "body": b"{}", "headers": {"X-y": "z"}},
    ],
)
def test_right_order_goes_from_process_to_process(parts: dict[str, Any]) -> None:
    order = LoadOrder(**{**RIGHT, **parts})
    assert pickle.loads(pickle.dumps(order)) == order


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"number": 2, "of": 2}, "number must be below 2; got 2"),
        ({"number": -1}, "number must be an int >= 0"),
        ({"number": True, "of": 2}, "number must be an int >= 0"),
        ({"number": 0.5, "of": 2}, "number must be an int >= 0"),
        ({"of": 0}, "of must be an int >= 1"),
    ],
)
def test_share_of_a_client_that_there_is_not_is_refused(parts: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        Share(**parts)


def test_shares_take_turns_and_leave_nothing_out() -> None:
    dealt = [list(Share(number=number, of=3).taken(range(8))) for number in range(3)]
    assert dealt == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert list(Share().taken(range(3))) == [0, 1, 2]


def test_rate_counts_from_the_first_bytes_to_the_last() -> None:
    assert Counted(tokens=30, first_ns=1_000_000_000, last_ns=3_000_000_000).tokens_per_s == 15
    assert Counted(tokens=1, first_ns=5, last_ns=5).tokens_per_s == 0
    assert Counted().tokens_per_s == 0


def test_even_arrivals_are_one_gap_apart() -> None:
    assert list(offsets_s(Open(per_s=4, requests=3, poisson=False))) == [0, 0.25, 0.5]


def test_poisson_arrivals_are_the_same_for_a_seed_and_have_the_rate_in_the_mean() -> None:
    load = Open(per_s=100, requests=2_001, seed=3)
    offsets = list(offsets_s(load))
    assert offsets == list(offsets_s(load))
    assert offsets != list(offsets_s(Open(per_s=100, requests=2_001, seed=4)))
    assert offsets == sorted(offsets)
    assert offsets[-1] == pytest.approx(20, rel=0.1)
