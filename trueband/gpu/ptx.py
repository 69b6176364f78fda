"""`ptx-sm80`, `ptx-sm90`, each also with `-tf32`: the fused kernels as compiled for a GPU, executed on the CPU.

Everything above a launch is the package's own: argument checks, operator, tiles, grids. At a launch the kernel is
compiled for the target, and its PTX is executed by `trueband.properties.gpu.ptx`, which refuses what a GPU would
silently get wrong. It is slow: give few cases (`--cases 50`) and one dtype.
"""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trueband.golden.weights.fetch import cache_folder
from trueband.gpu.unwritten import Unwritten, watch_launches
from trueband.optimized import band_attention
from trueband.optimized.attention.triton.blocks import WIDEST
from trueband.properties.candidate.target import WHOLE_CONTRACT, Target
from trueband.properties.cases.limits import Sizes
from trueband.properties.gpu.ptx.compile import Compiler, Request
from trueband.properties.gpu.ptx.launch import launch


class Emulated:
    """The package's operator on a GPU that is emulated.

    Args:
        capability: 80 or 90.
        tf32: cut the factors of float32 products to tf32.
        compiler: the compiler of the kernels; None: one that keeps what it compiled in the package's cache folder.
    """

    def __init__(self, capability: int, tf32: bool = False, compiler: Compiler | None = None) -> None:
        self.capability, self.tf32, self._compiler = capability, tf32, compiler
        self._unwritten: Unwritten | None = None

    def __call__(self, query: Any, key: Any, value: Any, **options: Any) -> Any:
        """`band_attention(..., impl="triton")` for tensors on the CPU."""
        from trueband.optimized.attention.triton.places import Place, serve_cpu

        self._unwritten = watch_launches()
        serve_cpu(Place(f"sm_{self.capability}", self.tf32, self.run))
        return band_attention(query, key, value, impl="triton", **options)

    def run(
        self,
        kernel: Callable[..., Any],
        programs: int,
        arguments: Sequence[Any],
        constants: Mapping[str, Any],
        warps: int,
        stages: int,
    ) -> None:
        """Compile and execute a kernel: what a `Place` does."""
        assert self._unwritten is not None
        request, values = requested(kernel, arguments, constants, self.capability, warps, stages)
        compiled = (self._compiler or compiler()).kernel(request)
        with self._unwritten.handed_over(values) as handed:
            launch(compiled, (programs, 1, 1), handed)


def requested(
    kernel: Callable[..., Any],
    arguments: Sequence[Any],
    constants: Mapping[str, Any],
    capability: int,
    warps: int,
    stages: int,
) -> tuple[Request, list[Any]]:
    """Return what to compile for a launch, specialized as Triton would, and the arguments that remain."""
    from trueband.optimized.attention.triton.shipped import specialized

    function = kernel.fn  # type: ignore[attr-defined]
    types, built_in, aligned = specialized(kernel, arguments, constants)
    values = [value for value, kind in zip(arguments, types.values(), strict=False) if kind != "constexpr"]
    return Request(function.__module__, function.__name__, types, built_in, aligned, capability, warps, stages), values


@functools.cache
def compiler() -> Compiler:
    """The one of this process."""
    shared = Compiler(cache_folder() / "ptx")
    atexit.register(shared.close)
    return shared


def target_of(capability: int, tf32: bool = False, compiler: Compiler | None = None) -> Target:
    """The package's operator on an emulated GPU; arguments as those of `Emulated`."""
    return Target(
        Emulated(capability, tf32, compiler),
        dtypes=("float32",) if tf32 else ("bfloat16", "float16", "float32"),
        features=WHOLE_CONTRACT - {"nan_local"},
        library="torch",
        sizes={"head_dim": Sizes(most=WIDEST)},
        name=f"trueband.optimized.band_attention[ptx sm_{capability}{' tf32' if tf32 else ''}]",
        devices=("cpu",),
        accumulators={"float32": "tf32"} if tf32 else {},
    )


sm80, sm90 = target_of(80), target_of(90)
sm80_tf32, sm90_tf32 = target_of(80, tf32=True), target_of(90, tf32=True)
