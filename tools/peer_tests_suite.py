"""LED and Longformer for the common tests of models that a source distribution of transformers holds.

`peer_tests.py` lays this file beside them, where the distribution has no tests of the two models themselves.
"""

from __future__ import annotations

import unittest
from importlib import import_module
from typing import Any

import torch
import transformers

common: Any = import_module("tests.test_modeling_common")
SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "attention_window": 4,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
LONGFORMERS = ("Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
LEDS = ("Model", "ForConditionalGeneration", "ForSequenceClassification", "ForQuestionAnswering")


def classes(family: str, names: tuple[str, ...]) -> tuple[Any, ...]:
    """Those that this version of transformers has."""
    found = (getattr(transformers, f"{family}{name}", None) for name in names)
    return tuple(each for each in found if each is not None)


class Tester:
    """Sizes, a configuration and inputs, as the common tests ask for them. The text is no whole number of windows."""

    batch_size, seq_length, hidden_size, num_attention_heads, num_hidden_layers = 3, 7, 16, 4, 2
    is_training, encoder_seq_length, key_length, num_choices = True, 7, 5, 4

    def __init__(self, family: str) -> None:
        self.family = family

    def get_config(self) -> Any:
        if self.family == "Longformer":
            return transformers.LongformerConfig(
                **SIZES,
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=24,
                max_position_embeddings=64,
                hidden_dropout_prob=0.1,
            )
        return transformers.LEDConfig(
            **SIZES,
            d_model=16,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=24,
            decoder_ffn_dim=24,
            max_encoder_position_embeddings=64,
            max_decoder_position_embeddings=64,
            decoder_start_token_id=2,
        )

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict[str, torch.Tensor]]:
        ids = torch.randint(4, 60, (self.batch_size, self.seq_length))
        ids[:, -1] = 2  # a classifier of LED reads the end
        flagged = torch.zeros_like(ids)
        flagged[:, -1] = 1
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "global_attention_mask": flagged}
        if self.family == "LED":
            inputs |= {"decoder_input_ids": ids.clone(), "decoder_attention_mask": torch.ones_like(ids)}
        return self.get_config(), inputs


class Longformer(common.ModelTesterMixin, unittest.TestCase):
    all_model_classes = classes("Longformer", LONGFORMERS)
    test_pruning = test_torchscript = test_torch_exportable = False

    def setUp(self) -> None:
        self.model_tester = Tester("Longformer")


class LED(common.ModelTesterMixin, unittest.TestCase):
    all_model_classes = classes("LED", LEDS)
    is_encoder_decoder = True
    test_pruning = test_torchscript = test_torch_exportable = False

    def setUp(self) -> None:
        self.model_tester = Tester("LED")
