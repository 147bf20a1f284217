"""The claim that Flowable has more backpressure strategies than Flux.

"More" is taken at its word: whatever the one can do the other can do, too, and something besides. That is looked at
where it is chosen: among the strategies of `create`, and among the operators onBackpressure... Two strategies are the
same if a slow consumer sees the same, step by step, of the same schedules; names do not count, since DROP_LATEST means
opposite things in the two libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.claims.claim import Claim, Evidence, Figure, Verdict
from benchmarks.claims.tools import JAVA, demand
from benchmarks.peers.semantics.originals import Originals, originals
from benchmarks.peers.semantics.schedules import FORMS, Form, Library, Schedule, Step, complete, emit, request
from streams import UNBOUNDED

__all__ = ("CLAIM", "Offered", "judge", "measure")

_AGES_OUT: Final = "buffer with a time to live"
_CAPACITY: Final = 2
_ITEMS: Final = emit("1", "2", "3", "4", "5", "6")
_SLOW: Final = request(1) + _ITEMS + request(1) + complete + request(UNBOUNDED)
_SCHEDULES: Final[Mapping[str, tuple[Step, ...]]] = {
    "a slow consumer": _SLOW,
    "one that begins late": _ITEMS + complete + request(1) + request(UNBOUNDED),
}

_Step = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Offered:
    """What the two libraries offer: behaviour -> how each writes it. A behaviour is a key, equal for equal ones.

    Attributes:
        rx_created: of Flowable.create.
        flux_created: of Flux.create.
        rx_operators: of Flowable's operators.
        flux_operators: of Flux's.
    """

    rx_created: Mapping[str, str]
    flux_created: Mapping[str, str]
    rx_operators: Mapping[str, str]
    flux_operators: Mapping[str, str]


def judge(offered: Offered) -> Evidence:
    """Refuted unless Flowable can do all that Flux can and more, in one place at least."""
    created = _has_more(offered.rx_created, offered.flux_created)
    operators = _has_more(offered.rx_operators, offered.flux_operators)
    falls_behind = _only(offered.flux_created, offered.rx_created) or _only(
        offered.flux_operators, offered.rx_operators
    )
    verdict, condition = Verdict.REFUTED, ""
    if created and operators:
        verdict = Verdict.HOLDS
    elif (created or operators) and not falls_behind:
        verdict = Verdict.CONDITIONAL
        condition = "of create" if created else "of the operators alone, not of create"
    return Evidence(verdict, _figures(offered), _sentences(offered), condition)


def _has_more(rx: Mapping[str, str], flux: Mapping[str, str]) -> bool:
    return set(rx) > set(flux)


def _only(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return sorted(name for behaviour, name in one.items() if behaviour not in other)


def _figures(offered: Offered) -> tuple[Figure, ...]:
    rows = (
        ("RxJava", offered.rx_created, offered.rx_operators, offered.flux_created, offered.flux_operators),
        ("Reactor", offered.flux_created, offered.flux_operators, offered.rx_created, offered.rx_operators),
    )
    figures: list[Figure] = []
    for library, created, operators, others_created, others_operators in rows:
        figures += [
            Figure("strategies of create that differ", len(created), of=library),
            Figure("of these only here", len(_only(created, others_created)), of=library),
            Figure("operators that behave differently", len(operators), of=library),
            Figure("of these only here", len(_only(operators, others_operators)), of=library),
        ]
    return tuple(figures)


def _sentences(offered: Offered) -> tuple[str, ...]:
    rx, flux = len(offered.rx_created), len(offered.flux_created)
    same = len(offered.rx_created.keys() & offered.flux_created.keys())
    both = len(offered.rx_operators.keys() & offered.flux_operators.keys())
    return (
        f"Flowable.create takes {rx} strategies that differ and Flux.create {flux}; {same} behave the same in both.",
        f"Among the operators {both} behaviours are in both, {len(offered.rx_operators)} in Flowable and "
        f"{len(offered.flux_operators)} in Flux.",
        f"Only Flowable has: {_listed(_only(offered.rx_operators, offered.flux_operators))}.",
        f"Only Flux has: {_listed(_only(offered.flux_operators, offered.rx_operators))}.",
    )


def _listed(names: list[str]) -> str:
    return "; ".join(names) or "nothing"


# --- The experiment ----------------------------------------------------------------------------------------------


def measure() -> Offered:
    """Put the same schedules to every form of both libraries, in Java.

    Raises:
        RuntimeError: java or mvn is missing, or something failed.
    """
    found = demand()
    with originals() as running:
        return Offered(
            rx_created=_behaviours(_created("rxjava", found.strategies["RxJava"]), running),
            flux_created=_behaviours(_created("reactor", found.strategies["Reactor"]), running),
            rx_operators=_behaviours(_operators("rxjava"), running) | _timed(found.operators["RxJava"]),
            flux_operators=_behaviours(_operators("reactor"), running) | _timed(found.operators["Reactor"]),
        )


def _timed(signatures: list[str]) -> dict[str, str]:
    """Return the behaviour that needs time, which schedules do not have, if an operator is given one."""
    takes_time = any(word in signature for signature in signatures for word in ("Duration", "TimeUnit"))
    return {_AGES_OUT: _AGES_OUT} if takes_time else {}


def _created(library: Library, constants: list[str]) -> list[Form]:
    names = ("missing" if constant == "IGNORE" else constant.lower() for constant in constants)
    return [Form(library=library, operator="create", strategy=name) for name in names]


def _operators(library: Library) -> list[Form]:
    """Return the forms of the library's operators: its buffers without a bound, or all of the same capacity."""
    kept = [form for form in FORMS if form.library == library and form.strategy is None]
    # RxJava's operator of this name is called toFlowable, and is there for other types.
    kept = [form for form in kept if form.operator != "error" or library == "reactor"]
    forms = [form for form in kept if form.capacity in (None, _CAPACITY)]
    if library == "reactor":
        forms.append(Form(library=library, operator="buffer", capacity=_CAPACITY))
    return forms


def _behaviours(forms: list[Form], running: Originals) -> dict[str, str]:
    """Return what each form shows its consumer -> its shortest title, and what a slow consumer gets of 1 to 6."""
    found: dict[str, str] = {}
    for form in forms:
        seen = [_shown(form, name, steps, running) for name, steps in _SCHEDULES.items()]
        delivered = " ".join(_told(*each) for each in zip(_SLOW, seen[0], strict=True) if any(each[1]))
        title = f"{form.title.replace(', callback', '').replace('(callback)', '()')}, which brings {delivered}"
        found[repr(seen)] = min(found.get(repr(seen), title), title, key=len)
    return found


def _told(step: Step, came: _Step) -> str:
    """Say what came in one step; of an end that an item caused, at which: some overflow sooner than others."""
    items, ends = came
    return " ".join((*items, *(f"{end} at {step.item}" if step.item else end for end in ends)))


def _shown(form: Form, name: str, steps: tuple[Step, ...], running: Originals) -> list[_Step]:
    seen = running.run(Schedule.of(form, name, steps))
    return [(tuple(map(str, step.next)), tuple(end.partition(",")[0] for end in step.ends)) for step in seen]


CLAIM: Final = Claim(
    name="strategies",
    statement="Flowable has more backpressure strategies than Flux",
    said_by="comparisons of RxJava with Reactor",
    decided_by=(
        "The strategies of create and every form of the operators onBackpressure..., in the real libraries, get the "
        "same schedules of items, demand and ends; those that show a slow consumer the same are one. It is refuted "
        "unless Flowable can do all that Flux can, and more."
    ),
    limits=(
        "Schedules have no time, so a buffer with a time to live is counted by its signature. How a failure of the "
        "source meets what is held is not looked at; callbacks do not count."
    ),
    experiment=lambda: judge(measure()),
    needs=JAVA,
)
