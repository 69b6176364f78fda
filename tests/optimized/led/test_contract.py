"""What LED promises where the peer fails or differs (docs/contract.md, section 3), and what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from trueband.optimized import (
    LEDForConditionalGeneration,
    LEDForQuestionAnswering,
    LEDForSequenceClassification,
    LEDModel,
)
from trueband.reference import LEDConfig
from trueband.reference.led_encoder import led_encoder


def test_any_window_any_mix_any_length(led: Any, small_led: Any) -> None:
    """The peer: attention_window 2 and the mix (4, 6) raise."""
    for windows in (2, (2, 2), (4, 6), (512, 2)):
        encoder = led(LEDModel, attention_window=windows).encoder
        for tokens in range(1, 20):
            output = encoder(torch.full((1, tokens), 5), output_attentions=True)
            assert output.last_hidden_state.shape == (1, tokens, 16)
            assert output.last_hidden_state.isfinite().all()
            pair = windows if isinstance(windows, tuple) else (windows, windows)
            assert [each.shape[-1] for each in output.attentions] == [window + 1 for window in pair]
    for listed, tokens in (([2, 2], 8), ([4, 6], 13)):
        peer = transformers.LEDModel(transformers.LEDConfig(**small_led, attention_window=listed))
        with pytest.raises((RuntimeError, AssertionError, ValueError, IndexError)):
            peer.encoder(torch.full((1, tokens), 5))


class Silenced(nn.Linear):
    """A stand-in for a projection."""

    def forward(self, states: Tensor) -> Tensor:
        return super().forward(states) * 0


@pytest.mark.parametrize("name", ["query", "key", "value"])
def test_what_stands_in_for_a_projection_is_called(led: Any, batch: Any, name: str) -> None:
    encoder = led(LEDModel).encoder
    attention = encoder.layers[0].self_attn.longformer_self_attn
    before = encoder(**batch.inputs).last_hidden_state
    own, other = getattr(attention, name), Silenced(16, 16, dtype=before.dtype)
    setattr(attention, name, other)
    found = encoder(**batch.inputs).last_hidden_state
    setattr(attention, name, own)
    for parameter in own.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(found, encoder(**batch.inputs).last_hidden_state)
    assert not torch.equal(found, before)


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that an operation returns."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


def test_memory_of_the_encoder_is_linear(small_led: Any) -> None:
    """The peer makes a mask of n * n elements."""
    tokens = 2000
    sizes = {**small_led, "max_encoder_position_embeddings": 2 * tokens}
    encoder = LEDModel(LEDConfig(**sizes, attention_window=4)).encoder
    peer = transformers.LEDModel(transformers.LEDConfig(**sizes, attention_window=4)).encoder
    flags = torch.zeros(1, 2 * tokens)
    flags[0, 0] = 1
    seen = []
    for count in (tokens, 2 * tokens):
        with Largest() as ours:
            encoder(torch.full((1, count), 5), global_attention_mask=flags[:, :count])
        seen.append(ours.elements)
    assert seen[1] <= 2 * seen[0] < tokens**2
    with Largest() as theirs, torch.no_grad():
        peer(torch.full((1, tokens), 5), attention_mask=torch.ones(1, tokens))
    assert theirs.elements >= tokens**2


def test_no_padding_runs_past_the_position_table(small_led: Any) -> None:
    """Ten positions and ten tokens: the peer pads to twelve."""
    sizes = {**small_led, "max_encoder_position_embeddings": 10}
    ids = torch.full((1, 10), 5)
    model = LEDModel(LEDConfig(**sizes, attention_window=4))
    assert model.encoder(ids).last_hidden_state.shape == (1, 10, 16)
    with pytest.raises(IndexError):
        transformers.LEDModel(transformers.LEDConfig(**sizes, attention_window=4)).encoder(ids)
    with pytest.raises(ValueError, match="input_ids: expected at most 10 tokens, got 11"):
        model(torch.full((1, 11), 5))


def test_global_attentions_have_the_length_of_the_input(led: Any, small_led: Any, batch: Any) -> None:
    """Fillers are 0; the peer returns padded tokens, and fillers that are uniform."""
    ours = led(LEDModel)(**batch.inputs, output_attentions=True).encoder_global_attentions
    config = transformers.LEDConfig(**small_led, attention_window=4)
    peer = transformers.LEDModel(config).eval()(**batch.inputs, output_attentions=True)
    assert [each.shape for each in ours] == [(4, 4, 13, 2)] * 2
    assert peer.encoder_global_attentions[0].shape == (4, 4, 16, 2)
    for row, count in enumerate([1, 2, 1, 0]):
        assert not ours[0][row, :, :, count:].any()
        assert (peer.encoder_global_attentions[0][row, :, :, count:] != 0).all()
        assert ours[0][row, :, :, :count].sum(dim=1).ne(0).all()


def test_a_flag_on_a_masked_token_and_what_masked_tokens_hold(led: Any, batch: Any) -> None:
    model = led(LEDModel)
    whole = model.encoder(**batch.inputs).last_hidden_state
    batch.global_mask[0, 11] = 0
    assert torch.equal(model.encoder(**batch.inputs).last_hidden_state, whole)
    batch.ids[0, 10:] = 7
    real = batch.mask.bool()
    assert torch.equal(model.encoder(**batch.inputs).last_hidden_state[real], whole[real])
    output = model(**batch.inputs, **batch.decoder, output_attentions=True)
    assert not output.cross_attentions[0][0, :, :, 9:].any()


def test_left_padding_changes_results_by_design(led: Any, batch: Any) -> None:
    """Positions are those of the tokens, padding included."""
    encoder = led(LEDModel).encoder
    alone = encoder(batch.ids[1:2, 4:]).last_hidden_state
    padded = encoder(batch.ids[1:2], batch.mask[1:2]).last_hidden_state[:, 4:]
    assert (alone - padded).abs().max() > 0.01


def test_fully_masked_sequences(led: Any, batch: Any) -> None:
    batch.mask[1] = 0
    output = led(LEDModel)(**batch.inputs, **batch.decoder, output_attentions=True)
    assert output.last_hidden_state.isfinite().all()
    assert not output.encoder_attentions[0][1].any()
    assert not output.cross_attentions[0][1].any()


def test_new_words(led: Any, batch: Any, moments_of: Any, sigmas: Any, same: Any) -> None:
    for tied in (True, False):
        model = led(LEDForConditionalGeneration, tie_word_embeddings=tied)
        model.final_logits_bias.copy_(torch.arange(40)[None])
        before = model(**batch.inputs, **batch.decoder).logits
        moments = moments_of(model).whole({**batch.inputs, **batch.decoder}, "float64")
        table = model.resize_token_embeddings(45)
        assert model.config.vocab_size == model.led.decoder.config.vocab_size == 45
        assert (model.lm_head.weight is table.weight) == tied
        after = model(**batch.inputs, **batch.decoder).logits
        assert after.shape == (4, 7, 45)
        same({"logits": after[..., :40]}, {"logits": before}, sigmas(moments, moments))
        with pytest.raises(AssertionError, match="EXCEEDS"):  # the wrong one: words moved by one
            same({"logits": after[..., 1:41]}, {"logits": before}, sigmas(moments, moments))
        assert not model.final_logits_bias[0, 40:].any()
        assert model(input_ids=batch.ids + 5).logits.isfinite().all()
        model.resize_token_embeddings(39)
        with pytest.raises(ValueError, match="decoder_input_ids: expected ids from 0 to 38, got 39"):
            model(batch.ids.clamp(max=38), decoder_input_ids=torch.full((4, 2), 39))
        with pytest.raises(ValueError, match="new_num_tokens: expected more than 2, the largest special token, got 2"):
            model.resize_token_embeddings(2)
        with pytest.raises(TypeError, match="new_num_tokens: expected an int >= 1, got float"):
            model.resize_token_embeddings(41.0)


def test_states_of_a_saved_model(led: Any, batch: Any) -> None:
    model, other = led(LEDForConditionalGeneration), LEDForConditionalGeneration
    loaded = other(model.config).double().eval()
    loaded.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(loaded(**batch.inputs).logits, model(**batch.inputs).logits)
    assert dataclasses.replace(model.config, encoder_layers=2) == model.config


def test_what_the_peer_takes_without_a_word(led: Any, small_led: Any, batch: Any) -> None:
    """Head masks, which it ignores, and masks that broadcast; here they work, or are refused (see below)."""
    peer = transformers.LEDModel(transformers.LEDConfig(**small_led, attention_window=4)).eval()
    plain = peer(**batch.inputs).last_hidden_state
    assert torch.equal(peer(**batch.inputs, head_mask=torch.zeros(2, 4)).last_hidden_state, plain)
    wrong = {**{name: value[:, :12] for name, value in batch.inputs.items()}, "attention_mask": torch.ones(4, 1)}
    assert peer(**wrong).last_hidden_state.shape == (4, 12, 16)
    model = led(LEDModel)
    masked = model(**batch.inputs, head_mask=torch.zeros(2, 4).double()).last_hidden_state
    assert not torch.equal(masked, model(**batch.inputs).last_hidden_state)
    with pytest.raises(ValueError, match="attention_mask: expected shape"):
        model(**wrong)


def test_float64_is_float64(
    led: Any, small_led: Any, batch: Any, state_of: Any, moments_of: Any, sigmas: Any, same: Any
) -> None:
    """The encoder against the float64 reference; the peer, with the same weights, is off by float32's roundings."""
    model = led(LEDModel, attention_window=4)
    peer = transformers.LEDModel(transformers.LEDConfig(**small_led, attention_window=4)).double().eval()
    peer.load_state_dict(model.state_dict())
    masks = {name: value.numpy() for name, value in batch.inputs.items() if name != "input_ids"}
    exact = {"states": led_encoder(state_of(model), model.config, batch.ids.numpy(), **masks).last_hidden_state}

    def run(model: Any) -> dict[str, Tensor]:
        return {"states": model.encoder(**batch.inputs).last_hidden_state}

    moments = moments_of(model).whole({**batch.inputs, **batch.decoder}, "float64")
    bounds = sigmas({"states": moments["encoder_last_hidden_state"]})
    same(run(model), exact, bounds)
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same(run(peer), exact, bounds)


def test_export_of_the_peer_fails(small_led: Any, batch: Any) -> None:
    """Ours is exported in test_compilation."""
    peer = transformers.LEDModel(transformers.LEDConfig(**small_led, attention_window=4)).eval().encoder
    with pytest.raises(Exception, match=r"data-dependent|Could not guard|GuardOnDataDependent"):
        torch.export.export(peer, (), batch.inputs)


IDS, ONES = torch.full((2, 5), 7), torch.ones(2, 5)
WRONG: list[tuple[type[Exception], dict[str, Any], str]] = [
    (ValueError, {"attention_mask": ONES[:, :1]}, r"attention_mask: expected .*\(2, 5\), got \(2, 1\)"),
    (ValueError, {"attention_mask": 2 * ONES}, "attention_mask: expected 0 and 1 only, got 2.0"),
    (ValueError, {"global_attention_mask": -ONES}, "global_attention_mask: expected 0 and 1 only, got -1.0"),
    (ValueError, {"decoder_attention_mask": ONES[:1]}, r"decoder_attention_mask: expected .*\(2, 5\), got \(1, 5\)"),
    (ValueError, {"head_mask": torch.ones(4)}, r"head_mask: expected shape .*\(2, 4\), got \(4,\)"),
    (ValueError, {"decoder_head_mask": torch.ones(2, 4)}, r"decoder_head_mask: expected .*\(2, 2\), got \(2, 4\)"),
    (TypeError, {"cross_attn_head_mask": torch.ones(2, 2).int()}, "cross_attn_head_mask: expected a floating dtype"),
    (ValueError, {"input_ids": IDS + 33}, "input_ids: expected ids from 0 to 39, got 40"),
    (ValueError, {"input_ids": None}, "decoder_input_ids: expected ids or decoder_inputs_embeds .*, got neither"),
    (ValueError, {"decoder_input_ids": torch.full((2, 49), 7)}, "decoder_input_ids: expected at most 48 .*, got 49"),
    (ValueError, {"decoder_input_ids": IDS[:1]}, "encoder_hidden_states: expected a batch of 1, got 2"),
    (ValueError, {"inputs_embeds": torch.ones(2, 5, 16)}, "input_ids: expected exactly one of .*, got both"),
    (TypeError, {"past_key_values": ((IDS,),)}, "past_key_values: expected a DecoderCache or None, got tuple"),
    (TypeError, {"encoder_outputs": IDS}, "encoder_outputs: expected a LEDEncoderBaseModelOutput .*, got Tensor"),
]


@pytest.mark.parametrize(
    ("error", "changed", "message"), WRONG, ids=[f"{next(iter(row[1]))}-{i}" for i, row in enumerate(WRONG)]
)
def test_wrong_inputs(led: Any, error: type[Exception], changed: dict[str, Any], message: str) -> None:
    """Named, and before any layer of the side they belong to has run."""
    model, ran = led(LEDForConditionalGeneration), []
    model.led.decoder.layers[0].register_forward_pre_hook(lambda *given: ran.append(given))
    with pytest.raises(error, match=message):
        model(**{"input_ids": IDS, **changed})
    assert not ran


def test_wrong_inputs_of_the_heads(led: Any, batch: Any) -> None:
    model = led(LEDForSequenceClassification)
    batch.ids[:, 3] = 2
    batch.ids[1, 6] = 2
    message = r"input_ids: expected the same number of end tokens \(id 2\), .*, got \[1, 2, 1, 1\]"
    with pytest.raises(ValueError, match=message):
        model(batch.ids)
    with pytest.raises(ValueError, match=r"input_ids: expected ids .*, got inputs_embeds"):
        model(inputs_embeds=torch.ones(4, 13, 16).double())
    batch.ids[1, 6] = 5
    with pytest.raises(ValueError, match=r"labels: expected shape \(batch,\) = \(4,\), got \(3,\)"):
        model(batch.ids, labels=torch.zeros(3).long())
    with pytest.raises(ValueError, match=r"decoder_input_ids: expected shape \(4, 13\), .*, got \(4, 7\)"):
        model(batch.ids, decoder_input_ids=batch.read)
    with pytest.raises(ValueError, match=r"num_labels: expected 2 .*, got 3"):
        led(LEDForQuestionAnswering, num_labels=3)
    with pytest.raises(ValueError, match=r"start_positions: expected shape .*\(4,\), got \(2,\)"):
        led(LEDForQuestionAnswering)(batch.ids, start_positions=torch.zeros(2).long())
    encoded = {"encoder_outputs": (torch.ones(4, 13, 16).double(),), "decoder_input_ids": batch.read}
    with pytest.raises(ValueError, match=r"end_positions: expected shape .*\(4,\), got \(3,\)"):
        led(LEDForQuestionAnswering)(**encoded, end_positions=torch.zeros(3).long())
    with pytest.raises(ValueError, match="activation_function: expected one of 'gelu'"):
        led(LEDModel, activation_function="mish")
    generator = led(LEDForConditionalGeneration)
    with pytest.raises(ValueError, match="labels: expected ids from 0 to 39, got 40"):
        generator(batch.ids, labels=batch.read + 40 - batch.read)
    with pytest.raises(TypeError, match="labels: expected a torch tensor, got list"):
        generator(batch.ids, labels=[7])
    with pytest.raises(ValueError, match=r"labels: expected shape \(batch, tokens\), got \(7,\)"):
        generator(batch.ids, labels=batch.read[0])
