"""The encoder of LED against the peer, layer by layer (its softmax is float32 there), and its attentions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trueband.properties.bounds.layer_variance import Layer
from trueband.properties.bounds.led_variance import run_led_encoder_layer
from trueband.properties.bounds.model_variance import compact_moments
from trueband.properties.bounds.variance import Moments, sigma_bound
from trueband.properties.results.verdict import Verdict, judge, judge_exact
from trueband.reference.config import LongformerConfig
from trueband.reference.led_encoder import led_encoder, led_encoder_layer
from trueband.reference.longformer import longformer_layer

TOKENS = 12
AS_LONGFORMER = {
    "self_attn.longformer_self_attn": "attention.self",
    "self_attn.output": "attention.output.dense",
    "self_attn_layer_norm": "attention.output.LayerNorm",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
    "final_layer_norm": "output.LayerNorm",
}


def encoder_verdicts(pair: Any, **change: Any) -> list[Verdict]:
    encoder = pair.model.led.encoder
    theirs = pair.run(encoder, input_ids=pair.ids, **pair.inputs, output_hidden_states=True)
    assert len(theirs.hidden_states) == 3
    verdicts = []
    for i in range(2):
        options = {"window": pair.config.window(i), **pair.inputs} | change
        x = theirs.hidden_states[i]
        expected = led_encoder_layer(pair.state, f"led.encoder.layers.{i}", pair.config, x, **options)
        bound = sigma_bound(pair.encoder_layer(i, x))
        verdicts.append(judge(theirs.hidden_states[i + 1], expected, bound))
    return verdicts


def test_encoder_layers_agree_with_one_window_for_each(half: Any) -> None:
    verdicts = encoder_verdicts(half)
    assert all(verdict.passed for verdict in verdicts), verdicts


@pytest.mark.parametrize(
    "change",
    [
        {"window": 1},
        {"window": 4},
        {"attention_mask": None},
        {"global_attention_mask": None},
        {"head_mask": np.array([1.0, 1.0, 0.999, 1.0])},
    ],
)
def test_a_wrong_encoder_would_not_agree(half: Any, change: dict[str, Any]) -> None:
    assert not all(verdict.passed for verdict in encoder_verdicts(half, **change))


def test_an_encoder_layer_is_longformers_under_other_names(double: Any) -> None:
    x, head_mask = np.random.default_rng(2).standard_normal((3, TOKENS, 16)), np.array([0.5, 1.0, 0.0, 2.0])
    for i in range(2):
        name = f"led.encoder.layers.{i}"
        state = {
            key.replace(f"{name}.{led}.", f"layer.{longformer}."): array
            for led, longformer in AS_LONGFORMER.items()
            for key, array in double.state.items()
            if key.startswith(f"{name}.{led}.")
        }
        config = LongformerConfig(hidden_size=16, num_attention_heads=4, layer_norm_eps=1e-5)
        options = {"window": double.config.window(i), "head_mask": head_mask, **double.inputs}
        ours = led_encoder_layer(double.state, name, double.config, x, **options)
        assert judge_exact(ours, longformer_layer(state, "layer", config, x, **options)).passed


def compact(pair: Any, i: int, x: np.ndarray) -> tuple[Moments, Moments]:
    """Local and global probabilities of encoder layer i in the compact layout."""
    layer, window = Layer(pair.state, f"led.encoder.layers.{i}", 4, pair.precision), pair.config.window(i)
    masks = (pair.mask == 1, pair.flags == 1)
    found = compact_moments(run_led_encoder_layer(layer, x, window, *masks), i, window, *masks)
    return found[f"attentions.{i}"], found[f"global_attentions.{i}"]


def test_attentions_in_the_compact_layout(half: Any, agree: Any) -> None:
    theirs = half.run(
        half.model.led.encoder, input_ids=half.ids, **half.inputs, output_hidden_states=True, output_attentions=True
    )
    there = np.array([[True, False], [False, False], [True, True]])[:, None, None, :]  # one global token, none, two
    for i, x in enumerate(theirs.hidden_states[:2]):
        local, global_ = compact(half, i, x)
        agree(theirs.attentions[i], local.value, local)
        where = np.broadcast_to(there, global_.value.shape)
        agree(theirs.global_attentions[i], global_.value, global_, where)


def test_attentions_are_those_of_the_layers(double: Any, agree: Any) -> None:
    ours = led_encoder(double.state, double.config, double.ids, **double.inputs, output_attentions=True, prefix="led.")
    assert ours.attentions is not None
    assert ours.global_attentions is not None
    assert [each.shape for each in ours.attentions] == [(3, 4, TOKENS, 2 + 5), (3, 4, TOKENS, 2 + 7)]
    for i, x in enumerate(ours.hidden_states[:2]):
        local, global_ = compact(double, i, x)
        agree(ours.attentions[i], local.value, local)
        agree(ours.global_attentions[i], global_.value, global_)
        assert (ours.global_attentions[i][0, :, :, 1] == 0).all()  # a row with one global token, in a batch with two
        assert (ours.global_attentions[i][1] == 0).all()


def test_without_global_tokens_there_are_no_global_attentions(double: Any) -> None:
    ours = led_encoder(double.state, double.config, double.ids[:1, :5], output_attentions=True, prefix="led.")
    assert ours.global_attentions is None
    assert ours.attentions is not None
    assert ours.attentions[1].shape == (1, 4, 5, 7)


def test_a_flag_on_padding_takes_no_column(double: Any) -> None:
    flags = np.zeros_like(double.ids)
    flags[1, 0] = 1
    masks = {"attention_mask": double.mask, "global_attention_mask": flags}
    ours = led_encoder(double.state, double.config, double.ids, **masks, output_attentions=True, prefix="led.")
    assert ours.global_attentions is None
    assert ours.attentions is not None
    assert ours.attentions[0].shape == (3, 4, TOKENS, 5)


def test_head_masks_reach_their_layer(double: Any) -> None:
    head_mask = np.random.default_rng(6).uniform(size=(2, 4))
    ours = led_encoder(double.state, double.config, double.ids, **double.inputs, head_mask=head_mask, prefix="led.")
    for i, x in enumerate(ours.hidden_states[:2]):
        options = {"window": double.config.window(i), **double.inputs}
        name = f"led.encoder.layers.{i}"
        layer = led_encoder_layer(double.state, name, double.config, x, head_mask=head_mask[i], **options)
        assert judge_exact(layer, ours.hidden_states[i + 1]).passed
        other = led_encoder_layer(double.state, name, double.config, x, head_mask=head_mask[1 - i], **options)
        assert not judge_exact(other, ours.hidden_states[i + 1]).passed  # the wrong one: the other layer's mask
