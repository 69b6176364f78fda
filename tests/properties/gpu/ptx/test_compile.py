"""Kernels of others: compiled in a process of their own, kept on disk, executed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trueband.properties.gpu.ptx.compile import CompileError, Compiler, Request
from trueband.properties.gpu.ptx.findings import Finding
from trueband.properties.gpu.ptx.launch import Pointer, launch
from trueband.properties.gpu.triton_version import EXECUTE

pytestmark = pytest.mark.needs_triton(EXECUTE[90])

SOURCE = """
import triton
import triton.language as tl


@triton.jit
def double(x, y, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + places, 2 * tl.load(x + places), mask=places < n)


@triton.jit
def double_within(x, y, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + places, 2 * tl.load(x + places, mask=places < n), mask=places < n)
"""
TYPES = {"x": "*fp32", "y": "*fp32", "n": "i32", "BLOCK": "constexpr"}


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    path = tmp_path / "my_triton.py"
    path.write_text(SOURCE)
    return Request(str(path), "double_within", TYPES, {"BLOCK": 64}, ("x", "y"), capability=90)


@pytest.fixture
def compiler(tmp_path: Path) -> Iterator[Compiler]:
    one = Compiler(tmp_path / "compiled")
    yield one
    one.close()


def test_a_kernel_of_ones_own(request_: Request, compiler: Compiler) -> None:
    x = np.arange(65, dtype=np.float32)
    for name in ("double_within", "double"):
        kernel = compiler.kernel(dataclasses.replace(request_, kernel=name))
        y = np.zeros(65, np.float32)
        arguments: list[Pointer | int | float] = [Pointer(x), Pointer(y, np.zeros(65, bool)), 65]
        if name == "double":
            with pytest.raises(Finding, match=r"global bounds: load of 4 bytes out of bounds \(block \(1, 0, 0\)"):
                launch(kernel, (2, 1, 1), arguments)
        else:
            launch(kernel, (2, 1, 1), arguments)
            assert y.tolist() == (2 * x).tolist()


def test_what_was_compiled_is_kept_until_the_source_changes(request_: Request, compiler: Compiler) -> None:
    first = compiler.compiled(request_)
    (kept,) = compiler.cache.iterdir()
    assert json.loads(kept.read_text()) == first
    kept.write_text(json.dumps({**first, "ptx": "as it was kept"}))
    assert compiler.compiled(request_)["ptx"] == "as it was kept"
    kept.write_text("{")  # what a crash may leave elsewhere is compiled again
    assert compiler.compiled(request_) == first
    Path(request_.module).write_text(SOURCE + "# changed\n")
    compiler.compiled(request_)
    assert len(list(compiler.cache.iterdir())) == 2


def test_registers_are_told(request_: Request, compiler: Compiler) -> None:
    assert 0 < compiler.compiled(request_)["registers"] <= 255


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kernel": "no_such"}, "no_such"),
        ({"constants": {"BLOCK": 60}}, "double_within"),  # not a power of two
        ({"module": "no.such.module"}, "module: expected one that can be imported, got 'no.such.module'"),
    ],
)
def test_what_the_compiler_refuses(
    changes: dict[str, object], told: str, request_: Request, compiler: Compiler
) -> None:
    with pytest.raises(CompileError, match=told):
        compiler.kernel(dataclasses.replace(request_, **changes))  # type: ignore[arg-type]
    assert compiler.compiled(request_)["shared"] == 0  # the process goes on
