"""Prints how each form of RxJava and Reactor compares with ours, and why it differs where it is meant to.

`--each` prints every schedule with its verdict. The exit code is 1 if one is different, 2 if none could be run.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from benchmarks.peers.semantics.judging import Judged, Verdict, compare
from benchmarks.peers.semantics.originals import originals
from benchmarks.peers.semantics.rules import RULES
from benchmarks.peers.semantics.schedules import FORMS
from benchmarks.peers.semantics.table import schedules
from benchmarks.printing import as_far_as_it_is_read

__all__ = ("main", "report")


def report(judged: Sequence[Judged]) -> str:
    """Return the table of forms, the deliberate differences with their reasons, and what is different, in full."""
    by_form = Counter((one.schedule.library, one.schedule.title, one.verdict) for one in judged)
    rows = [f"{'library':8} {'form':50} {'equal':>6} {'on purpose':>11} {'different':>10}"]
    for library, title in sorted({(one.schedule.library, one.schedule.title) for one in judged}):
        equal, on_purpose, different = (by_form[library, title, verdict] for verdict in Verdict)
        rows.append(f"{library:8} {title:50} {equal:6} {on_purpose:11} {different:10}")
    total = Counter(one.verdict for one in judged)
    rows.append(f"{len(judged)} schedules: " + ", ".join(f"{total[verdict]} {verdict.value}" for verdict in Verdict))
    rows.append("Reactor's push is held against our Flux.create, as there is no push of our own.")
    applied = Counter(rule.name for one in judged for rule in one.rules)
    rows += ["", "On purpose:"]
    rows += [f"  {rule.name} ({applied[rule.name]} schedules). {rule.reason}" for rule in RULES]
    rows += [f"\n{one}" for one in judged if one.verdict is Verdict.DIFFERENT]
    return "\n".join(rows)


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.semantics", description=__doc__)
    parser.add_argument("--each", action="store_true", help="print every schedule, step by step")
    arguments = parser.parse_args()
    try:
        with originals() as running:
            judged = compare(schedules(), running)
    except (RuntimeError, OSError) as error:
        print(f"no comparison: {error}", file=sys.stderr)
        return 2
    with as_far_as_it_is_read():
        if arguments.each:
            print("\n".join(map(str, judged)))
        print(f"{len(FORMS)} forms of RxJava and Reactor against ours\n\n{report(judged)}")
    return int(any(one.verdict is Verdict.DIFFERENT for one in judged))


if __name__ == "__main__":
    sys.exit(main())
