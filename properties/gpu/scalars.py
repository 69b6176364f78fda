"""Corrects what Triton's interpreter gets wrong about single numbers, by its version: a loop's bound, and a mask."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from trueband.properties.gpu.triton_version import numbers

Replaced = dict[tuple[Any, str], Callable[..., Any]]


def replaced_for_numbers() -> Replaced:
    """{(owner, name): what is to stand there}, in the process whose triton interprets."""
    import triton
    from triton.language import core, semantic
    from triton.runtime import interpreter

    replaced: Replaced = {(interpreter, "_patch_lang_tensor"): with_numbers(interpreter._patch_lang_tensor)}
    if numbers(triton.__version__) < (3, 3):
        replaced[semantic, "_store_legacy"] = with_masks(semantic._store_legacy, core.tensor)
    return replaced


def with_numbers(patch: Callable[..., None]) -> Callable[..., None]:
    """`_patch_lang_tensor` whose tensors of one element are indices: before triton 3.7 not with NumPy 2.4 or newer."""

    def patched(tensor: Any, *scope: Any) -> None:
        patch(tensor, *scope)
        tensor.__index__ = lambda self: int(self.handle.data.item())

    return patched


def with_masks(store: Callable[..., Any], tensor: Any) -> Callable[..., Any]:
    """`_store_legacy` that sees a single False for a mask: triton 3.2 takes it for no mask, and stores."""
    mask_type = type("GivenMask", (tensor,), {"__bool__": lambda self: True})

    def stored(pointer: Any, value: Any, mask: Any, *rest: Any) -> Any:
        if isinstance(mask, tensor):
            mask = copy.copy(mask)
            mask.__class__ = mask_type
        return store(pointer, value, mask, *rest)

    return stored
