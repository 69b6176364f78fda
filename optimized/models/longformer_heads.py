"""Longformer with a classifier, and the tokens that are global for each task (arXiv 2004.05150, section 4).

A `global_attention_mask` that is given replaces the task's own. `options` are the other arguments of
`LongformerModel.forward`. Shapes: b batch, n tokens, D hidden size, C classes or choices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trueband.optimized.layers.blocks import initialize
from trueband.optimized.layers.calling import called_as_on_the_hub
from trueband.optimized.layers.choices import fold_choices
from trueband.optimized.layers.heads import ClassificationHead, SpanHead, WithHead, head_dropout
from trueband.optimized.layers.inputs import Maybe, check_ids, first_separator, main_input, with_legacy_flags
from trueband.optimized.layers.outputs import (
    LongformerMultipleChoiceModelOutput,
    LongformerQuestionAnsweringModelOutput,
    LongformerSequenceClassifierOutput,
    LongformerTokenClassifierOutput,
)
from trueband.optimized.models.longformer import LongformerModel
from trueband.reference.config import LongformerConfig


class LongformerWithHead(WithHead):
    """The model inside, `longformer` in the state dict."""

    def __init__(self, config: LongformerConfig, pooled: bool = False) -> None:
        super().__init__(config)
        self.longformer = LongformerModel(config, add_pooling_layer=pooled)
        self.dropout = nn.Dropout(head_dropout(config))

    def encode(self, **inputs: Any) -> Any:
        return self.longformer(**inputs, return_dict=True)

    def first_separators(self, input_ids: Tensor) -> Tensor:
        """(b, 1): where the question ends; ValueError unless every row has three separators."""
        config, device = self.config, self.longformer.embeddings.word_embeddings.weight.device
        ids = check_ids("input_ids", input_ids, None, config.vocab_size, device)
        positions: Tensor = first_separator(ids, config.sep_token_id)
        return positions[:, None]


def both(own: Tensor, legacy: Maybe) -> Tensor:
    """The tokens that are global for a task, and those that the mask of attention marks."""
    return own if legacy is None else own | legacy


class LongformerForSequenceClassification(LongformerWithHead):
    """A classifier on the first token, which is global."""

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__(config)
        head = ClassificationHead(config.hidden_size, config.num_labels, head_dropout(config))
        self.classifier = initialize(head, config.initializer_range)

    @called_as_on_the_hub(LongformerModel)
    def forward(
        self,
        input_ids: Maybe = None,
        attention_mask: Maybe = None,
        global_attention_mask: Maybe = None,
        *,
        labels: Maybe = None,
        **options: Any,
    ) -> LongformerSequenceClassifierOutput:
        """Logits (b, C). labels: (b,) class ids; (b, C) floats: several classes at once, or a regression."""
        tokens = main_input(input_ids, **options)
        attention_mask, legacy = with_legacy_flags(attention_mask, global_attention_mask)
        if global_attention_mask is None and tokens is not None:
            place = torch.arange(tokens.shape[1], device=tokens.device)
            global_attention_mask = both((place == 0).expand(tokens.shape[0], -1), legacy)
        masks = {"attention_mask": attention_mask, "global_attention_mask": global_attention_mask}
        fields = self.classify_sequences(labels, input_ids=input_ids, **masks, **options)
        return LongformerSequenceClassifierOutput(**fields)


class LongformerForQuestionAnswering(LongformerWithHead):
    """Start and end of the answer. Every token before the first separator, the question, is global."""

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__(config)
        self.qa_outputs = initialize(SpanHead(config.hidden_size, config.num_labels), config.initializer_range)

    @called_as_on_the_hub(LongformerModel)
    def forward(
        self,
        input_ids: Maybe = None,
        attention_mask: Maybe = None,
        global_attention_mask: Maybe = None,
        *,
        start_positions: Maybe = None,
        end_positions: Maybe = None,
        **options: Any,
    ) -> LongformerQuestionAnsweringModelOutput:
        """Logits (b, n) of both. Positions: (b,); one behind the last token does not count.

        Raises:
            ValueError: ids without exactly three separators in every row and no global_attention_mask. From
                inputs_embeds nothing is global by itself.
        """
        attention_mask, legacy = with_legacy_flags(attention_mask, global_attention_mask)
        if global_attention_mask is None and input_ids is not None:
            first = self.first_separators(input_ids)
            global_attention_mask = both(torch.arange(input_ids.shape[1], device=input_ids.device) < first, legacy)
        masks = {"attention_mask": attention_mask, "global_attention_mask": global_attention_mask}
        fields = self.answer(start_positions, end_positions, input_ids=input_ids, **masks, **options)
        return LongformerQuestionAnsweringModelOutput(**fields)


class LongformerForTokenClassification(LongformerWithHead):
    """A classifier on every token. Nothing is global by itself."""

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__(config)
        self.classifier = initialize(nn.Linear(config.hidden_size, config.num_labels), config.initializer_range)

    @called_as_on_the_hub(LongformerModel)
    def forward(
        self,
        input_ids: Maybe = None,
        attention_mask: Maybe = None,
        global_attention_mask: Maybe = None,
        *,
        labels: Maybe = None,
        **options: Any,
    ) -> LongformerTokenClassifierOutput:
        """Logits (b, n, C). labels: (b, n), -100 for tokens that do not count."""
        masks = {"attention_mask": attention_mask, "global_attention_mask": global_attention_mask}
        fields = self.classify_tokens(labels, input_ids=input_ids, **masks, **options)
        return LongformerTokenClassifierOutput(**fields)


class LongformerForMultipleChoice(LongformerWithHead):
    """Each choice is a sequence of its own. Every token behind the two separators that end the question is global."""

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__(config, pooled=True)
        self.classifier = initialize(nn.Linear(config.hidden_size, 1), config.initializer_range)

    @called_as_on_the_hub(LongformerModel)
    def forward(
        self,
        input_ids: Maybe = None,
        token_type_ids: Maybe = None,
        attention_mask: Maybe = None,
        global_attention_mask: Maybe = None,
        *,
        labels: Maybe = None,
        **options: Any,
    ) -> LongformerMultipleChoiceModelOutput:
        """Logits (b, C) from inputs (b, C, n). labels: (b,), the right choice.

        Raises:
            ValueError: ids without exactly three separators in every choice and no global_attention_mask. From
                inputs_embeds nothing is global by itself.
        """
        attention_mask, legacy = with_legacy_flags(attention_mask, global_attention_mask)
        masks = {"attention_mask": attention_mask, "global_attention_mask": global_attention_mask}
        options["token_type_ids"] = token_type_ids
        shape, folded = fold_choices({"input_ids": input_ids, **masks, **options})
        ids = folded["input_ids"]
        if global_attention_mask is None and ids is not None:
            behind = torch.arange(ids.shape[1], device=ids.device) > self.first_separators(ids) + 1
            folded["global_attention_mask"] = both(behind, None if legacy is None else legacy.flatten(0, 1))
        return LongformerMultipleChoiceModelOutput(**self.choose(shape, labels, **folded))
