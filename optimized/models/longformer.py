"""Longformer (arXiv 2004.05150): RoBERTa with banded attention, one window for each layer, and global tokens.

No padding to a multiple of the window: any length works, with any mix of windows.
Module names are those of the Hub's state dicts. Shapes: b batch, h heads, n tokens, D hidden size, L layers.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from trueband.optimized.layers.activations import activation
from trueband.optimized.layers.band_attention import BandSelfAttention
from trueband.optimized.layers.base import Model
from trueband.optimized.layers.blocks import Attended, Encoder, Pooler, attention_fields, initialize
from trueband.optimized.layers.calling import called_as_on_the_hub
from trueband.optimized.layers.embeddings import Embeddings
from trueband.optimized.layers.heads import LMHead, hidden
from trueband.optimized.layers.inputs import (
    Maybe,
    check_binary_mask,
    check_head_masks,
    main_input,
    with_legacy_flags,
)
from trueband.optimized.layers.losses import check_labels, token_loss
from trueband.optimized.layers.outputs import LongformerBaseModelOutputWithPooling, LongformerMaskedLMOutput
from trueband.reference.config import LongformerConfig


class LongformerModel(Model):
    """The encoder. `add_pooling_layer`: also tanh(dense(first token))."""

    def __init__(self, config: LongformerConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        activation("hidden_act", config.hidden_act)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config, lambda layer: BandSelfAttention(config, layer))
        self.pooler = Pooler(config) if add_pooling_layer else None
        initialize(self, config.initializer_range)

    @called_as_on_the_hub()
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        *,
        head_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> LongformerBaseModelOutputWithPooling:
        """The encoder on one batch.

        Args:
            input_ids, token_type_ids, position_ids: (b, n) int64 or int32.
            attention_mask: (b, n), 0 and 1 as bools, integers or floats; None: all real. Masked tokens attend nothing
                and are attended by nobody: their attention output is 0.
            global_attention_mask: (b, n), 1 for global tokens; None: none, or those where attention_mask is 2, as in
                early versions of the Hub. A flag on a masked token is dropped.
            head_mask: (layers, heads), multiplies the probabilities.
            inputs_embeds: (b, n, D), in place of input_ids.
            output_attentions, output_hidden_states: whether to return them; None: what the configuration says.

        Raises:
            ValueError, TypeError: "<argument>: expected ..., got ...", e.g. for more tokens than positions.
        """
        output_attentions = self.config.output_attentions if output_attentions is None else output_attentions
        output_hidden_states = (
            self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        )
        attention_mask, global_attention_mask = with_legacy_flags(attention_mask, global_attention_mask)
        embedded = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        mask = check_binary_mask("attention_mask", attention_mask, embedded)
        global_mask = check_binary_mask("global_attention_mask", global_attention_mask, embedded)
        head_masks = check_head_masks(
            head_mask, self.config.num_hidden_layers, self.config.num_attention_heads, embedded.device
        )

        def attend(module: nn.Module, hidden_states: Tensor, layer: int) -> Attended:
            attended: Attended = module(hidden_states, mask, global_mask, head_masks[layer], output_attentions)
            return attended

        states, attended, _ = self.encoder(embedded, attend)
        return LongformerBaseModelOutputWithPooling(
            last_hidden_state=states[-1],
            pooler_output=None if self.pooler is None else self.pooler(states[-1]),
            hidden_states=tuple(states) if output_hidden_states else None,
            **attention_fields(attended, output_attentions),
        )


class LongformerForMaskedLM(Model):
    """The encoder and its language-model head, tied to the word embeddings."""

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__(config)
        self.longformer = LongformerModel(config, add_pooling_layer=False)
        self.lm_head = LMHead(config, self.longformer.embeddings.word_embeddings)

    @called_as_on_the_hub(LongformerModel)
    def forward(
        self,
        input_ids: Maybe = None,
        attention_mask: Maybe = None,
        global_attention_mask: Maybe = None,
        *,
        labels: Maybe = None,
        **options: Any,
    ) -> LongformerMaskedLMOutput:
        """Logits for every token and, with labels, the loss.

        Args:
            labels: (b, n) int64 or int32, ids of the vocabulary, or -100 for tokens that do not count.
            options: the other arguments of `LongformerModel.forward`.
        """
        labels = check_labels(labels, main_input(input_ids, **options), self.config.vocab_size)
        encoded = self.longformer(input_ids, attention_mask, global_attention_mask, return_dict=True, **options)
        logits = self.lm_head(encoded.last_hidden_state)
        return LongformerMaskedLMOutput(logits=logits, loss=token_loss(logits, labels), **hidden(encoded))
