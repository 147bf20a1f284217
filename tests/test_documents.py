"""What the documents show is true: their Python runs, prints what they say, and the commands they name exist."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
from pathlib import Path
from typing import NamedTuple

import pytest

__all__ = ()

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")

_FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_INDENTED = re.compile(r"^ {4}(.+)$", re.MULTILINE)
_MAKE = re.compile(r"(?:^|[$;&]) *make +([a-z][a-z-]*)", re.MULTILINE)
_VERB = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


class Example(NamedTuple):
    """A Python block of a document: the line it starts on, and what it has to print (None: not said)."""

    line: int
    code: str
    output: str | None


def examples(text: str) -> list[Example]:
    """Return the Python blocks of a Markdown text, with the outputs that follow them."""
    blocks = list(_FENCED.finditer(text))
    found: list[Example] = []
    for block, after in zip(blocks, [*blocks, None][1:], strict=True):
        if block[1] == "python":
            line = text.count("\n", 0, block.start(2)) + 1
            found.append(Example(line, block[2], None if after is None else _shown_output(text, block, after)))
    return found


def _shown_output(text: str, block: re.Match[str], after: re.Match[str]) -> str | None:
    between = text[block.end() : after.start()].strip()
    is_output = between == "Output:" or (between == "" and after[1] == "text")
    return after[2] if is_output else None


def run(example: Example, document: str) -> str:
    """Execute an example in a namespace of its own and return what it prints; `await` may stand at its top level."""
    # The blank lines make a traceback point into the document.
    source = "\n" * (example.line - 1) + example.code
    code = compile(source, document, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = eval(code, {"__name__": "__main__"})
        if inspect.iscoroutine(result):
            asyncio.run(result)
    return printed.getvalue()


def make_verbs(text: str) -> set[str]:
    """Return the X of every `make X` in the code of a Markdown text; prose that begins a line with "make" is none."""
    prose = _FENCED.sub("", text)
    code = [block[2] for block in _FENCED.finditer(text)] + _CODE_SPAN.findall(prose) + _INDENTED.findall(prose)
    return {verb for piece in code for verb in _MAKE.findall(piece)}


def _existing_documents() -> dict[str, str]:
    return {name: (ROOT / name).read_text("utf-8") for name in DOCUMENTS if (ROOT / name).exists()}


@pytest.mark.parametrize(
    ("document", "example"),
    [
        pytest.param(name, example, id=f"{name}:{example.line}")
        for name, text in _existing_documents().items()
        for example in examples(text)
    ],
)
def test_example_runs_and_prints_what_the_document_shows(document: str, example: Example) -> None:
    printed = run(example, document)
    assert example.output is None or printed == example.output


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_python_block_is_found(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert len(examples(text)) == text.count("```python")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_verb_named_exists(name: str) -> None:
    exist = set(_VERB.findall((ROOT / "Makefile").read_text("utf-8")))
    assert make_verbs((ROOT / name).read_text("utf-8")) <= exist


SAMPLE = """\
To make sense of it, type `make test PYTEST_ARGS="-k x"`, or:

    make bench

```sh
make lint && make check
```

```python
import asyncio
await asyncio.sleep(0)
print("one")
```

```text
one
```

```python
print("two")
```

Output:

```
2
```

```python
pass
```

An unrelated picture:

```text
left -> right
```
"""


def test_examples_are_paired_with_their_outputs() -> None:
    assert [(example.line, example.output) for example in examples(SAMPLE)] == [(10, "one\n"), (20, "2\n"), (30, None)]


def test_example_may_await_and_a_wrong_output_is_seen() -> None:
    right, wrong, _ = examples(SAMPLE)
    assert run(right, "sample") == right.output
    assert run(wrong, "sample") != wrong.output


def test_traceback_points_into_the_document() -> None:
    with pytest.raises(ZeroDivisionError) as failure:
        run(Example(line=12, code="one = 1\none / 0\n", output=None), "sample")
    assert (failure.traceback[-1].path, failure.traceback[-1].lineno + 1) == ("sample", 13)


def test_make_verbs_are_read_from_code_only() -> None:
    assert make_verbs(SAMPLE) == {"test", "bench", "lint", "check"}
