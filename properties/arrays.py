"""Bridges between plain float64 arrays and the arrays a target takes: one class for each library."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class NumpyLibrary:
    """numpy arrays of float64, float32 or float16."""

    def __init__(self, device: str) -> None:
        if device != "cpu":
            raise ValueError(f"device: expected 'cpu' for a numpy target, got {device!r}")

    def to(self, array: Array, dtype: str) -> Array:
        if array.dtype == np.bool_:
            return array.copy()
        if dtype == "bfloat16":
            raise ValueError("dtype: expected one that numpy has, got 'bfloat16'")
        return np.array(array, dtype=dtype, order="C")

    def back(self, array: Array) -> Array:
        return array.astype(np.float64)

    def describe(self, array: Any) -> tuple[str, tuple[int, ...], str]:
        if type(array) is not np.ndarray:
            return type(array).__name__, (), ""
        return "ndarray", array.shape, array.dtype.name

    def shares_memory(self, first: Array, second: Array) -> bool:
        return np.may_share_memory(first, second)

    def transpose(self, array: Array, axes: tuple[int, ...]) -> Array:
        return array.transpose(axes)

    def broadcast(self, array: Array, shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(array, shape)


class TorchLibrary:
    """torch tensors on a device."""

    def __init__(self, device: str) -> None:
        import torch

        self.torch = torch
        try:
            self.device = torch.device(device)
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"device: expected one that torch can use, got {device!r} ({error})") from error

    def to(self, array: Array, dtype: str) -> Any:
        tensor = self.torch.from_numpy(np.ascontiguousarray(array).copy())
        wanted = self.torch.bool if array.dtype == np.bool_ else getattr(self.torch, dtype)
        return tensor.to(device=self.device, dtype=wanted)

    def back(self, array: Any) -> Array:
        plain: Array = array.detach().to(device="cpu", dtype=self.torch.float64).numpy()
        return plain

    def describe(self, array: Any) -> tuple[str, tuple[int, ...], str]:
        if type(array) is not self.torch.Tensor:
            return type(array).__name__, (), ""
        return "Tensor", tuple(array.shape), str(array.dtype).removeprefix("torch.")

    def shares_memory(self, first: Any, second: Any) -> bool:
        return bool(first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr())

    def transpose(self, array: Any, axes: tuple[int, ...]) -> Any:
        return array.permute(axes)

    def broadcast(self, array: Any, shape: tuple[int, ...]) -> Any:
        return array.expand(shape)


def library(name: str, device: str) -> NumpyLibrary | TorchLibrary:
    """The bridge to a library by name."""
    return TorchLibrary(device) if name == "torch" else NumpyLibrary(device)
