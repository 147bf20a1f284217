"""The lines that no change may cross: who imports whom, what a module exports, what a text may name.

Every rule is a function over modules given as (path, source text), so that each is first shown a wrong text and caught.
"""

from __future__ import annotations

import ast
import contextlib
import fnmatch
import graphlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

__all__ = ()

ROOT = Path(__file__).parents[1]


class Module(NamedTuple):
    """A Python file: its path from the root of the project, and its text."""

    path: str
    source: str

    @property
    def name(self) -> str:
        return ".".join(PurePosixPath(self.path).with_suffix("").parts).removesuffix(".__init__")

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.path)


# --- Reading -----------------------------------------------------------------------------------------------------


def imported(module: Module, *, runtime_only: bool = False) -> Iterator[str]:
    """Yield the full name of everything a module imports, wherever the import stands: `from a import b` is a.b."""
    for node in _nodes(module.tree, runtime_only=runtime_only):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(module, node)
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _nodes(node: ast.AST, *, runtime_only: bool) -> Iterator[ast.AST]:
    yield node
    if runtime_only and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return
    for child in ast.iter_child_nodes(node):
        yield from _nodes(child, runtime_only=runtime_only)


def _origin(module: Module, node: ast.ImportFrom) -> str:
    """Name the module that `from X import` reads, relative or not."""
    folders = PurePosixPath(module.path).parent.parts
    base = folders[: len(folders) - node.level + 1] if node.level else ()
    return ".".join([*base, *([node.module] if node.module else [])])


def _is_within(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


# --- Who imports whom --------------------------------------------------------------------------------------------

# Each layer stands on those before it.
LAYERS = ("streams", "servers", "benchmarks")
HTTP = ("aiohttp", "http", "httpx", "requests", "socket", "ssl", "urllib", "websockets")
IMPURE = ("aiohttp", "asyncio", "logging", "reactivex", "socket", "time")
VARIANTS = {f"streams/{variant}.py": f"streams.{variant}" for variant in ("emitter", "flowable", "flux")}


def forbidden_to(path: str) -> set[str]:
    """Return the packages and modules that the file at `path` must not import."""
    layer = PurePosixPath(path).parts[0]
    forbidden = {*LAYERS[LAYERS.index(layer) + 1 :], "tests", "notebooks"}
    if layer == "streams":
        forbidden.update(HTTP)
    if (layer != "servers" and "/peers/" not in path) or path in ("servers/sse.py", "servers/profiles.py"):
        forbidden.add("aiohttp.web")  # a peer is another server, to be measured beside ours
    if path in ("streams/overflow.py", "servers/sse.py"):
        forbidden.update(IMPURE)
    if path != "streams/flowable.py" and not _is_suite(path):
        forbidden.add("reactivex")
    if path in VARIANTS:
        forbidden.update(set(VARIANTS.values()) - {VARIANTS[path]})
    return forbidden


def _is_suite(path: str) -> bool:
    # The pytest-benchmark suites measure ours against the plain library.
    return path.startswith("benchmarks/micro/test_")


def wrong_imports(module: Module) -> list[str]:
    forbidden = forbidden_to(module.path)
    return [f"{module.path} imports {name}" for name in imported(module) if _is_within(name, forbidden)]


def import_cycle(modules: Iterable[Module]) -> list[str]:
    """Return the names along one circular import, or nothing. Imports for the type checker alone make no circle."""
    by_name = {module.name: module for module in modules}
    graph: dict[str, set[str]] = {}
    for name, module in by_name.items():
        origins = (_existing(origin, by_name) for origin in imported(module, runtime_only=True))
        graph[name] = {origin for origin in origins if origin is not None}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def _existing(name: str, modules: Iterable[str]) -> str | None:
    """Find the module that holds `name`: itself a module, or something in one."""
    return next((candidate for candidate in (name, name.rpartition(".")[0]) if candidate in modules), None)


# --- What a module is called and exports -------------------------------------------------------------------------


def wrong_exports(module: Module) -> list[str]:
    """Say how `__all__` fails to be one tuple of names that the module binds at its top level."""
    assigned = [value for target, value in _assignments(module.tree) if target == "__all__"]
    if len(assigned) != 1 or not isinstance(assigned[0], ast.Tuple):
        return [f"{module.path}: __all__ is not defined once, as a tuple"]
    bound = set(_bound_names(module.tree))
    names = [ast.literal_eval(element) for element in assigned[0].elts]
    return [f"{module.path}: __all__ names {name}, which does not exist" for name in names if name not in bound]


def _assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr | None]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets, value=value):
                yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                yield name, value
            case _:
                pass


def _bound_names(tree: ast.Module) -> Iterator[str]:
    yield from (target for target, _ in _assignments(tree))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def repeats_standard_library(path: str) -> bool:
    """Say whether a module or folder on the way to it is named like a module of the standard library."""
    names = PurePosixPath(path).with_suffix("").parts
    return any(name in sys.stdlib_module_names for name in names if not name.startswith("__"))


# --- What a text may name ----------------------------------------------------------------------------------------

# Put together here, so that this file does not name them either.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("anaconda", "org"),
        ("crates", "io"),
        ("docker", "io"),
        ("ghcr", "io"),
    )
)
MACHINE_PATHS = tuple("/" + folder for folder in ("root/", "work/", "tmp/x"))


def unwanted_names(text: str) -> list[str]:
    """Return the registry hosts and the paths of one machine that a text names."""
    return [name for name in (*REGISTRY_HOSTS, *MACHINE_PATHS) if name in text]


def project_texts(root: Path) -> Iterator[tuple[str, str]]:
    """Yield path and content of every text file that is not ignored."""
    ignored = [".git", *(line.strip("/") for line in (root / ".gitignore").read_text("utf-8").split())]

    def kept(names: Iterable[str]) -> list[str]:
        return sorted(name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in ignored))

    for folder, subfolders, files in os.walk(root):
        subfolders[:] = kept(subfolders)
        for path in (Path(folder, name) for name in kept(files)):
            # What cannot be decoded is no text.
            with contextlib.suppress(UnicodeDecodeError):
                yield path.relative_to(root).as_posix(), path.read_text("utf-8")


# --- The project -------------------------------------------------------------------------------------------------

MODULES = [
    Module(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
    for layer in LAYERS
    for path in sorted((ROOT / layer).rglob("*.py"))
]
EXPORTING = [module for module in MODULES if not _is_suite(module.path)]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.path)
def test_module_imports_only_what_its_place_allows(module: Module) -> None:
    assert wrong_imports(module) == []


@pytest.mark.parametrize("module", EXPORTING, ids=lambda module: module.path)
def test_module_exports_a_tuple_of_names_that_exist(module: Module) -> None:
    assert wrong_exports(module) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.path)
def test_module_name_repeats_none_of_the_standard_library(module: Module) -> None:
    assert not repeats_standard_library(module.path)


def test_streams_has_no_circular_import() -> None:
    assert import_cycle(module for module in MODULES if module.name.startswith("streams")) == []


def test_texts_name_no_registry_and_no_path_of_one_machine() -> None:
    named = {path: unwanted_names(text) for path, text in project_texts(ROOT)}
    assert {path: names for path, names in named.items() if names} == {}


# --- The rules themselves: wrong texts are caught, right ones are not ---------------------------------------------


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("streams/source.py", "import servers"),
        ("streams/source.py", "from servers.sse import encode_event"),
        ("streams/source.py", "from ..servers import sse"),
        ("streams/source.py", "def late():\n    import benchmarks.scenario"),
        ("streams/source.py", "from tests.conftest import run_until_idle"),
        ("streams/source.py", "import aiohttp"),
        ("streams/source.py", "import http.client"),
        ("streams/source.py", "from socket import socket"),
        ("streams/overflow.py", "import asyncio"),
        ("streams/overflow.py", "from time import monotonic_ns"),
        ("streams/overflow.py", "import logging.handlers"),
        ("streams/flux.py", "from reactivex import operators"),
        ("streams/flux.py", "from streams.flowable import Flowable"),
        ("streams/flux.py", "from streams import emitter"),
        ("streams/flowable.py", "from .flux import Flux"),
        ("streams/emitter.py", "if TYPE_CHECKING:\n    from streams.flux import Flux"),
        ("servers/sse.py", "import time as clock"),
        ("servers/sse.py", "from aiohttp import web"),
        ("servers/profiles.py", "from aiohttp import web"),
        ("servers/app.py", "import reactivex"),
        ("servers/app.py", "from benchmarks import scenario"),
        ("benchmarks/client.py", "from aiohttp import web"),
        ("benchmarks/client.py", "import aiohttp.web"),
    ],
)
def test_wrong_import_is_caught(path: str, source: str) -> None:
    assert len(wrong_imports(Module(path, source))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("streams/flowable.py", "import reactivex\nfrom .overflow import OverflowBuffer"),
        ("streams/flux.py", "import asyncio\nimport streams.overflow"),
        ("streams/source.py", "import timeit\nimport httpstatus"),
        ("streams/__init__.py", "from streams.flux import Flux\nfrom .emitter import Emitter"),
        ("servers/app.py", "from aiohttp import web\nfrom streams import Flux"),
        ("servers/profiles.py", "import json\nfrom servers import sse"),
        ("benchmarks/client.py", "import aiohttp\nfrom servers.sse import EventStreamDecoder"),
        ("benchmarks/micro/test_flux.py", "import reactivex"),
    ],
)
def test_right_import_is_let_pass(path: str, source: str) -> None:
    assert wrong_imports(Module(path, source)) == []


def test_circular_import_is_caught() -> None:
    cycle = import_cycle(
        [
            Module("streams/one.py", "from streams.two import x"),
            Module("streams/two.py", "from .three import y"),
            Module("streams/three.py", "def late():\n    from . import one"),
        ]
    )
    assert set(cycle) == {"streams.one", "streams.two", "streams.three"}


def test_import_for_the_type_checker_makes_no_circle() -> None:
    modules = [
        Module("streams/one.py", "if TYPE_CHECKING:\n    from streams.two import x"),
        Module("streams/two.py", "import streams.one"),
    ]
    assert import_cycle(modules) == []


def test_submodules_imported_by_their_package_make_no_circle() -> None:
    modules = [
        Module("streams/__init__.py", "from streams.one import x"),
        Module("streams/one.py", "from streams import two"),
        Module("streams/two.py", ""),
    ]
    assert import_cycle(modules) == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        "__all__ = ['x']\nx = 1",
        "__all__ = ('x',)\n__all__ = ('y',)\nx = y = 1",
        "__all__ = ('x',)\ndef f():\n    x = 1",
    ],
)
def test_wrong_exports_are_caught(source: str) -> None:
    assert len(wrong_exports(Module("streams/any.py", source))) == 1


def test_right_exports_are_let_pass() -> None:
    source = """
from a import b as c
import d
__all__: tuple[str, ...] = ("E", "c", "d", "f", "g", "h")
class E: ...
async def f(): ...
g = 1
h: int = 2
"""
    assert wrong_exports(Module("streams/any.py", source)) == []


def test_name_of_the_standard_library_is_caught() -> None:
    paths = ["streams/queue.py", "streams/select/any.py", "streams/source.py", "streams/__init__.py"]
    assert [repeats_standard_library(path) for path in paths] == [True, True, False, False]


def test_unwanted_names_are_caught() -> None:
    host, folder = REGISTRY_HOSTS[0], MACHINE_PATHS[0]
    assert unwanted_names(f"see https://{host}/simple and {folder}x") == [host, folder]
    assert unwanted_names("see https://docs.python.org and /tmp/y") == []


def test_project_texts_are_all_but_binary_and_ignored_files(tmp_path: Path) -> None:
    for name in (".gitignore", "a.txt", "build/b.txt", "c/d.md", "c/e.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("build/\n*.pyc\n", "utf-8")
    (tmp_path / "f.bin").write_bytes(b"\xff")
    assert [path for path, _ in project_texts(tmp_path)] == [".gitignore", "a.txt", "c/d.md"]
