"""What LED refuses, naming the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trueband.reference.led import led_model
from trueband.reference.led_decoder import led_decoder_layer

IDS, LONG = np.full((3, 12), 5), np.full((1, 41), 5)
HEADS = r"_mask: expected shape \(layers, heads\) = "


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("input_ids: expected at most 40 tokens, got 41", {"input_ids": LONG, "decoder_input_ids": IDS}),
        ("decoder_input_ids: expected at most 24 tokens, got 40", {"input_ids": LONG[:, 1:]}),
        (
            "inputs_embeds: expected at most 40 tokens",
            {"inputs_embeds": np.zeros((3, 41, 16)), "decoder_input_ids": IDS},
        ),
        ("input_ids: expected exactly one of .*, got neither", {"decoder_input_ids": IDS}),
        ("input_ids: expected ids from 0 to 29, got 30", {"input_ids": IDS + 25}),
        ("decoder_input_ids: expected ids .*, got neither", {"inputs_embeds": np.zeros((1, 2, 16))}),
        (
            "decoder_input_ids: expected exactly one of .*, got both",
            {"input_ids": IDS, "decoder_input_ids": IDS, "decoder_inputs_embeds": np.zeros((3, 2, 16))},
        ),
        (
            "encoder_hidden_states: expected a batch of 1, got 3",
            {"input_ids": IDS, "decoder_input_ids": IDS[:1]},
        ),
        (
            "global_attention_mask: expected 0 and 1 only, got 2",
            {"input_ids": IDS, "global_attention_mask": np.full((3, 12), 2)},
        ),
        (
            r"decoder_attention_mask: expected shape .* = \(3, 12\), got \(3, 1\)",
            {"input_ids": IDS, "decoder_attention_mask": np.ones((3, 1))},
        ),
        (rf"decoder_head{HEADS}\(2, 2\)", {"input_ids": IDS, "decoder_head_mask": np.ones((2, 4))}),
        (rf"cross_attn_head{HEADS}\(2, 2\)", {"input_ids": IDS, "cross_attn_head_mask": np.ones(2)}),
        (rf"head{HEADS}\(2, 4\)", {"input_ids": IDS, "head_mask": np.ones((2, 2))}),
    ],
)
def test_refused(double: Any, message: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        led_model(double.state, double.config, prefix="led.", **options)


def test_a_mask_of_another_type_is_refused(double: Any) -> None:
    with pytest.raises(TypeError, match=r"^head_mask: expected a numpy array of a floating dtype, got list"):
        led_model(double.state, double.config, IDS, head_mask=[[1.0]], prefix="led.")  # type: ignore[arg-type]


def test_an_activation_that_is_not_there_is_refused(double: Any) -> None:
    relu = type(double.config).from_dict(double.config.to_dict() | {"activation_function": "relu"})
    with pytest.raises(ValueError, match="activation_function: expected 'gelu'"):
        led_model(double.state, relu, IDS, prefix="led.")
    with pytest.raises(ValueError, match="activation_function: expected 'gelu'"):
        led_decoder_layer(double.state, "led.decoder.layers.0", relu, np.zeros((1, 2, 16)), np.zeros((1, 2, 16)))
