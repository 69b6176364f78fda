"""Imports run down: a folder may import from the folders below it in this list, and from no other."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FRONT = """
trueband trueband/commands/golden trueband/commands trueband/cluster trueband/session
trueband/bench trueband/reports trueband/hub
trueband/adapters trueband/integrations trueband/integrations/transformers trueband/witnesses trueband/gpu
trueband/starting trueband/templates
"""
PROPERTIES = """
faults running gpu/ptx gpu/sanitizer gpu/aot gpu models/faults models/checks models faults/seeded
faults/specimens checks linear candidate results cases bounds .
"""
GOLDEN = "runners recordings checkpoints . weights store"
OPTIMIZED = """
. parallel models generation layers attention attention/triton attention/triton/kernels checkpoints attention/operators
attention/chunked/span attention/chunked
"""


def floors() -> list[str]:
    """All folders, from the top to the bottom."""
    inner = [(part, words.split()) for part, words in (("golden", GOLDEN), ("optimized", OPTIMIZED))]
    inner.append(("properties", PROPERTIES.split()))
    below = [part if word == "." else f"{part}/{word}" for part, words in inner for word in words]
    return [*FRONT.split(), *below, "reference", "reference/config"]


def module_of(path: Path) -> str:
    """The name that a file is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "trueband" else ("trueband", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, Path]:
    """The file of every module."""
    tops = sorted({folder.split("/")[0] for folder in floors()})
    return {module_of(path): path for top in tops for path in (ROOT / top).rglob("*.py")}


def folder_of(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix()


def imported(source: str, known: Container[str]) -> Iterator[str]:
    """The project's modules that a source imports when it runs."""
    tree = ast.parse(source)
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner_module = f"{node.module}.{alias.name}"
                yield inner_module if inner_module in known else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def wrong_directions(name: str, source: str, known: Mapping[str, Path]) -> list[str]:
    """What a module imports from a folder that is not below its own."""
    order, own = floors(), folder_of(known[name])
    found = []
    for each in imported(source, known):
        # The package's version and public names stand in its __init__, which loads nothing.
        if each not in known or each == "trueband" or folder_of(known[each]) == own:
            continue
        if order.index(folder_of(known[each])) <= order.index(own):
            found.append(f"{name} ({own}) imports {each} ({folder_of(known[each])})")
    return found


def test_every_folder_has_its_floor() -> None:
    assert {folder_of(path) for path in modules().values()} == set(floors())
    assert len(floors()) == len(set(floors()))


# golden/__init__ has the public names of the parts that stand above its own files.
ROOFS = {"trueband.golden"}


def test_imports_run_down() -> None:
    known = modules()
    sources = {name: path.read_text(encoding="utf-8") for name, path in known.items() if name not in ROOFS}
    assert [wrong for name, source in sources.items() for wrong in wrong_directions(name, source, known)] == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("trueband.properties.cases.case", "from trueband.properties.checks import CHECKS"),
        ("trueband.properties.running.engine", "import trueband.session.run"),
        ("trueband.reports.console", "def late():\n    from trueband.commands.check import run_command"),
        ("trueband.optimized.layers.cache", "from trueband.optimized.models import led"),
        ("trueband.reference.masks", "from trueband.properties.bounds.bound import Bound"),
    ],
)
def test_an_import_that_runs_up_is_told_by_its_module(name: str, source: str) -> None:
    (told,) = wrong_directions(name, source, modules())
    assert told.startswith(f"{name} (")


def test_what_is_imported_for_types_alone_is_free() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from trueband.session.run import Run\n"
    assert wrong_directions("trueband.properties.cases.case", source, modules()) == []
