"""The arguments of the operator of spans, by name, in the order of its schema."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from trueband.optimized.attention.chunked.arguments import Inputs


class SpanArguments(NamedTuple):
    """One call. Tensors of global rows are None where those of the local rows are theirs, too.

    Query i of row b of the batch stands at token offsets[b] + i, or at offset + i where `offsets` is None.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    query_global: Tensor | None
    key_global: Tensor | None
    value_global: Tensor | None
    head_mask: Tensor | None
    sinks: Tensor | None
    slopes: Tensor | None
    attention_mask: Tensor | None
    global_attention_mask: Tensor | None
    segments: Tensor | None
    offsets: Tensor | None
    seed: Tensor | None
    left: int | None
    right: int | None
    dilations: list[int]
    causal: bool
    scale: float
    softcap: float | None
    offset: int
    dropout_p: float

    @property
    def separate(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Query, key and value of the global rows, where they have their own."""
        return self.query_global, self.key_global, self.value_global

    @property
    def inputs(self) -> Inputs:
        local = (self.query, self.key, self.value)
        own = (one if other is None else other for one, other in zip(local, self.separate, strict=True))
        return Inputs(*local, *own)

    @property
    def group(self) -> int:
        """Query heads that read one head of keys and values."""
        return self.query.shape[1] // self.key.shape[1]

    @property
    def reach(self) -> tuple[int | None, int | None]:
        """How many steps a local row sees to the left and to the right; None: no limit."""
        return self.left, 0 if self.causal else self.right

    def starts(self) -> list[int]:
        """The token that the first query of each row of the batch stands at."""
        return [self.offset] * len(self.query) if self.offsets is None else self.offsets.tolist()
