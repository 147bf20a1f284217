"""What a run says to people: figures over all repeats, tables, and answers in words computed from them.

    figures.py  one number for all repeats of a cell, and how it is shown
    tables.py   one table for each question, with the columns that answer it
    answers.py  the sentences

Nothing is said that was not computed from the results at hand.
"""

from __future__ import annotations

__all__ = ()
