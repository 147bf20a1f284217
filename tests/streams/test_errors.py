"""The errors say what happened, hold the facts, and survive a journey to another process."""

from __future__ import annotations

import pickle

import pytest

from streams import errors
from streams.errors import (
    AlreadySubscribedError,
    BufferOverflowError,
    SourceFailure,
    StreamClosedError,
    StreamError,
)

__all__ = ()

EXAMPLES = (
    StreamError("failed"),
    BufferOverflowError("token", 64, reason="5 were sent and 4 requested (rule 1.1)"),
    StreamClosedError("the stream has completed"),
    AlreadySubscribedError("read once"),
    SourceFailure(3),
)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_error_is_a_stream_error_and_survives_pickling(error: StreamError) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert isinstance(copy, StreamError)
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_overflow_error_without_a_reason_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(BufferOverflowError(812, 64)))

    assert (copy.item, copy.capacity, copy.reason) == (812, 64, None)


def test_examples_are_all_errors_of_the_module() -> None:
    assert sorted(type(error).__name__ for error in EXAMPLES) == sorted(errors.__all__)


def test_no_error_takes_the_name_of_a_built_in_one() -> None:
    assert not {"OverflowError", "TimeoutError", "BufferError"} & set(errors.__all__)


def test_overflow_error_holds_the_item_and_says_what_to_do_next() -> None:
    error = BufferOverflowError(812, 64)

    assert (error.item, error.capacity) == (812, 64)
    assert str(error).startswith(
        "no room for item 812 beyond demand: capacity 64 is used up; request more, or use another"
    )


def test_overflow_error_gives_another_reason_in_place_of_the_usual_advice() -> None:
    error = BufferOverflowError("d", 1, reason="3 items are folded into the held one; raise max_merged")

    assert error.reason == "3 items are folded into the held one; raise max_merged"
    assert str(error) == f"no room for item 'd': {error.reason}"


def test_overflow_error_of_an_item_that_cannot_be_shown_is_shown() -> None:
    class Broken:
        def __str__(self) -> str:
            raise LookupError

    assert str(BufferOverflowError(Broken(), 2)).startswith("no room for item <Broken that cannot be shown> beyond")


@pytest.mark.parametrize(("length", "shown"), [(78, "'" + "x" * 78 + "'"), (79, "'" + "x" * 76 + "...")])
def test_overflow_error_shows_the_beginning_of_a_long_item(length: int, shown: str) -> None:
    assert f"no room for item {shown} beyond demand: capacity 1 is" in str(BufferOverflowError("x" * length, 1))


def test_source_failure_tells_how_many_tokens_came_before_it() -> None:
    error = SourceFailure(3)

    assert error.token_count == 3
    assert str(error) == "the source failed after 3 tokens, as it was told to (fail_after)"
