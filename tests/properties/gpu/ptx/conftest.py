"""Kernels written by hand in PTX, and compiled ones with a fault planted."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trueband.gpu.ptx import target_of
from trueband.optimized.attention.triton.places import serve_cpu
from trueband.properties.candidate.runner import Runner
from trueband.properties.gpu.ptx.compile import Compiler, Request
from trueband.properties.gpu.ptx.execute import Executable
from trueband.properties.gpu.ptx.launch import Kernel, Pointer, launch
from trueband.properties.gpu.ptx.parse import parse
from trueband.properties.gpu.triton_version import EXECUTE

sys.path.insert(0, str(Path(__file__).parent))
from planted import planted

Array = NDArray[Any]
HERE = Path(__file__).parent

# Its body finds in %rd0, %rd1, ... the addresses of its arrays, in %rd10 four times the thread, in %r0 the thread.
FRAME = """
.version 8.7
.target sm_90a
.address_size 64
.extern .shared .align 16 .b8 global_smem[];
.visible .entry written_by_hand(
{parameters}
)
.reqntid {threads}
{{
    .reg .b32 %r<99>;
    mov.u32 %r0, %tid.x;
    mul.wide.u32 %rd10, %r0, 4;
{loads}
{body}
    ret;
}}
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test for one capability needs a triton that compiles for it what can be executed here."""
    for item in items:
        capability = getattr(getattr(item, "callspec", None), "params", {}).get("capability")
        if capability is not None and item.path.parent == HERE:
            item.add_marker(pytest.mark.needs_triton(EXECUTE[capability]))


@pytest.fixture(scope="session")
def assemble() -> Callable[..., Kernel]:
    """A kernel of PTX instructions; it has no whole number of 16 bytes of shared memory."""

    def make(body: str, arrays: int, threads: int = 32, shared: int = 1020) -> Kernel:
        parameters = ",\n".join(f"    .param .u64 .ptr .global .align 1 p{index}" for index in range(arrays))
        loads = "\n".join(f"    ld.param.b64 %rd{index}, [p{index}];" for index in range(arrays))
        text = FRAME.format(parameters=parameters, threads=threads, loads=loads, body=body)
        return Kernel(Executable.of(parse(text)), shared)

    return make


@pytest.fixture(scope="session")
def computed(assemble: Callable[..., Kernel]) -> Callable[..., Array]:
    """What instructions make of %r1, %r2, ... (one number of each thread from each input) in %r10, as uint32."""

    def run(body: str, *inputs: Sequence[int] | Array, shared: int = 1024) -> Array:
        given = [np.ascontiguousarray(each).view(np.uint32) for each in inputs]
        result = np.zeros(len(given[0]), np.uint32)
        loads = "\n".join(
            f"add.s64 %rd2{index}, %rd{index}, %rd10; ld.global.b32 %r{index + 1}, [ %rd2{index} + 0 ];"
            for index in range(len(given))
        )
        last = len(given)
        ending = f"add.s64 %rd30, %rd{last}, %rd10; st.global.b32 [ %rd30 + 0 ], {{ %r10 }};"
        kernel = assemble(f"{loads}\n{body}\n{ending}", last + 1, len(result), shared)
        launch(kernel, (1, 1, 1), [Pointer(each) for each in (*given, result)])
        return result

    return run


class FaultyCompiler(Compiler):
    """Compiles, and plants a fault into one kernel.

    Attributes:
        fault: name of the kernel, and the fault's name and number of `planted`; None: no kernel is changed. What a
            kernel is specialized for decides of its text, so that each text gets the fault in its own place.
        texts: {name: texts} of the kernels that were asked for.
    """

    fault: tuple[str, str, int] | None = None

    def __init__(self, cache: Path) -> None:
        super().__init__(cache)
        self.texts: dict[str, set[str]] = {}
        self._kept: dict[str, tuple[Kernel, str]] = {}  # without a fault

    def keeps(self, kernel: Kernel) -> bool:
        """Whether it is one without a fault."""
        return any(kernel is each for each, _ in self._kept.values())

    def kernel(self, request: Request) -> Kernel:
        key = repr(request)
        if key not in self._kept:
            self._kept[key] = super().kernel(request), self.compiled(request)["ptx"]
        kernel, text = self._kept[key]
        self.texts.setdefault(request.kernel, set()).add(text)
        if self.fault is not None and self.fault[0] == request.kernel:
            _, fault, number = self.fault
            for one in planted(text, (fault,)):
                if one.number == number:
                    return Kernel(Executable.of(parse(one.ptx)), kernel.shared)
        return kernel


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyCompiler]:
    """All workers of a session keep what they compiled in one folder."""
    base = tmp_path_factory.getbasetemp()
    one = FaultyCompiler((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled-ptx")
    yield one
    one.close()


class Launches:
    """Launches of kernels without a fault, each done once for the same arguments: a fault in one kernel of several
    leaves what the others are given, and make of it, as it was."""

    def __init__(self, compiler: FaultyCompiler) -> None:
        self._compiler = compiler
        self._done: dict[bytes, list[tuple[Array, Array | None]]] = {}

    def launch(self, kernel: Kernel, grid: tuple[int, int, int], arguments: Sequence[Pointer | int | float]) -> None:
        """As `trueband.properties.gpu.ptx.launch.launch`."""
        if not self._compiler.keeps(kernel):
            launch(kernel, grid, arguments)
            return
        pointers = [each for each in arguments if isinstance(each, Pointer)]
        key = sha256(repr((id(kernel), grid, [each for each in arguments if not isinstance(each, Pointer)])).encode())
        for at, each in enumerate(pointers):
            key.update(repr((at, each.array.shape, each.array.strides, each.array.dtype)).encode())
            flat = each.array.reshape(-1)
            held = True if each.written is None else each.written
            key.update(np.where(held, flat, np.zeros_like(flat)).tobytes())  # memory that nothing wrote holds anything
            key.update(np.asarray(held).tobytes())
        after = self._done.get(key.digest())
        if after is None:
            launch(kernel, grid, arguments)  # a finding is raised, and so is not kept
            self._done[key.digest()] = [
                (each.array.copy(), None if each.written is None else each.written.copy()) for each in pointers
            ]
            return
        for each, (array, written) in zip(pointers, after, strict=True):
            each.array[...] = array
            if each.written is not None:
                each.written[...] = written


@pytest.fixture
def emulated(compiler: FaultyCompiler, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Runner]]:
    """The package's kernels on an emulated GPU, as a target in this process; afterwards the CPU is a CPU again."""
    monkeypatch.setattr("trueband.gpu.ptx.launch", Launches(compiler).launch)

    def make(capability: int, dtype: str, tf32: bool = False) -> Runner:
        return Runner(dataclasses.replace(target_of(capability, tf32, compiler), dtypes=(dtype,)))

    compiler.fault = None
    yield make
    serve_cpu(None)
