"""One step of decoding, whatever the model: all tokens so far go in, the scores of the next ones come out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trueband.optimized.layers.cache import DecoderCache

# From the new tokens (r, t), the mask (r, m) of all tokens or None, and the cache, to logits (r, t, V) and a cache.
Read = Callable[[Tensor, Tensor | None, DecoderCache | None], tuple[Tensor, DecoderCache | None]]


class Stepper:
    """Reads only what is new when there is a cache."""

    def __init__(self, read: Read, prompt_mask: Tensor | None, cached: bool, cache: DecoderCache | None = None) -> None:
        """`prompt_mask`: (r, t) bool; tokens behind the prompt are real. `cached`: whether to keep a cache.

        `cache`: one to begin with, of what was read before.
        """
        self.read, self.prompt_mask, self.cached, self.cache = read, prompt_mask, cached, cache

    def next_scores(self, ids: Tensor) -> Tensor:
        """(r, t) all tokens so far -> (r, V), in float32 at least."""
        mask = self.prompt_mask
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(mask), ids.shape[1] - mask.shape[1])], dim=1)
        new = ids if self.cache is None else ids[:, self.cache.length :]
        logits, cache = self.read(new, mask, self.cache)
        self.cache = cache if self.cached else None
        last = logits[:, -1]
        return last if last.dtype == torch.float64 else last.float()

    def reorder(self, rows: Tensor) -> None:
        """Let row i go on from what row rows[i] has read: another beam of the same text."""
        if self.cache is not None:
            self.cache = self.cache.reorder(rows, same_encoder=True)
        if self.prompt_mask is not None:
            self.prompt_mask = self.prompt_mask[rows]
