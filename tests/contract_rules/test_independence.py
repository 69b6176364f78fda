"""Who may import whom (what makes the agreement of the witnesses evidence), read from the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

STANDARD = set(sys.stdlib_module_names)

# What each folder may import, by module prefix. Everything else is refused, so that a new import is a decision.
ALLOWED: dict[str, set[str]] = {
    # Before its parent. What `optimized` may import of the reference: fields and names, and nothing that computes.
    "trueband.reference.config": {"trueband.reference.config"},
    "trueband.reference": {"numpy", "trueband.reference"},
    # Before its parent. A kernel is defined by a decorator of triton; nothing imports a kernel before it is launched.
    "trueband.optimized.attention.triton.kernels": {"triton", "trueband.optimized.attention.triton.kernels"},
    "trueband.optimized": {
        "numpy",
        "safetensors",
        "torch",
        "trueband.optimized",
        "trueband.reference.config",
    },
    "trueband.properties": {"hypothesis", "numpy", "trueband.properties", "trueband.reference"},
    "trueband.golden": {"numpy", "safetensors", "trueband.golden", "trueband.properties", "trueband.reference"},
}
# What a folder may import inside a function only: it must work where these are not installed.
LAZY: dict[str, set[str]] = {
    "trueband.optimized": {"triton"},
    "trueband.properties": {"safetensors", "torch", "ml_dtypes", "pytest", "jax", "triton"},
    "trueband.golden": {"torch", "tokenizers"},
}


def imports(source: str) -> Iterator[tuple[str, bool]]:
    """(imported module, whether it is imported when the file is) for every import of a source, a string given to
    `import_module` or `__import__` included. `from a import b` counts as a.b, since b may be a module.
    A relative import is told as "."."""

    def walk(node: ast.AST, now: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, now) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." if node.level else f"{node.module}.{alias.name}", now) for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            argument = node.args[0] if node.args else None
            if isinstance(argument, ast.Constant):
                yield str(argument.value), now
        deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or type_checking(node)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, now and not deferred)

    return walk(ast.parse(source), True)


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def below(module: str, prefixes: set[str]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


def violations(module: str, source: str) -> list[str]:
    """The imports of a module's source that its folder is not allowed, one line each."""
    folder = next(folder for folder in ALLOWED if below(module, {folder}))
    problems = []
    for imported, now in imports(source):
        allowed = ALLOWED[folder] | (set() if now else LAZY.get(folder, set()))
        if imported.split(".")[0] not in STANDARD and not below(imported, allowed):
            problems.append(f"{module}: {'imports' if now else 'imports lazily'} {imported}")
    return problems


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_are_allowed(folder: str, sources: dict[str, Path]) -> None:
    read = {module: path for module, path in sources.items() if below(module, {folder})}
    assert folder in read
    problems = [line for module, path in read.items() for line in violations(module, path.read_text(encoding="utf-8"))]
    assert problems == []


WRONG = {
    "reference with torch": ("trueband.reference.x", "import torch"),
    "reference with torch, in a function": ("trueband.reference.x", "def f():\n    from torch import nn"),
    "reference with scipy": ("trueband.reference.x", "from scipy.special import erf"),
    "reference with the optimized masks": ("trueband.reference.x", "from trueband.optimized.attention import masks"),
    "reference with the bounds": ("trueband.reference.x", "from trueband.properties.bounds import Bound"),
    "families that bring what computes": (
        "trueband.reference.config.families",
        "from trueband.reference.classes import FUNCTIONS",
    ),
    "configurations that compute": ("trueband.reference.config.models", "import numpy"),
    "relative import": ("trueband.reference.x", "from . import masks"),
    "optimized with the reference masks": ("trueband.optimized.x", "from trueband.reference.masks import band"),
    "optimized with the reference's classes": (
        "trueband.optimized.x",
        "from trueband.reference.classes import FUNCTIONS",
    ),
    "optimized with the reference": ("trueband.optimized.x", "import trueband.reference"),
    "optimized with the reference, by name": ("trueband.optimized.x", "from trueband import reference"),
    "optimized with transformers": ("trueband.optimized.x", "def f():\n    import transformers"),
    "optimized with the bounds": ("trueband.optimized.x", "import trueband.properties.bounds as bounds"),
    "optimized with triton at import time": ("trueband.optimized.x", "import triton"),
    "kernels with torch": ("trueband.optimized.attention.triton.kernels.x", "import torch"),
    "properties with optimized": ("trueband.properties.x", "from trueband.optimized import band_attention"),
    "properties with optimized, lazily": ("trueband.properties.x", "def f():\n    import trueband.optimized.attention"),
    "properties with optimized, by string": (
        "trueband.properties.x",
        "import importlib\ndef f():\n    importlib.import_module('trueband.optimized')",
    ),
    "properties with optimized, for types": (
        "trueband.properties.x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from trueband.optimized import models",
    ),
    "properties with golden": ("trueband.properties.x", "from trueband.golden import records"),
    "properties with torch at import time": (
        "trueband.properties.x",
        "try:\n    import torch\nexcept ImportError: ...",
    ),
    "properties with torch in a class body": ("trueband.properties.x", "class A:\n    import torch"),
    "golden with optimized": ("trueband.golden.x", "from trueband.optimized.models import led"),
    "golden with torch at import time": ("trueband.golden.x", "import torch.nn"),
    "golden with transformers": ("trueband.golden.x", "def f():\n    import transformers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_source_is_rejected(name: str) -> None:
    module, source = WRONG[name]
    assert len(violations(module, source)) == 1


RIGHT = {
    "standard library and numpy": ("trueband.reference.x", "import math\nfrom numpy.typing import NDArray"),
    "configurations are data": ("trueband.optimized.x", "from trueband.reference.config import LongformerConfig"),
    "names are data": ("trueband.optimized.x", "from trueband.reference.config import family_of_config"),
    "triton where it is needed": ("trueband.optimized.x", "def f():\n    import triton\n    return triton"),
    "triton in a kernel": ("trueband.optimized.attention.triton.kernels.x", "import triton.language as tl"),
    "torch where it is needed": ("trueband.properties.x", "def f():\n    import torch\n    return torch"),
    "torch for types only": (
        "trueband.properties.x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
    ),
    "a target named by its user": (
        "trueband.properties.x",
        "import importlib\ndef f(name):\n    importlib.import_module(name)",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_source_is_accepted(name: str) -> None:
    assert violations(*RIGHT[name]) == []
