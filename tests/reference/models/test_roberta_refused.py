"""What XLM-RoBERTa's heads refuse, naming the argument."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trueband.reference.config import XLMRobertaConfig
from trueband.reference.roberta import roberta_masked_lm, roberta_model
from trueband.reference.roberta_heads import roberta_multiple_choice

CONFIG = XLMRobertaConfig(max_position_embeddings=514)


def test_the_limit_is_told_before_any_work() -> None:
    with pytest.raises(ValueError, match="input_ids: expected at most 512 tokens, got 513"):
        roberta_masked_lm(
            {"roberta.embeddings.word_embeddings.weight": np.zeros((30522, 1))}, CONFIG, np.full((1, 513), 5)
        )


def test_choices_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"input_ids: expected shape \(batch, choices, tokens\), got \(2, 3\)"):
        roberta_multiple_choice({}, CONFIG, np.zeros((2, 3), dtype=np.int64))
    with pytest.raises(ValueError, match=r"attention_mask: expected shape \(2, 3, 4\), got \(2, 3, 5\)"):
        roberta_multiple_choice({}, CONFIG, np.zeros((2, 3, 4), dtype=np.int64), attention_mask=np.ones((2, 3, 5)))
    with pytest.raises(ValueError, match="input_ids: expected exactly one of input_ids and inputs_embeds, got neither"):
        roberta_multiple_choice({}, CONFIG)


def test_tensors_are_refused() -> None:
    with pytest.raises(TypeError, match="input_ids: expected a numpy array of integers, got Tensor"):
        roberta_model({}, CONFIG, torch.zeros(1, 2, dtype=torch.int64))  # type: ignore[arg-type]
