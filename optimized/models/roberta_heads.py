"""XLM-RoBERTa with a classifier. Shapes: b batch, n tokens, D hidden size, C classes or choices.

`options` are the other arguments of `XLMRobertaModel.forward`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from trueband.optimized.models.base import Model
from trueband.optimized.models.choices import fold_choices
from trueband.optimized.models.heads import ClassificationHead, SpanHead, head_dropout
from trueband.optimized.models.layers import initialize
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
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from trueband.optimized.models.roberta import XLMRobertaModel, hidden
from trueband.reference.config import XLMRobertaConfig


class RobertaWithHead(Model):
    """The model inside, `roberta` in the state dict."""

    def __init__(self, config: XLMRobertaConfig, pooled: bool = False) -> None:
        super().__init__()
        self.config = config
        self.roberta = XLMRobertaModel(config, add_pooling_layer=pooled)
        self.dropout = nn.Dropout(head_dropout(config))

    def encode(self, **options: Any) -> Any:
        return self.roberta(**{"use_cache": False, **options})


class XLMRobertaForSequenceClassification(RobertaWithHead):
    """A classifier on the first token."""

    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__(config)
        self.classifier = ClassificationHead(config.hidden_size, config.num_labels, head_dropout(config))
        initialize(self.classifier, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> SequenceClassifierOutput:
        """Logits (b, C). labels: (b,) class ids; (b, C) floats: several classes at once, or a regression."""
        tokens = input_ids if input_ids is not None else options.get("inputs_embeds")
        config = self.config
        if isinstance(tokens, Tensor):
            labels = check_classification_labels(labels, tokens.shape[0], config.num_labels, config.problem_type)
        encoded = self.encode(input_ids=input_ids, attention_mask=attention_mask, **options)
        logits = self.classifier(encoded.last_hidden_state[:, 0])
        loss = classification_loss(logits, labels, config.problem_type)
        return SequenceClassifierOutput(logits=logits, loss=loss, **hidden(encoded))


class XLMRobertaForMultipleChoice(RobertaWithHead):
    """Each choice is a sequence of its own, scored on its pooled first token."""

    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__(config, pooled=True)
        self.classifier = nn.Linear(config.hidden_size, 1)
        initialize(self.classifier, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> MultipleChoiceModelOutput:
        """Logits (b, C) from inputs (b, C, n). labels: (b,), the right choice."""
        shape, folded = fold_choices({"input_ids": input_ids, "attention_mask": attention_mask, **options})
        if labels is not None:
            labels = check_class_ids(labels, shape[:1], "(batch,)", shape[1])
        encoded = self.encode(**folded)
        logits = self.classifier(self.dropout(encoded.pooler_output)).view(shape)
        return MultipleChoiceModelOutput(logits=logits, loss=token_loss(logits, labels), **hidden(encoded))


class XLMRobertaForTokenClassification(RobertaWithHead):
    """A classifier on every token."""

    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        initialize(self.classifier, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **options: Any,
    ) -> TokenClassifierOutput:
        """Logits (b, n, C). labels: (b, n), -100 for tokens that do not count."""
        tokens = input_ids if input_ids is not None else options.get("inputs_embeds")
        labels = check_labels(labels, tokens, self.config.num_labels)
        encoded = self.encode(input_ids=input_ids, attention_mask=attention_mask, **options)
        logits = self.classifier(self.dropout(encoded.last_hidden_state))
        return TokenClassifierOutput(logits=logits, loss=token_loss(logits, labels), **hidden(encoded))


class XLMRobertaForQuestionAnswering(RobertaWithHead):
    """Start and end of the answer."""

    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__(config)
        self.qa_outputs = SpanHead(config.hidden_size, config.num_labels)
        initialize(self.qa_outputs, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **options: Any,
    ) -> QuestionAnsweringModelOutput:
        """Logits (b, n) of both. Positions: (b,); one behind the last token does not count."""
        tokens = input_ids if input_ids is not None else options.get("inputs_embeds")
        if isinstance(tokens, Tensor):
            start_positions = check_positions("start_positions", start_positions, tokens)
            end_positions = check_positions("end_positions", end_positions, tokens)
        encoded = self.encode(input_ids=input_ids, attention_mask=attention_mask, **options)
        start, end = self.qa_outputs.spans(encoded.last_hidden_state)
        loss = span_loss(start, end, start_positions, end_positions)
        return QuestionAnsweringModelOutput(start_logits=start, end_logits=end, loss=loss, **hidden(encoded))
