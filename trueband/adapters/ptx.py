"""`ptx-sm80` and `ptx-sm90`: the package's fused kernels as compiled for a GPU, executed on the CPU.

Everything above a launch is the package's own: argument checks, operator, grids, tiles. A launch is replaced: the kernel
is compiled for the target, and its PTX is executed by `trueband.properties.gpu.ptx`, which refuses what a GPU would
silently get wrong. It is slow: give few cases (`--cases 50`), one dtype, and `-k "not small_world"`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from trueband.golden.fetch import cache_folder
from trueband.optimized import band_attention
from trueband.properties.gpu.ptx.compile import Compiler, Request
from trueband.properties.gpu.ptx.launch import Pointer, launch
from trueband.properties.target import FEATURES, Target

TYPES = {
    torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16", torch.int32: "i32", torch.int8: "i8",
    torch.int64: "i64",
}  # fmt: skip
ALIGNED = 16  # bytes of a pointer, elements of a stride: what Triton specializes for
FIRST_ALLOCATIONS = ("aten::new_empty", "aten::empty", "aten::empty_strided", "aten::new_empty_strided")


@functools.cache
def compiler() -> Compiler:
    return Compiler(cache_folder() / "ptx")


class Unwritten(TorchDispatchMode):
    """Knows which elements of fresh tensors nothing has written."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[Tensor, np.ndarray]] = {}  # a tensor is kept, so that its memory is not used again

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name in FIRST_ALLOCATIONS:
            storage = result.untyped_storage()
            self._known[storage.data_ptr()] = (result, np.zeros(storage.nbytes(), bool))
        elif func._schema.is_mutable:
            for argument, value in zip(func._schema.arguments, args, strict=False):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    self._wrote(value)
        return result

    def _wrote(self, tensor: Tensor) -> None:
        known = self._of(tensor)
        if known is not None:
            known[...] = True

    def _of(self, tensor: Tensor) -> np.ndarray | None:
        """A view of what is known, with an entry for each element of the tensor."""
        kept = self._known.get(tensor.untyped_storage().data_ptr())
        if kept is None:
            return None
        size = tensor.element_size()
        first = kept[1][tensor.storage_offset() * size :]
        strides = [stride * size for stride in tensor.stride()]
        return np.lib.stride_tricks.as_strided(first, tuple(tensor.shape), strides)

    def pointer(self, tensor: Tensor) -> tuple[Pointer, np.ndarray | None]:
        """A tensor as an argument of a launch, and where to put what was written."""
        known = self._of(tensor)
        array = tensor.detach()
        plain = (array.view(torch.int16) if array.dtype == torch.bfloat16 else array).numpy()
        return Pointer(plain, None if known is None else known.reshape(-1).copy()), known
