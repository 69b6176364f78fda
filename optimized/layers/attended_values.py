"""Attention outputs from returned attentions: what is returned is what the values are multiplied by.

A loss depends on the attentions then, and gradients with respect to them are there. What masked tokens hold changes
nothing. Shapes: b batch, h heads, t queries, n keys, d head dim, x most global tokens in a row of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

LEAST_BLOCK = 16  # rows of a block of the band, in which a product is worth its overhead


class _Carried(torch.autograd.Function):
    """The numbers of one tensor with the history of another."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, through: Tensor) -> Tensor:
        return numbers.view_as(numbers)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, grad


def carried(numbers: Tensor, through: Callable[[], Tensor]) -> Tensor:
    """What an operator has computed, with the history of the same computed from the attentions.

    The numbers are those of a call that asks for no attentions, bit for bit.
    """
    if not torch.is_grad_enabled():
        return numbers
    result: Tensor = _Carried.apply(numbers.detach(), through())
    return result


def real_values(value: Tensor, attention_mask: Tensor | None) -> Tensor:
    """(b, h, n, d), 0 in masked tokens: 0 times what they hold would not be 0 if that is not finite."""
    return value if attention_mask is None else value.masked_fill(~attention_mask[:, None, :, None], 0)


def full_context(attentions: Tensor, value: Tensor, attention_mask: Tensor | None) -> Tensor:
    """(b, h, t, n) times (b, h, n, d) -> (b, h, t, d)."""
    return attentions @ real_values(value, attention_mask).to(attentions.dtype)


def global_places(attention_mask: Tensor | None, global_attention_mask: Tensor) -> Tensor:
    """(b, x): where the global tokens of each row are, in order; behind them some other tokens."""
    flags = global_attention_mask if attention_mask is None else global_attention_mask & attention_mask
    columns = int(flags.sum(dim=1).max())
    return flags.logical_not().int().argsort(dim=1, stable=True)[:, :columns]


def local_context(attentions: Tensor, value: Tensor, attention_mask: Tensor | None, places: Tensor | None) -> Tensor:
    """The compact table (b, h, n, x + 2 * window + 1) times (b, h, n, d) -> (b, h, n, d). `places`: (b, x)."""
    value = real_values(value, attention_mask).to(attentions.dtype)
    columns = 0 if places is None else places.shape[1]
    front, band = attentions.tensor_split([columns], dim=-1)
    context = band_product(band, value)
    if places is not None and columns:
        context = context + front @ value.gather(2, along(places, value))
    return context


def global_context(attentions: Tensor, value: Tensor, attention_mask: Tensor | None, places: Tensor) -> Tensor:
    """The table (b, h, n, x) of global rows times (b, h, n, d) -> (b, h, n, d), 0 in rows that are not global."""
    rows = attentions.mT @ real_values(value, attention_mask).to(attentions.dtype)
    return rows.new_zeros(value.shape).scatter_add(2, along(places, value), rows)


def along(places: Tensor, value: Tensor) -> Tensor:
    """(b, x) -> (b, h, x, d), an index for (b, h, n, d)."""
    return places[:, None, :, None].expand(-1, value.shape[1], -1, value.shape[3])


def band_product(band: Tensor, value: Tensor) -> Tensor:
    """Offsets -w .. w of each row, (b, h, n, 2w + 1), times (b, h, n, d) -> (b, h, n, d); linear in n."""
    tokens, window = value.shape[2], band.shape[-1] // 2
    block = max(window, LEAST_BLOCK)
    short = -tokens % block
    rows = pad(band, (0, block, 0, short)).unflatten(2, (-1, block))  # (b, h, blocks, block, 2w + 1 + block)
    keys = block + 2 * window
    # Read with one column less a row, every row is moved by one more column: offsets become keys.
    skewed = rows.flatten(-2)[..., : block * keys].unflatten(-1, (block, keys))
    near = pad(value, (0, 0, window, window + short)).unfold(2, keys, block)  # (b, h, blocks, d, keys)
    return (skewed @ near.mT).flatten(2, 3)[:, :, :tokens]
