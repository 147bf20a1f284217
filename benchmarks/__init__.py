"""Measurements that set the three variants of `streams` side by side, each served over real sockets.

    __main__.py   `python -m benchmarks run | url | compare`
    scenarios/    what is measured, as frozen data
    load/         the client: real readers on real sockets, in a process of its own
    traces/       from the bytes of a stream to the tokens in it
    measures/     from tokens to figures, each with its formula
    running/      one run from its scenarios to its results
    results.py    the results file
    summary/      tables and answers in words        report/   the same as one HTML file
    compare/      two results files                  url/      any endpoint that is not ours
    processes.py  servers as processes               environment.py  on what was measured
    peers/        other stacks that stream the same  served/   the server's goals beside them
    claims/       popular statements, put to the test    teaching/  what the notebooks share
    micro/        pytest-benchmark suites of the parts

Data goes one way: scenarios -> load -> traces -> measures -> results -> summary, report, compare.
"""

from __future__ import annotations

__all__ = ()
