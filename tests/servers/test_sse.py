"""The event stream format: what the encoder writes, what the decoder reads, and how much it holds."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from servers.sse import (
    EventStreamDecoder,
    EventTooLargeError,
    ServerSentEvent,
    encode_comment,
    encode_event,
    json_string,
)

__all__ = ()

BOM = "\ufeff".encode()


def message(data: str, id: str = "") -> ServerSentEvent:
    return ServerSentEvent("message", data, id)


def decode(stream: bytes) -> list[ServerSentEvent]:
    """Read a whole stream, which must come out the same in one piece, byte by byte and with empty pieces between."""
    events = EventStreamDecoder().feed(stream)
    decoder = EventStreamDecoder()
    assert [event for byte in stream for piece in (bytes([byte]), b"") for event in decoder.feed(piece)] == events
    return events


# --- Encoding ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (encode_event("x"), b"data: x\n\n"),
        (encode_event(""), b"data: \n\n"),
        (encode_event(" x"), b"data:  x\n\n"),
        (encode_event("a\nb\rc\r\nd"), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (encode_event("\n"), b"data: \ndata: \n\n"),
        (encode_event("x", event="message"), b"event: message\ndata: x\n\n"),
        (encode_event("x", id="s1-7"), b"id: s1-7\ndata: x\n\n"),
        (encode_event("x", retry_ms=0), b"retry: 0\ndata: x\n\n"),
        (encode_event("x", event="e", id="1", retry_ms=50), b"event: e\nid: 1\nretry: 50\ndata: x\n\n"),
        (encode_event("你好"), "data: 你好\n\n".encode()),
        (encode_event("a\u2028b\u2029c\u0085d\v\f"), "data: a\u2028b\u2029c\u0085d\v\f\n\n".encode()),
    ],
)
def test_event_is_written_with_lf_and_a_space_after_the_colon(written: bytes, expected: bytes) -> None:
    assert written == expected


@pytest.mark.parametrize(
    "data", ["", "\n", " ", "\ufeff", "data: x", ": no comment", "[DONE]", "id: 1\n\nevent: x", "\0"]
)
def test_any_data_makes_exactly_one_event(data: str) -> None:
    assert decode(encode_event(data)) == [message(data)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("a\ud800b", "a\ufffdb"),
        ("\udc00", "\ufffd"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\U0001f600\ud83d", "\U0001f600\ufffd"),
    ],
)
def test_lone_surrogate_is_replaced_and_two_halves_are_joined(data: str, expected: str) -> None:
    assert decode(encode_event(data)) == [message(expected)]
    assert encode_comment(data) == f": {expected}\n".encode()


def test_event_type_may_hold_colons_and_spaces() -> None:
    assert decode(encode_event("x", event=" a: b ")) == [ServerSentEvent(" a: b ", "x", "")]


def test_id_may_hold_every_byte_that_forces_no_preflight() -> None:
    unsafe = '"():<>?@[\\]{}'
    safe = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in unsafe)
    assert decode(encode_event("x", id=safe)) == [message("x", safe)]
    for code in {*range(0x110), 0x2028, 0xFEFF, 0xD800} - set(map(ord, safe)):
        with pytest.raises(ValueError, match="visible ASCII"):
            encode_event("x", id=f"1{chr(code)}")


@pytest.mark.parametrize("id", ["", "x" * 128, "1\n", "\n1", "1 2", "é", "gen:1"])
def test_wrong_id_is_refused(id: str) -> None:
    with pytest.raises(ValueError, match=r"id is .* accepted: 1 to 127 visible ASCII characters"):
        encode_event("x", id=id)


@pytest.mark.parametrize("end", ["\r", "\n", "\0"])
def test_what_would_end_the_line_is_refused(end: str) -> None:
    for value in (end, f"a{end}", f"a{end}b"):
        with pytest.raises(ValueError, match=r"event is .* without CR, LF and NUL"):
            encode_event("x", event=value)
        with pytest.raises(ValueError, match=r"text is .* without CR, LF and NUL"):
            encode_comment(value)


def test_empty_event_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"event is ''.*None"):
        encode_event("x", event="")


def test_negative_retry_is_refused() -> None:
    with pytest.raises(ValueError, match="retry_ms is -1; accepted: an int >= 0"):
        encode_event("x", retry_ms=-1)


@pytest.mark.parametrize("retry_ms", [True, 1.0, float("nan"), "1"])
def test_retry_that_is_no_int_is_refused(retry_ms: Any) -> None:
    with pytest.raises(TypeError, match=r"retry_ms is .* an int >= 0"):
        encode_event("x", retry_ms=retry_ms)


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        ("data", lambda: encode_event(b"x")),  # type: ignore[arg-type]
        ("event", lambda: encode_event("x", event=1)),  # type: ignore[arg-type]
        ("id", lambda: encode_event("x", id=1)),  # type: ignore[arg-type]
        ("text", lambda: encode_comment(None)),  # type: ignore[arg-type]
    ],
)
def test_text_that_is_no_str_is_refused(name: str, encode: Callable[[], bytes]) -> None:
    with pytest.raises(TypeError, match=f"{name} is .*; accepted: a str"):
        encode()


def test_comment_is_one_line_without_a_blank_line() -> None:
    assert encode_comment("") == b": \n"
    assert encode_comment("keep: alive") == b": keep: alive\n"


def test_comments_between_events_are_not_seen() -> None:
    heartbeat = encode_comment("")
    stream = heartbeat + encode_event("a", id="1") + heartbeat + heartbeat + encode_event("b") + heartbeat
    assert decode(stream) == [message("a", "1"), message("b", "1")]


# --- JSON strings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '""'),
        (" hi", '" hi"'),
        ('"\\/', '"\\"\\\\/"'),
        ("\n\r\t\b\f\0", '"\\n\\r\\t\\b\\f\\u0000"'),
        ("你好😀 é", '"你好😀 é"'),
        ("\u2028\u2029\u0085", '"\\u2028\\u2029\\u0085"'),
        ("\ufeff", '"\\ufeff"'),
        ("\x7f", '"\\u007f"'),
        ("\x80\x9f", '"\\u0080\\u009f"'),
        ("a\ud83d", '"a\\ud83d"'),
        ("\\\u2028", '"\\\\\\u2028"'),
        ("\u200d\u3000\u00a0", '"\u200d\u3000\u00a0"'),
    ],
)
def test_json_string_escapes_only_what_a_client_might_break(text: str, expected: str) -> None:
    assert json_string(text) == expected


def test_json_string_of_every_character_is_read_back_and_is_one_line() -> None:
    # Surrogates downwards, so that no two of them make a character.
    surrogates = range(0xDFFF, 0xD7FF, -1)
    codes = [*range(0xD800), *surrogates, *range(0xE000, 0x10000), *range(0x10000, sys.maxunicode, 0x101)]
    text = "".join(map(chr, codes))
    quoted = json_string(text)
    assert json.loads(quoted) == text
    assert len(quoted.encode().decode().splitlines()) == 1


# --- Decoding: the standard's rules, after the cases of web-platform-tests ------------------------------------------


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(BOM + b"data:a\n\n" + BOM + b"data:b\n\ndata:c\n\n", ["a", "c"], id="one BOM is dropped"),
        pytest.param(BOM * 2 + b"data:a\n\ndata:b\n\n", ["b"], id="a second BOM is not"),
        pytest.param(b"data:a" + BOM + b"\n\n", ["a\ufeff"], id="BOM inside data stays"),
        pytest.param(BOM[:2] + b"data:a\n\ndata:b\n\n", ["b"], id="half a BOM is none"),
        pytest.param(BOM, [], id="BOM alone"),
        pytest.param(
            b"data:1\r:\0\n:\r\ndata:2\n:" + b"x" * 2048 + b"\rdata:3\n:data:no\r:" + b"x" * 2048 + b"\ndata:4\n\n",
            ["1\n2\n3\n4"],
            id="comments",
        ),
        pytest.param(b": a: b\n:data: no\n\n", [], id="comment alone"),
        pytest.param(b"retry:9\ndata:a\n\nid:z\ndata:b", ["a"], id="unfinished line at the end"),
        pytest.param(b"data:a\n\ndata:b\n", ["a"], id="unfinished block at the end"),
        pytest.param(b"data:\n\ndata\ndata\n\ndata:a\n\n", ["", "\n", "a"], id="empty data"),
        pytest.param(b"data: \n\n", [""], id="empty data after a space"),
        pytest.param(
            b"data:\0\ndata:  2\rData:no\ndata\0:no\ndata:1\r\0data:no\nda-ta:no\rdata_5\ndata:3\rdata:\r\n"
            b" data:no\ndata:4\n\n",
            ["\0\n 2\n1\n3\n\n4"],
            id="field names are exact",
        ),
        pytest.param(b"data : no\ndatax: no\ndat: no\n\n", [], id="nearly data"),
        pytest.param(b"data:a:b\ndata:a: b\ndata: a: b\n\n", ["a:b\na: b\na: b"], id="the first colon counts"),
        pytest.param(b"data:a\n data\ndata\nother:x\ntext\n:c\ndata:b\n\n", ["a\n\nb"], id="unknown fields"),
        pytest.param(b"data:\ta\rdata: \ndata:  b \n\n", ["\ta\n\n b "], id="one leading space is dropped"),
        pytest.param(b"data:a\r\ndata\ndata:b\r\n\r", ["a\n\nb"], id="line ends mixed"),
        pytest.param(b"data:a\r\rdata:b\n\ndata:c\r\n\r\n", ["a", "b", "c"], id="line ends of each kind"),
        pytest.param(b"data:a\n\rdata:b\r\n\ndata:c\n\r\n", ["a", "b", "c"], id="a CR after LF is a line end"),
        pytest.param(b"\n\r\n\r\n\ndata:a\n\n\n\n", ["a"], id="blank lines fire nothing"),
        pytest.param("data:ok…\u2028\u2029\u0085\v\f\x1c\n\n".encode(), ["ok…\u2028\u2029\u0085\v\f\x1c"], id="utf-8"),
        pytest.param(b"data:\xff\xc3\xa9\xc3\ndata:\xf0\x9f\x98\n\n", ["\ufffdé\ufffd\n\ufffd"], id="not utf-8"),
        pytest.param(b"data:\xed\xa0\x80\xc0\xaf\n\n", ["\ufffd" * 5], id="surrogates and overlong forms"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_data_is_read_by_the_standards_rules(stream: bytes, expected: list[str]) -> None:
    assert decode(stream) == [message(data) for data in expected]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b"event:a\ndata:x\n\ndata:x\n\n", ["a", "message"], id="cleared by a blank line"),
        pytest.param(b"event:a\n\ndata:x\n\n", ["message"], id="cleared by a blank line without data"),
        pytest.param(b"event: \ndata:x\n\n", ["message"], id="empty"),
        pytest.param(b"event\ndata:x\n\n", ["message"], id="no colon"),
        pytest.param(b"event:a\nevent:b\ndata:x\n\n", ["b"], id="the last one counts"),
        pytest.param(b"event:a\nevent\ndata:x\n\n", ["message"], id="the last one counts, empty"),
        pytest.param(b"Event:a\ndata:x\n\n", ["message"], id="case"),
        pytest.param(b"data:x\nevent:  a\0\n\n", [" a\0"], id="after the data, NUL kept"),
    ],
)
def test_event_type_is_read_by_the_standards_rules(stream: bytes, expected: list[str]) -> None:
    assert [event.event for event in decode(stream)] == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b"id:1\ndata:x\n\ndata:x\n\n", ["1", "1"], id="stays"),
        pytest.param(b"id:1\ndata:x\n\nid:2\ndata:x\n\ndata:x\n\n", ["1", "2", "2"], id="changes and stays"),
        pytest.param(b"id:1\ndata:x\n\nid:\ndata:x\n\ndata:x\n\n", ["1", "", ""], id="is reset"),
        pytest.param(b"id:1\ndata:x\n\nid\ndata:x\n\n", ["1", ""], id="is reset without a colon"),
        pytest.param(b"id:1\n\ndata:x\n\n", ["1"], id="set without data"),
        pytest.param(b"id:1\ndata:x\n\nid:\0\0\ndata:x\n\n", ["1", "1"], id="NUL is ignored"),
        pytest.param(b"id:1\nid:2\0\ndata:x\n\n", ["1"], id="NUL leaves the one before"),
        pytest.param("id:…\ndata:x\n\n".encode(), ["…"], id="not ASCII"),
        pytest.param(b"ID:1\ndata:x\n\n", [""], id="case"),
    ],
)
def test_id_is_read_by_the_standards_rules(stream: bytes, expected: list[str]) -> None:
    assert [event.id for event in decode(stream)] == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"retry:3000\n", 3000),
        (b"retry: 0\n", 0),
        (b"retry:007\n", 7),
        (b"retry:3000\nretry:1000x\n", 3000),
        (b"retry:3000\nretry\nretry:\n", 3000),
        (b"retry:-1\n", None),
        (b"retry:+1\n", None),
        (b"retry:1_0\n", None),
        (b"retry:  1\n", None),
        (b"retry:1.0\n", None),
        ("retry:１２\n".encode(), None),
        ("retry:²\n".encode(), None),
        (b"Retry:1\n", None),
        (b"retry:1", None),
        (b"retry:" + b"9" * 18 + b"\n", 10**18 - 1),
        (b"retry:" + b"9" * 5000 + b"\n", None),
    ],
)
def test_retry_is_taken_at_once_and_only_of_ascii_digits(stream: bytes, expected: int | None) -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(stream) == []
    assert decoder.retry_ms == expected


def test_last_event_id_is_set_by_a_blank_line_only() -> None:
    decoder = EventStreamDecoder()
    decoder.feed(b"id:1\ndata:x\n")
    assert decoder.last_event_id == ""
    decoder.feed(b"\n")
    assert decoder.last_event_id == "1"
    decoder.feed(b"id:2\n\n")
    assert decoder.last_event_id == "2"


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"])
def test_event_waits_for_no_byte_after_its_blank_line(line_end: bytes) -> None:
    decoder = EventStreamDecoder()
    decoder.feed(b"data:a" + line_end)
    # The CR of the blank line ends it: the LF may never come.
    assert decoder.feed(line_end[:1]) == [message("a")]
    assert decoder.feed(line_end[1:] + b"data:b" + line_end * 2) == [message("b")]


def test_lf_is_swallowed_only_right_after_a_cr() -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(b"data:a\r") == []
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"\n") == [message("a")]


# --- Reconnecting --------------------------------------------------------------------------------------------------


def test_reset_drops_the_unfinished_block_and_keeps_id_and_retry() -> None:
    decoder = EventStreamDecoder()
    decoder.feed(b"id:1\nretry:5\ndata:a\n\nid:2\nevent:e\ndata:b\nda")
    decoder.reset()
    assert (decoder.last_event_id, decoder.retry_ms) == ("1", 5)
    assert decoder.feed(b"\n\ndata:c\n\n") == [message("c", "1")]


def test_reset_expects_a_bom_and_no_half_of_a_crlf() -> None:
    decoder = EventStreamDecoder()
    decoder.feed(b"data:a\r")
    decoder.reset()
    assert decoder.feed(BOM + b"data:b\n\n") == [message("b")]
    decoder.feed(b"data:a\r")
    decoder.reset()
    assert decoder.feed(b"\n" + BOM + b"data:b\n\n") == []


# --- The limit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1])
def test_limit_below_one_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match=f"max_event_bytes is {value}; accepted: an int >= 1"):
        EventStreamDecoder(value)


@pytest.mark.parametrize("value", [True, 1.0, float("inf"), "1", None])
def test_limit_that_is_no_int_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"max_event_bytes is .*; accepted: an int >= 1"):
        EventStreamDecoder(value)


def byte_that_passes_the_limit(stream: bytes, limit: int) -> int | None:
    decoder = EventStreamDecoder(limit)
    for position in range(len(stream)):
        try:
            decoder.feed(stream[position : position + 1])
        except EventTooLargeError:
            return position
    return None


@pytest.mark.parametrize(
    ("stream", "held"),
    [
        pytest.param(b"data:123456\n\n", 11, id="unfinished line"),
        pytest.param(b"other: 12345\n\n", 12, id="unfinished line of any field"),
        pytest.param(b"data:12\ndata:34\ndata:56\n\n", 2 * 3 + 7, id="data and unfinished line"),
        pytest.param(b"data\ndata\ndata\n\n", 2 * 1 + 4, id="line ends of empty data"),
        pytest.param("data:你\ndata:你\n\n".encode(), 4 + 8, id="bytes, not characters"),
        pytest.param(b"data:\xff\xff\xff\xff\n\n", 4 * 3 + 1, id="each replaced byte is three"),
        pytest.param(b": 12345\n" * 9, 7, id="a finished comment is not held"),
        pytest.param(b"data:1\nid:12345\nid:12345\n\n", 2 + 8, id="a finished id is not counted"),
        pytest.param(b"data:12345678\n\n" * 9, 13, id="a fired event is not held"),
    ],
)
def test_limit_is_passed_by_one_byte_too_many(stream: bytes, held: int) -> None:
    assert byte_that_passes_the_limit(stream, held) is None
    assert byte_that_passes_the_limit(stream, held - 1) is not None
    EventStreamDecoder(held).feed(stream)
    with pytest.raises(EventTooLargeError):
        EventStreamDecoder(held - 1).feed(stream)


def test_limit_is_noticed_at_the_byte_that_passes_it() -> None:
    assert byte_that_passes_the_limit(b"data:123456\n\n", 10) == 10
    assert byte_that_passes_the_limit(b"data:12\ndata:34\n\n", 9) == 8 + 6
    assert byte_that_passes_the_limit(b"data:\xff\xff\xff\xff\n\n", 12) == 9


def test_data_after_an_event_in_the_same_piece_is_counted() -> None:
    decoder = EventStreamDecoder(3000)
    decoder.feed(b"data:a\n")
    assert decoder.feed(b"\ndata:" + b"x" * 499 + b"\n") == [message("a")]
    decoder.feed(b"data:" + b"x" * 2495)
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"x")


def test_event_that_is_too_large_is_not_held_on_to() -> None:
    decoder = EventStreamDecoder(100_000)
    tracemalloc.start()
    try:
        for _ in range(100):
            decoder.feed(b"data:" + b"x" * 994 + b"\n")
        held, _ = tracemalloc.get_traced_memory()
        with pytest.raises(EventTooLargeError):
            decoder.feed(b"x" * 1000)
        assert tracemalloc.get_traced_memory()[0] < held / 2
    finally:
        tracemalloc.stop()


def test_error_has_the_events_before_it_and_the_limit() -> None:
    decoder = EventStreamDecoder(20)
    with pytest.raises(EventTooLargeError, match=r"more than 20 bytes; raise max_event_bytes, or reset\(\)") as caught:
        decoder.feed(b"id:1\ndata:a\n\ndata:b\n\ndata:" + b"x" * 20 + b"\n\ndata:c\n\n")
    assert caught.value.events == (message("a", "1"), message("b", "1"))
    assert caught.value.max_event_bytes == 20


def test_decoder_raises_again_until_it_is_reset() -> None:
    decoder = EventStreamDecoder(20)
    with pytest.raises(EventTooLargeError):
        decoder.feed(b"id:1\n\nretry:5\ndata:" + b"x" * 20)
    for chunk in (b"", b"\n\n", b"data:a\n\n"):
        with pytest.raises(EventTooLargeError) as caught:
            decoder.feed(chunk)
        assert caught.value.events == ()
    assert (decoder.last_event_id, decoder.retry_ms) == ("1", 5)
    decoder.reset()
    assert decoder.feed(b"data:a\n\n") == [message("a", "1")]


def test_default_limit_is_one_mebibyte() -> None:
    largest = b"data:" + b"x" * (2**20 - 5)
    assert len(EventStreamDecoder().feed(largest + b"\n\n")) == 1
    with pytest.raises(EventTooLargeError):
        EventStreamDecoder().feed(largest + b"x")


# --- Time ----------------------------------------------------------------------------------------------------------


def cut(stream: bytes, piece_bytes: int) -> list[bytes]:
    return [stream[start : start + piece_bytes] for start in range(0, len(stream), piece_bytes)]


def read_bytes(pieces: list[bytes], max_event_bytes: int) -> int:
    """Count what decoding reads: one for each call, and the size of what a built-in method is called on."""
    decoder = EventStreamDecoder(max_event_bytes)
    total = 0

    def count(_frame: object, event: str, function: object) -> None:
        nonlocal total
        if event in ("call", "c_call"):
            subject = getattr(function, "__self__", None)
            total += 1 + (len(subject) if isinstance(subject, bytes | bytearray | str) else 0)

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        for piece in pieces:
            decoder.feed(piece)
    finally:
        sys.setprofile(previous)
    return total


def allocated_bytes(pieces: list[bytes], max_event_bytes: int) -> int:
    """Count what decoding copies: how far the memory in use rose above its start in each call, added up."""
    decoder = EventStreamDecoder(max_event_bytes)
    total = 0
    tracemalloc.start()
    try:
        for piece in pieces:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            decoder.feed(piece)
            total += tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return total


@pytest.mark.parametrize("work", [read_bytes, allocated_bytes])
@pytest.mark.parametrize("piece_bytes", [1, 10])
@pytest.mark.parametrize("spare_bytes", [10, 1_000_000])
@pytest.mark.parametrize(
    "stream_of",
    [
        pytest.param(lambda size: b"data:" + b"x" * size + b"\n\n", id="one line"),
        pytest.param(lambda size: b"data\n" * (size // 5) + b"\n", id="many lines"),
        pytest.param(lambda size: b"data:x\r\n\r\n" * (size // 10), id="many events"),
        pytest.param(lambda size: b":\r" * (size // 2), id="many comments"),
        pytest.param(lambda size: b"data:x\n" + b"id:1\n" * (size // 5), id="an endless block"),
    ],
)
def test_work_is_linear_in_the_size_of_the_stream(
    stream_of: Callable[[int], bytes],
    spare_bytes: int,
    piece_bytes: int,
    work: Callable[[list[bytes], int], int],
) -> None:
    single, double = (work(cut(stream_of(size), piece_bytes), size + spare_bytes) for size in (2_000, 4_000))
    assert double < 2.5 * single
