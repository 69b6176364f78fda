"""XLM-RoBERTa with a classifier. Shapes: b batch, n tokens, D hidden size, C classes or choices.

`options` are the other arguments of `XLMRobertaModel.forward`.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from trueband.optimized.layers.blocks import initialize
from trueband.optimized.layers.calling import called_as_on_the_hub
from trueband.optimized.layers.choices import fold_choices
from trueband.optimized.layers.heads import ClassificationHead, SpanHead, WithHead, head_dropout
from trueband.optimized.layers.inputs import Maybe
from trueband.optimized.layers.outputs import (
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from trueband.optimized.layers.pruning import Pruned
from trueband.optimized.models.roberta import XLMRobertaModel
from trueband.reference.config import XLMRobertaConfig


class RobertaWithHead(Pruned, WithHead):
    """The model inside, `roberta` in the state dict."""

    def __init__(self, config: XLMRobertaConfig, pooled: bool = False) -> None:
        super().__init__(config)
        self.roberta = XLMRobertaModel(config, add_pooling_layer=pooled)
        self.dropout = nn.Dropout(head_dropout(config))

    def encode(self, **inputs: Any) -> Any:
        return self.roberta(**{"use_cache": False, **inputs}, return_dict=True)


class XLMRobertaForSequenceClassification(RobertaWithHead):
    """A classifier on the first token."""

    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__(config)
        head = ClassificationHead(config.hidden_size, config.num_labels, head_dropout(config))
        self.classifier = initialize(head, config.initializer_range)

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
    ) -> SequenceClassifierOutput:
        """Logits (b, C). labels: (b,) class ids; (b, C) floats: several classes at once, or a regression."""
        options |= {"token_type_ids": token_type_ids, "position_ids": position_ids}
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, **options}
        return SequenceClassifierOutput(**self.classify_sequences(labels, **inputs))


class XLMRobertaForMultipleChoice(RobertaWithHead):
    """Each choice is a sequence of its own, scored on its pooled first token."""

    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__(config, pooled=True)
        self.classifier = initialize(nn.Linear(config.hidden_size, 1), config.initializer_range)

    @called_as_on_the_hub(XLMRobertaModel)
    def forward(
        self,
        input_ids: Maybe = None,
        token_type_ids: Maybe = None,
        attention_mask: Maybe = None,
        labels: Maybe = None,
        position_ids: Maybe = None,
        **options: Any,
    ) -> MultipleChoiceModelOutput:
        """Logits (b, C) from inputs (b, C, n). labels: (b,), the right choice."""
        options |= {"token_type_ids": token_type_ids, "position_ids": position_ids}
        shape, folded = fold_choices({"input_ids": input_ids, "attention_mask": attention_mask, **options})
        return MultipleChoiceModelOutput(**self.choose(shape, labels, **folded))


class XLMRobertaForTokenClassification(RobertaWithHead):
    """A classifier on every token."""

    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__(config)
        self.classifier = initialize(nn.Linear(config.hidden_size, config.num_labels), config.initializer_range)

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
    ) -> TokenClassifierOutput:
        """Logits (b, n, C). labels: (b, n), -100 for tokens that do not count."""
        options |= {"token_type_ids": token_type_ids, "position_ids": position_ids}
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, **options}
        return TokenClassifierOutput(**self.classify_tokens(labels, **inputs))


class XLMRobertaForQuestionAnswering(RobertaWithHead):
    """Start and end of the answer."""

    def __init__(self, config: XLMRobertaConfig) -> None:
        super().__init__(config)
        self.qa_outputs = initialize(SpanHead(config.hidden_size, config.num_labels), config.initializer_range)

    @called_as_on_the_hub(XLMRobertaModel)
    def forward(
        self,
        input_ids: Maybe = None,
        attention_mask: Maybe = None,
        token_type_ids: Maybe = None,
        position_ids: Maybe = None,
        *,
        start_positions: Maybe = None,
        end_positions: Maybe = None,
        **options: Any,
    ) -> QuestionAnsweringModelOutput:
        """Logits (b, n) of both. Positions: (b,); one behind the last token does not count."""
        options |= {"token_type_ids": token_type_ids, "position_ids": position_ids}
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, **options}
        return QuestionAnsweringModelOutput(**self.answer(start_positions, end_positions, **inputs))
