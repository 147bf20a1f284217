"""What an event costs to write and to read, in the frame of the completion profile (about 100 bytes).

The size of the pieces is the reader's: all that a socket had, a TCP segment, one event.
"""

from __future__ import annotations

import itertools

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from servers.sse import EventStreamDecoder, ServerSentEvent, encode_event, json_string

__all__ = ()

EVENT_COUNT = 1000


def frame(index: int, text: str) -> bytes:
    data = f'{{"ended": false, "message": {json_string(text)}}}'
    return encode_event(data, event="message", id=f"01hq3v9k2m-{index}")


FRAMES = [frame(index, f" token{index} and what else it may say") for index in range(EVENT_COUNT)]
STREAM = b"".join(FRAMES)


def cut(stream: bytes, piece_bytes: int) -> list[bytes]:
    return [stream[start : start + piece_bytes] for start in range(0, len(stream), piece_bytes)]


def decode(pieces: list[bytes]) -> list[ServerSentEvent]:
    decoder = EventStreamDecoder()
    return list(itertools.chain.from_iterable(map(decoder.feed, pieces)))


@pytest.mark.benchmark(group="decode 1000 events")
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([STREAM], id="all_at_once"),
        pytest.param(cut(STREAM, 65536), id="64_KiB"),
        pytest.param(cut(STREAM, 1460), id="1460_bytes"),
        pytest.param(FRAMES, id="one_event"),
    ],
)
def test_decode_events(benchmark: BenchmarkFixture, pieces: list[bytes]) -> None:
    benchmark.extra_info["stream_bytes"] = len(STREAM)
    assert len(benchmark(decode, pieces)) == EVENT_COUNT


@pytest.mark.benchmark(group="decode one event of 1 MB")
@pytest.mark.parametrize("piece_bytes", [1, 1460, 65536])
def test_decode_large_event(benchmark: BenchmarkFixture, piece_bytes: int) -> None:
    pieces = cut(encode_event("x" * 1_000_000), piece_bytes)
    assert len(benchmark(decode, pieces)) == 1


@pytest.mark.benchmark(group="encode 1000 events")
def test_encode_events(benchmark: BenchmarkFixture) -> None:
    def encode_all() -> list[bytes]:
        return [encode_event("the data of one event", event="message", id="01hq3v9k2m-7") for _ in range(EVENT_COUNT)]

    assert len(benchmark(encode_all)) == EVENT_COUNT


@pytest.mark.benchmark(group="quote 1000 texts")
@pytest.mark.parametrize("text", [" token", "你好", "two\nlines", "a\u2028b"], ids=["ascii", "chinese", "lf", "u2028"])
def test_quote_texts(benchmark: BenchmarkFixture, text: str) -> None:
    def quote_all() -> list[str]:
        return [json_string(text) for _ in range(EVENT_COUNT)]

    assert len(benchmark(quote_all)) == EVENT_COUNT
