"""The marble player: scrub through what happened, and change the strategy, its capacity and the reader's speed.

    MarblePlayer()                     a simulation with controls; anything changed is simulated anew at once
    MarblePlayer(strategy="drop")      the same, beginning with other settings
    MarblePlayer.of(trace_or_diagram)  what is given, to scrub through

The kernel simulates (`servers.marbles`, on the core of `streams`) and draws (`streams.marbles`). `player.js` shows the
drawing that it is sent, moves a veil over what has not happened yet, and sends back what the controls say. It works in
JupyterLab and VS Code and needs no network; elsewhere there is the drawing alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from benchmarks.teaching.display import drawing_of
from servers.marbles import MARBLE_PARAMETERS, MOST_TOKENS, diagram, parse_marbles
from servers.parameters import OVERFLOWS, STRATEGIES, ParameterError
from streams.arguments import shown
from streams.marbles import Diagram, MarbleKind, describe, diagram_of, svg
from streams.marbles.layout import Layout
from streams.reactive import UNBOUNDED
from streams.traces import Trace

__all__ = ("MarblePlayer", "moments")

_traits: Final[Any] = traitlets  # partly without types
_FOLDER: Final = Path(__file__).parent
_WIDTH: Final = 760
_DEFAULTS: Final = {
    "strategy": "drop",
    "capacity": "4",
    "overflow": "drop_oldest",
    "max_merged": "8",
    "rate": "20",
    "reader_rate": "8",
    "count": "16",
}
_DETAILS: Final = {"buffer": ("capacity", "overflow"), "suspend": ("capacity",), "reduce": ("max_merged",)}
_ALWAYS: Final = ("strategy", "rate", "reader_rate", "count")
_LABELS: Final = {
    "strategy": "Strategy · 策略",
    "capacity": "Capacity · 容量",
    "overflow": "When full · 满了以后",
    "max_merged": "Merged at most · 最多合并",
    "rate": "Source, tokens/s · 源",
    "reader_rate": "Reader, tokens/s · 读者",
    "count": "Tokens · 词元数",
}
_WORDS: Final = {
    MarbleKind.MERGED: "merged · 合并",
    MarbleKind.DROPPED: "lost · 丢失",
    MarbleKind.REJECTED: "rejected · 拒绝",
}
_VERBS: Final = {"emitted": "emitted · 发出", "delivered": "delivered · 送达", "received": "received · 收到"}


def moments(drawn: Diagram, width: int = _WIDTH) -> list[dict[str, Any]]:
    """Return the instants at which something happened, in order, the last one being the end.

    Each has `ms`, the time; `x`, where it is in the drawing, as a fraction of its width; `words`, what happened.
    """
    layout = Layout(drawn, width)
    times = sorted({0.0, drawn.span_ms, *(ms for lane in drawn.lanes for ms in lane.instants_ms())})
    return [{"ms": ms, "x": layout.x(ms) / width, "words": _words(drawn, ms)} for ms in times]


def _words(drawn: Diagram, ms: float) -> str:
    parts: list[str] = []
    for lane in drawn.lanes:
        happened: dict[str, list[str]] = {}
        for marble in lane.marbles:
            if marble.at_ms == ms:
                is_here = marble.kind is MarbleKind.PASSED or lane is drawn.lanes[-1]
                verb = _VERBS.get(lane.verb, lane.verb) if is_here else _WORDS[marble.kind]
                happened.setdefault(verb, []).append(marble.label)
        parts += [f"{verb} {', '.join(labels)}" for verb, labels in happened.items()]
        parts += [f"demand · 需求 {_signed(tick.n)}" for tick in lane.ticks if tick.at_ms == ms]
        parts += [f"{lane.name} {bar}" for bar in lane.bars if bar.at_ms == ms]
        if lane.held is not None:
            held = [count for at_ms, count in lane.held.steps() if at_ms <= ms]
            parts += [f"held · 暂存 {held[-1]:g}"] if held else []
    return "; ".join(parts)


def _signed(demand: int) -> str:
    return "+∞" if demand >= UNBOUNDED else f"{demand:+}"


class MarblePlayer(anywidget.AnyWidget):
    """A widget that plays a marble diagram.

    Attributes:
        settings: what the controls say: the parameters of GET /v1/marbles by name, as text.
        shown: what is to be seen: the drawing, its moments, and the error of settings that are none; set here only.
        controls: the controls, in order: name, label, and what may be chosen; none for a player of what is given.
    """

    _esm = _FOLDER / "player.js"
    _css = _FOLDER / "player.css"

    settings: Any = _traits.Dict().tag(sync=True)
    shown: Any = _traits.Dict().tag(sync=True)
    controls: Any = _traits.List().tag(sync=True)

    def __init__(self, **settings: object) -> None:
        """Begin with these settings instead of the usual ones.

        Raises:
            TypeError: there is no such setting.
            ParameterError: a value that is not accepted.
        """
        unknown = sorted(settings.keys() - _DEFAULTS.keys())
        if unknown:
            raise TypeError(f"settings must be of {', '.join(_DEFAULTS)}; got {', '.join(unknown)}")
        chosen = {**_DEFAULTS, **{name: str(value) for name, value in settings.items()}}
        self._drawn = _simulated(chosen)
        super().__init__(settings=chosen, shown=_view(self._drawn), controls=_controls())
        self.observe(self._change, "settings")

    @classmethod
    def of(cls, drawn: Trace | Diagram) -> MarblePlayer:
        """Return a player of what is given, without controls.

        Raises:
            TypeError: it is neither a trace nor a diagram.
        """
        if not isinstance(drawn, Trace | Diagram):
            raise TypeError(f"drawn must be a Trace or a Diagram; got {shown(drawn)}")
        player = cls()
        player.controls = []
        player._drawn = diagram_of(drawn) if isinstance(drawn, Trace) else drawn
        player.shown = _view(player._drawn)
        return player

    def _change(self, change: Any) -> None:
        if not self.controls:
            return
        try:
            self._drawn = _simulated(change["new"])
        except ParameterError as error:
            self.shown = {**self.shown, "error": str(error)}
        else:
            self.shown = _view(self._drawn)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Return the widget, and the drawing for where there are no widgets."""
        inherited: Any = super()
        bundle, metadata = inherited._repr_mimebundle_(**kwargs)
        return {**bundle, **drawing_of([("", self._drawn)], columns=1, width=_WIDTH)}, metadata


def _simulated(settings: Mapping[str, object]) -> Diagram:
    said = {name: str(value) for name, value in settings.items()}
    names = (*_ALWAYS, *_DETAILS.get(said.get("strategy", ""), ()))
    return diagram(parse_marbles((name, said[name]) for name in names if name in said))


def _view(drawn: Diagram) -> dict[str, Any]:
    drawing = svg(drawn, width=_WIDTH, prefix="player")
    return {"svg": drawing, "moments": moments(drawn), "words": describe(drawn), "error": ""}


def _controls() -> list[dict[str, Any]]:
    choices = {"strategy": STRATEGIES, "overflow": OVERFLOWS}
    limits = {"capacity": (0, 64), "max_merged": (1, 64), "rate": (0, 100), "reader_rate": (0, 50), "count": (0, 60)}
    assert limits["count"][1] <= MOST_TOKENS
    described = {row.name: row.description for row in MARBLE_PARAMETERS}
    return [
        {
            "name": name,
            "label": label,
            "title": described[name],
            "choices": list(choices.get(name, ())),
            "limits": list(limits.get(name, ())),
            "for": [strategy for strategy, details in _DETAILS.items() if name in details],
        }
        for name, label in _LABELS.items()
    ]
