"""The cache of a decoder: what it keeps of past tokens. Shapes: b batch, h heads, m tokens, n encoder, d head dim.

A cache is never written to: a step returns a new one, so a failed or repeated step, and beams, do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from trueband.optimized.layers.exported import register

if TYPE_CHECKING:
    from trueband.optimized.layers.blocks import Attended


class LayerCache(NamedTuple):
    """Attributes:
    key, value: (b, h, m, d) of the self-attention; they grow.
    cross_key, cross_value: (b, h, n, d) of the cross-attention, projected once; None without one. Beams share those of
        their text: then there are fewer rows.
    """

    key: Tensor
    value: Tensor
    cross_key: Tensor | None = None
    cross_value: Tensor | None = None


@dataclass
class DecoderCache:
    """Attributes:
    layers: one for each layer of the decoder.
    positions: (b,) int64, how many positions have been given out, where padding gets none (XLM-RoBERTa); else None.
    """

    layers: tuple[LayerCache, ...]
    positions: Tensor | None = None

    @property
    def length(self) -> int:
        """Tokens read so far, padding included."""
        return self.layers[0].key.shape[2]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens read so far, under the name of the Hub's caches; all layers have read the same."""
        return self.length

    def __len__(self) -> int:
        """How many layers there are."""
        return len(self.layers)

    def __getitem__(self, layer: int) -> LayerCache:
        return self.layers[layer]

    def __iter__(self) -> Iterator[LayerCache]:
        return iter(self.layers)

    def reorder(self, rows: Tensor, same_encoder: bool = False) -> DecoderCache:
        """The cache of the rows of the batch that `rows` (any number,) int64 names, everything in it included.

        `same_encoder`: row i and the row that rows[i] names attend the same states of the encoder, as the beams of one
        text do: what is kept of these stays where it is.
        """

        def chosen(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.index_select(0, rows)

        layers = []
        for key, value, *crossed in self.layers:
            crossed = crossed if same_encoder else [chosen(tensor) for tensor in crossed]
            layers.append(LayerCache(key.index_select(0, rows), value.index_select(0, rows), *crossed))
        return DecoderCache(tuple(layers), chosen(self.positions))


register(DecoderCache)


def check_cache(cache: object, layers: int, batch: int) -> DecoderCache | None:
    """Check that the cache is None, or one of as many layers and rows."""
    if cache is None:
        return None
    if not isinstance(cache, DecoderCache):
        raise TypeError(f"past_key_values: expected a DecoderCache or None, got {type(cache).__name__}")
    if len(cache.layers) != layers:
        raise ValueError(f"past_key_values: expected {layers} layers, got {len(cache.layers)}")
    rows = cache.layers[0].key.shape[0]
    if rows != batch:
        raise ValueError(f"past_key_values: expected a batch of {batch}, got {rows}")
    return cache


def grown(past: Tensor, new: Tensor) -> Tensor:
    """(b, h, m, d) and (b, h, t, d) -> (b, h, m + t, d)."""
    return torch.cat([past, new], dim=2)


def layer_caches(own: Sequence[Attended], across: Sequence[Attended | None]) -> tuple[LayerCache, ...]:
    """Make the caches from the attentions of all layers, in one memory layout: all steps are one compiled graph."""

    def plain(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.contiguous()

    layers = []
    for cache, other in zip(own, across, strict=True):
        assert cache.key is not None
        assert cache.value is not None
        crossed = (None, None) if other is None else (plain(other.key), plain(other.value))
        layers.append(LayerCache(cache.key.contiguous(), cache.value.contiguous(), *crossed))
    return tuple(layers)
