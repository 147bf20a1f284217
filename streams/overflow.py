"""The overflow core: every rule about room, demand, loss and terminal order, in one data structure without I/O.

Two sentences define it:

    There is room while held < capacity + demand.
    The first `demand` held items are promised to the consumer; a rule discards only behind them.

So an item that is taken late is the one that an immediate delivery would have handed over, and an adapter may take
whenever it suits its own world: at once (Rx), on the next turn of an event loop (asyncio), or at a virtual time.

Who may call what: any thread may offer, complete, fail, request and cancel; one consumer at a time takes. An ordinary
offer takes no lock. It appends first and looks afterwards whether that was right; `deque.append` and `len` are atomic,
and the order of appending decides who came first. An item that finds itself behind the room (`_room`) has no fate
yet: its own thread takes it back out under the lock and applies the rule to it. Everybody else takes nothing from
there. Whoever moves the room or removes items closes the gate first, so that no offer passes meanwhile without the
lock. Callbacks run after the lock is released, except a reducer, which is part of the decision.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Final, Generic, NamedTuple, TypeGuard, TypeVar, cast

from streams.errors import BufferOverflowError
from streams.reactive import UNBOUNDED
from streams.strategy import (
    BackpressureStrategy,
    BufferOverflow,
    EmitResult,
    Join,
    StreamStatistics,
    checked_overflow,
    positive_int,
)

__all__ = (
    "EMPTY",
    "BackpressureStrategy",
    "BufferOverflow",
    "EmitResult",
    "Empty",
    "Join",
    "OverflowBuffer",
    "StreamStatistics",
    "Terminal",
)

T = TypeVar("T")

Resume = Callable[[EmitResult], object]


class State(Enum):
    """Where a stream stands."""

    __hash__ = object.__hash__  # members are singletons; Enum's own hash is a call in Python for each look-up

    ACTIVE = "active"
    DRAINING = "draining"  # a terminal waits behind held items
    TERMINATED = "terminated"
    CANCELLED = "cancelled"


class Signal(Enum):
    """What moves a stream from one state to the next."""

    __hash__ = object.__hash__  # as above

    END = "end"  # the producer completes or fails
    ABORT = "abort"  # a rule or a callback fails the stream
    DRAINED = "drained"  # the last held item has left
    CANCEL = "cancel"


_NEXT: Final[dict[tuple[State, Signal], State]] = {
    (State.ACTIVE, Signal.END): State.DRAINING,
    (State.ACTIVE, Signal.ABORT): State.DRAINING,
    (State.ACTIVE, Signal.CANCEL): State.CANCELLED,
    (State.DRAINING, Signal.ABORT): State.DRAINING,
    (State.DRAINING, Signal.DRAINED): State.TERMINATED,
    (State.DRAINING, Signal.CANCEL): State.CANCELLED,
}


class Empty(Enum):
    """The type of EMPTY."""

    EMPTY = "empty"


EMPTY: Final = Empty.EMPTY
"""What `poll` returns when no item may be delivered. None is a legal item."""


class Terminal(NamedTuple):
    """The last signal of a stream: completion, or the failure in `error`."""

    error: Exception | None


class _Nowhere:
    """Where producers are sent while every offer needs the lock: keeps nothing and always looks crowded."""

    __slots__ = ()

    def append(self, item: object) -> None:
        """Keep nothing."""

    def __len__(self) -> int:
        return sys.maxsize


class _Fold:
    """Several items that were folded into one: the parts of a Join, or a single folded value."""

    __slots__ = ("count", "parts")

    def __init__(self, first: Any) -> None:
        self.parts = [first]
        self.count = 1


_NOWHERE: Final = _Nowhere()
_NOTHING: Final[deque[Any]] = deque(maxlen=0)  # stands in until the first item is held: an empty deque is 760 bytes
_NO_LIMIT: Final = min(UNBOUNDED, sys.maxsize) - 1
_CLOSED: Final = -1
_CLAIM: Final = 64
_OK: Final = EmitResult.OK  # an attribute of an Enum is slow to reach
_ACTIVE: Final = State.ACTIVE


class OverflowBuffer(Generic[T]):
    """One stream's boundary between a producer and a slower consumer.

    Args:
        capacity: items held beyond demand, at least 0; None is unbounded.
        overflow: the rule for an item that finds no room; None: no boundary, every held item counts as promised.
        reducer: folds an item that finds no room into the held one, in place of `overflow`; needs capacity 1.
        max_merged: the most items in one fold, or None; beyond it the stream overflows as ERROR.
        delay_error: whether a failure waits behind the held items or overtakes those that are not promised.
        ttl_ns: how long an item may be held unpromised, in nanoseconds of the times passed in; None: for ever.
        on_drop: hears of every item that is lost. If it raises, the stream fails with that exception.
        on_abort: called once when the stream fails by a rule or a callback: cancel the source.
        on_undeliverable: takes exceptions that can no longer be a signal.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.
    """

    __slots__ = (
        "_awaited",
        "_boundless",
        "_capacity",
        "_claim_count",
        "_claimed",
        "_deciding",
        "_delay_error",
        "_delivered",
        "_demand",
        "_dropped",
        "_effects",
        "_error",
        "_evicted",
        "_gate",
        "_held",
        "_intake",
        "_lock",
        "_max_merged",
        "_merged",
        "_on_abort",
        "_on_drop",
        "_on_ready",
        "_on_request",
        "_on_undeliverable",
        "_overflow",
        "_peak_held",
        "_plain",
        "_reducer",
        "_rejected",
        "_room",
        "_state",
        "_suspended",
        "_ttl_ns",
        "_unobserved",
        "direct",
        "passed",
        "wait_for_room",
    )

    direct: bool
    """Whether an item need not be held: a consumer waits, demand has no end and nothing is held. A serial source whose
    consumer takes in the same thread may then hand an item over by itself, if it counts it in `passed`."""
    passed: int
    """Items that were handed over so. Part of delivered."""
    wait_for_room: Callable[[T], Awaitable[EmitResult]]
    """What `send` awaits under SUSPEND; set by an adapter that has a loop to wait on."""

    def __init__(
        self,
        capacity: int | None,
        overflow: BufferOverflow | None = BufferOverflow.ERROR,
        reducer: Callable[[T, T], T] | None = None,
        max_merged: int | None = None,
        *,
        delay_error: bool = True,
        ttl_ns: int | None = None,
        on_drop: Callable[[T], object] | None = None,
        on_abort: Callable[[], object] | None = None,
        on_undeliverable: Callable[[Exception], object] | None = None,
    ) -> None:
        positive_int("capacity", capacity, minimum=0, or_none="unbounded")
        positive_int("ttl_ns", ttl_ns, or_none="no age limit")
        positive_int("max_merged", max_merged, or_none="no limit")
        if overflow is not None:
            checked_overflow(overflow)
        elif reducer is None and capacity is not None:
            raise ValueError(f"overflow=None means no boundary: it needs capacity=None or a reducer; got {capacity!r}")
        if reducer is not None and (capacity != 1 or ttl_ns is not None):
            raise ValueError("a reducer folds into one held item: it needs capacity=1 and no ttl_ns")
        self._capacity = capacity
        self._overflow = overflow
        self._reducer = reducer
        self._max_merged = max_merged
        self._delay_error = delay_error
        self._ttl_ns = ttl_ns
        self._boundless = overflow is None and reducer is None
        self._plain = reducer is None and ttl_ns is None  # held entries are the items themselves
        self._unobserved = self._plain  # and none is told of demand
        self._on_drop = on_drop
        self._on_abort = on_abort
        self._on_undeliverable = on_undeliverable

        self._lock = threading.RLock()  # re-entrant: a finalizer may cancel while its own thread decides
        self._state = _ACTIVE
        self._error: Exception | None = None
        self._held: deque[Any] = _NOTHING
        self._intake: deque[Any] | _Nowhere = _NOWHERE  # where offers append: `_held`, once they may do so
        self._suspended: OrderedDict[Resume, tuple[T, int]] | None = None  # producers that wait, by what resumes them
        self._claimed: list[T] = []  # counted as delivered ahead of time, and still held
        self._claim_count = 0  # how many they were before the consumer popped any
        self._on_request: Callable[[int], object] | None = None
        self._on_ready: Callable[[], object] | None = None  # set while the consumer waits: nobody takes
        self._awaited = False  # whether the next item is all that the waiting consumer needs
        self._deciding = False
        self._evicted: list[T] | None = None  # lives until the lock is released: its finalizer may call back
        self._effects: list[tuple[Callable[[Any], object], Any]] = []
        self._demand = 0
        self._room = 0  # items at or behind this index have no fate yet
        self._gate = _CLOSED  # `_room`, or _CLOSED while every offer needs the lock
        self.direct = False
        self.passed = 0
        self.wait_for_room = _nowhere_to_wait
        self._delivered = self._dropped = self._merged = self._rejected = self._peak_held = 0
        self._reopen()

    @classmethod
    def of(
        cls,
        strategy: BackpressureStrategy,
        *,
        delay_error: bool = True,
        ttl_ns: int | None = None,
        on_drop: Callable[[Any], object] | None = None,
        on_abort: Callable[[], object] | None = None,
        on_undeliverable: Callable[[Exception], object] | None = None,
    ) -> OverflowBuffer[Any]:
        """Return the buffer that acts as `strategy` says."""
        return cls(
            strategy.capacity,
            strategy.overflow,
            strategy.reducer,
            strategy.max_merged,
            delay_error=delay_error,
            ttl_ns=ttl_ns,
            on_drop=on_drop,
            on_abort=on_abort,
            on_undeliverable=on_undeliverable,
        )

    # ------------------------------------------------------------------ the producer's end

    def offer(self, item: T) -> EmitResult:
        """Store one item, or apply the overflow rule to it.

        Args:
            item: any object but the core's own words, EMPTY and a Terminal; None is one.

        Returns:
            OK, DROPPED, MERGED, WOULD_SUSPEND (nothing stored, nothing counted), FAIL_OVERFLOW (the stream fails),
            FAIL_TERMINATED (also when the reducer raised on this item), FAIL_CANCELLED.

        Never raises, never waits. Of one and the same object offered by two threads at once it is undefined which is
        which.
        Source: Reactive Streams 1.0.4, rule 1.1 (delivered never exceeds requested).
        """
        intake = self._intake
        intake.append(item)
        if len(intake) <= self._gate:
            return _OK
        return self._settle(item, intake, 0, None)

    async def send(self, item: T) -> EmitResult:
        """Offer one item as `offer` does, and await `wait_for_room(item)` where that would say WOULD_SUSPEND.

        Waiting is the adapter's affair. The first lines are those of `offer`: a call more for each item costs a tenth.
        """
        intake = self._intake
        intake.append(item)
        if len(intake) <= self._gate:
            return _OK
        result = self._settle(item, intake, 0, None)
        return result if result is not EmitResult.WOULD_SUSPEND else await self.wait_for_room(item)

    def offer_at(self, item: T, now_ns: int) -> EmitResult:
        """Do as `offer` does, at the time `now_ns`: for a buffer with `ttl_ns`, which ages its items."""
        return self._settle(item, _NOWHERE, now_ns, None)

    def offer_or_wait(self, item: T, resume: Resume, now_ns: int = 0) -> EmitResult:
        """Offer one item; under SUSPEND without room, keep its place in the queue of waiting producers.

        Args:
            item: any object.
            resume: called once with the final result if this returns WOULD_SUSPEND, from the thread that made room or
                ended the stream. Producers are resumed first come, first served; `offer` does not overtake them.
            now_ns: the time, for a buffer with `ttl_ns`.
        """
        return self._settle(item, _NOWHERE, now_ns, resume)

    def stop_waiting(self, resume: Resume) -> bool:
        """Take a waiting producer out of the queue; False if it has been resumed already."""
        with self._lock:
            if self._suspended is None or self._suspended.pop(resume, None) is None:
                return False
            self._reopen()
            return True

    def tell_demand(self, on_request: Callable[[int], object]) -> None:
        """Tell the source of demand: what there is now, if any, then each increment, before items are taken for it.

        If `on_request` raises, the stream fails with that exception.

        Raises:
            RuntimeError: somebody is told already.
        """
        with self._lock:
            if self._on_request is not None:
                raise RuntimeError("demand is told to one callback only; on_request was called before")
            self._on_request = on_request
            self._unobserved = False
            if self._demand:
                self._tell_source(self._demand)
        self._run_effects()

    def complete(self) -> EmitResult:
        """End the stream behind the held items. Returns OK, FAIL_TERMINATED or FAIL_CANCELLED."""
        return self._end(None)

    def fail(self, error: Exception) -> EmitResult:
        """End the stream with `error`.

        It comes behind the held items, or overtakes those that are not promised (`delay_error`).

        Returns:
            OK, or FAIL_TERMINATED or FAIL_CANCELLED: the error is not delivered, the caller should report it.
        """
        return self._end(error)

    def abort(self, error: Exception) -> None:
        """Fail the stream because a callback raised `error`: the source is cancelled and hears `on_abort`.

        An overflow error that is already under way stays the terminal and gets `error` as its cause; after any other
        failure, completion or cancel, `error` is undeliverable.
        """
        with self._lock:
            self._fail_with(error)
        self._run_effects()

    # ------------------------------------------------------------------ the consumer's end

    def request(self, n: int) -> None:
        """Add `n` to demand; sums saturate at UNBOUNDED, which is never counted down (rule 3.17).

        An `n` that is no int of at least 1 fails the stream with a TypeError or ValueError that overtakes what is not
        promised (rule 3.9). After a terminal or cancel nothing happens (rule 3.6).
        """
        with self._lock:
            if not self._accepts(Signal.ABORT):
                return
            try:
                positive_int("the argument of request (Reactive Streams rule 3.9)", n)
            except (TypeError, ValueError) as error:
                if self._error is None:
                    self._abort(error.with_traceback(None), [], overtakes=True)  # its frames hold the subscriber
            else:
                self._demand = min(self._demand + n, UNBOUNDED)
                self._tell_source(n)
                self._reopen()
        self._run_effects()

    def poll(self) -> T | Empty:
        """Take the oldest promised item, or EMPTY. Demand falls by one."""
        with self._lock:
            item = self._poll()
        if self._effects:
            self._run_effects()
        return item

    def next_signal(self, on_ready: Callable[[], object]) -> T | Terminal | Empty:
        """Take the next signal that is due: a promised item or the terminal.

        If there is none return EMPTY, and call `on_ready` later, as `when_ready` does.
        """
        with self._lock:
            signal: T | Terminal | Empty = self._poll()
            if signal is EMPTY:
                signal = self._poll_terminal() or EMPTY
            if signal is EMPTY:
                self._watch(on_ready)
        if self._effects:
            self._run_effects()
        return signal

    def when_ready(self, on_ready: Callable[[], object]) -> None:
        """Call `on_ready` once, as soon as a signal is due: now, or later from the thread that makes it so.

        It is forgotten when the stream is cancelled. Nobody is told twice, so whoever was told is alone in taking.
        """
        with self._lock:
            self._watch(on_ready)
        self._run_effects()

    def take(self, max_items: int) -> list[T]:
        """Take all that is held, promised or not, at most `max_items`: demand is granted for just what is taken.

        Demand beyond what stays held is withdrawn, so that nothing is outstanding while the consumer is busy; unless
        the source was told of it (`tell_demand`), for a request is a promise.
        """
        if not self._held:
            return []
        with self._lock:
            items = self._take_all(max_items) if self._unobserved else self._take_ready(max_items)
        if self._effects:
            self._run_effects()
        return items

    def claim(self, claimed: list[T]) -> bool:
        """Do as `take(1)` does, into the empty list `claimed`, from whose end the consumer pops items when it wants.

        Where nothing but this consumer could remove items (no limit, none told of demand) they are claimed by the
        dozen, which spares a lock for each. Until it is popped a claimed item counts as held: `cancel` and an error
        that overtakes still drop it, but the error spares the first, which is the one asked for.

        Returns:
            Whether there is something in the list now.
        """
        with self._lock:
            self._claimed = claimed
            alone = self._capacity is None and self._plain and self._on_request is None
            items = self._take_ready(_CLAIM if alone else 1)
            items.reverse()
            claimed += items
            self._claim_count = len(items)
        if self._effects:
            self._run_effects()
        return bool(claimed)

    def wait(self, on_ready: Callable[[], object], demand: int) -> Terminal | None:
        """Raise demand to `demand` and wait as `when_ready` does; or return the terminal if that is what is due."""
        with self._lock:
            if self._unobserved and self._wait_for_one(on_ready, demand):
                return None
            terminal = self._poll_terminal()
            if terminal is None and self._accepts(Signal.CANCEL):
                if self._demand < demand:
                    self._tell_source(demand - self._demand)
                    self._demand = demand
                self._watch(on_ready)
        if self._effects:
            self._run_effects()
        return terminal

    def poll_terminal(self) -> Terminal | None:
        """Return the terminal when it is due, behind the last item, and only once; else None. It needs no demand."""
        with self._lock:
            return self._poll_terminal()

    def cancel(self) -> bool:
        """End the stream at once: what is held is dropped, nothing is delivered any more.

        Returns:
            False if the stream had ended before (rule 3.7: a no-op).
        """
        with self._lock:
            if not self._accepts(Signal.CANCEL):
                return False
            if self._deciding:  # a finalizer, amid a decision of its own thread: behind it
                self._effects.append((_call, self.cancel))
                return True
            self._on_ready = None
            self._drop(self._close(Signal.CANCEL, keep=0))
        self._run_effects()
        return True

    def expire(self, now_ns: int) -> None:
        """Drop the unpromised items that have been held for `ttl_ns` or longer at `now_ns`."""
        if self._ttl_ns is None:
            return
        with self._lock:
            lost: list[T] = []
            self._gate = _CLOSED
            self._note_peak()
            while len(self._held) > self._demand and self._held[self._demand][1] + self._ttl_ns <= now_ns:
                lost.append(self._held[self._demand][0])
                del self._held[self._demand]
                self._room -= 1
            self._drop(lost)
            self._reopen()
        self._run_effects()

    # ------------------------------------------------------------------ looking in

    @property
    def statistics(self) -> StreamStatistics:
        """The counts so far: a snapshot."""
        with self._lock:
            self._note_peak()
            claimed = len(self._claimed)
            held = self._decided() + claimed
            delivered = self._delivered + self.passed - claimed
            return StreamStatistics(
                delivered + self._dropped + self._merged + self._rejected + held,
                delivered,
                self._dropped,
                self._merged,
                self._rejected,
                held,
                self._peak_held,
                self._demand,
            )

    @property
    def demand(self) -> int:
        """Items requested and not yet taken."""
        return self._demand

    @property
    def is_active(self) -> bool:
        """Whether items are still accepted: no terminal, no cancel."""
        return self._state is _ACTIVE

    @property
    def is_cancelled(self) -> bool:
        """Whether the consumer cancelled."""
        return self._state is State.CANCELLED

    @property
    def next_expiry_ns(self) -> int | None:
        """When the oldest unpromised item reaches its age limit; None if there is none."""
        with self._lock:
            if self._ttl_ns is None or len(self._held) <= self._demand:
                return None
            return cast("int", self._held[self._demand][1]) + self._ttl_ns

    # ------------------------------------------------------------------ one offer, decided under the lock

    def _settle(
        self,
        item: T,
        intake: deque[Any] | _Nowhere,
        now_ns: int,
        resume: Resume | None,
    ) -> EmitResult:
        with self._lock:
            if self._awaited and intake is self._held and len(intake) == 1:
                result, on_ready = _OK, self._end_wait()
            else:
                result, on_ready = self._decide_unsettled(item, intake, now_ns, resume), None
        self._evicted = None
        if on_ready is not None:  # first: an effect, of another thread it may be, can raise
            on_ready()
        if self._effects:
            self._run_effects()
        return result

    def _end_wait(self) -> Callable[[], object] | None:
        """Return who waits for the one item. What `_reopen` would come to, without asking everything."""
        on_ready, self._on_ready = self._on_ready, None
        self._awaited = self.direct = False
        self._open_gate()
        return on_ready

    def _decide_unsettled(
        self, item: T, intake: deque[Any] | _Nowhere, now_ns: int, resume: Resume | None
    ) -> EmitResult:
        self._deciding = True
        self._gate = _CLOSED
        self._awaited = self.direct = False
        try:
            if intake is not _NOWHERE and not self._retract(item):
                return _OK  # room came, or the consumer, before this thread got the lock
            if self._state is _ACTIVE:
                return self._decide(item, now_ns, resume)
            self._rejected += 1
            return self._refusal()
        finally:
            self._deciding = False
            self._reopen()

    def _retract(self, item: T) -> bool:
        """Take this thread's item out again if it lies behind the room; False if it is in."""
        held = self._held
        for place in range(len(held) - 1, self._room - 1, -1):
            if held[place] is item:
                del held[place]
                return True
        return False

    def _decide(self, item: T, now_ns: int, resume: Resume | None) -> EmitResult:
        place = self._decided()  # looked up once: others go on appending
        if place < self._room:
            self._store(item, now_ns, place=place)
            return _OK
        if self._reducer is not None:
            return self._fold(item, self._reducer)
        rule = self._overflow
        if rule is BufferOverflow.SUSPEND:
            return self._suspend(item, now_ns, resume)
        if rule is BufferOverflow.ERROR:
            return self._overflow_with(item)
        if rule is BufferOverflow.DROP_INCOMING or self._room == self._demand:
            self._drop([item])
            return EmitResult.DROPPED
        victim = self._demand if rule is BufferOverflow.DROP_OLDEST else self._room - 1
        self._note_peak()
        self._evicted = self._items([self._held[victim]])
        self._drop(self._evicted)
        del self._held[victim]
        self._store(item, now_ns, place=self._room - 1)
        return _OK

    def _store(self, item: T, now_ns: int, *, place: int) -> None:
        """Put one item behind those that are in, and before those that have no fate yet."""
        if self._held is _NOTHING:
            self._held = deque()
            if self._ttl_ns is None:
                self._intake = self._held
        entry: Any = item if self._ttl_ns is None else (item, now_ns)
        self._held.insert(place, entry)

    def _suspend(self, item: T, now_ns: int, resume: Resume | None) -> EmitResult:
        if resume is not None:
            if self._suspended is None:
                self._suspended = OrderedDict()
            self._suspended[resume] = item, now_ns
        return EmitResult.WOULD_SUSPEND

    def _fold(self, item: T, reducer: Callable[[T, T], T]) -> EmitResult:
        newest = self._held[self._room - 1]
        fold = newest if type(newest) is _Fold else _Fold(newest)
        if self._max_merged is not None and fold.count >= self._max_merged:
            return self._overflow_with(item, f"{fold.count} items are merged already; raise max_merged or request more")
        if isinstance(reducer, Join):
            fold.parts.append(item)
        else:
            try:
                fold.parts[0] = reducer(fold.parts[0], item)
            except Exception as error:  # whatever it is, it is the stream's terminal
                self._abort(error, [item], overtakes=not self._delay_error)
                return EmitResult.FAIL_TERMINATED
        fold.count += 1
        self._held[self._room - 1] = fold
        self._merged += 1
        return EmitResult.MERGED

    def _overflow_with(self, item: T, reason: str | None = None) -> EmitResult:
        error = BufferOverflowError(item, self._capacity or 0, reason=reason)
        self._abort(error, [item], overtakes=not self._delay_error)
        return EmitResult.FAIL_OVERFLOW

    # ------------------------------------------------------------------ the end of a stream, under the lock

    def _end(self, error: Exception | None) -> EmitResult:
        with self._lock:
            if not self._accepts(Signal.END):
                return self._refusal()
            self._error = error
            overtakes = error is not None and not self._delay_error
            self._drop(self._close(Signal.END, keep=self._demand if overtakes else None))
            self._reopen()
        self._run_effects()
        return _OK

    def _abort(self, error: Exception, lost: list[T], *, overtakes: bool) -> None:
        self._error = error
        if self._on_abort is not None:
            self._effects.append((_call, self._on_abort))
        self._drop(lost + self._close(Signal.ABORT, keep=self._demand if overtakes else None))
        self._reopen()

    def _fail_with(self, error: Exception) -> None:
        """Make what a callback raised the terminal, or the cause of an overflow error; else it is undeliverable."""
        if self._error is None and self._accepts(Signal.ABORT):
            self._abort(error, [], overtakes=not self._delay_error)
        elif self._state is not State.CANCELLED and _lacks_cause(self._error):
            self._error.__cause__ = error
        else:
            self._after(self._on_undeliverable, error)

    def _unclaimed(self, spare: int) -> list[T]:
        """Take back what was claimed but the `spare` oldest, oldest first."""
        items: list[T] = []
        while len(self._claimed) > spare:
            try:
                items.append(self._claimed.pop(0))
            except IndexError:  # the consumer was quicker
                break
        self._delivered -= len(items)
        items.reverse()
        return items

    def _close(self, signal: Signal, *, keep: int | None) -> list[T]:
        """Refuse offers from now on, keep the first `keep` held items (None: all) and return the others."""
        self._state = _NEXT[self._state, signal]
        self._gate = _CLOSED
        self._awaited = self.direct = False
        self._intake = _NOWHERE
        self._note_peak()
        held = self._held
        count = self._decided()
        if self._boundless and signal is not Signal.CANCEL:
            keep = None
        # The first of a claim is the one that the consumer asked for.
        spare = 1 if signal is not Signal.CANCEL and len(self._claimed) == self._claim_count else 0
        claimed = [] if keep is None else self._unclaimed(spare)
        self._room = count if keep is None else min(keep, count)
        kept = [held.popleft() for _ in range(self._room)]
        lost = [held.popleft() for _ in range(count - self._room)]
        held.extendleft(reversed(kept))
        waiting, self._suspended = self._suspended, None
        for resume in waiting or ():
            self._rejected += 1
            self._after(resume, self._refusal())
        return claimed + self._items(lost)

    def _refusal(self) -> EmitResult:
        return EmitResult.FAIL_CANCELLED if self._state is State.CANCELLED else EmitResult.FAIL_TERMINATED

    # ------------------------------------------------------------------ small steps, under the lock

    def _decided(self) -> int:
        """How many items are in: the others have no fate yet."""
        count = len(self._held)
        return count if count < self._room else self._room

    def _accepts(self, signal: Signal) -> bool:
        return (self._state, signal) in _NEXT

    def _reopen(self) -> None:
        """Every decision ends here: set the room, let waiting producers in, tell a waiting consumer, open the gate."""
        self._gate = _CLOSED  # before looking, so that no item slips in unseen behind the look
        if self._state is _ACTIVE:
            self._make_room()
        if self._on_ready is not None and self._is_ready():
            self._effects.append((_call, self._on_ready))
            self._on_ready = None
        is_active = self._state is _ACTIVE
        awaited = is_active and self._on_ready is not None and (self._demand > 0 or self._boundless)
        self._awaited = awaited
        self.direct = awaited and self._demand == UNBOUNDED and not self._held
        if awaited or not is_active or self._suspended or self._ttl_ns is not None:
            return
        self._open_gate()

    def _open_gate(self) -> None:
        # An item behind the room may have been moved there after its thread looked: that thread must not pass.
        if len(self._held) <= self._room:
            self._gate = self._room

    def _make_room(self) -> None:
        count = self._decided()
        room = _NO_LIMIT if self._capacity is None else self._capacity + self._demand
        self._room = room if room < _NO_LIMIT else _NO_LIMIT
        while self._suspended and count < self._room:
            resume, (item, now_ns) = self._suspended.popitem(last=False)
            self._store(item, now_ns, place=count)
            self._after(resume, _OK)
            count += 1

    def _is_ready(self) -> bool:
        """Whether a signal is due: a promised item, or the terminal."""
        if self._decided():
            return self._demand > 0 or self._boundless
        return self._state is State.DRAINING

    def _poll(self) -> T | Empty:
        if not (self._demand or self._boundless) or not self._decided():
            return EMPTY
        self._gate = _CLOSED
        taken = self._take(1)
        self._reopen()
        return taken[0] if taken else EMPTY

    def _take_ready(self, max_items: int) -> list[T]:
        self._gate = _CLOSED
        count = min(max_items, self._decided())
        if count > self._demand:
            self._tell_source(count - self._demand)
        items = self._take(count) if count else []
        if items and self._demand and self._on_request is None:
            self._demand = min(self._demand, self._decided())
        self._reopen()
        return items

    def _take_all(self, max_items: int) -> list[T]:
        """Take all that is held. What `_take_ready` comes to in the common case, without asking everything."""
        self._gate = _CLOSED
        count = len(self._held)
        is_common = (
            count <= max_items
            and count <= self._room
            and self._demand != UNBOUNDED
            and self._state is _ACTIVE
            and self._on_ready is None
            and not self._suspended
            and not self._claimed
        )
        if not is_common:
            return self._take_ready(max_items)
        if count > self._peak_held:
            self._peak_held = count
        popleft = self._held.popleft
        items = [popleft()] if count == 1 else [popleft() for _ in range(count)]
        self._delivered += count
        self._demand = 0
        self._room = _NO_LIMIT if self._capacity is None else self._capacity
        self._open_gate()
        return items

    def _wait_for_one(self, on_ready: Callable[[], object], demand: int) -> bool:
        """Wait where nothing is held. What `wait` comes to in the common case; False, and nothing done, in others."""
        if self._demand or self._state is not _ACTIVE or self._suspended:
            return False
        self._gate = _CLOSED  # before looking, as in `_reopen`
        if self._held:
            return False
        self._demand = demand
        self._room = _NO_LIMIT if self._capacity is None else min(self._capacity + demand, _NO_LIMIT)
        self._on_ready = on_ready
        self._awaited = True
        self.direct = demand == UNBOUNDED
        return True

    def _watch(self, on_ready: Callable[[], object]) -> None:
        if self._accepts(Signal.CANCEL):
            self._on_ready = on_ready
            self._reopen()

    def _poll_terminal(self) -> Terminal | None:
        if self._state is not State.DRAINING or self._room:
            return None
        self._state = _NEXT[self._state, Signal.DRAINED]
        return Terminal(self._error)

    def _take(self, count: int) -> list[T]:
        """Remove the `count` oldest items and count them as delivered. The caller has closed the gate."""
        self._note_peak()
        self._room -= count
        if self._demand != UNBOUNDED:
            self._demand = max(0, self._demand - count)
        popleft = self._held.popleft
        items = self._items([popleft() for _ in range(count)])
        self._delivered += len(items)
        return items

    def _items(self, entries: list[Any]) -> list[T]:
        """Return the items of held entries: of a fold the joined one, with an age limit the one beside its time.

        A Join that fails leaves no item to hand over or to tell `on_drop` of: it is counted as dropped.
        """
        if self._plain:
            return entries
        if self._ttl_ns is not None:
            return [item for item, _ in entries]
        items: list[T] = []
        for entry in entries:
            try:
                items.append(self._unfolded(entry))
            except Exception as error:  # whatever it is, it is the stream's terminal
                self._dropped += 1
                self._fail_with(error)  # at once, so that a terminal behind the item cannot come first
        return items

    def _unfolded(self, entry: Any) -> T:
        if type(entry) is not _Fold:
            return cast("T", entry)
        parts = cast("list[T]", entry.parts)
        return parts[0] if len(parts) == 1 else cast("Join[T]", self._reducer).join(parts)

    def _drop(self, lost: list[T]) -> None:
        if lost:
            self._dropped += len(lost)
            if self._on_drop is not None:
                self._after(self._tell_dropped, lost)

    def _note_peak(self) -> None:
        """Held falls only where this is called, so the peak needs no look at each offer."""
        self._peak_held = max(self._peak_held, self._decided() + len(self._claimed))

    # ------------------------------------------------------------------ callbacks, after the lock

    def _after(self, effect: Callable[[Any], object] | None, argument: object) -> None:
        if effect is not None:
            self._effects.append((effect, argument))

    def _tell_source(self, n: int) -> None:
        """Tell of more demand; a source that has ended is asked for nothing (rule 2.4)."""
        if self._on_request is not None and self._state is _ACTIVE:
            self._effects.append((self._call_source, n))

    def _call_source(self, n: int) -> None:
        try:
            cast("Callable[[int], object]", self._on_request)(n)
        except Exception as error:  # whatever it is, it is the stream's terminal
            self.abort(error)

    def _run_effects(self) -> None:
        while self._effects:
            with self._lock:
                next_one = self._effects[:1]  # none, if another thread was quicker
                del self._effects[:1]
            for effect, argument in next_one:
                effect(argument)

    def _tell_dropped(self, lost: list[T]) -> None:
        for place, item in enumerate(lost):
            try:
                cast("Callable[[T], object]", self._on_drop)(item)
            except Exception as error:  # whatever it is, it is the stream's terminal
                self.abort(error)
            except BaseException:  # it passes through; the others are told of next time
                self._effects.insert(0, (self._tell_dropped, lost[place + 1 :]))
                raise


def _lacks_cause(error: Exception | None) -> TypeGuard[BufferOverflowError]:
    return isinstance(error, BufferOverflowError) and error.__cause__ is None


async def _nowhere_to_wait(item: object) -> EmitResult:
    raise RuntimeError("send cannot wait: nobody has set wait_for_room")


def _call(callback: Callable[[], object]) -> None:
    callback()
