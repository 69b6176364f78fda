"""LED against that of transformers, with the same weights in float64: keys, all outputs, losses and gradients.

The peer's encoder takes its softmax in float32: the whole models are compared with float32's roundoff, the decoders
(from the same encoder states) with that of float64.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from trueband.optimized import LEDForConditionalGeneration, LEDForQuestionAnswering, LEDModel
from trueband.properties.bounds import exact
from trueband.reference import LEDConfig
from trueband.reference.led_decoder import shift_right

KEY_BIASES = ("key.bias", "key_global.bias", "k_proj.bias")
KINDS = [LEDModel, LEDForConditionalGeneration, LEDForQuestionAnswering]


def pair(kind: Any, small_led: dict[str, Any], randomize: Any, **changed: Any) -> tuple[Any, Any]:
    """Ours and the peer's, with the peer's weights. One window for all layers: the peer fails with a mix."""
    sizes = {**small_led, **changed}
    peer_config = transformers.LEDConfig(**sizes, attention_window=[4, 4])
    peer = randomize(getattr(transformers, kind.__name__)(peer_config).double())
    model = kind(LEDConfig(**sizes, attention_window=4)).double().eval()
    assert set(model.state_dict()) == set(peer.state_dict())
    model.load_state_dict(peer.state_dict(), strict=True)
    return model, peer


def on_equal_terms(batch: Any) -> None:
    """Where the peer is wrong (docs/contract.md, section 3) the two are not compared: no masked token in the decoder,
    and the same number of globals in every row, as its filler columns are not 0.
    """
    batch.read_mask[:] = 1
    batch.labels = batch.read.clone()
    batch.labels[:, ::3] = -100
    batch.global_mask[:] = 0
    batch.global_mask[:, 5] = batch.global_mask[:, 6] = 1
    batch.mask[2, 5], batch.mask[2, 4] = 1, 0


@pytest.mark.parametrize("kind", KINDS)
def test_everything_they_return(
    kind: Any, small_led: Any, randomize: Any, batch: Any, moments_of: Any, sigmas: Any, same: Any, flat: Any
) -> None:
    model, peer = pair(kind, small_led, randomize)
    on_equal_terms(batch)
    options: dict[str, Any] = {**batch.inputs, **batch.decoder, "output_attentions": True, "output_hidden_states": True}
    if kind is LEDForConditionalGeneration:
        options["labels"] = batch.labels
    if kind is LEDForQuestionAnswering:
        options["start_positions"], options["end_positions"] = torch.tensor([0, 3, 6, 9]), torch.tensor([1, 3, 5, 8])
    theirs = flat(peer(**options, use_cache=False))
    for i in range(2):  # returned at the padded length
        theirs[f"encoder_global_attentions.{i}"] = theirs[f"encoder_global_attentions.{i}"][:, :, :13]

    def run(model: Any) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = flat(model(**options), "past_key_values")
        return found

    assert len(theirs) >= 16
    carried, given = moments_of(model), {**batch.inputs, **batch.decoder}
    own, peers = carried.whole(given, "float64"), carried.whole(given, "float64", encoder="float32")
    bounds = sigmas(own, peers)
    if kind is LEDForConditionalGeneration:
        bounds = carried.loss(bounds, own, batch.labels, "float64")
    if kind is LEDForQuestionAnswering:
        bounds = carried.span_loss(bounds, own)
    same(run(model), theirs, bounds)
    batch.global_mask[3, 6], batch.global_mask[3, 7] = 0, 1  # the wrong one: another token is global
    options["global_attention_mask"] = batch.global_mask
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same(run(model), theirs, bounds)


def test_the_decoder_in_float64(
    small_led: Any, randomize: Any, batch: Any, moments_of: Any, sigmas: Any, same: Any, flat: Any
) -> None:
    """From the same encoder states; ids from labels shifted to the right, -100 read as padding."""
    model, peer = pair(LEDForConditionalGeneration, small_led, randomize)
    on_equal_terms(batch)
    states = torch.randn(4, 13, 16, dtype=torch.float64)
    options = {"attention_mask": batch.mask, "labels": batch.labels, "output_attentions": True}
    theirs = peer(encoder_outputs=(states,), **options)

    def run(model: Any) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = flat(model(encoder_outputs=(states,), **options))
        return found

    given = {"attention_mask": batch.mask, "decoder_input_ids": torch.tensor(shift_right(batch.labels.numpy(), 1, 2))}
    carried = moments_of(model)
    moments = carried.decoder(states, given, "float64")
    bounds = carried.loss(sigmas(moments, moments), moments, batch.labels, "float64")
    bounds["encoder_last_hidden_state"] = exact(states.shape)
    found = flat(theirs, "past_key_values")
    same(run(model), found, bounds)
    options["attention_mask"] = torch.ones_like(batch.mask)  # the wrong one: pads are seen
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same(run(model), found, bounds)


def test_gradients(small_led: Any, randomize: Any, batch: Any, gradient_bounds: Any, same: Any) -> None:
    """Of every weight but the biases of keys: a softmax does not see them, so theirs are 0 but for the rounding."""
    model, peer = pair(LEDForConditionalGeneration, small_led, randomize)
    on_equal_terms(batch)

    def run(model: Any) -> dict[str, torch.Tensor]:
        model.zero_grad()
        model(**batch.inputs, labels=batch.labels).loss.backward()
        named = model.named_parameters()
        return {name: weight.grad.clone() for name, weight in named if not name.endswith(KEY_BIASES)}

    ours, theirs = run(model), run(peer)
    assert all(bool(grad.any()) for grad in ours.values())
    same(ours, theirs, gradient_bounds(model, run, "float32"))


def test_tied_and_untied_weights(
    small_led: Any, randomize: Any, batch: Any, moments_of: Any, sigmas: Any, same: Any
) -> None:
    model, _ = pair(LEDForConditionalGeneration, small_led, randomize)
    assert model.lm_head.weight is model.led.shared.weight is model.led.decoder.embed_tokens.weight
    model, peer = pair(LEDForConditionalGeneration, small_led, randomize, tie_word_embeddings=False)
    assert len({id(each) for each in (model.lm_head.weight, model.led.shared.weight)}) == 2
    states = torch.randn(4, 13, 16, dtype=torch.float64)

    def run(model: Any) -> dict[str, torch.Tensor]:
        return {"logits": model(encoder_outputs=(states,), decoder_input_ids=batch.read).logits}

    moments = moments_of(model).decoder(states, {"decoder_input_ids": batch.read}, "float64")
    bounds = sigmas(moments, moments)
    same(run(model), run(peer), bounds)
    with torch.no_grad():
        model.lm_head.weight.copy_(model.led.shared.weight)  # the wrong one: tied
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same(run(model), run(peer), bounds)
