"""Writes down what a call launches on a device: each kernel, its compiled code, and its tensors before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# (kernel, programs, arguments, constants, warps, stages): runs a kernel, and returns what was compiled.
Launcher = Callable[[Callable[..., Any], int, Sequence[Any], Mapping[str, Any], int, int], Any]


@dataclass(frozen=True)
class Launch:
    """One launch.

    Attributes:
        kernel: its name. programs: how many blocks.
        ptx, shared: the code that ran, and the bytes of shared memory of a block.
        before, after: the arguments that the code has, in its order; tensors as copies on the CPU.
    """

    kernel: str
    programs: int
    ptx: str
    shared: int
    before: list[Any]
    after: list[Any]


class Recorder:
    """In place of what runs the kernels.

    Attributes:
        launches: in order.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.launches: list[Launch] = []

    def __call__(
        self,
        kernel: Callable[..., Any],
        programs: int,
        arguments: Sequence[Any],
        constants: Mapping[str, Any],
        warps: int,
        stages: int,
    ) -> None:
        """Run a kernel, and write it down."""
        from trueband.optimized.attention.triton.shipped import specialized

        types, _, _ = specialized(kernel, arguments, constants)
        kinds = types.values()
        kept = [value for value, kind in zip(arguments, kinds, strict=False) if kind != "constexpr"]
        before = copied(kept)
        compiled = self._launcher(kernel, programs, arguments, constants, warps, stages)
        after = copied(kept)  # waits for the device
        name, ptx = kernel.__name__, compiled.asm["ptx"]
        self.launches.append(Launch(name, programs, ptx, compiled.metadata.shared, before, after))


def on_device(
    kernel: Callable[..., Any],
    programs: int,
    arguments: Sequence[Any],
    constants: Mapping[str, Any],
    warps: int,
    stages: int,
) -> Any:
    """Run a kernel on the device of its arguments."""
    return kernel[(programs,)](*arguments, **constants, num_warps=warps, num_stages=stages)  # type: ignore[index]


def copied(arguments: Sequence[Any]) -> list[Any]:
    """The arguments, tensors on the CPU; those that share memory share it there, too."""
    storages: dict[int, Any] = {}

    def copy(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in storages:
            storages[storage.data_ptr()] = torch.empty(storage.nbytes(), dtype=torch.uint8).untyped_storage()
            storages[storage.data_ptr()].copy_(storage)
        empty = torch.empty(0, dtype=tensor.dtype)
        return empty.set_(storages[storage.data_ptr()], tensor.storage_offset(), tuple(tensor.shape), tensor.stride())

    return [copy(value.detach()) if isinstance(value, Tensor) else value for value in arguments]
