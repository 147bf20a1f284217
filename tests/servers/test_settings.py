"""Settings are refused where they are given: by name, with the value and what is accepted."""

from __future__ import annotations

import math

import pytest

from servers.settings import ServerSettings

__all__ = ()


@pytest.mark.parametrize("name", ["heartbeat_s", "send_timeout_s", "body_timeout_s", "grace_s"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, -math.inf])
def test_duration_that_is_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a finite number .*; got {value}"):
        ServerSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["send_timeout_s", "body_timeout_s"])
def test_limit_of_no_time_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a finite number above 0; got 0"):
        ServerSettings(**{name: 0})  # type: ignore[arg-type]


def test_no_heartbeat_and_no_grace_are_accepted() -> None:
    assert ServerSettings(heartbeat_s=0, grace_s=0).heartbeat_s == 0


@pytest.mark.parametrize("origin", [None, "*", "http://a.example", "https://a.example:8443", "http://[::1]:8090"])
def test_origin_as_browsers_send_it_is_accepted(origin: str | None) -> None:
    assert ServerSettings(cors_origin=origin).cors_origin == origin


@pytest.mark.parametrize(
    "origin",
    [
        "", "a.example", "//a.example", "http://", "http://a.example/", "http://a.example/page", "http://A.example",
        "http://a.example?b", "http://u@a.example", "null", "**", "http://[::1", "http://a.example http://b.example",
    ],
)  # fmt: skip
def test_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="cors_origin must be "):
        ServerSettings(cors_origin=origin)
