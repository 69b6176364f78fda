"""What transformers asks of an attention implementation about masks: which keys are real.

Which keys a window shows is the operator's own business; a mask that says more than causal, window and padding is
refused, because a table of padding could not tell it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

ALLOWED = {
    "causal_mask_function",
    "bidirectional_mask_function",
    "sliding_window_overlay.<locals>.inner_mask",
    "sliding_window_bidirectional_overlay.<locals>.inner_mask",
}
TOGETHER = "and_masks.<locals>.and_mask"


def padding_mask(
    batch_size: int,
    q_length: int = 0,
    kv_length: int = 0,
    q_offset: Any = 0,
    kv_offset: Any = 0,
    mask_function: Callable[..., Any] | None = None,
    attention_mask: Tensor | None = None,
    device: Any = None,
    cache_position: Tensor | None = None,
    **options: Any,
) -> Tensor | None:
    """(b, n) bool, True for real tokens, of the n keys from the first to that of the last query; None: all are real.

    Where the queries stand is told by `q_offset` and `q_length`; by `cache_position` in transformers 4.

    Raises:
        ValueError: the model asks for another mask than that of causal attention, a sliding window and padding.
    """
    for name in parts(mask_function):
        if name not in ALLOWED:
            raise ValueError(
                f"mask_function: expected causal attention, a sliding window or padding with the attention of "
                f"trueband, got {name.split('.')[0]}"
            )
    end = int(q_offset) + q_length if cache_position is None else int(cache_position[-1]) + 1
    seen = min(kv_length, end - int(kv_offset))  # static caches have room for more
    if attention_mask is None:
        if seen == kv_length:
            return None
        return torch.ones(batch_size, seen, dtype=torch.bool, device=device)
    own = attention_mask[:, int(kv_offset) : int(kv_offset) + seen].to(torch.bool)
    return None if seen == kv_length and bool(own.all()) else own


def parts(mask_function: Callable[..., Any] | None) -> Iterator[str]:
    """The names of the masks that one is made of."""
    if mask_function is None:
        return
    name = mask_function.__qualname__
    if name != TOGETHER:
        yield name
        return
    for cell in mask_function.__closure__ or ():
        for part in cell.cell_contents:
            yield from parts(part)
