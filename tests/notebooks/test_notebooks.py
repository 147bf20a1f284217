"""Every committed notebook: built from its source, runs from top to bottom within a minute, is small, needs no network.

Both editions of a lesson have the same cells of code, which is tested, and so one of them is run.
Each rule is a function that says what is wrong, and is shown wrong notebooks too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from notebooks.build import FOLDER, LONGEST_CELL, Lesson, execute, lessons, read

__all__ = ()

LARGEST_OUTPUT_BYTES: Final = 100_000
LESSONS: Final = lessons()
NOTEBOOKS: Final = sorted(path for lesson in LESSONS for path in lesson.editions)

# XML names its vocabularies by addresses that nobody visits.
_VOCABULARIES: Final = re.compile(r"http://www\.w3\.org/(2000/svg|1999/xlink|1999/xhtml)\b")
_ADDRESS: Final = re.compile(r"\b(?:https?|wss?|ftp)://([\w.\-\[\]:]+)|\bsrc=[\"']//([\w.\-]+)")
_LOOPBACK: Final = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")


# --- The rules -------------------------------------------------------------------------------------------------------


def unmatched(folder: Path) -> list[str]:
    """Name notebooks without a source, and sources that were not built."""
    expected = {path for lesson in lessons(folder) for path in lesson.editions}
    found = {path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts}
    return sorted(path.relative_to(folder).as_posix() for path in expected ^ found)


def unequal_cells(notebook: Any, built: Any) -> list[str]:
    """Say where a notebook differs from what its source says; outputs are not compared."""
    if len(notebook["cells"]) != len(built["cells"]):
        return [f"{len(notebook['cells'])} cells instead of {len(built['cells'])}"]
    pairs = enumerate(zip(notebook["cells"], built["cells"], strict=True), 1)
    kept = ("id", "cell_type", "source", "metadata")
    return [f"cell {place}" for place, (cell, other) in pairs if any(cell[key] != other[key] for key in kept)]


def wrong_cells(notebook: Any) -> list[str]:
    """Name cells of code that were not run, failed, are too long, print too much, or name a foreign address."""
    return [f"cell {place}: {wrong}" for place, cell in enumerate(notebook["cells"], 1) for wrong in wrongs(cell)]


def wrongs(cell: Any) -> Iterable[str]:
    if cell["cell_type"] != "code":
        return
    if not isinstance(cell["execution_count"], int):
        yield "was not run"
    if len(cell["source"].splitlines()) > LONGEST_CELL:
        yield "is too long"
    for output in cell["outputs"]:
        if output["output_type"] == "error":
            yield f"failed with {output['ename']}"
        if any(kind.startswith("application/vnd.jupyter.widget") for kind in output.get("data", {})):
            yield "holds a widget, whose kernel has ended"
        if len(json.dumps(output, ensure_ascii=False).encode()) > LARGEST_OUTPUT_BYTES:
            yield f"has an output of more than {LARGEST_OUTPUT_BYTES:,} bytes"
    yield from foreign_addresses(cell)


def foreign_addresses(cell: Any) -> list[str]:
    words = [cell["source"]]
    for output in cell["outputs"]:
        words += [
            output.get("text", ""),
            *(str(content) for kind, content in output.get("data", {}).items() if not kind.startswith("image/png")),
        ]
    hosts = [
        (found[1] or found[2]).rstrip(".:")
        for text in words
        for found in _ADDRESS.finditer(_VOCABULARIES.sub("", text))
    ]
    return [f"names {host}" for host in hosts if not _LOOPBACK.fullmatch(host)]


# --- The notebooks ---------------------------------------------------------------------------------------------------


def test_every_notebook_has_a_source_and_every_source_its_notebooks() -> None:
    assert unmatched(FOLDER) == []


def test_every_lesson_has_solutions_and_is_in_the_index() -> None:
    names = {lesson.name for lesson in LESSONS}
    slugs = {name.removesuffix(".solutions") for name in names}
    assert names == slugs | {f"{slug}.solutions" for slug in slugs}
    index = (FOLDER / "README.md").read_text("utf-8")
    paths = [path.relative_to(FOLDER).as_posix() for path in NOTEBOOKS]
    assert [path for path in paths if f"]({path})" not in index] == []


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_notebooks_are_what_their_source_says(lesson: Lesson) -> None:
    for path, languages in lesson.editions.items():
        assert unequal_cells(read(path), lesson.cells(languages)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_notebook_was_run_is_small_and_names_no_foreign_address(path: Path) -> None:
    assert wrong_cells(read(path)) == []


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_notebook_runs_within_a_minute(lesson: Lesson) -> None:
    notebook = read(next(iter(lesson.editions)))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    assert wrong_cells(execute(notebook)) == []


# --- The rules themselves --------------------------------------------------------------------------------------------


def code(source: str = "x = 1", *outputs: Any, count: int | None = 1) -> Any:
    new: Any = nbformat.v4
    return new.new_notebook(cells=[new.new_code_cell(source, outputs=list(outputs), execution_count=count)])


def printed(text: str) -> Any:
    new: Any = nbformat.v4
    return new.new_output("stream", text=text)


def displayed(kind: str, content: str) -> Any:
    new: Any = nbformat.v4
    return new.new_output("display_data", data={kind: content})


def raised(name: str) -> Any:
    new: Any = nbformat.v4
    return new.new_output("error", ename=name, evalue="", traceback=[])


@pytest.mark.parametrize(
    ("notebook", "wrong"),
    [
        (code(count=None), "was not run"),
        (code("x = 1\n" * 16), "is too long"),
        (code("1 / 0", raised("ZeroDivisionError")), "failed with ZeroDivisionError"),
        (code("x", printed("é" * 50_001)), "has an output of more than 100,000 bytes"),
        (code('get("https://example.org/a")'), "names example.org"),
        (code("x", printed("see http://example.org:80")), "names example.org:80"),
        (
            code("x", displayed("text/html", "<script src='//cdn.example'>")),
            "names cdn.example",
        ),
        (
            code("x", displayed("application/vnd.jupyter.widget-view+json", "{}")),
            "holds a widget, whose kernel has ended",
        ),
        (code('get("http://127.0.0.1.example.org/")'), "names 127.0.0.1.example.org"),
    ],
)
def test_wrong_cell_is_caught(notebook: Any, wrong: str) -> None:
    assert wrong_cells(notebook) == [f"cell 1: {wrong}"]


@pytest.mark.parametrize(
    "notebook",
    [
        code(),
        code('get("http://127.0.0.1:8090/v1")', printed("http://localhost and ws://127.0.0.1:1/x")),
        code("x", displayed("image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg"/>')),
    ],
)
def test_right_cell_is_let_pass(notebook: Any) -> None:
    assert wrong_cells(notebook) == []


def test_notebook_without_source_and_source_without_notebook_are_caught(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "01-one.md").write_text("=== code\nx = 1", "utf-8")
    (tmp_path / "01-one.ipynb").touch()
    (tmp_path / "02-two.ipynb").touch()
    assert unmatched(tmp_path) == ["02-two.ipynb", "zh/01-one.ipynb"]


def test_cell_that_was_edited_is_caught() -> None:
    built, edited, longer = code(), code("x = 2"), code()
    edited["cells"][0]["id"] = built["cells"][0]["id"]
    longer["cells"] *= 2
    assert unequal_cells(edited, built) == ["cell 1"]
    assert unequal_cells(longer, built) == ["2 cells instead of 1"]


@pytest.mark.slow
def test_notebook_that_fails_is_caught() -> None:
    with pytest.raises(CellExecutionError):
        execute(code("assert not 'true'", count=None))
