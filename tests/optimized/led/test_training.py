"""Training of LED: derivatives of every kind of layer, gradient checkpointing, layer drop, and the clamp of float16."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import transformers
from torch.autograd import gradcheck
from torch.func import functional_call

from trueband.optimized import LEDForConditionalGeneration, LEDModel
from trueband.optimized.layers.led_layers import LEDDecoderLayer, LEDDecoderMasks, LEDEncoderLayer, within_half
from trueband.reference import LEDConfig

TINY: dict[str, Any] = {"d_model": 4, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 3}
TINY_CONFIG = LEDConfig(**{**TINY, "decoder_ffn_dim": 3, "encoder_layers": 1, "decoder_layers": 1})


def of_all_weights(layer: Any, call: Any, *inputs: torch.Tensor) -> bool:
    """First derivatives by the inputs and by every weight, against finite differences."""
    names = [name for name, _ in layer.named_parameters()]
    weights = [weight.detach().clone().requires_grad_() for weight in layer.parameters()]

    def function(*given: torch.Tensor) -> torch.Tensor:
        own, state = given[: len(inputs)], dict(zip(names, given[len(inputs) :], strict=True))
        result: torch.Tensor = functional_call(layer, state, call(*own))[0]
        return result

    return bool(gradcheck(function, [*(each.requires_grad_() for each in inputs), *weights]))


def test_derivatives_of_an_encoder_layer(randomize: Any) -> None:
    layer = randomize(LEDEncoderLayer(LEDConfig(**{**TINY, "encoder_layers": 1}, attention_window=2), 0).double())
    mask, flags = torch.ones(2, 5, dtype=torch.bool), torch.zeros(2, 5, dtype=torch.bool)
    mask[0, 4], flags[0, 1], flags[1, 0], flags[1, 3] = False, True, True, True
    x, heads = torch.randn(2, 5, 4, dtype=torch.float64), torch.rand(2, dtype=torch.float64)
    assert of_all_weights(layer, lambda x, heads: (x, mask, flags, heads, False), x, heads)


def test_derivatives_of_a_decoder_layer(randomize: Any) -> None:
    layer = randomize(LEDDecoderLayer(TINY_CONFIG).double())
    own, seen = torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 4, dtype=torch.bool)
    own[1, 0], seen[0, 2] = False, False
    x, encoded = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 4, 4, dtype=torch.float64)
    heads = [torch.rand(2, dtype=torch.float64) for _ in range(2)]

    def call(x: Any, encoded: Any, *heads: Any) -> Any:
        return x, encoded, LEDDecoderMasks(own, seen, *heads), None, False

    assert of_all_weights(layer, call, x, encoded, *heads)


def gradients(model: Any, batch: Any, seed: int = 1) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    model.zero_grad()
    model(**batch.inputs, labels=batch.labels).loss.backward()
    return [weight.grad.clone() for weight in model.parameters()]


def test_checkpointing_changes_no_bit_of_the_gradients(led: Any, batch: Any) -> None:
    """With dropout everywhere: the second forward pass draws what the first one drew. And it is a second one."""
    model = led(LEDForConditionalGeneration, attention_dropout=0.3, activation_dropout=0.2).train()
    plain, calls = gradients(model, batch), []
    handle = model.led.encoder.layers[0].register_forward_pre_hook(lambda *given: calls.append(given))
    model.gradient_checkpointing_enable()
    again = gradients(model, batch)
    assert len(calls) == 2
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(plain, gradients(model, batch, seed=2), strict=True))
    calls.clear()
    model.gradient_checkpointing_disable()
    gradients(model, batch)
    assert len(calls) == 1
    handle.remove()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_gradient_penalty_under_anomaly_detection(led: Any, batch: Any, checkpointing: bool) -> None:
    model = led(LEDForConditionalGeneration).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    weights = list(model.parameters())
    with torch.autograd.set_detect_anomaly(True, check_nan=True):
        loss = model(**batch.inputs, labels=batch.labels).loss
        grads = torch.autograd.grad(loss, weights, create_graph=True)
        torch.stack([grad.square().sum() for grad in grads]).sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.isfinite().all()) for weight in weights)


def test_a_dropped_layer_hands_its_input_on(led: Any, batch: Any) -> None:
    """All layers dropped: the states are the embeddings, and the attentions zeros of the shapes that they have."""
    options = {**batch.inputs, **batch.decoder, "output_attentions": True, "output_hidden_states": True}
    model = led(LEDModel, encoder_layerdrop=1.0, decoder_layerdrop=1.0, dropout=0.0)
    kept, dropped = model(**options), model.train()(**options)
    for side in ("encoder", "decoder"):
        states = getattr(dropped, f"{side}_hidden_states")
        assert len(states) == 3
        assert torch.equal(states[0], states[2])
    fields = ("encoder_attentions", "encoder_global_attentions", "decoder_attentions", "cross_attentions")
    for name in fields:
        shapes = [each.shape for each in getattr(kept, name)]
        assert [each.shape for each in getattr(dropped, name)] == shapes
        assert not any(bool(each.any()) for each in getattr(dropped, name))
    assert dropped.past_key_values is None
    assert kept.past_key_values is not None


def test_layers_are_dropped_one_by_one_in_training_only(led: Any, batch: Any) -> None:
    model = led(LEDModel, encoder_layerdrop=0.5, dropout=0.0).train()
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        states = model(**batch.inputs, output_hidden_states=True).encoder_hidden_states
        seen.add(tuple(torch.equal(a, b) for a, b in pairwise(states)))
    assert seen == {(a, b) for a in (True, False) for b in (True, False)}
    states = model.eval()(**batch.inputs, output_hidden_states=True).encoder_hidden_states
    assert not torch.equal(states[0], states[1])
    assert not torch.equal(states[1], states[2])


def test_layer_drop_of_the_peer_fails_with_attentions(small_led: Any, batch: Any) -> None:
    """Why the above is a promise of this project: transformers returns no such attentions, it raises."""
    config = transformers.LEDConfig(**small_led, attention_window=4, encoder_layerdrop=1.0)
    peer = transformers.LEDModel(config).train()
    with pytest.raises((TypeError, AttributeError)):
        peer(**batch.inputs, output_attentions=True)


def test_the_clamp_of_float16() -> None:
    """If anything is not finite all is brought within +-64512, and NaN stays; otherwise nothing changes."""
    big = torch.tensor([[65504.0, -65504, 1], [0, 2, 3]], dtype=torch.float16)
    assert torch.equal(within_half(big), big)
    infinite = torch.tensor([[torch.inf, -torch.inf, 65504], [-65504, 64480, torch.nan]], dtype=torch.float16)
    clamped = within_half(infinite)
    assert clamped[0].tolist() == [64512, -64512, 64512]
    assert clamped[1, :2].tolist() == [-64512, 64480]
    assert clamped[1, 2].isnan()
    for dtype in (torch.bfloat16, torch.float32):
        assert torch.equal(within_half(infinite.to(dtype))[0], infinite.to(dtype)[0])


def test_the_clamp_in_the_encoder_and_not_in_the_decoder(led: Any, batch: Any) -> None:
    """A LayerNorm whose gain overflows float16."""
    model = led(LEDModel).half()
    for layer in (*model.encoder.layers, *model.decoder.layers):
        layer.final_layer_norm.weight.data.fill_(60000)
    states = model.encoder(**batch.inputs, output_hidden_states=True).hidden_states[1]
    assert states.isfinite().all()
    assert states.abs().max() == 64512
    encoded = torch.zeros(4, 13, 16, dtype=torch.float16)
    decoded = model.decoder(batch.read, encoder_hidden_states=encoded, output_hidden_states=True)
    assert decoded.hidden_states[1].isinf().any()
