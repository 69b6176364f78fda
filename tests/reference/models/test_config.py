"""Configurations: the Hub's names and defaults, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import transformers

from trueband.reference.config import GenerationConfig, LEDConfig, LongformerConfig, XLMRobertaConfig

CLASSES: dict[str, Any] = {
    "LEDConfig": LEDConfig,
    "LongformerConfig": LongformerConfig,
    "XLMRobertaConfig": XLMRobertaConfig,
}
OURS_ONLY = {"position_embedding_type", "pruned_heads", "others"}  # the installed peer dropped the first two


@pytest.mark.parametrize("name", CLASSES)
def test_defaults_are_those_of_the_peer(name: str) -> None:
    theirs = getattr(transformers, name)()
    different = {
        field.name: (getattr(theirs, field.name), value)
        for field in dataclasses.fields(CLASSES[name])
        if field.name not in OURS_ONLY
        if (value := getattr(CLASSES[name](), field.name)) != listed(getattr(theirs, field.name))
    }
    assert different == {}


def listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize("name", CLASSES)
def test_a_published_configuration_is_read(name: str) -> None:
    changes = {"hidden_size": 48, "num_attention_heads": 4, "num_hidden_layers": 2, "attention_window": [4, 6]}
    theirs = getattr(transformers, name)(**changes, id2label={0: "a", 1: "b", 2: "c"}, decoder_attention_heads=4)
    ours = CLASSES[name].from_dict(json.loads(theirs.to_json_string()))
    for key, value in changes.items():
        if hasattr(ours, key):
            assert listed(getattr(ours, key)) == listed(value)
    assert ours.num_labels == 3
    assert CLASSES[name].from_dict(json.loads(json.dumps(ours.to_dict()))) == ours
    assert isinstance(hash(ours), int)


def test_led_knows_the_general_names() -> None:
    config = LEDConfig.from_dict(
        {
            "hidden_size": 24,
            "num_attention_heads": 3,
            "num_hidden_layers": 5,
            "init_std": 0.1,
            "attention_probs_dropout_prob": 0.2,
            "decoder_attention_heads": 2,
        }
    )
    assert (config.d_model, config.encoder_attention_heads, config.encoder_layers) == (24, 3, 5)
    assert (config.hidden_size, config.num_attention_heads, config.num_hidden_layers) == (24, 3, 5)
    assert (config.attention_dropout, config.attention_probs_dropout_prob) == (0.2, 0.2)
    assert config.initializer_range == 0.1
    assert LEDConfig(encoder_layers=2, attention_window=(4, 6)).window(1) == 3
    assert LEDConfig(attention_window=8).window(11) == 4


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (LEDConfig, {"attention_window": [4, 6]}, "attention_window: expected one window for each of 12 layers, got 2"),
        (LEDConfig, {"attention_window": 5}, "attention_window: expected even two-sided windows > 0, got 5"),
        (LEDConfig, {"d_model": 100}, r"d_model: expected a multiple of encoder_attention_heads \(16\), got 100"),
        (
            LEDConfig,
            {"decoder_attention_heads": 3},
            r"d_model: expected a multiple of decoder_attention_heads \(3\), got 1024",
        ),
        (LongformerConfig, {"attention_window": 0}, "attention_window: expected even two-sided windows > 0, got 0"),
        (XLMRobertaConfig, {"hidden_size": 10}, r"hidden_size: expected a multiple of num_attention_heads \(12\)"),
        (XLMRobertaConfig, {"add_cross_attention": True}, "add_cross_attention: expected False where is_decoder is"),
        (XLMRobertaConfig, {"num_labels": 0}, "num_labels: expected an int >= 1, got 0"),
        (XLMRobertaConfig, {"problem_type": "other"}, "problem_type: expected None or one of regression, .*'other'"),
        (XLMRobertaConfig, {"num_hidden_layers": 1.0}, "num_hidden_layers: expected an int >= 0, got 1.0"),
        (XLMRobertaConfig, {"num_attention_heads": 0}, "num_attention_heads: expected an int >= 1, got 0"),
        (XLMRobertaConfig, {"vocab_size": True}, "vocab_size: expected an int >= 1, got True"),
        (XLMRobertaConfig, {"pad_token_id": -1}, "pad_token_id: expected an id from 0 to 30521, got -1"),
        (
            XLMRobertaConfig,
            {"max_position_embeddings": 1},
            r"max_position_embeddings: expected more than pad_token_id \(1\), got 1",
        ),
        (LongformerConfig, {"pad_token_id": None}, "pad_token_id: expected an id from 0 to 30521, got None"),
        (LEDConfig, {"decoder_attention_heads": 0}, "decoder_attention_heads: expected an int >= 1, got 0"),
        (LEDConfig, {"pad_token_id": 50265}, "pad_token_id: expected an id from 0 to 50264, got 50265"),
        (GenerationConfig, {"num_beams": 0}, "num_beams: expected an int >= 1, got 0"),
        (GenerationConfig, {"num_beams": 1.0}, "num_beams: expected an int >= 1, got 1.0"),
        (GenerationConfig, {"temperature": "hot"}, "temperature: expected a finite number > 0, got 'hot'"),
        (GenerationConfig, {"top_p": "all"}, "top_p: expected a number > 0, <= 1, got 'all'"),
        (GenerationConfig, {"top_k": -1}, "top_k: expected an int >= 0, got -1"),
        (GenerationConfig, {"max_new_tokens": 0}, "max_new_tokens: expected an int >= 1 or None, got 0"),
        (GenerationConfig, {"early_stopping": "soon"}, "early_stopping: expected True, False or 'never', got 'soon'"),
        (GenerationConfig, {"temperature": 0.0}, "temperature: expected a finite number > 0, got 0.0"),
        (GenerationConfig, {"top_p": 1.5}, "top_p: expected a number > 0, <= 1, got 1.5"),
        (GenerationConfig, {"length_penalty": float("inf")}, "length_penalty: expected a finite number, got inf"),
        (GenerationConfig, {"num_return_sequences": 2}, r"num_return_sequences: expected num_beams \(1\) at most"),
        (GenerationConfig, {"do_sample": True, "num_beams": 2}, "num_beams: expected 1 with do_sample"),
    ],
)
def test_refused(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind.from_dict(values)


def test_generation_options_of_a_published_file() -> None:
    theirs = transformers.GenerationConfig(num_beams=4, max_length=512, length_penalty=2.0, eos_token_id=[2, 3])
    ours = GenerationConfig.from_dict(theirs.to_dict())
    assert (ours.num_beams, ours.max_length, ours.length_penalty, ours.eos_token_id) == (4, 512, 2.0, (2, 3))
    assert ours.top_k == GenerationConfig().top_k == 50
    assert ours.lengths(3) == (512, 0)
    assert GenerationConfig(max_new_tokens=4, min_new_tokens=2).lengths(3) == (7, 5)


def test_a_configuration_may_have_no_layer() -> None:
    assert XLMRobertaConfig(num_hidden_layers=0).num_hidden_layers == 0
