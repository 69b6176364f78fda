"""The state of each token, as the kernels read it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Tokens(NamedTuple):
    """The state of each token.

    Attributes:
        states: (b, n) int8: 0 masked, 1 local, 2 global.
        positions: (b, max(most, 1)) int32, of each row's global tokens, in order; beyond its count they do not matter.
        counts: (b,) int32, of global tokens.
        most: the largest of the counts.
    """

    states: Tensor
    positions: Tensor
    counts: Tensor
    most: int


def read(attention_mask: Tensor | None, global_attention_mask: Tensor | None, like: Tensor) -> Tokens:
    """Read the states from the masks (b, n) bool; `like`: (b, h, n, d).

    It waits for the device if there is a global_attention_mask.
    """
    batch, _, tokens, _ = like.shape
    states = torch.ones(batch, tokens, dtype=torch.int8, device=like.device)
    if attention_mask is not None:
        states.copy_(attention_mask)
    if global_attention_mask is None:
        none = torch.zeros(batch, 1, dtype=torch.int32, device=like.device)
        return Tokens(states, none, none[:, 0].contiguous(), 0)
    is_global = global_attention_mask & (states == 1)
    states += is_global
    counts = is_global.sum(dim=1, dtype=torch.int32)
    most = int(counts.max())
    positions = is_global.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, : max(most, 1)]
    return Tokens(states, positions.to(torch.int32).contiguous(), counts, most)
