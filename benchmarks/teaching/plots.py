"""Plots that look alike: dark ink on light paper, which is readable on a dark page too, and colours for every eye.

    axes = plot("Time to the first token", "clients", "ms")
    axes.plot(...)
    finish(axes, "What the plot shows, in words.")

Series take the palette of Okabe and Ito in its order; COLOURS has those of the marble diagrams. A finished plot is a
PNG of the same bytes whenever the same versions draw the same figures. Axes are `matplotlib.axes.Axes`; they are Any
here because matplotlib's own types leave half of its arguments unknown.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

from benchmarks.teaching.display import show

__all__ = ("COLOURS", "PALETTE", "finish", "plot", "plots")

PALETTE: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8a6d00", "#1d1f1e")
"""Colours that differ for colour-blind readers too, and in brightness; the order is the one to take them in."""

COLOURS: Final = {"passed": "#23605d", "merged": "#5a54c4", "lost": "#c23a1e", "held": "#e0a32e"}
"""What happens to a token: as in the marble diagrams on light ground."""

_mpl: Final[Any] = mpl
_INK: Final = "#1d1f1e"
_MUTED: Final = "#5f6465"
_RULE: Final = "#e6e2d9"
_PAPER: Final = "#fffefb"
_STYLE: Final[Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": _MUTED,
    "axes.facecolor": _PAPER,
    "axes.grid": True,
    "axes.labelcolor": _MUTED,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.facecolor": _PAPER,
    "font.family": "DejaVu Sans",  # ships with matplotlib
    "font.size": 9.5,
    "grid.color": _RULE,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
}
_WIDTH_INCHES: Final = 7.6
_DOTS_PER_INCH: Final = 100


def plot(title: str, x: str, y: str, *, height: float = 3.0) -> Any:
    """Return empty axes with their names; `height` is in inches, the width is the same for all."""
    (axes,) = plots([title], x, y, height=height)
    return axes


def plots(titles: Sequence[str], x: str, y: str, *, height: float = 3.0) -> list[Any]:
    """Return empty axes side by side, one for each title, with the same scale of y.

    Raises:
        ValueError: there is no title.
    """
    if not titles:
        raise ValueError("titles must hold at least one; got none")
    with _mpl.rc_context(_STYLE):
        figure: Any = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DOTS_PER_INCH, layout="constrained")
        row: list[Any] = list(figure.subplots(1, len(titles), sharey=True, squeeze=False)[0])
        for axes, title in zip(row, titles, strict=True):
            axes.set_title(title)
            axes.set_xlabel(x)
        row[0].set_ylabel(y)
    return row


def finish(axes: Any, description: str) -> None:
    """Display the figure that `axes` belongs to, with a legend where series have names.

    Args:
        axes: any of the figure's.
        description: what it shows, for those who do not see it.
    """
    figure = axes.get_figure(root=True)
    with _mpl.rc_context(_STYLE):
        for each in figure.axes:
            if each.get_legend() is None and each.get_legend_handles_labels()[1]:
                each.legend()
        picture = BytesIO()
        figure.savefig(picture, format="png", metadata={"Software": None})
    words = b64encode(picture.getvalue()).decode()
    show({"image/png": words, "text/plain": description}, {"image/png": {"alt": description}})
