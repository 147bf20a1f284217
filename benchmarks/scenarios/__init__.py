"""What is measured, as frozen data that no measurement changes.

    cells.py     Cell: one stream, one reader, one transport; Scenario: cells that answer one question
    readers.py   how a client reads: fast, paced, in bursts, stalled, leaving
    presets.py   the scenarios of `python -m benchmarks run PRESET`
    schedule.py  which cells share the machine, and in which order all is repeated

Names of scenarios and cells are keys of a results file: two runs are compared by them.
"""

from __future__ import annotations

__all__ = ()
