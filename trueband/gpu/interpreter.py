"""Triton's interpreter, mended for a process that runs kernels in nothing else.

Triton patches its language anew for every function that a kernel calls. For every operation it computes the types of
tiles, and overflows that it does not report. The mended interpreter does so once or not at all, in a third of the time.
Triton multiplies the bit patterns of bfloat16, and truncates casts to it. The mended interpreter multiplies the values,
and rounds to nearest, ties to even. Arithmetic on bfloat16 outside of products stays wrong: kernels do it in float32.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.scalars import replaced_for_numbers
from trueband.properties.gpu.triton_version import MEND, refusal

Array = NDArray[Any]


def can_be_mended() -> bool:
    """Return whether the interpreter of the installed triton is one that `mend` knows."""
    return refusal(MEND) is None


def mend() -> None:
    """Mends the interpreter of this process, once. `TRITON_INTERPRET=1` has to be set before triton is imported."""
    from triton import language
    from triton.language import core
    from triton.runtime import interpreter

    if isinstance(interpreter._patch_lang, PatchedOnce):
        return
    for (owner, name), function in replaced_for_numbers().items():
        setattr(owner, name, function)
    interpreter._patch_lang = PatchedOnce(interpreter._patch_lang, (language, core))
    builder, options = interpreter.InterpreterBuilder, interpreter.interpreter_builder.options
    builder.create_dot = product(builder.create_dot)
    builder.cast_impl = cast(builder.cast_impl, interpreter.TensorHandle)
    if not options.debug:  # overflows are reported in a debugged kernel only
        interpreter.interpreter_builder.options = dataclasses.replace(options, sanitize_overflow=False)
    core.block_type.__init__ = remembered_type(core.block_type.__init__, core.constexpr)
    core.tensor.__init__ = tensor_of_remembered_shape(
        core.constexpr,
        getattr(core, "tuple", list),  # before triton 3.3 a shape is a list
    )
    interpreter._get_np_dtype = remembered_scalars(interpreter._get_np_dtype, core.dtype)


class PatchedOnce:
    """Patches the modules of triton's language that a kernel names, unless they are patched, and leaves them so."""

    def __init__(self, patch: Callable[..., Any], modules: Collection[ModuleType]) -> None:
        self.patch = patch
        self.modules = modules
        self.patched: set[ModuleType] = set()
        self.kernels: set[Callable[..., Any]] = set()

    def __call__(self, kernel: Callable[..., Any]) -> PatchedOnce:
        if kernel not in self.kernels:
            self.kernels.add(kernel)
            named = {value for value in kernel.__globals__.values() if isinstance(value, ModuleType)}
            wanted = named.intersection(self.modules)
            if not wanted <= self.patched:
                self.patch(kernel)
                self.patched |= wanted
        return self

    def restore(self) -> None:
        """Do nothing, after each kernel, where the interpreter would restore its language."""


def product(of_others: Callable[..., Any]) -> Callable[..., Any]:
    """`InterpreterBuilder.create_dot` that multiplies the values of bfloat16; sums are in the format of `d`."""

    def create_dot(self: Any, a: Any, b: Any, d: Any, *rest: Any) -> Any:
        factors = []
        for factor in (a, b):
            if is_bfloat16(factor.dtype):
                factor = type(factor)(widened(factor.data), d.dtype.scalar)
            factors.append(factor)
        return of_others(self, *factors, d, *rest)

    return create_dot


def cast(of_others: Callable[..., Any], handle: Callable[..., Any]) -> Callable[..., Any]:
    """`InterpreterBuilder.cast_impl` that rounds float32 to bfloat16, and widens it back exactly."""

    def cast_impl(self: Any, source: Any, target: Any) -> Any:
        if is_bfloat16(target) and source.dtype.scalar.name == "fp32":
            return handle(rounded(source.data), target.scalar)
        if is_bfloat16(source.dtype) and target.scalar.name == "fp32":
            return handle(widened(source.data), target.scalar)
        return of_others(self, source, target)

    return cast_impl


def is_bfloat16(dtype: Any) -> bool:
    return bool(dtype.scalar.name == "bf16")


def widened(bits: Array) -> Array:
    """float32 values of bfloat16 bit patterns, uint16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(values: Array) -> Array:
    """bfloat16 bit patterns, uint16, of float32 values: to nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    up = (bits >> 16 & 1) + np.uint32(0x7FFF)
    return np.where(np.isnan(values), bits >> 16 | 0x0040, bits + up >> 16).astype(np.uint16)


def remembered_type(make: Callable[..., None], constant: Any) -> Callable[..., None]:
    """`block_type.__init__` that works out each type of a tile once: it never changes."""
    known: dict[tuple[Any, ...], dict[str, Any]] = {}

    def initialize(self: Any, element_type: Any, shape: Any) -> None:
        sizes = [size.value if isinstance(size, constant) else size for size in shape]
        # Kernels' scalar types are few and live as long as the process; those of pointers may be made anew.
        kind = (type(element_type), element_type.name, getattr(element_type, "address_space", None), *sizes)
        types = known.get(kind)
        if types is None:
            make(self, element_type, shape)
            known[kind] = dict(vars(self))
        else:
            vars(self).update(types)

    return initialize


def tensor_of_remembered_shape(constant: Any, values: Any) -> Callable[..., None]:
    """`tensor.__init__` that makes triton's words for each shape once."""

    @functools.cache
    def size_and_shape(*shape: int) -> tuple[Any, Any]:
        return constant(math.prod(shape)), values([constant(size) for size in shape])

    def initialize(self: Any, handle: Any, kind: Any) -> None:
        self.handle, self.type, self.dtype = handle, kind, kind.scalar
        self.numel, self.shape = size_and_shape(*kind.shape) if kind.is_block() else size_and_shape()

    return initialize


def remembered_scalars(find: Callable[..., Any], scalar: Any) -> Callable[..., Any]:
    """`_get_np_dtype` that looks each scalar type up once."""
    known = functools.cache(find)

    def of(dtype: Any) -> Any:
        element = dtype.scalar
        return known(element) if type(element) is scalar else find(dtype)

    return of
