"""What the models return: dataclasses with the Hub's field names. A field that was not asked for is None.

Shapes: b batch, h heads, n tokens, D hidden size, L layers, x largest number of global tokens in a row of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class BaseModelOutputWithPooling:
    """Attributes:
    last_hidden_state: (b, n, D).
    pooler_output: (b, D), or None without a pooling layer.
    hidden_states: L + 1 tensors (b, n, D): after the embeddings, then after each layer.
    attentions: L tensors (b, h, n, n), with head mask and dropout: what multiplied the values.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class MaskedLMOutput:
    """Attributes:
    loss: scalar, or None without labels.
    logits: (b, n, vocabulary).
    hidden_states, attentions: as in `BaseModelOutputWithPooling`.
    """

    logits: Tensor
    loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class LongformerBaseModelOutputWithPooling:
    """Attributes:
    last_hidden_state, pooler_output, hidden_states: as in `BaseModelOutputWithPooling`.
    attentions: L tensors (b, h, n, x + attention_window + 1): x columns for the global tokens in order of position,
        then the offsets of the window. Rows of global and of masked tokens are 0.
    global_attentions: L tensors (b, h, n, x): column g is the row of the g-th global token over all n tokens, 0 for a
        missing one. None when no token is global.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    global_attentions: tuple[Tensor, ...] | None = None


@dataclass
class LongformerMaskedLMOutput:
    """Attributes:
    loss: scalar, or None without labels.
    logits: (b, n, vocabulary).
    hidden_states, attentions, global_attentions: as in `LongformerBaseModelOutputWithPooling`.
    """

    logits: Tensor
    loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    global_attentions: tuple[Tensor, ...] | None = None


for _output in (
    BaseModelOutputWithPooling,
    MaskedLMOutput,
    LongformerBaseModelOutputWithPooling,
    LongformerMaskedLMOutput,
):
    torch.export.register_dataclass(_output)  # so that torch.export takes them
