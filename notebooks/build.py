"""Build the notebooks from their sources: `python -m notebooks.build [NN ...]`.

A source is a text in blocks, each begun by a line of its own:

    === en        a text in English, directly followed by the same in Chinese
    === zh
    === code      one cell of Python, at most 15 lines
    === exercise  the same, for the student to edit; it runs as it stands

Both editions have the same cells of code. They run once, in a kernel, and both get the same outputs. Solutions are one
notebook with both languages. What is committed is what the sources did when they
were last built.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from re import fullmatch
from time import monotonic
from typing import Any, Final

import nbformat
from nbclient import NotebookClient

__all__ = (
    "FOLDER",
    "LONGEST_CELL",
    "Block",
    "Lesson",
    "build",
    "execute",
    "lessons",
    "main",
    "parse",
    "read",
    "with_outputs_of",
)

FOLDER: Final = Path(__file__).parent
LONGEST_CELL: Final = 15
"""Lines of code in a cell."""

LONGEST_RUN_S: Final = 60.0
"""Seconds that a notebook may take from its first cell to its last, with the start of its kernel."""

_format: Final[Any] = nbformat  # its functions have no types
_new: Final[Any] = nbformat.v4

_WIDGET: Final = "application/vnd.jupyter.widget-view+json"  # of a kernel that has ended; its picture stays
_KINDS: Final = ("en", "zh", "code", "exercise")
_SHORTEST_S: Final = 0.001
_NAME: Final = r"\d\d-[a-z0-9-]+(\.solutions)?"
_METADATA: Final = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a source; `line` is where it begins."""

    kind: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Lesson:
    """One source, and the notebooks that are made of it.

    Attributes:
        path: of the source.
    """

    path: Path

    @property
    def name(self) -> str:
        """NN-slug, or NN-slug.solutions."""
        return self.path.stem

    @property
    def editions(self) -> dict[Path, tuple[str, ...]]:
        """Each notebook, and the languages of its texts."""
        folder, slug = self.path.parents[1], self.name.removesuffix(".solutions")
        if slug != self.name:
            return {folder / "solutions" / f"{slug}.ipynb": ("en", "zh")}
        return {folder / f"{slug}.ipynb": ("en",), folder / "zh" / f"{slug}.ipynb": ("zh",)}

    def cells(self, languages: Sequence[str]) -> Any:
        """Return the notebook with texts in these languages, not yet run.

        Raises:
            ValueError: a source that is none, with the line.
        """
        cells = list(_cells(parse(self.path.read_text("utf-8")), languages))
        for place, cell in enumerate(cells, 1):
            cell["id"] = f"cell-{place:02}"  # the library would draw a new one at random each time
        return _new.new_notebook(cells=cells, metadata=_METADATA)


def lessons(folder: Path = FOLDER) -> list[Lesson]:
    """Return all lessons and solutions, in the order of their names.

    Raises:
        ValueError: a source whose name is not NN-slug.md or NN-slug.solutions.md.
    """
    found = [Lesson(path) for path in sorted((folder / "sources").glob("*.md"))]
    for lesson in found:
        if not fullmatch(_NAME, lesson.name):
            raise ValueError(f"sources must be named NN-slug.md or NN-slug.solutions.md; got {lesson.path.name}")
    return found


def parse(source: str) -> list[Block]:
    """Return the blocks of a source.

    Raises:
        ValueError: text before the first block, an unknown kind, an empty block, a cell that is too long or no Python,
            English without Chinese or the other way round.
    """
    blocks: list[Block] = []
    lines: list[str] = []
    kind, begun = "", 0
    for number, line in enumerate([*source.splitlines(), "=== end"], 1):
        if not line.startswith("=== "):
            lines.append(line)
            continue
        if kind:
            blocks.append(_checked(Block(kind, "\n".join(lines).strip("\n").rstrip(), begun)))
        elif "".join(lines).strip():
            raise ValueError("line 1: a source must begin with a block, such as === en")
        kind, begun, lines = line.removeprefix("=== ").strip(), number, []
    _check_pairs(blocks)
    return blocks


def _checked(block: Block) -> Block:
    if block.kind not in _KINDS:
        raise ValueError(f"line {block.line}: a block must be one of {', '.join(_KINDS)}; got {block.kind}")
    if not block.text:
        raise ValueError(f"line {block.line}: the block is empty")
    if block.kind in {"code", "exercise"}:
        if (length := len(block.text.splitlines())) > LONGEST_CELL:
            raise ValueError(f"line {block.line}: a cell must have at most {LONGEST_CELL} lines; got {length}")
        try:
            compile(block.text, block.kind, "exec", _TOP_LEVEL_AWAIT, dont_inherit=True)
        except SyntaxError as error:
            raise ValueError(f"line {block.line + (error.lineno or 0)}: {error.msg}") from None
    return block


def _check_pairs(blocks: Sequence[Block]) -> None:
    kinds = [block.kind for block in blocks] + [""]
    for block, kind, after in zip(blocks, kinds, kinds[1:], strict=False):
        if (kind == "en") != (after == "zh"):
            raise ValueError(f"line {block.line}: a text must be === en directly followed by === zh")
    if kinds[0] == "zh":
        raise ValueError(f"line {blocks[0].line}: a text must be === en directly followed by === zh")


_TOP_LEVEL_AWAIT: Final = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def _cells(blocks: Iterable[Block], languages: Sequence[str]) -> Iterator[Any]:
    pending: list[str] = []
    for block in blocks:
        if block.kind in {"code", "exercise"}:
            cell = _new.new_code_cell(block.text)
            if block.kind == "exercise":
                cell["metadata"]["tags"] = ["exercise"]
            yield cell
        elif block.kind in languages:
            pending.append(block.text)
        if block.kind == "zh":
            yield _new.new_markdown_cell("\n\n".join(pending))
            pending = []


def execute(notebook: Any, folder: Path = FOLDER, *, timeout_s: float = LONGEST_RUN_S) -> Any:
    """Run a notebook in a kernel of its own, whose path begins with the project's folder; its outputs are set.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
        nbclient.exceptions.CellTimeoutError: a TimeoutError: all together took longer than `timeout_s`.
    """
    end_s = monotonic() + timeout_s
    paths = [str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]

    def left_s(cell: object) -> float:
        return max(end_s - monotonic(), _SHORTEST_S)  # for the next cell; none would be no limit

    client = NotebookClient(
        notebook,
        timeout_func=left_s,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "100"})
    for cell in _code(notebook):
        cell["outputs"] = list(_joined(cell["outputs"]))
        for output in cell["outputs"]:
            output.get("data", {}).pop(_WIDGET, None)
    return notebook


def _joined(outputs: Iterable[Any]) -> Iterator[Any]:
    """Put together what was printed piece by piece: where the pieces end is chance."""
    last: Any = None
    for output in outputs:
        is_text = output["output_type"] == "stream"
        if is_text and last is not None and last["name"] == output["name"]:
            last["text"] += output["text"]
            continue
        last = output if is_text else None
        yield output


def with_outputs_of(notebook: Any, executed: Any) -> Any:
    """Give a notebook the outputs of another one with the same cells of code."""
    ran = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    for cell, other in zip(_code(notebook), ran, strict=True):
        cell["outputs"] = other["outputs"]
        cell["execution_count"] = other["execution_count"]
    return notebook


def read(path: Path) -> Any:
    """Return the notebook of a file."""
    return _format.read(path, as_version=4)


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def build(lesson: Lesson) -> list[Path]:
    """Run one lesson, write its notebooks, and return where they are.

    Raises:
        ValueError, nbclient.exceptions.CellExecutionError: as `parse` and `execute`.
    """
    editions = lesson.editions
    executed = execute(lesson.cells(next(iter(editions.values()))))
    for path, languages in editions.items():
        path.parent.mkdir(exist_ok=True)
        notebook = with_outputs_of(lesson.cells(languages), executed)
        _format.validate(notebook)
        path.write_text(_format.writes(notebook) + "\n", "utf-8")
    return list(editions)


def main(names: Sequence[str]) -> int:
    """Build the lessons whose names begin with one of `names`; without names, all."""
    chosen = [lesson for lesson in lessons() if not names or lesson.name.startswith(tuple(names))]
    if not chosen:
        print(f"no lesson begins with {' or '.join(names) or 'anything'}", file=sys.stderr)
        return 2
    for lesson in chosen:
        for path in build(lesson):
            print(f"{path.relative_to(FOLDER.parent)}  {path.stat().st_size / 1024:.0f} KB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
