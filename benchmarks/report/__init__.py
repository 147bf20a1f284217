"""The report: one HTML file, drawn from a results file, that opens without a network and in years to come."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report.page import page
from benchmarks.results import Results, write_whole

__all__ = ("render", "write")


def render(results: Results) -> str:
    """Return the report as one HTML document.

    Whatever is missing in the results (measures, histograms, timelines, whole cells) is said in words where it would
    stand. Text of the results is shown as text. The document asks for nothing over a network, and forbids it.
    """
    return page(results)


def write(results: Results, path: Path) -> None:
    """Write the report, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    write_whole(path, render(results).encode())
