"""The table of schedules: questions that are put to every form, and seeded ones for what nobody thought of."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

import msgspec

from benchmarks.peers.semantics.schedules import (
    FORMS,
    Form,
    Schedule,
    Step,
    cancel,
    complete,
    emit,
    error,
    request,
)
from streams import UNBOUNDED

__all__ = ("GENERATED_PER_FORM", "schedules")

GENERATED_PER_FORM: Final = 8

_FEW: Final = emit("1", "2", "3", "4", "5", "6", "7", "8")
_ALL: Final = request(UNBOUNDED)

_QUESTIONS: Final[dict[str, tuple[Step, ...]]] = {
    "the end needs no demand": complete,
    "an error needs no demand": error,
    "the last held item brings the end": emit("1") + complete + request(1),
    "demand first": request(3) + emit("1", "2", "3") + complete,
    "completion waits for what is held": request(1) + emit("1", "2", "3") + complete + request(1) + _ALL,
    "an error meets what is held": request(1) + emit("1", "2", "3") + error + request(1) + _ALL,
    "more than anything holds": _FEW + request(2) + complete + _ALL,
    "more than anything holds, in mid-stream": request(1) + _FEW + emit("9") + request(2) + complete + _ALL,
    "more than anything holds, then an error": _FEW + request(1) + error + _ALL,
    "room comes back": emit("1", "2") + request(1) + emit("3") + request(1) + emit("4") + request(2) + complete + _ALL,
    "a consumer that goes while items are held": request(1) + emit("1", "2", "3") + cancel + _ALL,
    "items for one who has gone and had demand": request(3) + emit("1") + cancel + emit("2", "3") + complete,
    "items for one who has gone and had none": cancel + emit("1", "2") + error,
    "items after completion": request(1) + emit("1") + complete + emit("2") + request(2),
    "items after completion that waits": emit("1") + complete + emit("2") + request(2),
    "an end after the end": request(1) + emit("1") + complete + error + complete,
    "unbounded demand is never used up": _ALL + emit("1", "2") + _ALL + request(1) + emit("3") + complete,
    "demand that adds up beyond all bounds": request(UNBOUNDED - 1) + _ALL + emit("1", "2", "3") + complete,
    "a null item": request(1) + emit(None, "1") + request(2) + emit("2") + complete,
    "a request of 0": request(1) + emit("1", "2") + request(0) + emit("3") + request(2) + complete,
    "a request of -1": emit("1") + request(-1) + request(1) + complete,
}


def schedules() -> list[Schedule]:
    """Return the whole table: the same at every call."""
    return [schedule for form in FORMS for schedule in (*_asked(form), *_generated(form))]


def _asked(form: Form) -> Iterator[Schedule]:
    for question, steps in _QUESTIONS.items():
        yield Schedule.of(form, question, steps)
    reenters = request(1) + emit("1", "2", "3") + complete
    yield Schedule.of(form, "one who requests from inside on_next", reenters, refill=1)
    leaves = request(2) + _FEW + request(3)
    yield Schedule.of(form, "one who leaves from inside on_next", leaves, cancel_after=2)
    leaves_held = emit("1", "2", "3") + request(2) + complete
    yield Schedule.of(form, "one who leaves from inside on_next while items are held", leaves_held, cancel_after=1)
    if form.callback == "tells":
        raises = msgspec.structs.replace(form, callback="raises")
        yield Schedule.of(raises, "when it must", request(1), _FEW, _ALL, complete)
    if form.library == "rxjava" and form.operator != "error":
        steps = request(1) + emit("1", "2") + request(0) + request(2) + complete
        yield Schedule.of(form, "a request of 0 from a foreign subscriber", steps, strict=True)


def _generated(form: Form) -> Iterator[Schedule]:
    for number in range(GENERATED_PER_FORM):
        # A seed of its own for each, so that a new form changes no other.
        random = Random(f"{form.library} {form.title} {number}")
        yield Schedule.of(
            form,
            f"seed {number}",
            _random_steps(random),
            refill=random.choice((0, 0, 0, 0, 0, 1)),
            cancel_after=random.choice((0, 0, 0, 0, 0, 3)),
        )


def _random_steps(random: Random) -> tuple[Step, ...]:
    items = iter(range(1, 100))

    def traffic(count: int, share_of_items: float) -> tuple[Step, ...]:
        steps: tuple[Step, ...] = ()
        for _ in range(count):
            steps += (
                emit(str(next(items))) if random.random() < share_of_items else request(random.choice((1, 1, 2, 3)))
            )
        return steps

    before = traffic(random.randint(6, 14), 0.65)
    end = random.choice((complete, complete, error, error, cancel, ()))
    after = traffic(random.randint(1, 4), 0.25)
    return before + end + after + _ALL
