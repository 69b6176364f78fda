"""The arguments of the operator of banded attention, by name, in the order of its schema."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """(b, h, n, d) tensors of the local and of the global rows; the latter may be the former."""

    query: Tensor
    key: Tensor
    value: Tensor
    query_global: Tensor
    key_global: Tensor
    value_global: Tensor


class BandArguments(NamedTuple):
    """One call. Tensors of global rows are None where those of the local rows are theirs, too."""

    query: Tensor
    key: Tensor
    value: Tensor
    query_global: Tensor | None
    key_global: Tensor | None
    value_global: Tensor | None
    head_mask: Tensor | None
    attention_mask: Tensor | None
    global_attention_mask: Tensor | None
    seed: Tensor | None
    window: int
    dilations: list[int]
    causal: bool
    scale: float
    dropout_p: float
    global_rows: bool

    @property
    def separate(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Query, key and value of the global rows, where they have their own."""
        return self.query_global, self.key_global, self.value_global

    @property
    def inputs(self) -> Inputs:
        local = (self.query, self.key, self.value)
        own = (one if other is None else other for one, other in zip(local, self.separate, strict=True))
        return Inputs(*local, *own)
