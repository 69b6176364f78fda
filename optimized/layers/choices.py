"""Multiple choice: (b, C, n) inputs are b * C sequences. b batch, C choices, n tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

FOLDED = ("input_ids", "attention_mask", "global_attention_mask", "token_type_ids", "position_ids", "inputs_embeds")


def fold_choices(arguments: Mapping[str, Any]) -> tuple[tuple[int, int], dict[str, Any]]:
    """(b, C) and the arguments with (b, C, n) made (b * C, n); ValueError for other shapes."""
    name = "input_ids" if arguments.get("input_ids") is not None else "inputs_embeds"
    first = arguments.get(name)
    if not isinstance(first, Tensor) or first.ndim < 3 or 0 in first.shape:
        got = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
        raise ValueError(f"{name}: expected shape (batch, choices, tokens), all at least 1, got {got}")
    shape = (first.shape[0], first.shape[1])
    folded = dict(arguments)
    for key in FOLDED:
        tensor = arguments.get(key)
        if isinstance(tensor, Tensor):
            if tensor.ndim < 3 or tuple(tensor.shape[:2]) != shape:
                raise ValueError(f"{key}: expected shape (batch, choices, ..) = {shape}, got {tuple(tensor.shape)}")
            folded[key] = tensor.flatten(0, 1)
    return shape, folded
