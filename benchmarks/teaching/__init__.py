"""What the lessons in `notebooks` stand on, so that their cells stay short.

checks.py     an answer is compared with the truth, an observation is asserted
display.py    marble diagrams and tables in a notebook, and as text where there is no picture
plots.py      plots that look alike
serving.py    our server on a free port, in the notebook's own process or beside it
player.py     the marble player: scrub through a trace, change the strategy and the reader (player.js draws nothing)
lesson_NN.py  what only that lesson needs
"""

from __future__ import annotations

__all__ = ()
