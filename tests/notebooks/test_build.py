"""What a source may hold, and which notebooks it becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError

from notebooks import build as building
from notebooks.build import Block, Lesson, build, execute, lessons, main, parse, read

__all__ = ()

SOURCE = """=== en
# Hello
=== zh
# 你好
=== code
import asyncio

await asyncio.sleep(0)
print("one")
=== exercise
print("two", flush=True)
print("three")
"""


def lesson_of(folder: Path, source: str, name: str = "01-hello") -> Lesson:
    path = folder / "sources" / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(source, "utf-8")
    return Lesson(path)


def test_source_is_read_as_blocks() -> None:
    assert parse(SOURCE) == [
        Block("en", "# Hello", 1),
        Block("zh", "# 你好", 3),
        Block("code", 'import asyncio\n\nawait asyncio.sleep(0)\nprint("one")', 5),
        Block("exercise", 'print("two", flush=True)\nprint("three")', 10),
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("Hello", "must begin with a block"),
        ("Hello\n=== en\nHello\n=== zh\n你好", "must begin with a block"),
        ("=== code\nx = 1\n=== fr\nBonjour", "line 3: a block must be one of en, zh, code, exercise; got fr"),
        ("=== code\n\n=== code\nx = 1", "line 1: the block is empty"),
        ("=== code\n" + "x = 1\n" * 16, "line 1: a cell must have at most 15 lines; got 16"),
        ("=== exercise\nx = 1\nx =", "line 3: invalid syntax"),
        ("=== en\nHello", "line 1: a text must be === en directly followed by === zh"),
        ("=== zh\n你好", "line 1: a text must be"),
        ("=== en\nHello\n=== code\nx = 1\n=== zh\n你好", "line 1: a text must be"),
        ("=== code\nx = 1\n=== zh\n你好", "line 1: a text must be"),
        ("=== en\nHello\n=== zh\n你好\n=== zh\n你好", "line 3: a text must be"),
    ],
)
def test_wrong_source_is_refused_with_its_line(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(source)


def test_lesson_has_two_editions_and_solutions_one(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    assert Lesson(sources / "01-hello.md").editions == {
        tmp_path / "01-hello.ipynb": ("en",),
        tmp_path / "zh" / "01-hello.ipynb": ("zh",),
    }
    assert Lesson(sources / "01-hello.solutions.md").editions == {
        tmp_path / "solutions" / "01-hello.ipynb": ("en", "zh")
    }


def test_source_of_another_name_is_refused(tmp_path: Path) -> None:
    lesson_of(tmp_path, SOURCE, "hello")
    with pytest.raises(ValueError, match=r"NN-slug.md or NN-slug.solutions.md; got hello.md"):
        lessons(tmp_path)


def test_editions_differ_in_their_texts_alone(tmp_path: Path) -> None:
    lesson = lesson_of(tmp_path, SOURCE)
    english, chinese, both = (lesson.cells(languages)["cells"] for languages in (["en"], ["zh"], ["en", "zh"]))
    assert [cells[0]["source"] for cells in (english, chinese, both)] == ["# Hello", "# 你好", "# Hello\n\n# 你好"]
    assert english[1:] == chinese[1:] == both[1:]
    assert [cell["metadata"] for cell in english[1:]] == [{}, {"tags": ["exercise"]}]


@pytest.mark.slow
def test_editions_get_the_outputs_of_one_run(tmp_path: Path) -> None:
    paths = build(lesson_of(tmp_path, SOURCE))
    english, chinese = (read(path)["cells"] for path in paths)
    assert [output["text"] for cell in english[1:] for output in cell["outputs"]] == ["one\n", "two\nthree\n"]
    assert english[1:] == chinese[1:]


@pytest.mark.slow
def test_build_is_the_same_file_again(tmp_path: Path) -> None:
    lesson = lesson_of(tmp_path, SOURCE, "01-hello.solutions")
    (path,) = build(lesson)
    first = path.read_bytes()
    build(lesson)
    assert path.read_bytes() == first


@pytest.mark.slow
def test_cell_that_fails_fails_the_build(tmp_path: Path) -> None:
    lesson = lesson_of(tmp_path, "=== code\n1 / 0")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        build(lesson)
    assert not [path for path in lesson.editions if path.exists()]


@pytest.mark.slow
def test_notebook_that_takes_too_long_fails(tmp_path: Path) -> None:
    lesson = lesson_of(tmp_path, "=== code\nimport asyncio\nawait asyncio.Event().wait()")
    with pytest.raises(TimeoutError):
        execute(lesson.cells(["en"]), tmp_path, timeout_s=1.5)


def test_command_names_what_it_does_not_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson_of(tmp_path, SOURCE)
    monkeypatch.setattr(building, "lessons", lambda: lessons(tmp_path))
    assert main(["02", "03"]) == 2
    assert capsys.readouterr().err == "no lesson begins with 02 or 03\n"
