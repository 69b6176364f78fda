"""The kernels that `trueband compile triton` compiles: every kernel of the package as it is shipped for a target.

The tensors are aligned as those of a model are. Others, such as slices of odd strides, are compiled anew and may spill.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trueband.properties.gpu.aot.kernel import Kernel

# The tiles of a model's heads in the format that it is trained in; the other formats and widths take longer.
QUICK: dict[str, Any] = {"formats": [("bfloat16", False)], "head_dims": [64]}


def quick(target: str) -> Iterator[Kernel]:
    """Kernels for bfloat16 and heads 64 wide, causal and not, with a head mask and without."""
    return _kernels(target, **QUICK)


def nightly(target: str) -> Iterator[Kernel]:
    """Yield the kernels of all formats and widths."""
    return _kernels(target)


def _kernels(target: str, **chosen: Any) -> Iterator[Kernel]:
    from trueband.optimized.attention.triton.shipped import configurations

    for configuration in configurations(targets=[target], **chosen):
        yield Kernel(
            configuration.name.removeprefix(f"{target}-"),
            configuration.function,
            configuration.target,
            configuration.signature,
            configuration.constants,
            configuration.attributes,
            configuration.warps,
            configuration.stages,
            configuration.products,
        )
