"""What is run through the originals and through ours: one operator, step by step, without any time."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = (
    "FORMS",
    "Form",
    "Library",
    "Schedule",
    "Seen",
    "Step",
    "cancel",
    "complete",
    "emit",
    "error",
    "request",
)

Library = Literal["rxjava", "reactor"]
Signal = Literal["emit", "request", "complete", "error", "cancel", "pass"]


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step: the source emits, completes or fails, or the consumer requests or cancels; or nothing comes to pass.

    Attributes:
        signal: which of these.
        item: what is emitted.
        n: how many are requested.
    """

    signal: Signal
    item: str | None = None
    n: int = 0

    def __str__(self) -> str:
        match self.signal:
            case "emit":
                return f"emit {self.item}"
            case "request":
                return f"request {self.n}"
            case _:
                return self.signal


def emit(*items: str | None) -> tuple[Step, ...]:
    """Emit these items, one per step."""
    return tuple(Step("emit", item=item) for item in items)


def request(n: int) -> tuple[Step, ...]:
    """Request `n` items."""
    return (Step("request", n=n),)


complete: Final = (Step("complete"),)
error: Final = (Step("error"),)
cancel: Final = (Step("cancel"),)


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """One way to build a stream with backpressure in one of the two libraries.

    Attributes:
        library: the original.
        operator: "create", "push" (Reactor), or what stands behind "onBackpressure". "error" is Reactor's operator and
            RxJava's `toFlowable(ERROR)`.
        strategy: of create and push: missing, error, drop, latest or buffer.
        capacity: of the buffer; None: the form without one.
        overflow: of the buffer, by the library's own name: error, drop_oldest, drop_latest; None: the form without it.
        delay_error: RxJava's switch on the forms of the buffer without an overflow strategy.
        callback: what the operator's drop callback does; "none" is the form without one.
    """

    library: Library
    operator: str
    strategy: str | None = None
    capacity: int | None = None
    overflow: str | None = None
    delay_error: bool | None = None
    callback: Literal["none", "tells", "raises"] = "none"

    @property
    def title(self) -> str:
        """The form as its library writes it, more or less."""
        if self.strategy is not None:
            return f"{self.operator}({self.strategy.upper()})"
        arguments = [
            "" if self.capacity is None else str(self.capacity),
            "" if self.delay_error is None else f"delayError={str(self.delay_error).lower()}",
            (self.overflow or "").upper(),
            {"none": "", "tells": "callback", "raises": "callback that raises"}[self.callback],
        ]
        return f"{self.operator}({', '.join(filter(None, arguments))})"


class Schedule(Form, frozen=True, kw_only=True):
    """What happens to a form, step by step; nothing has been requested before the first step.

    Attributes:
        name: unique in the table.
        steps: in their order.
        refill: what the consumer requests from inside each `on_next`; 0: nothing.
        cancel_after: the consumer cancels from inside the `on_next` of this many items; 0: never.
        strict: RxJava: subscribe as a plain Reactive Streams Subscriber, which RxJava wraps so that it keeps the rules.
    """

    name: str
    steps: tuple[Step, ...]
    refill: int = 0
    cancel_after: int = 0
    strict: bool = False

    @staticmethod
    def of(
        form: Form,
        name: str,
        *steps: tuple[Step, ...],
        refill: int = 0,
        cancel_after: int = 0,
        strict: bool = False,
    ) -> Schedule:
        """Put steps to a form; the name tells library and form, too."""
        return Schedule(
            **msgspec.structs.asdict(form),
            name=f"{form.library} {form.title}: {name}",
            steps=sum(steps, ()),
            refill=refill,
            cancel_after=cancel_after,
            strict=strict,
        )


class Seen(msgspec.Struct, frozen=True):
    """What was seen during one step.

    Attributes:
        next: delivered items.
        dropped: lost items that somebody was told of.
        ends: terminal signals: complete, or what failed.
        raised: what the step itself threw.
    """

    next: tuple[str | None, ...] = ()
    dropped: tuple[str | None, ...] = ()
    ends: tuple[str, ...] = ()
    raised: tuple[str, ...] = ()


_CREATE_STRATEGIES: Final = ("missing", "error", "drop", "latest", "buffer")
_OVERFLOWS: Final = ("error", "drop_oldest", "drop_latest")


def _rxjava_forms() -> list[Form]:
    def form(operator: str, **arguments: object) -> Form:
        return msgspec.convert({"library": "rxjava", "operator": operator, **arguments}, Form)

    return [
        *(form("create", strategy=strategy) for strategy in _CREATE_STRATEGIES),
        form("error"),
        *(form("drop", callback=callback) for callback in ("none", "tells")),
        *(form("latest", callback=callback) for callback in ("none", "tells")),
        form("reduce"),
        *(form("buffer", delay_error=delay) for delay in (False, True)),
        *(
            form("buffer", capacity=capacity, delay_error=delay, callback="tells")
            # Not 3 with a delay: RxJava has no other form, an exact one, that it could be compared with.
            for capacity, delay in ((2, False), (2, True), (3, False), (4, True))
        ),
        form("buffer", capacity=2, delay_error=False),
        *(form("buffer", capacity=2, overflow=overflow, callback="tells") for overflow in _OVERFLOWS),
        *(form("buffer", capacity=3, overflow=overflow) for overflow in _OVERFLOWS),
    ]


def _reactor_forms() -> list[Form]:
    def form(operator: str, **arguments: object) -> Form:
        return msgspec.convert({"library": "reactor", "operator": operator, **arguments}, Form)

    return [
        *(form("create", strategy=strategy) for strategy in _CREATE_STRATEGIES),
        *(form("push", strategy=strategy) for strategy in _CREATE_STRATEGIES),
        form("error"),
        *(form("drop", callback=callback) for callback in ("none", "tells")),
        form("latest"),
        form("buffer"),
        *(form("buffer", capacity=3, callback=callback) for callback in ("none", "tells")),
        *(
            form("buffer", capacity=2, overflow=overflow, callback=callback)
            for overflow in _OVERFLOWS
            for callback in ("none", "tells")
        ),
    ]


FORMS: Final = (*_rxjava_forms(), *_reactor_forms())
"""Every form of the two libraries that has a counterpart here and needs no time."""
