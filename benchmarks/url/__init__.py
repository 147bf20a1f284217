"""`python -m benchmarks url`: the same measures for any endpoint that streams.

    request.py      what is asked for, checked before any work
    endpoint.py     asked, measured, and told in words
    recording.py    what came, as a file that `source=recording:FILE&pacing=recorded` plays again
    credentials.py  keys go into requests and never into a file
    interruption.py what Ctrl-C does meanwhile

It asks over real sockets with the client of `load`, and gives the results of a run.
"""

from __future__ import annotations

__all__ = ()
