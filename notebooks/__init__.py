"""Lessons that run the real library: their sources, what builds them, and the built notebooks.

    sources/NN-slug.md            one lesson: texts in English and Chinese, and one set of code cells
    sources/NN-slug.solutions.md  the solutions of its exercises
    build.py                      sources -> NN-slug.ipynb, zh/NN-slug.ipynb, solutions/NN-slug.ipynb

What the cells call lives in `benchmarks.teaching`.
"""

from __future__ import annotations

__all__ = ()
