"""The server beside its peers over real sockets: the goals that say "so many times as fast as ...", measured.

    contenders.py  who takes part, and how to ask each for a stream
    client.py      reads streams lightly: stamps and counts on arrival, parses afterwards
    firehose.py  paced.py  memory.py  stalled.py  delay.py    one case each
    report.py      results as a table and as JSON

The other servers are in `benchmarks.peers`, which also runs three of these cases over all of them.

`python -m benchmarks.served firehose|paced|memory|stalled|delay|all`
"""

from __future__ import annotations

__all__ = ()
