"""Longformer with a classifier, and the tokens that are global for each task (arXiv 2004.05150, section 4).

A `global_attention_mask` that is given replaces the task's own. `options` are the other arguments of
`LongformerModel.forward`. Shapes: b batch, n tokens, D hidden size, C classes or choices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trueband.optimized.models.base import Model
from trueband.optimized.models.choices import fold_choices
from trueband.optimized.models.heads import ClassificationHead, SpanHead, head_dropout
from trueband.optimized.models.inputs import check_ids, first_separator
from trueband.optimized.models.layers import initialize
from trueband.optimized.models.longformer import LongformerModel, hidden
from trueband.optimized.models.losses import (
    check_class_ids,
    check_classification_labels,
    check_labels,
    check_positions,
    classification_loss,
    span_loss,
    token_loss,
)
from trueband.optimized.models.outputs import (
    LongformerMultipleChoiceModelOutput,
    LongformerQuestionAnsweringModelOutput,
    LongformerSequenceClassifierOutput,
    LongformerTokenClassifierOutput,
)
from trueband.reference.config import LongformerConfig


class LongformerWithHead(Model):
    """The model inside, `longformer` in the state dict."""

    def __init__(self, config: LongformerConfig, pooled: bool = False) -> None:
        super().__init__()
        self.config = config
        self.longformer = LongformerModel(config, add_pooling_layer=pooled)
        self.dropout = nn.Dropout(head_dropout(config))

    def first_separators(self, input_ids: Tensor) -> Tensor:
        """(b, 1): where the question ends; ValueError unless every row has three separators."""
        config, device = self.config, self.longformer.embeddings.word_embeddings.weight.device
        ids = check_ids("input_ids", input_ids, None, config.vocab_size, device)
        found: Tensor = first_separator(ids, config.sep_token_id)
        return found[:, None]


class LongformerForSequenceClassification(LongformerWithHead):
    """A classifier on the first token, which is global."""

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__(config)
        self.classifier = ClassificationHead(config.hidden_size, config.num_labels, head_dropout(config))
        initialize(self.classifier, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> LongformerSequenceClassifierOutput:
        """Logits (b, C). labels: (b,) class ids; (b, C) floats: several classes at once, or a regression."""
        tokens, config = input_ids if input_ids is not None else options.get("inputs_embeds"), self.config
        if isinstance(tokens, Tensor) and tokens.ndim >= 2:
            labels = check_classification_labels(labels, tokens.shape[0], config.num_labels, config.problem_type)
            if global_attention_mask is None:
                place = torch.arange(tokens.shape[1], device=tokens.device)
                global_attention_mask = (place == 0).expand(tokens.shape[0], -1)
        encoded = self.longformer(input_ids, attention_mask, global_attention_mask, **options)
        logits = self.classifier(encoded.last_hidden_state[:, 0])
        loss = classification_loss(logits, labels, config.problem_type)
        return LongformerSequenceClassifierOutput(logits=logits, loss=loss, **hidden(encoded))


class LongformerForQuestionAnswering(LongformerWithHead):
    """Start and end of the answer. Every token before the first separator, the question, is global."""

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__(config)
        self.qa_outputs = SpanHead(config.hidden_size, config.num_labels)
        initialize(self.qa_outputs, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **options: Any,
    ) -> LongformerQuestionAnsweringModelOutput:
        """Logits (b, n) of both. Positions: (b,); one behind the last token does not count.

        Raises:
            ValueError: ids without exactly three separators in every row and no global_attention_mask. From
                inputs_embeds nothing is global by itself.
        """
        tokens = input_ids if input_ids is not None else options.get("inputs_embeds")
        if isinstance(tokens, Tensor):
            start_positions = check_positions("start_positions", start_positions, tokens)
            end_positions = check_positions("end_positions", end_positions, tokens)
        if global_attention_mask is None and input_ids is not None:
            first = self.first_separators(input_ids)
            global_attention_mask = torch.arange(input_ids.shape[1], device=input_ids.device) < first
        encoded = self.longformer(input_ids, attention_mask, global_attention_mask, **options)
        start, end = self.qa_outputs.spans(encoded.last_hidden_state)
        loss = span_loss(start, end, start_positions, end_positions)
        return LongformerQuestionAnsweringModelOutput(start_logits=start, end_logits=end, loss=loss, **hidden(encoded))


class LongformerForTokenClassification(LongformerWithHead):
    """A classifier on every token. Nothing is global by itself."""

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        initialize(self.classifier, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> LongformerTokenClassifierOutput:
        """Logits (b, n, C). labels: (b, n), -100 for tokens that do not count."""
        tokens = input_ids if input_ids is not None else options.get("inputs_embeds")
        labels = check_labels(labels, tokens, self.config.num_labels)
        encoded = self.longformer(input_ids, attention_mask, global_attention_mask, **options)
        logits = self.classifier(self.dropout(encoded.last_hidden_state))
        return LongformerTokenClassifierOutput(logits=logits, loss=token_loss(logits, labels), **hidden(encoded))


class LongformerForMultipleChoice(LongformerWithHead):
    """Each choice is a sequence of its own. Every token behind the two separators that end the question is global."""

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__(config, pooled=True)
        self.classifier = nn.Linear(config.hidden_size, 1)
        initialize(self.classifier, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> LongformerMultipleChoiceModelOutput:
        """Logits (b, C) from inputs (b, C, n). labels: (b,), the right choice.

        Raises:
            ValueError: ids without exactly three separators in every choice and no global_attention_mask. From
                inputs_embeds nothing is global by itself.
        """
        given = {"input_ids": input_ids, "attention_mask": attention_mask, **options}
        shape, folded = fold_choices({"global_attention_mask": global_attention_mask, **given})
        if labels is not None:
            labels = check_class_ids(labels, shape[:1], "(batch,)", shape[1])
        ids = folded["input_ids"]
        if folded["global_attention_mask"] is None and ids is not None:
            behind = torch.arange(ids.shape[1], device=ids.device) > self.first_separators(ids) + 1
            folded["global_attention_mask"] = behind
        encoded = self.longformer(**folded)
        logits = self.classifier(self.dropout(encoded.pooler_output)).view(shape)
        return LongformerMultipleChoiceModelOutput(logits=logits, loss=token_loss(logits, labels), **hidden(encoded))
