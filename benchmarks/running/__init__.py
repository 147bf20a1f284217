"""One run: servers and load client as processes, step by step, to results.

    run.py        the whole run, what becomes of errors, and how it ends early
    measuring.py  one step: some servers that have just been started, read by the load client
    digest.py     captures and the server's log -> one repeat of a cell

Each cell has a server process of its own, so that CPU time and memory are the cell's.
"""

from __future__ import annotations

__all__ = ()
