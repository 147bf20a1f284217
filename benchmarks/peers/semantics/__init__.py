"""Whether a lesson learned with our Flowable and Flux is true of RxJava and Reactor: the same schedules through both.

A schedule is a list of steps without any time: the source emits, completes or fails, the consumer requests or cancels.
What is delivered, reported as lost and signalled as the end is compared step by step. Where we differ on purpose, a
rule says how and why (`rules`), and a difference that it foretells must be there. Reactor's push is held against our
`Flux.create`, as there is no push of our own.

    schedules   what a schedule is, and the forms of both libraries that have a counterpart here
    table       the schedules: questions put to every form, and seeded ones
    originals   runs them through the real operators
    ours        runs them through ours
    rules       the deliberate differences
    judging     the verdicts

`python -m benchmarks.peers.semantics` prints them.
"""

from __future__ import annotations

__all__ = ()
