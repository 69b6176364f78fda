"""The banded self-attentions of transformers with another `forward`. All else is theirs: weights, names, arguments.

Shapes: b batch, h heads, n tokens, d head dim, D = h * d hidden size, x most global tokens in a row of the batch,
w one-sided window.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers.models.led import modeling_led
from transformers.models.longformer import modeling_longformer

from trueband.integrations.transformers.probabilities import band_probabilities
from trueband.optimized.attention.api import dropout_seed, find_implementation
from trueband.optimized.attention.chunked.arguments import BandArguments


class BandForward(nn.Module):
    """The `forward` of a banded self-attention; its projections are called, whatever stands in their place."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        *,
        layer_head_mask: Tensor | None = None,
        is_index_masked: Tensor | None = None,
        is_index_global_attn: Tensor | None = None,
        is_global_attn: bool | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, ...]:
        """(b, n, D) -> context (b, n, D); with `output_attentions` also the probabilities (b, n, h, x + 2w + 1) and,
        where a token is global, those of global tokens (b, h, x, n). Any n: no multiple of the window is needed.

        `attention_mask` (b, n) is below 0 for masked tokens and above 0 for global ones; the two `is_index_...` (b, n)
        bool say the same, and are read from it where they are None.
        """
        masked = marked(is_index_masked, attention_mask, torch.lt, hidden_states)
        flagged = marked(is_index_global_attn, attention_mask, torch.gt, hidden_states) & ~masked
        if is_global_attn is None:
            is_global_attn = bool(flagged.any())
        by_token = hidden_states.transpose(0, 1).contiguous()  # (n, b, D), as the peer calls its projections
        query, key, value = (self.split(project(by_token)) for project in (self.query, self.key, self.value))
        separate = self.of_global_tokens(by_token, flagged, query.dtype) if is_global_attn else [None] * 3
        dropout_p = self.dropout if self.training else 0.0
        query_global, key_global, value_global = separate
        call = BandArguments(
            query,
            key,
            value,
            query_global,
            key_global,
            value_global,
            head_mask=layer_head_mask,
            attention_mask=~masked,
            global_attention_mask=flagged if is_global_attn else None,
            seed=dropout_seed(dropout_p),
            window=self.one_sided_attn_window_size,
            dilations=[1] * self.num_heads,
            causal=False,
            scale=1 / math.sqrt(self.head_dim),
            dropout_p=dropout_p,
            global_rows=True,
        )
        context = find_implementation("auto", query, dropout_p)(*call).transpose(1, 2).flatten(2)
        if not output_attentions:
            return (context,)
        local, of_globals = band_probabilities(call)
        tables = (local.transpose(1, 2),)
        return (context, *tables) if of_globals is None else (context, *tables, self.at_padded_length(of_globals))

    def split(self, projected: Tensor) -> Tensor:
        """(n, b, D) -> (b, h, n, d)."""
        return projected.unflatten(-1, (self.num_heads, -1)).permute(1, 2, 0, 3)

    def of_global_tokens(self, by_token: Tensor, flagged: Tensor, dtype: torch.dtype) -> list[Any]:
        """Query, key and value (b, h, n, d) of the rows of global tokens; the query is 0 elsewhere. Three tensors.

        Only global tokens are projected to queries: x at a time for each row of the batch, missing ones 0.
        """
        row, token = flagged.nonzero(as_tuple=True)
        place = (flagged.cumsum(dim=1) - 1)[row, token]
        asking = by_token.new_zeros(int(place.max()) + 1 if len(place) else 0, *by_token.shape[1:])
        asking = asking.index_put((place, row), by_token[token, row])
        asked = self.query_global(asking).to(dtype)
        query = asked.new_zeros(by_token.shape[0], *asked.shape[1:]).index_put((token, row), asked[place, row])
        others = (project(by_token).to(dtype) for project in (self.key_global, self.value_global))
        return [self.split(each) for each in (query, *others)]

    def at_padded_length(self, table: Tensor) -> Tensor:
        """(b, h, x, n) with columns of 0 up to the length that the peer pads to, as its answer has them."""
        windows = self.config.attention_window
        widest = windows if isinstance(windows, int) else max(windows)
        return pad(table, (0, -table.shape[-1] % widest))

    def extra_repr(self) -> str:
        return "computed by trueband"

    # Declared for type checkers: the class of transformers has them.
    query: nn.Module
    key: nn.Module
    value: nn.Module
    query_global: nn.Module
    key_global: nn.Module
    value_global: nn.Module
    dropout: float
    one_sided_attn_window_size: int
    num_heads: int
    head_dim: int
    config: Any


def marked(given: Tensor | None, attention_mask: Tensor | None, compare: Any, hidden_states: Tensor) -> Tensor:
    """(b, n) bool: the tokens that are marked; none where nothing says so."""
    if given is not None:
        return given
    if attention_mask is None:
        return hidden_states.new_zeros(hidden_states.shape[:2], dtype=torch.bool)
    found: Tensor = compare(attention_mask, 0)
    return found


# Named as the classes that they stand for: device maps and messages of transformers tell layers by that name.
class LongformerSelfAttention(BandForward, modeling_longformer.LongformerSelfAttention):  # type: ignore[misc]
    """transformers' LongformerSelfAttention, computed by trueband."""


class LEDEncoderSelfAttention(BandForward, modeling_led.LEDEncoderSelfAttention):  # type: ignore[misc]
    """transformers' LEDEncoderSelfAttention, computed by trueband."""


REPLACED: dict[type[nn.Module], type[nn.Module]] = {
    modeling_longformer.LongformerSelfAttention: LongformerSelfAttention,
    modeling_led.LEDEncoderSelfAttention: LEDEncoderSelfAttention,
}
RESTORED = {ours: theirs for theirs, ours in REPLACED.items()}
