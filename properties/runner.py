"""Runs a target on plain arrays, in this process, and holds it to the contract's rules about memory and types."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.arrays import library
from trueband.properties.target import Target

Array = NDArray[Any]
LAYOUTS = ("contiguous", "transposed", "offset", "expanded")


class CandidateError(Exception):
    """The target raised, or broke a rule that every call must keep. The message says what was expected and got."""


class Runner:
    """One target on one device.

    Attributes:
        features: what the target has.
        may_have_gradients: whether "backward" can only be found out by trying; see `find_gradients`.
    """

    def __init__(self, target: Target, device: str = "cpu") -> None:
        self.target = target.resolved()
        assert self.target.library is not None
        assert self.target.features is not None
        self.library = library(self.target.library, device)
        self.name = self.target.name
        self.dtypes = self.target.dtypes
        self.features = self.target.features
        self.may_have_gradients = target.features is None and self.target.library == "torch"
        self._last: tuple[Any, Array] | None = None  # the output of the last call, and what it held then

    def call(self, arrays: dict[str, Array], options: dict[str, Any], dtype: str, layout: str = "contiguous") -> Array:
        """The target's output as float64.

        Args:
            layout: of the floating inputs in memory: "contiguous"; "transposed", (b, n, h, d) memory; "offset", a
                slice of larger storage full of NaN; "expanded", one row of the batch repeated without copying.

        Raises:
            CandidateError: it raised, changed its inputs, or returned something else than asked for.
        """
        given = self._given(arrays, dtype, layout)
        output = self._run(self.target.function, given, options)
        self._check_result("output", output, arrays["query"].shape, dtype)
        self._check_unchanged(arrays, given, dtype)
        return self._own(output, given)

    def gradients(
        self, arrays: dict[str, Array], options: dict[str, Any], dtype: str, grad_output: Array, names: list[str]
    ) -> dict[str, Array]:
        """Gradients of the named arguments as float64; one that the result does not depend on is 0."""
        given = self._given(arrays, dtype, "contiguous")
        upstream = self.library.to(grad_output, dtype)
        if self.target.gradients is not None:
            found = self._run(self.target.gradients, {**given, "grad_output": upstream}, options)
        else:
            found = self._autograd(given, options, upstream, names)
        result = {}
        for name in names:
            gradient = found.get(name)
            if gradient is None:
                result[name] = np.zeros(arrays[name].shape)
                continue
            self._check_result(f"gradient of {name}", gradient, arrays[name].shape, dtype)
            result[name] = self.library.back(gradient)
        self._check_unchanged({**arrays, "grad_output": grad_output}, {**given, "grad_output": upstream}, dtype)
        return result

    def raises(self, arrays: dict[str, Any], options: dict[str, Any]) -> tuple[str, str]:
        """(type, message) of what the target raises for arrays handed over as they are; ("", "") for nothing."""
        given = {name: self._as_is(array) for name, array in arrays.items()}
        try:
            self.target.function(**given, **options)
        except Exception as error:
            return type(error).__name__, str(error)
        return "", ""

    def _given(self, arrays: dict[str, Array], dtype: str, layout: str) -> dict[str, Any]:
        return {name: self._lay_out(array, dtype, layout) for name, array in arrays.items()}

    def _lay_out(self, array: Array, dtype: str, layout: str) -> Any:
        if array.ndim == 2 and layout != "contiguous":
            return self._lay_out_mask(array, dtype, layout)
        if array.ndim != 4 or layout == "contiguous":
            return self.library.to(array, dtype)
        if layout == "transposed":
            return self.library.transpose(self.library.to(array.transpose(0, 2, 1, 3), dtype), (0, 2, 1, 3))
        if layout == "offset":
            batch, heads, tokens, head_dim = array.shape
            guarded = np.full((batch + 1, heads + 1, tokens + 3, head_dim + 5), np.nan)
            inside = np.s_[1:, :heads, 2 : tokens + 2, 3 : head_dim + 3]
            guarded[inside] = array
            return self.library.to(guarded, dtype)[inside]
        if layout == "expanded":
            if not (array == array[:1]).all():
                raise ValueError("layout: expected equal rows of the batch to expand, got different ones")
            return self.library.broadcast(self.library.to(array[:1], dtype), array.shape)
        raise ValueError(f"layout: expected one of {', '.join(LAYOUTS)}, got {layout!r}")

    def _lay_out_mask(self, mask: Array, dtype: str, layout: str) -> Any:
        """A mask (b, n) in (n, b) memory, or as a slice of a larger one that says the opposite."""
        if layout == "transposed":
            return self.library.transpose(self.library.to(mask.T, dtype), (1, 0))
        if layout == "offset":
            larger = np.repeat(~mask[:1, :1], len(mask) + 1, axis=0).repeat(mask.shape[1] + 3, axis=1)
            larger[1:, 2:-1] = mask
            return self.library.to(larger, dtype)[1:, 2:-1]
        return self.library.to(mask, dtype)

    def _own(self, output: Any, given: dict[str, Any]) -> Array:
        """The output as float64. It must lie in memory of its own, and stay as it is when the next call is made."""
        for name, array in given.items():
            if self.library.shares_memory(output, array):
                raise CandidateError(f"output: expected memory of its own, got that of {name}")
        last, self._last = self._last, (output, self.library.back(output))
        if last is not None and not np.array_equal(self.library.back(last[0]), last[1], equal_nan=True):
            raise CandidateError("output: expected the result of the call before to stay, got it overwritten")
        return self._last[1]

    def _as_is(self, array: Any) -> Any:
        if not isinstance(array, np.ndarray) or self.target.library == "numpy":
            return array
        return self.library.torch.from_numpy(array.copy())  # type: ignore[union-attr]

    def _run(self, function: Any, given: dict[str, Any], options: dict[str, Any]) -> Any:
        try:
            return function(**given, **options)
        except Exception as error:
            raise CandidateError(f"expected a result, got {type(error).__name__}: {error}") from error

    def _autograd(
        self, given: dict[str, Any], options: dict[str, Any], upstream: Any, names: list[str]
    ) -> dict[str, Any]:
        for name in names:
            given[name].requires_grad_()
        output = self._run(self.target.function, given, options)
        if not getattr(output, "requires_grad", False):
            raise CandidateError("expected an output that requires grad, got one that does not")
        torch = self.library.torch  # type: ignore[union-attr]
        try:
            found = torch.autograd.grad(output, [given[name] for name in names], upstream, allow_unused=True)
        except Exception as error:
            raise CandidateError(f"expected gradients, got {type(error).__name__}: {error}") from error
        return dict(zip(names, found, strict=True))

    def find_gradients(self) -> bool:
        """Whether a tiny call of a torch target gives an output that requires grad."""
        torch = self.library.torch  # type: ignore[union-attr]
        dtype = getattr(torch, self.dtypes[0])
        tensors = [torch.ones(1, 1, 2, 4, dtype=dtype, device=self.library.device) for _ in range(3)]  # type: ignore[union-attr]
        try:
            output = self.target.function(*(tensor.requires_grad_() for tensor in tensors), window=1)
        except Exception:
            return False
        return bool(getattr(output, "requires_grad", False))

    def _check_result(self, what: str, result: Any, shape: tuple[int, ...], dtype: str) -> None:
        kind, got_shape, got_dtype = self.library.describe(result)
        if not got_dtype:
            raise CandidateError(f"{what}: expected a plain {self.target.library} array, got {kind}")
        if got_shape != shape:
            raise CandidateError(f"{what}: expected shape {shape}, got {got_shape}")
        if got_dtype != dtype:
            raise CandidateError(f"{what}: expected dtype {dtype}, got {got_dtype}")

    def _check_unchanged(self, arrays: dict[str, Array], given: dict[str, Any], dtype: str) -> None:
        for name, array in arrays.items():
            if np.array_equal(self.library.back(given[name]), array.astype(np.float64), equal_nan=True):
                continue
            if not np.array_equal(self.library.back(self.library.to(array, dtype)), array, equal_nan=True):
                raise ValueError(f"{name}: expected numbers that {dtype} holds, got others")
            raise CandidateError(f"{name}: expected an unchanged input, got one that the call has changed")
