"""Tracks which elements of fresh tensors nothing has written, from kernel to kernel of one call."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from trueband.properties.gpu.ptx.launch import Pointer

_FRESH = ("aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty", "aten::new_empty_strided")


class Unwritten(TorchDispatchMode):
    """Sees tensors being made, and keeps them until the end of the call, so that no memory is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[Tensor, NDArray[np.bool_]]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func._schema.name in _FRESH:
            storage = result.untyped_storage()
            self._known[storage.data_ptr()] = result, np.zeros(storage.nbytes(), bool)
        elif func._schema.is_mutable:
            for declared, value in zip(func._schema.arguments, args, strict=False):
                if declared.alias_info is not None and declared.alias_info.is_write:
                    known = self._of(value)
                    if known is not None:
                        known[...] = True
        return result

    @contextlib.contextmanager
    def handed_over(self, arguments: Sequence[Any]) -> Iterator[list[Any]]:
        """Arguments of a launch, tensors as `Pointer`; what it has written is known afterwards."""
        known = [self._of(argument) if isinstance(argument, Tensor) else None for argument in arguments]
        handed = [
            Pointer(plain(argument), None if mine is None else mine.reshape(-1).copy())
            if isinstance(argument, Tensor)
            else argument
            for argument, mine in zip(arguments, known, strict=True)
        ]
        yield handed
        for pointer, mine in zip(handed, known, strict=True):
            if mine is not None and isinstance(pointer, Pointer) and pointer.written is not None:
                mine |= pointer.written.reshape(mine.shape)

    def _of(self, tensor: Tensor) -> NDArray[np.bool_] | None:
        """A view of what is known of a tensor's elements; None: all of them are written."""
        kept = self._known.get(tensor.untyped_storage().data_ptr())
        if kept is None:
            return None
        size = tensor.element_size()
        first = kept[1][tensor.storage_offset() * size :]
        return np.lib.stride_tricks.as_strided(
            first, tuple(tensor.shape), [size * stride for stride in tensor.stride()]
        )


_watching: list[Unwritten] = []


def watch_launches() -> Unwritten:
    """Forget what was known, and know from now on what the package's launchers make and write, forward and backward.

    They run below autograd and torch's dispatch of modes, so that the mode is entered around them.
    """
    from trueband.optimized.attention.triton import launch, span_launch

    for module, name in itertools.product((launch, span_launch), ("forward", "backward")):
        function = getattr(module, name)
        if not hasattr(function, "watched"):
            setattr(module, name, _watched(function))
    _watching[:] = [Unwritten()]
    return _watching[0]


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def watched(*arguments: Any) -> Any:
        if not _watching:
            return function(*arguments)
        with _watching[0]:
            return function(*arguments)

    watched.watched = True  # type: ignore[attr-defined]
    return watched


def plain(tensor: Tensor) -> NDArray[Any]:
    """The memory of a tensor, as NumPy sees it; bfloat16 as the integers of its bits."""
    tensor = tensor.detach()
    array: NDArray[Any] = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array
