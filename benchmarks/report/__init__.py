"""The report: one HTML file, drawn from a results file, that opens without a network and in years to come."""

from __future__ import annotations

from pathlib import Path

from benchmarks.report import stacks
from benchmarks.report.page import page
from benchmarks.results import Results, write_whole

__all__ = ("PEERS", "render", "write")

PEERS = "peers.json"
"""What `python -m benchmarks.peers` writes; beside a report, it is shown in it."""


def render(results: Results, peers: Path | None = None) -> str:
    """Return the report as one HTML document.

    Whatever is missing in the results (measures, histograms, timelines, whole cells) is said in words where it would
    stand. Text of the results is shown as text. The document asks for nothing over a network, and forbids it.

    Args:
        results: what is shown.
        peers: a comparison with other stacks, to be shown in a section of its own; one that cannot be read is a
            sentence there. None: there is no such section.
    """
    return page(results, None if peers is None else stacks.section_of(peers))


def write(results: Results, path: Path, *, peers: Path | None = None) -> None:
    """Write the report, whole or not at all.

    Args:
        results: what is shown.
        path: of the report.
        peers: as `render` takes it; None: the file `peers.json` beside the report, if there is one.

    Raises:
        OSError: the file cannot be written.
    """
    beside = path.with_name(PEERS)
    chosen = peers or (beside if beside.exists() else None)
    write_whole(path, render(results, chosen).encode())
