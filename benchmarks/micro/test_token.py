"""What a Token costs as a frozen msgspec.Struct and as a NamedTuple: to make, to read, to hold.

The choice in `streams.source` rests on these figures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from streams.source import Token

__all__ = ()

TOKEN_COUNT = 1000


class TupleToken(NamedTuple):
    """The rejected alternative."""

    index: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]
    text: str
    due_ns: int
    emitted_ns: int
    merged: int = 1
    producer: int | None = None


KINDS = pytest.mark.parametrize("make", [Token, TupleToken], ids=["struct", "named_tuple"])


@KINDS
@pytest.mark.benchmark(group="make 1000 tokens")
def test_make_tokens(benchmark: BenchmarkFixture, make: Callable[..., Any]) -> None:
    def make_all() -> list[Any]:
        return [make(index, "text", index, index) for index in range(TOKEN_COUNT)]

    benchmark.extra_info["size_bytes"] = sys.getsizeof(make_all()[0])
    assert len(benchmark(make_all)) == TOKEN_COUNT


@KINDS
@pytest.mark.benchmark(group="read the text of 1000 tokens")
def test_read_tokens(benchmark: BenchmarkFixture, make: Callable[..., Any]) -> None:
    tokens = [make(index, "text", index, index) for index in range(TOKEN_COUNT)]

    def read_all() -> int:
        return sum(len(token.text) for token in tokens)

    assert benchmark(read_all) == TOKEN_COUNT * len("text")
