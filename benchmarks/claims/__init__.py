"""Popular statements about streams and backpressure, each put to an experiment that decides it.

    claim       what a claim is, and what an experiment brings back: figures, a verdict, sentences
    tools       what has to be installed, and the real Java libraries
    strategies, default_buffer, transports, framing, threads, slowing, reconnecting     one claim each
    registry    all of them
    showing     as a table and as JSON        page      as one HTML file
    java/       small programs on the real RxJava, Reactor and Spring

`python -m benchmarks.claims` checks them. In each claim's module `measure` gets the figures and `judge`, which does
nothing else, turns them into the verdict: what would refute a claim is written there and tested.
"""

from __future__ import annotations

__all__ = ()
