"""The colours and fonts of a diagram, for light and dark ground.

A drawing follows the system's choice (prefers-color-scheme) on its own. Inside a page it follows the page: `data-theme`
"light" or "dark" on it or on anything around it, the marks that JupyterLab and VS Code put on theirs, or any of the
custom properties --marbles-ink, -muted, -rule, -paper, -passed, -merged, -lost and -held, set by the page. Paper is
also what is written on marbles; a page that wants to see through the drawing sets --marbles-ground to transparent.

What happens to an item has a colour and a shape of its own, so that no one needs the colour: passed is full and round,
merged is wide, lost is hollow and crossed out, rejected is hollow and dashed.
"""

from __future__ import annotations

from typing import Final

__all__ = ("STYLE", "THEMES")

THEMES: Final = ("auto", "light", "dark")

_LIGHT: Final = {
    "ink": "#1d1f1e",
    "muted": "#5f6465",
    "rule": "#e6e2d9",
    "paper": "#fffefb",
    "passed": "#23605d",
    "merged": "#5a54c4",
    "lost": "#c23a1e",
    "held": "#e0a32e",
}
_DARK: Final = {
    "ink": "#e8e6e1",
    "muted": "#a3a9a9",
    "rule": "#2b3132",
    "paper": "#1a1e1f",
    "passed": "#58b5ac",
    "merged": "#a9a2ff",
    "lost": "#ff8266",
    "held": "#e9b450",
}
_ROOT: Final = ".marble-diagram"


def _within(*marks: str) -> str:
    return ",".join(f"{mark} {_ROOT}" for mark in marks)


def _rule(selector: str, colours: dict[str, str]) -> str:
    values = ";".join(f"--md-{name}:var(--marbles-{name},{colour})" for name, colour in colours.items())
    return f"{selector}{{{values}}}"


STYLE: Final = "\n".join(
    [
        "",
        _rule(_ROOT, _LIGHT),
        f"@media (prefers-color-scheme:dark){{{_rule(_ROOT, _DARK)}}}",
        _rule(_within("[data-theme=light]", "[data-jp-theme-light=true]", ".vscode-light"), _LIGHT),
        _rule(_within("[data-theme=dark]", "[data-jp-theme-light=false]", ".vscode-dark"), _DARK),
        _rule(f"{_ROOT}[data-theme=light]", _LIGHT),  # behind the page's: what the drawing says of itself wins
        _rule(f"{_ROOT}[data-theme=dark]", _DARK),
        f"{_ROOT}{{color:var(--md-ink);max-width:100%;height:auto;"
        'font-family:ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC",'
        "sans-serif}",
        f"{_ROOT} text{{fill:currentColor;stroke:none;font-variant-numeric:tabular-nums}}",
        ".md-ground{fill:var(--marbles-ground,var(--md-paper))}",
        ".md-grid{stroke:var(--md-rule);stroke-width:1}",
        f"{_ROOT} .md-small{{fill:var(--md-muted)}}",
        f"{_ROOT} .md-beside{{stroke:var(--md-paper);stroke-width:3;stroke-linejoin:round;paint-order:stroke}}",
        ".md-line{stroke:currentColor;stroke-width:1.25;fill:none;opacity:.75}",
        ".md-wait{stroke:var(--md-held);stroke-width:3.5;stroke-dasharray:1.5 4;stroke-linecap:round}",
        ".md-waiting{fill:var(--md-paper);stroke:var(--md-held);stroke-width:1.75}",
        ".md-way{fill:none;stroke:var(--md-passed);stroke-width:1.1;opacity:.5}",
        ".md-way.md-merged{stroke:var(--md-merged)}",
        ".md-way.md-lost{stroke:var(--md-lost);stroke-dasharray:3 2.5;opacity:.75}",
        ".md-mark.md-passed{fill:var(--md-passed)}",
        ".md-mark.md-merged{fill:var(--md-merged)}",
        ".md-mark.md-passed.md-about{fill:color-mix(in srgb,var(--md-passed) 16%,var(--md-paper));"
        "stroke:var(--md-passed);stroke-width:1.2}",
        ".md-mark.md-dropped{fill:var(--md-paper);stroke:var(--md-lost);stroke-width:1.6}",
        ".md-mark.md-rejected{fill:var(--md-paper);stroke:var(--md-muted);stroke-width:1.6;stroke-dasharray:3 2.2}",
        f"{_ROOT} .md-on{{fill:var(--md-paper);text-anchor:middle;font-weight:600}}",
        f"{_ROOT} .md-on.md-passed.md-about{{fill:var(--md-passed)}}",
        f"{_ROOT} .md-on.md-dropped{{fill:var(--md-lost)}}{_ROOT} .md-on.md-rejected{{fill:var(--md-muted)}}",
        ".md-cross{stroke:var(--md-lost);stroke-width:1.8;stroke-linecap:round;fill:none}",
        ".md-halo{stroke:var(--md-paper);stroke-width:4.5;stroke-linecap:round;fill:none}",
        ".md-held{fill:var(--md-held);fill-opacity:.34}",
        ".md-edge{fill:none;stroke:var(--md-held);stroke-width:1.5}",
        ".md-capacity{stroke:var(--md-muted);stroke-width:1;stroke-dasharray:5 3}",
        ".md-tick{stroke:var(--md-muted);stroke-width:1.5}.md-tick.md-crowded{stroke-width:.75;opacity:.5}",
        ".md-bar{stroke:currentColor;stroke-width:2.75;stroke-linecap:round;fill:none}",
        ".md-bar.md-failed{stroke:var(--md-lost)}",
        ".md-bar.md-cancelled{stroke:var(--md-muted);stroke-dasharray:4 4}",
        "",
    ]
)
