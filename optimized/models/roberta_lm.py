"""Language models on XLM-RoBERTa. Shapes: b batch, n tokens, D hidden size."""

from __future__ import annotations

from typing import Any

from trueband.optimized.generation.roberta import RobertaGeneration
from trueband.optimized.layers.calling import called_as_on_the_hub
from trueband.optimized.layers.heads import LMHead, hidden
from trueband.optimized.layers.inputs import Maybe, main_input
from trueband.optimized.layers.losses import check_labels, next_token_loss, token_loss
from trueband.optimized.layers.outputs import CausalLMOutputWithCrossAttentions, MaskedLMOutput
from trueband.optimized.layers.pruning import Pruned
from trueband.optimized.models.roberta import XLMRobertaModel
from trueband.reference.config import XLMRobertaConfig


class RobertaLM(Pruned):
    """The model and its language-model head, tied to the word embeddings unless the configuration unties them."""

    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__(config)
        self.roberta = XLMRobertaModel(config, add_pooling_layer=False)
        self.lm_head = LMHead(config, self.roberta.embeddings.word_embeddings)


class XLMRobertaForMaskedLM(RobertaLM):
    """Logits of the tokens themselves."""

    @called_as_on_the_hub(XLMRobertaModel)
    def forward(
        self,
        input_ids: Maybe = None,
        attention_mask: Maybe = None,
        token_type_ids: Maybe = None,
        position_ids: Maybe = None,
        *,
        labels: Maybe = None,
        **options: Any,
    ) -> MaskedLMOutput:
        """Logits for every token and, with labels, the loss.

        Args:
            labels: (b, n) int64 or int32, ids of the vocabulary, or -100 for tokens that do not count.
            options: the other arguments of `XLMRobertaModel.forward`.
        """
        labels = check_labels(labels, main_input(input_ids, **options), self.config.vocab_size)
        inputs = (input_ids, attention_mask, token_type_ids, position_ids)
        encoded = self.roberta(*inputs, **{**options, "use_cache": False, "return_dict": True})
        logits = self.lm_head(encoded.last_hidden_state)
        return MaskedLMOutput(logits=logits, loss=token_loss(logits, labels), **hidden(encoded))


class XLMRobertaForCausalLM(RobertaGeneration, RobertaLM):
    """Logits of the next token, causal where the configuration says `is_decoder`."""

    @called_as_on_the_hub(XLMRobertaModel)
    def forward(
        self,
        input_ids: Maybe = None,
        attention_mask: Maybe = None,
        token_type_ids: Maybe = None,
        position_ids: Maybe = None,
        *,
        labels: Maybe = None,
        use_cache: bool | None = None,
        **options: Any,
    ) -> CausalLMOutputWithCrossAttentions:
        """Logits (b, n, vocabulary) and, with labels, the loss; with labels there is no cache.

        Args:
            labels: (b, n) int64 or int32, the ids themselves (they are shifted here), or -100 for tokens that do not
                count.
            options: the other arguments of `XLMRobertaModel.forward`.
        """
        labels = check_labels(labels, main_input(input_ids, **options), self.config.vocab_size)
        use_cache = False if labels is not None else use_cache
        inputs = (input_ids, attention_mask, token_type_ids, position_ids)
        decoded = self.roberta(*inputs, use_cache=use_cache, return_dict=True, **options)
        logits = self.lm_head(decoded.last_hidden_state)
        return CausalLMOutputWithCrossAttentions(
            logits=logits,
            loss=next_token_loss(logits, labels),
            past_key_values=decoded.past_key_values,
            cross_attentions=decoded.cross_attentions,
            **hidden(decoded),
        )
