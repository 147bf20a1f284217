"""What a token costs to encode, per profile and size of the batch it comes in.

`extra_info` has the nanoseconds per token of the fastest round.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from servers.profiles import PROFILES, StreamIdentity
from streams.source import Token

__all__ = ()

STREAM_ID = "0f3a9c5d2b71"
TEXTS = {"ascii": (" stream", "ing", ",", "\n\n"), "chinese": ("流式", "传输", "，", "的")}

BATCHES = pytest.mark.parametrize("token_count", [1, 16, 256])
PROFILE_NAMES = pytest.mark.parametrize("name", list(PROFILES))


def tokens_of(texts: tuple[str, ...], count: int) -> list[Token]:
    return [Token(index, texts[index % len(texts)], 10**15 + index, 10**15 + index) for index in range(count)]


def measure(benchmark: BenchmarkFixture, name: str, tokens: list[Token], *, trace: bool = False) -> None:
    encoder = PROFILES[name](StreamIdentity(STREAM_ID, trace=trace))
    encoded = benchmark(encoder.tokens, tokens, 10**15)
    benchmark.extra_info["bytes_per_token"] = len(encoded) / len(tokens)
    if benchmark.stats is not None:  # there are none when measuring is off
        benchmark.extra_info["ns_per_token"] = benchmark.stats.stats.min * 1e9 / len(tokens)


@BATCHES
@PROFILE_NAMES
@pytest.mark.benchmark(group="encode a batch")
def test_encode_batch(benchmark: BenchmarkFixture, name: str, token_count: int) -> None:
    measure(benchmark, name, tokens_of(TEXTS["ascii"], token_count))


@PROFILE_NAMES
@pytest.mark.benchmark(group="encode a batch of Chinese")
def test_encode_chinese(benchmark: BenchmarkFixture, name: str) -> None:
    measure(benchmark, name, tokens_of(TEXTS["chinese"], 256))


@BATCHES
@pytest.mark.parametrize("name", ["completion", "ndjson"])
@pytest.mark.benchmark(group="encode a traced batch")
def test_encode_traced_batch(benchmark: BenchmarkFixture, name: str, token_count: int) -> None:
    measure(benchmark, name, tokens_of(TEXTS["ascii"], token_count), trace=True)
