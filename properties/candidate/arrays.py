"""Bridges between plain float64 arrays and the arrays a target takes: one class for each library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trueband.properties.candidate.accelerator import Accelerator, accelerator, first_line

Array = NDArray[Any]
PLAIN = "biu"  # kinds of numpy's dtypes that are handed over as they are: masks, segments, offsets
Backwards = Callable[..., dict[str, Any]]  # (upstream, again=False) -> gradients by name, None where there is none


class NotDifferentiable(Exception):
    """The output does not carry gradients."""


class Library(Protocol):
    """The operations that a library of arrays offers.

    Attributes:
        accelerator: the CUDA device of its arrays; None where there is none, or the library awaits its own.
    """

    accelerator: Accelerator | None

    def to(self, array: Array, dtype: str) -> Any:
        """Return a new array of the library with these numbers; a bool array stays bool."""

    def on_host(self, array: Array, dtype: str) -> Any:
        """Return the same, in the memory of the host where the library has arrays there."""

    def as_is(self, array: Array) -> Any:
        """Return a new array of the library with the dtype of the numpy array."""

    def back(self, array: Any) -> Array:
        """Return the numbers as float64."""

    def describe(self, array: Any) -> tuple[str, tuple[int, ...], str]:
        """Return (type, shape, dtype) of a plain array of the library; (type, (), "") of anything else."""

    def shares_memory(self, first: Any, second: Any) -> bool:
        """Return whether a write to one array may change the other."""

    def transpose(self, array: Any, axes: tuple[int, ...]) -> Any:
        """Return a view with permuted axes, where the library has views."""

    def broadcast(self, array: Any, shape: tuple[int, ...]) -> Any:
        """Return a view of another shape, where the library has views."""

    def negative(self, array: Any) -> Any:
        """Return another array with the negated numbers."""

    def forward(
        self,
        function: Callable[..., Any],
        inputs: dict[str, Any],
        names: list[str],
        grads: dict[str, Any] | None = None,
    ) -> tuple[Any, Backwards]:
        """Return `function(**inputs)`, with gradients of the named inputs, and its backward pass.

        Where the function returns a tuple, the backward pass takes one of upstream gradients.

        Args:
            grads: what a `.grad` holds for each name, to which the backward pass adds; None: there is no `.grad`.

        Raises:
            NotDifferentiable: the output carries no gradients.
        """


class NumpyLibrary:
    """numpy arrays of float64, float32 or float16."""

    accelerator: Accelerator | None = None

    def __init__(self, device: str) -> None:
        if device != "cpu":
            raise ValueError(f"device: expected 'cpu' for a numpy target, got {device!r}")

    def to(self, array: Array, dtype: str) -> Array:
        if array.dtype.kind in PLAIN:
            return array.copy()
        if dtype == "bfloat16":
            raise ValueError("dtype: expected one that numpy has, got 'bfloat16'")
        return np.array(array, dtype=dtype, order="C")

    def on_host(self, array: Array, dtype: str) -> Array:
        return self.to(array, dtype)

    def as_is(self, array: Array) -> Array:
        return array.copy()

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

    def negative(self, array: Array) -> Array:
        return -array

    def forward(
        self,
        function: Callable[..., Any],
        inputs: dict[str, Any],
        names: list[str],
        grads: dict[str, Any] | None = None,
    ) -> tuple[Any, Backwards]:
        raise NotDifferentiable("numpy arrays")


class TorchLibrary:
    """torch tensors on a device."""

    def __init__(self, device: str) -> None:
        import torch

        self.torch = torch
        try:
            self.device = torch.device(device)
            self.accelerator = accelerator(torch, self.device)
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            said = first_line(error)
            raise ValueError(f"device: expected one that torch can use, got {device!r} ({said})") from error

    def to(self, array: Array, dtype: str) -> Any:
        return self.on_host(array, dtype).to(device=self.device)

    def on_host(self, array: Array, dtype: str) -> Any:
        host = self.torch.from_numpy(np.ascontiguousarray(array).copy())
        return host if array.dtype.kind in PLAIN else host.to(dtype=getattr(self.torch, dtype))

    def as_is(self, array: Array) -> Any:
        return self.torch.from_numpy(np.ascontiguousarray(array).copy()).to(device=self.device)

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

    def negative(self, array: Any) -> Any:
        return -array.detach()

    def forward(
        self,
        function: Callable[..., Any],
        inputs: dict[str, Any],
        names: list[str],
        grads: dict[str, Any] | None = None,
    ) -> tuple[Any, Backwards]:
        for name in names:
            inputs[name].requires_grad_()
            inputs[name].grad = None if grads is None else grads[name]
        output = function(**inputs)
        parts = output if isinstance(output, tuple) else (output,)
        if not any(getattr(part, "requires_grad", False) for part in parts):
            # One argument alone may be one that the output does not depend on, such as the global key of no token.
            if {"query", "key", "value"} <= set(names):
                raise NotDifferentiable("an output that does not require grad")
            return output, lambda *_, **__: grads or {}
        chosen = [inputs[name] for name in names]

        def backward(upstream: Any, again: bool = False) -> dict[str, Any]:
            upstreams = upstream if isinstance(upstream, tuple) else (upstream,)
            pairs = zip(parts, upstreams, strict=True)
            varying, of_them = zip(*(pair for pair in pairs if pair[0].requires_grad), strict=True)
            if grads is not None:
                self.torch.autograd.backward(varying, of_them, retain_graph=again)
                return {name: inputs[name].grad for name in names}
            gradients = self.torch.autograd.grad(varying, chosen, of_them, retain_graph=again, allow_unused=True)
            return dict(zip(names, gradients, strict=True))

        return output, backward


class JaxLibrary:
    """jax arrays on the first device of a platform ("cpu", "gpu", "tpu"; "cuda" is "gpu"). They have no layout."""

    accelerator: Accelerator | None = None

    def __init__(self, device: str) -> None:
        try:
            import jax
        except ImportError as error:
            raise ValueError(f"library: expected jax, got {error}: pip install jax") from error
        jax.config.update("jax_enable_x64", True)  # float64 would silently be float32
        self.jax = jax
        try:
            self.device = jax.devices("gpu" if device == "cuda" else device)[0]
        except RuntimeError as error:
            said = first_line(error)
            raise ValueError(f"device: expected one that jax can use, got {device!r} ({said})") from error

    def to(self, array: Array, dtype: str) -> Any:
        if array.dtype.kind in PLAIN:
            return self.as_is(array)
        return self.as_is(array).astype(getattr(self.jax.numpy, dtype))

    def on_host(self, array: Array, dtype: str) -> Any:
        return self.to(array, dtype)

    def as_is(self, array: Array) -> Any:
        return self.jax.device_put(np.array(array, order="C"), self.device)

    def back(self, array: Any) -> Array:
        return np.asarray(array).astype(np.float64)

    def describe(self, array: Any) -> tuple[str, tuple[int, ...], str]:
        if not isinstance(array, self.jax.Array) or isinstance(array, self.jax.core.Tracer):
            return type(array).__name__, (), ""
        return "Array", tuple(array.shape), str(array.dtype)

    def shares_memory(self, first: Any, second: Any) -> bool:
        return False  # they cannot be written to

    def transpose(self, array: Any, axes: tuple[int, ...]) -> Any:
        return array.transpose(axes)

    def broadcast(self, array: Any, shape: tuple[int, ...]) -> Any:
        return self.jax.numpy.broadcast_to(array, shape)

    def negative(self, array: Any) -> Any:
        return -array

    def forward(
        self,
        function: Callable[..., Any],
        inputs: dict[str, Any],
        names: list[str],
        grads: dict[str, Any] | None = None,
    ) -> tuple[Any, Backwards]:
        if grads is not None:
            raise ValueError("grads: expected None for jax, which has no .grad")
        fixed = {name: array for name, array in inputs.items() if name not in names}
        chosen = {name: inputs[name] for name in names}
        try:
            output, vjp = self.jax.vjp(lambda varying: function(**varying, **fixed), chosen)
        except Exception as error:  # jax raises various errors for what it cannot trace
            raise NotDifferentiable(f"{type(error).__name__}: {error}") from error
        return output, lambda upstream, **_: dict(vjp(upstream)[0])


def library(name: str, device: str) -> Library:
    """Return the bridge to the library of this name."""
    known: dict[str, Callable[[str], Library]] = {"torch": TorchLibrary, "numpy": NumpyLibrary, "jax": JaxLibrary}
    return known[name](device)
