"""The encoder of LED against the peer, layer by layer (its softmax is float32 there), and its attentions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trueband.properties.bounds.variance import Moments, attention_moments, known, linear_moments, sigma_bound
from trueband.properties.verdict import Verdict, judge, judge_exact
from trueband.reference.layers import split_heads
from trueband.reference.layout import dense_to_compact
from trueband.reference.led_encoder import led_encoder, led_encoder_layer
from trueband.reference.longformer import longformer_layer
from trueband.reference.masks import visible_to_global_rows, visible_to_local_rows

TOKENS = 12


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
    [{"window": 1}, {"window": 4}, {"attention_mask": None}, {"global_attention_mask": None},
     {"head_mask": np.array([1.0, 1.0, 0.999, 1.0])}],
)  # fmt: skip
def test_a_wrong_encoder_would_not_agree(half: Any, change: dict[str, Any]) -> None:
    assert not all(verdict.passed for verdict in encoder_verdicts(half, **change))


def test_an_encoder_layer_is_longformers_under_other_names(double: Any) -> None:
    x, head_mask = np.random.default_rng(2).standard_normal((3, TOKENS, 16)), np.array([0.5, 1.0, 0.0, 2.0])
    for i in range(2):
        state, config = double.longformer(i)
        options = {"window": config.window(0), "head_mask": head_mask, **double.inputs}
        ours = led_encoder_layer(double.state, f"led.encoder.layers.{i}", double.config, x, **options)
        assert judge_exact(ours, longformer_layer(state, "layer", config, x, **options)).passed


def compact_moments(pair: Any, i: int, x: np.ndarray) -> tuple[Moments, Moments]:
    """Local and global probabilities of encoder layer i in the compact layout, with their variances."""
    real, is_global = pair.mask == 1, (pair.flags * pair.mask) == 1
    window, dense = pair.config.window(i), []
    for suffix, visible in (
        ("", visible_to_local_rows(real, is_global, window, (1,) * 4, causal=False)),
        ("_global", visible_to_global_rows(real, is_global, 4)),
    ):
        name = f"led.encoder.layers.{i}.self_attn.longformer_self_attn"
        query, key = (
            linear_moments(
                known(x), pair.state[f"{name}.{part}{suffix}.weight"], pair.state[f"{name}.{part}{suffix}.bias"],
                pair.precision,
            )
            for part in ("query", "key")
        )  # fmt: skip
        query, key = (Moments(split_heads(m.value, 4), split_heads(m.variance, 4)) for m in (query, key))
        every = known(np.broadcast_to(np.eye(TOKENS), (3, 4, TOKENS, TOKENS)))
        dense.append(attention_moments(query, key, every, visible, 0.5, pair.precision))
    values, variances = dense[0].value + dense[1].value, dense[0].variance + dense[1].variance
    layouts = [dense_to_compact(each, is_global, window, (1,) * 4) for each in (values, variances)]
    return Moments(layouts[0].local, layouts[1].local), Moments(layouts[0].global_, layouts[1].global_)


def test_attentions_in_the_compact_layout(half: Any, agree: Any) -> None:
    theirs = half.run(
        half.model.led.encoder, input_ids=half.ids, **half.inputs, output_hidden_states=True, output_attentions=True
    )
    there = np.array([[True, False], [False, False], [True, True]])[:, None, None, :]  # one global token, none, two
    for i, x in enumerate(theirs.hidden_states[:2]):
        local, global_ = compact_moments(half, i, x)
        agree(theirs.attentions[i], local.value, local)
        where = np.broadcast_to(there, global_.value.shape)
        agree(theirs.global_attentions[i], global_.value, global_, where)


def test_attentions_are_those_of_the_layers(double: Any, agree: Any) -> None:
    ours = led_encoder(double.state, double.config, double.ids, **double.inputs, output_attentions=True, prefix="led.")
    assert ours.attentions is not None
    assert ours.global_attentions is not None
    assert [each.shape for each in ours.attentions] == [(3, 4, TOKENS, 2 + 5), (3, 4, TOKENS, 2 + 7)]
    for i, x in enumerate(ours.hidden_states[:2]):
        local, global_ = compact_moments(double, i, x)
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
