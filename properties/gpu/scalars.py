"""A number of Triton's interpreter, such as a bound of a loop, with a NumPy that takes no array for a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def with_numbers(patch: Callable[..., None]) -> Callable[..., None]:
    """`_patch_lang_tensor` whose tensors of one element are indices: before triton 3.7 not with NumPy 2.4 or newer."""

    def patched(tensor: Any, *scope: Any) -> None:
        patch(tensor, *scope)
        tensor.__index__ = lambda self: int(self.handle.data.item())

    return patched
