"""The decoder of LED against the peer in float64, on random encoder states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.variance import Moments, known, sigma_bound
from trueband.properties.results.verdict import judge, judge_exact
from trueband.reference.led_decoder import led_decoder, led_decoder_attention, led_decoder_layer

FLOAT64, TOKENS, TARGETS = Precision.of("float64"), 12, 7


def decode_both(pair: Any, **change: Any) -> tuple[Any, Any, dict[str, Moments]]:
    """The decoder alone on random encoder states: the peer's output, ours, and the moments of every output."""
    encoded = np.random.default_rng(3).standard_normal((3, TOKENS, 16))
    options = {"attention_mask": pair.target_mask, "encoder_attention_mask": pair.mask}
    theirs = pair.run(
        pair.model.led.decoder,
        input_ids=pair.targets,
        encoder_hidden_states=encoded,
        **options,
        use_cache=False,
        output_attentions=True,
        output_hidden_states=True,
    )
    ours = led_decoder(
        pair.state,
        pair.config,
        pair.targets,
        encoder_hidden_states=encoded,
        output_attentions=True,
        prefix="led.",
        **options | change,
    )
    return theirs, ours, pair.decoder(pair.targets, pair.target_mask, known(encoded))


def test_the_decoder_agrees_in_float64(double: Any, agree: Any) -> None:
    theirs, ours, moments = decode_both(double)
    sees = double.target_mask == 1  # pads in front see nothing: 0 here, a mean of everything there
    agree(theirs.last_hidden_state, ours.last_hidden_state, moments["last_hidden_state"], sees)
    assert len(ours.hidden_states) == 3
    agree(theirs.hidden_states[0], ours.hidden_states[0], moments["hidden_states.0"])
    rows = np.broadcast_to(sees[:, None, :], (3, 2, TARGETS))
    for i in range(2):
        agree(theirs.attentions[i], ours.attentions[i], moments[f"attentions.{i}"], rows)
        agree(theirs.cross_attentions[i], ours.cross_attentions[i], moments[f"cross_attentions.{i}"], rows)
    assert [each.shape for each in ours.cross_attentions] == [each.shape for each in theirs.cross_attentions]
    assert (ours.cross_attentions[1][0, :, :, -3:] == 0).all()


@pytest.mark.parametrize(
    "change",
    [
        {"attention_mask": None},
        {"encoder_attention_mask": None},
        {"head_mask": np.array([[1.0, 1.0], [1.0, 1 - 1e-9]])},
        {"cross_attn_head_mask": np.array([[1.0, 1.0], [1 + 1e-9, 1.0]])},
    ],
)
def test_a_wrong_decoder_would_not_agree(double: Any, change: dict[str, Any]) -> None:
    theirs, ours, moments = decode_both(double, **change)
    sees = double.target_mask == 1
    bound = sigma_bound(moments["last_hidden_state"])
    assert not judge(theirs.last_hidden_state[sees], ours.last_hidden_state[sees], bound.at(sees)).passed


def test_head_masks_reach_their_head_of_their_layer(double: Any) -> None:
    rng = np.random.default_rng(4)
    encoded, own, cross = rng.standard_normal((3, TOKENS, 16)), rng.uniform(size=(2, 2)), rng.uniform(size=(2, 2))
    masks = {"attention_mask": double.target_mask, "encoder_attention_mask": double.mask}
    ours = led_decoder(
        double.state,
        double.config,
        double.targets,
        encoder_hidden_states=encoded,
        head_mask=own,
        cross_attn_head_mask=cross,
        output_attentions=True,
        prefix="led.",
        **masks,
    )
    assert ours.attentions is not None
    assert ours.cross_attentions is not None
    for i, x in enumerate(ours.hidden_states[:2]):
        name = f"led.decoder.layers.{i}"
        options = {"head_mask": own[i], "cross_attn_head_mask": cross[i], **masks}
        layer = led_decoder_layer(double.state, name, double.config, x, encoded, **options)
        assert judge_exact(layer.hidden_states, ours.hidden_states[i + 1]).passed
        rows = ours.attentions[i].sum(axis=-1)[double.target_mask.nonzero()[0], :, double.target_mask.nonzero()[1]]
        rounding = Bound({"sum": np.full(rows.shape, (TARGETS + 8) * FLOAT64.accumulator)})  # of a softmax and its sum
        assert judge(rows, np.broadcast_to(own[i], rows.shape), rounding).passed
        sums = ours.cross_attentions[i].sum(axis=-1)
        rounding = Bound({"sum": np.full(sums.shape, (TOKENS + 8) * FLOAT64.accumulator)})
        assert judge(sums, np.broadcast_to(cross[i][:, None], sums.shape), rounding).passed


def test_a_masked_head_weighs_its_columns_of_the_context(double: Any) -> None:
    rng = np.random.default_rng(5)
    x, visible = rng.standard_normal((2, 5, 16)), np.ones((2, 5, 5), dtype=bool)
    name = "led.decoder.layers.1.encoder_attn"
    plain = led_decoder_attention(double.state, name, 2, x, x, visible).context
    masked = led_decoder_attention(double.state, name, 2, x, x, visible, np.array([0.5, 4.0])).context
    assert judge_exact(masked[..., :8], 0.5 * plain[..., :8]).passed  # powers of 2 are exact
    assert judge_exact(masked[..., 8:], 4.0 * plain[..., 8:]).passed
    assert not judge_exact(masked[..., 8:], 0.5 * plain[..., 8:]).passed  # the wrong one: heads swapped
