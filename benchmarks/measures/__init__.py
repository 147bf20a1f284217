"""From traces to figures: pure functions, each with its formula.

    formulas.py         MEASURES: name, formula, unit and better direction of each measure
    computing.py        traces -> all measures of a cell
    latencies.py        the times of one stream            indexes.py   its order and its losses
    histograms.py       distributions as HdrHistograms     goodput.py   what holds a stated objective
    accounting.py       whether every token is accounted for, on the server and between server and client
    timelines.py        one stream for a marble diagram, and its freshness over time
    views.py            one stream in the field's letters, for
    definitions.py      the same trace as guidellm, vLLM and AIPerf define it, and
    run_definitions.py  what they say of a whole run

What cannot be computed is None, never NaN and never 0.
"""

from __future__ import annotations

__all__ = ()
