"""The section of timelines: one recorded stream per strategy, of those in which most is to be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.report import marbles
from benchmarks.report.colours import Look
from benchmarks.report.columns import numbers, shown
from benchmarks.report.document import folded, section
from benchmarks.report.markup import Markup, tag
from benchmarks.results import CellResult, Timeline
from streams.marbles import describe

__all__ = ("timelines",)

_TITLE: Final = "One stream per strategy, token by token"
_NOTE: Final = (
    "A piece of one recorded stream per strategy; what came behind its last token is not drawn, but for the end. "
    "Time runs to the right, at the same scale for those with the same reader. A line leads from when a token left "
    "the source to when the reader had it. A full marble is a token; a wide one stands for several, merged into "
    "one event; a hollow one, crossed out, was lost. A pale one left the source at a time that was not recorded, "
    "and is placed by those beside it. How many were held is what the server counted now and then."
)

# A reader that the strategies show themselves to comes first.
_TELLING: Final = ("paced", "bursty", "stalled", "leaving", "fast")
_HELD_BACK_MS: Final = 25.0  # more than a busy machine makes of a source that does not wait


@dataclass(frozen=True, slots=True)
class _Recorded:
    cell: CellResult
    timeline: Timeline

    @property
    def kind(self) -> tuple[str, str]:
        """What those share that are drawn at one scale."""
        return self.cell.scenario, self.cell.reader

    @property
    def late_ms(self) -> float:
        """By how much the source fell behind its schedule within the piece, at most."""
        rows = [numbers(row, 4) for row in self.timeline.tokens]
        late = [emitted - due for _, _, due, emitted in rows if due is not None and emitted is not None]
        return max(late) - late[0] if late else 0.0

    def shows_something(self, span: float | None = None) -> bool:
        """Whether the strategy is seen at work: it loses, merges or holds back, or an error ends the stream.

        Args:
            span: what is drawn, in ms; None: no more than there is.
        """
        merged = any((numbers(row, 2)[1] or 1) > 1 for row in self.timeline.tokens)
        acts = bool(self.timeline.missing) or merged or self.late_ms >= _HELD_BACK_MS
        return acts or marbles.shows_failure(self.timeline, span or marbles.span_ms(self.timeline))


def timelines(cells: Sequence[CellResult], looks: Mapping[str, Look]) -> Markup:
    """Return a diagram per strategy: of the scenario that shows most of them, and in a fold of others for the rest."""
    chosen = _one_per_strategy(cells)
    if not chosen:
        words = "No stream was recorded token by token, so there is no timeline to draw."
        return section("timelines", _TITLE, tag("p", words, class_="absent"))
    spans: dict[tuple[str, str], float] = {}
    for each in chosen:
        spans[each.kind] = max(spans.get(each.kind, 0.0), marbles.span_ms(each.timeline))
    drawn = [_figure(index, each, looks, spans[each.kind]) for index, each in enumerate(chosen)]
    first = [figure for figure, each in zip(drawn, chosen, strict=True) if each.kind == chosen[0].kind]
    rest = [figure for figure, each in zip(drawn, chosen, strict=True) if each.kind != chosen[0].kind]
    more = folded(f"Strategies that other scenarios have ({len(rest)})", _panels(rest)) if rest else None
    return section("timelines", _TITLE, tag("p", _NOTE, class_="note"), _panels(first), more)


def _panels(figures: Sequence[Markup]) -> Markup:
    return tag("div", *figures, class_="panels timelines")


def _figure(index: int, recorded: _Recorded, looks: Mapping[str, Look], span: float) -> Markup:
    cell = recorded.cell
    name = f"{cell.variant} {cell.strategy}, reader {cell.reader}"
    diagram = marbles.diagram(cell, recorded.timeline, span)
    head = tag("figcaption", tag("b", cell.strategy), tag("span", f"{cell.variant}, {cell.reader}, {cell.scenario}"))
    story = tag("p", f"{describe(diagram)} {_seen(recorded, span)}".rstrip(), class_="note")
    drawn = marbles.drawn(diagram, name=name, key=f"timeline-{index}")
    box = tag("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=f"Timeline of {name}")
    return tag("figure", head, story, box, class_=f"timeline {looks[cell.strategy].css}")


def _seen(recorded: _Recorded, span: float) -> str:
    """Say what marbles do not show: how far the source was held back, or that the strategy had nothing to do yet."""
    if recorded.late_ms >= _HELD_BACK_MS:
        return f"The source fell {shown(recorded.late_ms)} ms behind its schedule."
    return "" if recorded.shows_something(span) else "In this piece the strategy has nothing to do: all goes through."


def _one_per_strategy(cells: Sequence[CellResult]) -> list[_Recorded]:
    """Return the most telling stream of each strategy, those of the most telling reader first."""
    recorded = [each for cell in cells if (each := _recorded(cell)) is not None]
    counts: dict[tuple[str, str], set[str]] = {}
    for each in recorded:
        counts.setdefault(each.kind, set()).add(each.cell.strategy)

    def rank(each: _Recorded) -> tuple[int, int]:
        reader = each.cell.reader.partition(":")[0]
        telling = _TELLING.index(reader) if reader in _TELLING else len(_TELLING)
        return telling, -len(counts[each.kind])

    ranked = sorted(recorded, key=rank)
    chosen: dict[str, _Recorded] = {}
    for each in sorted(ranked, key=lambda each: not each.shows_something()):
        chosen.setdefault(each.cell.strategy, each)
    return sorted(chosen.values(), key=ranked.index)


def _recorded(cell: CellResult) -> _Recorded | None:
    """Return the first repeat's timeline in which something is seen, or the first at all."""
    drawable = [
        _Recorded(cell, repeat.timeline)
        for repeat in cell.repeats
        if repeat.timeline is not None and marbles.span_ms(repeat.timeline) > 0
    ]
    return next((each for each in drawable if each.shows_something()), drawable[0] if drawable else None)
