"""Where we differ from the originals on purpose. Each rule foretells what ours does from what the original does.

Most say: ours does with this schedule what the original does with a changed one, its twin. So the foretold outcome is
seen on the original, too, and nothing is computed that could repeat a mistake of ours. The rules apply in their order,
each to what the one before foretold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import msgspec

from benchmarks.peers.semantics.schedules import Schedule, Seen, Step

__all__ = ("RULES", "Case", "Outcome", "Rule", "reports_losses")

Outcome = tuple[Seen, ...]
Run = Callable[[Schedule], Outcome]

_UNSEEN: Final = Seen()
_OF_SOURCE: Final = ("emit", "complete", "error")


@dataclass(frozen=True, slots=True)
class Case:
    """A schedule as the original has to be given it, and what ours is expected to show.

    Attributes:
        schedule: the one of the table, or the twin that a rule has made of it.
        outcome: one Seen for each of its steps.
    """

    schedule: Schedule
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Rule:
    """One deliberate difference.

    Attributes:
        name: what ours does.
        reason: what the originals do, and why ours does not.
        foretell: makes the next case of a case; the same if the rule does not apply. The second argument asks the
            original.
    """

    name: str
    reason: str
    foretell: Callable[[Case, Run], Case]


def reports_losses(schedule: Schedule) -> bool:
    """Whether both sides say which items were lost: the original by callback or by Reactor's hooks, ours by on_drop."""
    if schedule.operator == "error":
        return False  # ours takes no on_drop there
    return schedule.library == "reactor" or schedule.callback != "none"


# ---------------------------------------------------------------------- rules by twin


def _null_is_an_item(case: Case, run: Run) -> Case:
    steps = case.schedule.steps
    if not any(step.signal == "emit" and step.item is None for step in steps):
        return case
    named = tuple(msgspec.structs.replace(step, item="null") if _is_null(step) else step for step in steps)
    twin = msgspec.structs.replace(case.schedule, steps=named)
    return Case(twin, run(twin))


def _is_null(step: Step) -> bool:
    return step.signal == "emit" and step.item is None


def _capacity_is_exact(case: Case, run: Run) -> Case:
    schedule = case.schedule
    rounds = schedule.library == "rxjava" and schedule.operator == "buffer" and schedule.overflow is None
    if not rounds or schedule.capacity is None or schedule.capacity.bit_count() == 1:
        return case
    # The form with an overflow strategy is exact, and lets errors overtake as delayError=false does.
    twin = msgspec.structs.replace(schedule, overflow="error", delay_error=None)
    return Case(twin, run(twin))


def _delay_is_not_the_callbacks(case: Case, run: Run) -> Case:
    schedule = case.schedule
    if schedule.library != "reactor" or schedule.overflow in (None, "error") or schedule.callback != "none":
        return case
    twin = msgspec.structs.replace(schedule, callback="tells")
    return Case(twin, run(twin))


def _late_signals_are_ignored(case: Case, run: Run) -> Case:
    return _without_source_after(case, _end_of_source(case), run)


def _bad_request_fails(case: Case, run: Run) -> Case:
    steps = case.schedule.steps
    bad = next((place for place, step in enumerate(steps) if step.signal == "request" and step.n <= 0), None)
    if bad is None or any(seen.ends or _is_cancelled_at(case, place) for place, seen in enumerate(case.outcome[:bad])):
        return case
    if "bad request" in case.outcome[bad].ends:
        return case
    steps = (*steps[:bad], Step("cancel"), *steps[bad + 1 :])
    gone = _without_source_after(Case(msgspec.structs.replace(case.schedule, steps=steps), ()), bad, run)
    told = msgspec.structs.replace(gone.outcome[bad], ends=("bad request",))
    return Case(gone.schedule, (*gone.outcome[:bad], told, *gone.outcome[bad + 1 :]))


def _without_source_after(case: Case, end: int, run: Run) -> Case:
    """The same with a source that is silent after step `end`."""
    steps = tuple(
        Step("pass") if place > end and step.signal in _OF_SOURCE else step
        for place, step in enumerate(case.schedule.steps)
    )
    twin = msgspec.structs.replace(case.schedule, steps=steps)
    return Case(twin, run(twin))


# ---------------------------------------------------------------------- rules by rewriting


def _nothing_after_the_end(case: Case, _: Run) -> Case:
    ended = next((place for place, seen in enumerate(case.outcome) if seen.ends), len(case.outcome))
    outcome = tuple(_UNSEEN if place > ended else seen for place, seen in enumerate(case.outcome))
    return Case(case.schedule, outcome)


def _overflow_stays_the_error(case: Case, _: Run) -> Case:
    if case.schedule.overflow != "error" or case.schedule.callback != "raises":
        return case
    told = {"callback": "overflow, cause callback"}
    outcome = tuple(
        msgspec.structs.replace(seen, ends=tuple(told.get(end, end) for end in seen.ends)) for seen in case.outcome
    )
    return Case(case.schedule, outcome)


def _every_loss_is_told(case: Case, _: Run) -> Case:
    if not reports_losses(case.schedule):
        return case
    fatal = (place for place in range(len(case.outcome)) if _is_lost_at(case, place))
    end = next(fatal, None)
    if end is None:
        return case
    known = {item for seen in case.outcome[: end + 1] for item in (*seen.next, *seen.dropped)}
    emitted = [step.item for step in case.schedule.steps[: end + 1] if step.signal == "emit"]
    # What was refused at the end comes first, then what was held, oldest first.
    last = [emitted.pop()] if case.schedule.steps[end].signal == "emit" and not case.outcome[end].dropped else []
    lost = [item for item in (*last, *emitted) if item not in known]
    outcome = list(case.outcome)
    outcome[end] = msgspec.structs.replace(outcome[end], dropped=(*outcome[end].dropped, *lost))
    return Case(case.schedule, tuple(outcome))


# ---------------------------------------------------------------------- where a stream ends


def _is_lost_at(case: Case, place: int) -> bool:
    """Whether what is held at this step, or refused at it, can never be delivered."""
    if any(end != "complete" for end in case.outcome[place].ends):
        return True
    return _is_cancelled_at(case, place)


def _is_cancelled_at(case: Case, place: int) -> bool:
    if case.schedule.steps[place].signal == "cancel":
        return True
    delivered = list(accumulate((len(seen.next) for seen in case.outcome), initial=0))
    return delivered[place] < case.schedule.cancel_after <= delivered[place + 1]


def _end_of_source(case: Case) -> int:
    """At which step the source should have stopped: its own end, a cancellation, an overflow or a failed callback."""
    schedule = case.schedule
    is_buffer_that_fails = schedule.operator == "buffer" and schedule.overflow in (None, "error")
    loss_is_fatal = is_buffer_that_fails or schedule.callback == "raises"
    for place, (step, seen) in enumerate(zip(schedule.steps, case.outcome, strict=True)):
        if step.signal in ("complete", "error") or seen.ends or _is_cancelled_at(case, place):
            return place
        if loss_is_fatal and seen.dropped:
            return place
    return len(schedule.steps)


RULES: Final = (
    Rule(
        "None is an item",
        "The originals refuse null: RxJava's create fails the stream, the others raise in the source or pass it on. "
        "Python's None is a value like any other, and RxPY takes it.",
        _null_is_an_item,
    ),
    Rule(
        "a capacity is exact",
        "RxJava rounds the capacity of onBackpressureBuffer(capacity) up to a power of two, for its ring buffer. A "
        "bound that is written down should hold.",
        _capacity_is_exact,
    ),
    Rule(
        "a callback does not change the order",
        "In Reactor's onBackpressureBuffer(n, DROP_OLDEST or DROP_LATEST) a source error overtakes what is held, with "
        "a callback added it does not. Ours has a parameter for it, delay_error, and a callback only listens.",
        _delay_is_not_the_callbacks,
    ),
    Rule(
        "a source that goes on is not heard",
        "After a cancellation, an overflow or the end the originals may still deliver, hold or report what a source "
        "emits that does not stop: their DROP delivers while demand is left, RxJava's buffer holds on, push appends to "
        "what is held. Ours rejects and counts it.",
        _late_signals_are_ignored,
    ),
    Rule(
        "request(0) fails the stream",
        "RxJava tells a global hook, Reactor its debug log, and the stream goes on. Rule 3.9 wants an error, and "
        "RxJava gives it to subscribers that are not its own kind.",
        _bad_request_fails,
    ),
    Rule(
        "nothing comes after the end",
        "RxJava's onBackpressureLatest emits once more after its callback raised: a defect.",
        _nothing_after_the_end,
    ),
    Rule(
        "an overflow stays an overflow",
        "In the forms with an ERROR strategy a callback that raises replaces the overflow error. Ours keeps it and "
        "makes the other its cause, as the forms without a strategy do.",
        _overflow_stays_the_error,
    ),
    Rule(
        "every loss is told",
        "The originals' callbacks hear of what the strategy loses, not of what was held when the consumer left or an "
        "error overtook it; Reactor's discard hook hears of most. Our on_drop hears of every lost item.",
        _every_loss_is_told,
    ),
)
"""The deliberate differences, in the order in which they apply."""
