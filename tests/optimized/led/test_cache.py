"""Steps with a cache are the steps without one, in every layer, with padding anywhere (docs/contract.md, section 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from trueband.optimized import DecoderCache, LEDForConditionalGeneration, LEDModel
from trueband.reference import LEDConfig

STEPS = {"one by one": [1] * 7, "a prompt, then one by one": [4, 1, 1, 1], "in pieces": [2, 3, 2]}


def in_steps(model: Any, batch: Any, steps: list[int], rows: torch.Tensor | None = None) -> Any:
    """Logits of all steps, the cache, and what the steps returned."""
    cache, start, outputs = None, 0, []
    for count in steps:
        part = slice(start, start := start + count)
        output = model(
            batch.ids,
            batch.mask,
            global_attention_mask=batch.global_mask,
            decoder_input_ids=batch.read[:, part],
            decoder_attention_mask=batch.read_mask[:, :start],
            past_key_values=cache,
            use_cache=True,
            output_attentions=True,
        )
        cache = output.past_key_values
        outputs.append(output)
    return torch.cat([each.logits for each in outputs], dim=1), cache, outputs


@pytest.mark.parametrize("steps", STEPS.values(), ids=[name.replace(" ", "-") for name in STEPS])
def test_cached_is_uncached_with_left_padded_prompts(
    led: Any, batch: Any, moments_of: Any, sigmas: Any, same: Any, steps: Any
) -> None:
    model = led(LEDForConditionalGeneration)
    assert not batch.read_mask[1, :3].any()
    logits, cache, outputs = in_steps(model, batch, steps)
    moments = moments_of(model).whole({**batch.inputs, **batch.decoder}, "float64")
    bounds, whole = sigmas(moments, moments), {"logits": model(**batch.inputs, **batch.decoder).logits}
    same({"logits": logits}, whole, bounds)
    batch.read_mask[1, 0] = 1  # the wrong one: a pad of the prompt is seen
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same({"logits": in_steps(model, batch, steps)[0]}, whole, bounds)
    batch.read_mask[1, 0] = 0
    attentions = model(**batch.inputs, **batch.decoder, output_attentions=True)
    assert outputs[-1].decoder_attentions[0].shape == (4, 2, steps[-1], 7)
    assert not outputs[-1].decoder_attentions[1][1, :, -1, :3].any()
    assert outputs[-1].cross_attentions[1].shape == (4, 2, steps[-1], 13)
    assert torch.equal(attentions.decoder_attentions[0][1, :, :3], torch.zeros(2, 3, 7).double())  # nothing to see
    assert [tuple(layer.key.shape) for layer in cache.layers] == [(4, 2, 7, 8)] * 2


def test_what_a_cached_step_of_the_peer_leaves_out(small_led: Any, randomize: Any, batch: Any) -> None:
    """With one token in a step it does not look at decoder_attention_mask: its logits of two of four rows are others
    than without a cache; ours are the same.
    """
    peer = randomize(
        transformers.LEDForConditionalGeneration(transformers.LEDConfig(**small_led, attention_window=4)).double()
    )
    model = LEDForConditionalGeneration(LEDConfig(**small_led, attention_window=4)).double().eval()
    model.load_state_dict(peer.state_dict())
    batch.read_mask[:] = 1
    batch.read_mask[1, :3] = 0

    def jump(model: Any) -> torch.Tensor:
        """How far the last logits of row 1, cached, are from those uncached."""
        whole = model(**batch.inputs, **batch.decoder).logits[1, -1]
        part = {"decoder_input_ids": batch.read[:, :-1], "decoder_attention_mask": batch.read_mask[:, :-1]}
        cache = model(**batch.inputs, **part, use_cache=True).past_key_values
        rest = {"decoder_input_ids": batch.read[:, -1:], "decoder_attention_mask": batch.read_mask}
        step = model(**batch.inputs, **rest, past_key_values=cache, use_cache=True).logits[1, -1]
        return (step - whole).abs().max()

    assert jump(peer) > 1e6 * jump(model)


def test_a_cache_is_never_written_to(led: Any, batch: Any) -> None:
    """The same step twice gives the same; cross keys are those of the first step, not computed again."""
    model = led(LEDForConditionalGeneration)
    _, cache, _ = in_steps(model, batch, [4])
    before = [[tensor.clone() for tensor in layer] for layer in cache.layers]
    part = {"decoder_input_ids": batch.read[:, 4:5], "decoder_attention_mask": batch.read_mask[:, :5]}
    one, two = (model(**batch.inputs, **part, past_key_values=cache, use_cache=True) for _ in range(2))
    assert torch.equal(one.logits, two.logits)
    assert all(
        torch.equal(a, b)
        for old, layer in zip(before, cache.layers, strict=True)
        for a, b in zip(old, layer, strict=True)
    )
    assert one.past_key_values.layers[1].cross_key is cache.layers[1].cross_key
    assert cache.length == 4
    assert one.past_key_values.length == 5


@pytest.mark.parametrize("rows", [[2, 0, 3, 1], [0, 0, 3, 3]], ids=["permuted", "doubled"])
def test_reordered_caches_are_reordered_batches(
    led: Any, batch: Any, moments_of: Any, sigmas: Any, same: Any, rows: list[int]
) -> None:
    """Self- and cross-attention both move. Within the bounds of both: a row of a product is summed at its own place."""
    model, order = led(LEDForConditionalGeneration), torch.tensor(rows)
    _, cache, _ = in_steps(model, batch, [4])
    part = {"decoder_input_ids": batch.read[:, 4:], "decoder_attention_mask": batch.read_mask}
    whole = model(**batch.inputs, **part, past_key_values=cache).logits
    moved_on = {name: value[order] for name, value in {**batch.inputs, **part}.items()}
    moments = moments_of(model).whole({**batch.inputs, **batch.decoder}, "float64")["logits"].at(np.s_[rows, 4:])
    bounds, expected = sigmas({"logits": moments}, {"logits": moments}), {"logits": whole[order]}
    same({"logits": model(**moved_on, past_key_values=cache.reorder(order)).logits}, expected, bounds)
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same({"logits": model(**moved_on, past_key_values=cache).logits}, expected, bounds)


def test_encoder_outputs_may_be_given(led: Any, batch: Any) -> None:
    model = led(LEDForConditionalGeneration)
    whole = model(**batch.inputs, **batch.decoder)
    encoded = model.led.encoder(batch.ids, batch.mask, batch.global_mask)
    for given in (encoded, (encoded.last_hidden_state,)):
        output = model(attention_mask=batch.mask, encoder_outputs=given, **batch.decoder)
        assert torch.equal(output.logits, whole.logits)


def test_the_future_changes_nothing(led: Any, batch: Any) -> None:
    model = led(LEDForConditionalGeneration)
    whole = model(**batch.inputs, **batch.decoder).logits
    batch.read[:, 5] = 7
    other = model(**batch.inputs, **batch.decoder).logits
    assert torch.equal(other[:, :5], whole[:, :5])
    assert not torch.equal(other[1, 5:], whole[1, 5:])


def test_when_there_is_a_cache(led: Any, batch: Any) -> None:
    model = led(LEDForConditionalGeneration)
    assert isinstance(model(**batch.inputs, **batch.decoder).past_key_values, DecoderCache)
    assert model(**batch.inputs, **batch.decoder, use_cache=False).past_key_values is None
    assert model(**batch.inputs, labels=batch.labels).past_key_values is None
    assert led(LEDModel, use_cache=False)(**batch.inputs).past_key_values is None
    model.train().gradient_checkpointing_enable()
    assert model(**batch.inputs, **batch.decoder, use_cache=True).past_key_values is None
