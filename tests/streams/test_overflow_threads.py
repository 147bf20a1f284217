"""The overflow core under threads: first by exact interleavings, then by force of numbers.

`interleave` is the microscope: it stops one thread at a chosen step inside the core, lets another one run up to a step
of its own, and then finishes both. Going through all pairs of steps visits every way in which two calls can overlap
with three changes of thread, and finds a hole on every run or on none.
"""

from __future__ import annotations

import dis
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest

from streams import overflow
from streams.overflow import (
    EMPTY,
    BackpressureStrategy,
    BufferOverflow,
    EmitResult,
    Join,
    OverflowBuffer,
)
from streams.reactive import UNBOUNDED

__all__ = ()

OK = EmitResult.OK
DROPPED = EmitResult.DROPPED
MERGED = EmitResult.MERGED
WOULD_SUSPEND = EmitResult.WOULD_SUSPEND

Strategy = BackpressureStrategy
STEP_LIMIT = 1000
FAILURE = ValueError("the source failed")
RLock = threading.RLock
OFFER = OverflowBuffer.offer.__code__
SHARED = {step.offset for step in dis.get_instructions(OFFER) if step.opname.startswith(("CALL", "LOAD_ATTR"))}


# ---------------------------------------------------------------------- the microscope


class Actor(threading.Thread):
    """Runs one action, and pauses once: at a step inside the core (0: none), or where it must wait for the lock.

    A step is a line of the core; in `offer`, which looks and appends without the lock, it is a single instruction.

    Attributes:
        step: how many steps were made.
        yielded: set when the thread has paused or ended.
    """

    def __init__(self, action: Callable[[], object], pause_at: int, *, only_in_offer: bool = False) -> None:
        super().__init__()
        self.step = 0
        self.yielded = threading.Event()
        self._action = action
        self._pause_at = pause_at
        self._only_in_offer = only_in_offer
        self._proceed = threading.Event()
        self._ended = False
        self._failure: BaseException | None = None

    def run(self) -> None:
        if self._pause_at:
            sys.settrace(self._trace)
        try:
            self._action()
        except BaseException as error:
            self._failure = error
        finally:
            if self._pause_at:
                sys.settrace(None)
            self._ended = True
            self.yielded.set()

    def finish(self) -> None:
        self._proceed.set()
        self.join(10)
        assert not self.is_alive(), "the thread waits for ever"
        if self._failure is not None:
            raise self._failure

    def go_on(self) -> None:
        """Let the thread run until it waits for the lock or ends."""
        if not self._ended:
            self.yielded.clear()
            self._proceed.set()
            self.yielded.wait(10)

    def _trace(self, frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        in_offer = frame.f_code is OFFER
        if frame.f_code.co_filename != overflow.__file__ or (self._only_in_offer and not in_offer):
            return None
        frame.f_trace_opcodes = in_offer
        if event == ("opcode" if in_offer else "line") and (not in_offer or frame.f_lasti in SHARED):
            self.step += 1
            if self.step == self._pause_at:
                self.yielded.set()
                self._proceed.wait(10)
        return self._trace


class TellingLock:
    """A lock that tells when an actor must wait for it.

    Attributes:
        meanwhile: called once, when somebody has the lock.
    """

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] | None = None
        self._lock = RLock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            actor = threading.current_thread()
            if isinstance(actor, Actor):
                actor.yielded.set()
            self._lock.acquire()
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def interleave(first: Actor, second: Actor) -> None:
    """Run `first` up to its pause, then `second` up to its own, then finish both."""
    first.start()
    first.yielded.wait(10)
    second.start()
    second.yielded.wait(10)
    first.go_on()
    second.finish()
    first.finish()


class Scene:
    """One buffer and what became of every item that was offered to it."""

    def __init__(self, strategy: BackpressureStrategy, **options: Any) -> None:
        self.dropped: list[str] = []
        self.results: dict[str, EmitResult] = {}
        self.taken: list[str] = []
        self.woken = 0
        self.lock = TellingLock()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading, "RLock", lambda: self.lock)
            self.buffer = OverflowBuffer.of(strategy, on_drop=self.dropped.append, **options)
        self.strategy = strategy

    def offer(self, *items: str) -> None:
        for item in items:
            self.results[item] = self.buffer.offer(item)

    def send(self, item: str) -> None:
        self.results[item] = WOULD_SUSPEND
        result = self.buffer.offer_or_wait(item, partial(self.results.__setitem__, item))
        if result is not WOULD_SUSPEND:
            self.results[item] = result

    def poll(self) -> None:
        item = self.buffer.poll()
        if item is not EMPTY:
            self.taken.append(item)

    def take(self) -> None:
        self.taken += self.buffer.take(1)

    def wake(self) -> None:
        self.woken += 1

    def check(self) -> None:
        """Every item is where its result says, room was kept, and nothing is left behind."""
        statistics = self.buffer.statistics
        if self.strategy.capacity is not None:
            assert statistics.held <= self.strategy.capacity + statistics.demand
        self.buffer.complete()
        self.buffer.request(UNBOUNDED)
        while (item := self.buffer.poll()) is not EMPTY:
            self.taken.append(item)
        texts = "".join(self.taken)
        for item, result in self.results.items():
            stored = result in (OK, MERGED)
            assert (texts.count(item) + "".join(self.dropped).count(item)) == (0 if self._refused(result) else 1), item
            assert stored or item not in texts, item
        counts = self.buffer.statistics
        assert counts.emitted == sum(result is not WOULD_SUSPEND for result in self.results.values())
        assert (counts.delivered, counts.dropped) == (len(self.taken), len(self.dropped))

    @staticmethod
    def _refused(result: EmitResult) -> bool:
        return result in (WOULD_SUSPEND, EmitResult.FAIL_TERMINATED, EmitResult.FAIL_CANCELLED)


Play = Callable[[Scene], object]


def interleavings(make: Callable[[], Scene], first: Play, second: Play) -> Iterator[Scene]:
    """Yield a scene for each pair of steps at which `first` and, inside its offer, `second` can be paused."""
    first_step, first_ended = 0, False
    while not first_ended:
        first_step += 1
        second_step, second_ended = 0, False
        while not second_ended:
            second_step += 1
            scene = make()
            actors = (
                Actor(lambda scene=scene: first(scene), first_step),  # type: ignore[misc]
                Actor(lambda scene=scene: second(scene), second_step, only_in_offer=True),  # type: ignore[misc]
            )
            interleave(*actors)
            first_ended = actors[0].step < first_step
            second_ended = actors[1].step < second_step
            yield scene
        assert first_step < STEP_LIMIT


def scene_of(strategy: BackpressureStrategy, *, held: str = "", demand: int = 0, **options: Any) -> Callable[[], Scene]:
    def make() -> Scene:
        scene = Scene(strategy, **options)
        if demand:
            scene.buffer.request(demand)
        scene.offer(*held)
        return scene

    return make


RULES = {
    "drop": Strategy.DROP,
    "drop_oldest": Strategy.buffer(2, BufferOverflow.DROP_OLDEST),
    "drop_newest_held": Strategy.buffer(2, BufferOverflow.DROP_NEWEST_HELD),
    "drop_incoming": Strategy.buffer(2, BufferOverflow.DROP_INCOMING),
    "error": Strategy.buffer(2),
    "suspend": Strategy.suspend(2),
    "join": Strategy.reduce(Join("".join)),
    "unbounded": Strategy.buffer(None),
}
every_rule = pytest.mark.parametrize("strategy", RULES.values(), ids=RULES)

ACTIONS: dict[str, Play] = {
    "offer": lambda scene: scene.offer("x"),
    "send": lambda scene: scene.send("x"),
    "request": lambda scene: scene.buffer.request(1),
    "poll": Scene.poll,
    "take": Scene.take,
    "complete": lambda scene: scene.buffer.complete(),
    "fail": lambda scene: scene.buffer.fail(FAILURE),
    "cancel": lambda scene: scene.buffer.cancel(),
}


def offer_y(scene: Scene) -> None:
    scene.offer("y")


@pytest.mark.slow
@every_rule
@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_offer_to_a_full_buffer_is_final_whatever_overlaps_it(strategy: BackpressureStrategy, action: Play) -> None:
    for scene in interleavings(scene_of(strategy, held="abc", demand=1, delay_error=False), action, offer_y):
        scene.check()


@pytest.mark.slow
@every_rule
@pytest.mark.parametrize("held", ["", "ab"])
@pytest.mark.parametrize("action", [ACTIONS["offer"], ACTIONS["send"]], ids=["offer", "send"])
def test_offers_for_the_last_place_are_final(strategy: BackpressureStrategy, action: Play, held: str) -> None:
    for scene in interleavings(scene_of(strategy, held=held, demand=1), action, offer_y):
        scene.check()


@pytest.mark.slow
@pytest.mark.parametrize("action", ["request", "poll", "take", "cancel", "complete"])
def test_offer_is_final_while_a_waiting_producer_is_let_in_or_told_of_the_end(action: str) -> None:
    def make() -> Scene:
        scene = scene_of(Strategy.suspend(2), held="ab")()
        scene.send("s")
        return scene

    for scene in interleavings(make, ACTIONS[action], offer_y):
        scene.check()


def test_offer_is_final_if_a_producer_waits_and_is_let_in_while_it_looks() -> None:
    def send_and_make_room(scene: Scene) -> None:
        scene.send("s")
        scene.buffer.request(1)

    for scene in interleavings(scene_of(Strategy.suspend(2), held="ab"), send_and_make_room, offer_y):
        scene.check()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [Strategy.DROP, Strategy.suspend(1), Strategy.buffer(None)])
@pytest.mark.parametrize(
    "action",
    [
        lambda scene: scene.buffer.wait(scene.wake, 1),
        lambda scene: (scene.buffer.request(1), scene.buffer.when_ready(scene.wake)),
        lambda scene: (scene.buffer.when_ready(scene.wake), scene.buffer.request(1)),
        lambda scene: scene.buffer.complete(),
    ],
    ids=["wait", "request-watch", "watch-request", "complete"],
)
def test_consumer_is_woken_once_for_what_overlaps_its_going_to_wait(
    strategy: BackpressureStrategy, action: Play
) -> None:
    for scene in interleavings(scene_of(strategy), action, offer_y):
        due = scene.buffer.demand > 0 and scene.buffer.statistics.held > 0
        assert scene.woken == int(due)
        scene.check()


def test_offer_finds_its_own_item_among_those_that_others_append_meanwhile() -> None:
    scene = scene_of(Strategy.buffer(2, BufferOverflow.DROP_INCOMING), held="ab")()
    other = Actor(lambda: scene.offer("y"), 0)

    def append_y() -> None:
        other.start()
        other.yielded.wait(10)

    scene.lock.meanwhile = append_y
    scene.offer("x")
    other.finish()

    assert scene.dropped == ["x", "y"]
    scene.check()


# ---------------------------------------------------------------------- force of numbers

PRODUCER_COUNT = 4
ITEM_COUNT = 1500


@pytest.fixture
def _tiny_switches() -> Iterator[None]:
    """Change threads as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


tiny_switches = pytest.mark.usefixtures("_tiny_switches")


class Crowd:
    """Several producers in threads, and what each of them was told."""

    def __init__(self, strategy: BackpressureStrategy, **options: Any) -> None:
        self.dropped: list[tuple[int, int]] = []
        self.buffer = OverflowBuffer.of(strategy, on_drop=self.dropped.append, **options)
        self.results: list[list[EmitResult]] = [[] for _ in range(PRODUCER_COUNT)]
        self.taken: list[tuple[int, int]] = []
        self._threads = [threading.Thread(target=self._produce, args=(name,)) for name in range(PRODUCER_COUNT)]

    def _produce(self, name: int) -> None:
        note = self.results[name].append
        for number in range(ITEM_COUNT):
            note(self._offer((name, number)))

    def _offer(self, item: tuple[int, int]) -> EmitResult:
        return self.buffer.offer(item)

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def is_running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def poll_all(self) -> None:
        while (item := self.buffer.poll()) is not EMPTY:
            self.taken.append(item)

    def told(self, *results: EmitResult) -> set[tuple[int, int]]:
        """Return the items whose producers were told one of `results`."""
        return {
            (name, number)
            for name, heard in enumerate(self.results)
            for number, result in enumerate(heard)
            if result in results
        }

    def check(self) -> None:
        """Every result was final, order holds for each producer, and the counts say the same."""
        assert len(self.taken) == len(set(self.taken))
        lost = Counter(self.dropped)
        assert max(lost.values(), default=1) == 1
        assert set(self.taken) | set(lost) == self.told(OK, DROPPED, EmitResult.FAIL_OVERFLOW)
        assert set(self.taken) <= self.told(OK)
        assert not set(self.taken) & set(lost)
        for name in range(PRODUCER_COUNT):
            numbers = [number for producer, number in self.taken if producer == name]
            assert numbers == sorted(numbers)
        counts = self.buffer.statistics
        assert (counts.delivered, counts.dropped, counts.held) == (len(self.taken), len(lost), 0)
        assert counts.emitted == PRODUCER_COUNT * ITEM_COUNT - len(self.told(WOULD_SUSPEND))


class WaitingCrowd(Crowd):
    """Producers that wait their turn when they are told to."""

    def _offer(self, item: tuple[int, int]) -> EmitResult:
        answers: list[EmitResult] = []
        answered = threading.Event()

        def resume(result: EmitResult) -> None:
            answers.append(result)
            answered.set()

        result = self.buffer.offer_or_wait(item, resume)
        if result is WOULD_SUSPEND:
            answered.wait()
            return answers[0]
        return result


LASTING = {
    name: RULES[name] for name in ("drop", "drop_oldest", "drop_newest_held", "drop_incoming", "suspend", "unbounded")
}


@pytest.mark.slow
@tiny_switches
@pytest.mark.parametrize("strategy", LASTING.values(), ids=LASTING)
def test_producers_in_threads_against_a_polling_consumer(strategy: BackpressureStrategy) -> None:
    with Crowd(strategy) as crowd:
        while crowd.is_running:
            crowd.buffer.request(3)
            if strategy.capacity is not None:
                statistics = crowd.buffer.statistics
                assert statistics.held <= strategy.capacity + statistics.demand
            crowd.poll_all()
    crowd.buffer.complete()
    crowd.buffer.request(UNBOUNDED)
    crowd.poll_all()

    crowd.check()


@pytest.mark.slow
@tiny_switches
@pytest.mark.parametrize("strategy", LASTING.values(), ids=LASTING)
def test_producers_in_threads_against_cancel(strategy: BackpressureStrategy) -> None:
    with Crowd(strategy) as crowd:
        for _ in range(200):
            crowd.buffer.request(3)
            crowd.poll_all()
        crowd.buffer.cancel()
        before = len(crowd.taken)
        crowd.poll_all()
        crowd.taken += crowd.buffer.take(9)

    assert len(crowd.taken) == before
    crowd.check()


@pytest.mark.slow
@tiny_switches
@pytest.mark.parametrize("delay_error", [True, False])
@pytest.mark.parametrize("strategy", [RULES["error"], Strategy.ERROR, RULES["unbounded"]])
def test_producers_in_threads_against_an_overflow_or_failure(strategy: BackpressureStrategy, delay_error: bool) -> None:
    with Crowd(strategy, delay_error=delay_error) as crowd:
        for _ in range(200):
            crowd.buffer.request(3)
            crowd.poll_all()
        crowd.buffer.fail(FAILURE)
    crowd.buffer.request(UNBOUNDED)
    crowd.poll_all()

    crowd.check()
    assert crowd.buffer.poll_terminal() is not None
    assert len(crowd.told(EmitResult.FAIL_OVERFLOW)) <= 1


@pytest.mark.slow
@tiny_switches
def test_no_wake_up_is_lost_and_none_comes_twice() -> None:
    ready = threading.Semaphore(0)
    with Crowd(RULES["unbounded"]) as crowd:
        while len(crowd.taken) < PRODUCER_COUNT * ITEM_COUNT:
            crowd.buffer.request(7)
            crowd.buffer.when_ready(ready.release)
            assert ready.acquire(timeout=10), "a signal is due and nobody tells"
            assert not ready.acquire(blocking=False)
            crowd.poll_all()

    crowd.check()


@pytest.mark.slow
@tiny_switches
@pytest.mark.parametrize("capacity", [0, 3])
def test_waiting_producers_lose_nothing(capacity: int) -> None:
    ready = threading.Semaphore(0)
    with WaitingCrowd(Strategy.suspend(capacity)) as crowd:
        while len(crowd.taken) < PRODUCER_COUNT * ITEM_COUNT:
            crowd.buffer.wait(ready.release, 2)
            assert ready.acquire(timeout=10), "a signal is due and nobody tells"
            crowd.taken += crowd.buffer.take(9)

    crowd.check()
    assert crowd.told(OK) == set(crowd.taken)


@pytest.mark.slow
@tiny_switches
def test_claims_and_cancel_from_another_thread_share_the_items_out() -> None:
    claimed: list[tuple[int, int]] = []
    with Crowd(RULES["unbounded"]) as crowd:
        canceller = threading.Thread(target=lambda: (enough.wait(), crowd.buffer.cancel()))
        enough = threading.Event()
        canceller.start()
        while not crowd.buffer.is_cancelled:
            crowd.buffer.claim(claimed)
            while claimed:
                try:
                    crowd.taken.append(claimed.pop())
                except IndexError:  # cancel was quicker
                    break
            if len(crowd.taken) > 500:
                enough.set()
        canceller.join()

    crowd.check()


class Incomparable:
    """An item that betrays a comparison."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise AssertionError("items are told apart by identity only")

    __hash__ = None  # type: ignore[assignment]


def test_items_are_never_compared() -> None:
    buffer = OverflowBuffer[Incomparable](1, BufferOverflow.DROP_OLDEST)
    items = [Incomparable() for _ in range(3)]

    assert [buffer.offer(item) for item in items] == [OK] * 3
    assert buffer.take(9)[0] is items[2]


@pytest.mark.slow
@tiny_switches
def test_one_object_offered_by_all_threads_is_counted_right() -> None:
    buffer = OverflowBuffer[str](3, BufferOverflow.DROP_OLDEST)
    threads = [threading.Thread(target=lambda: [buffer.offer("same") for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert buffer.statistics[:2] == (8000, 0)
    assert (buffer.statistics.dropped, buffer.statistics.held) == (7997, 3)
