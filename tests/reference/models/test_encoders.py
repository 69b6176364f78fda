"""The reference's encoders as wholes: against the peer in float64, and rules that have no peer."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import (
    embedding_bound,
    lm_head_moments,
    longformer_layer_moments,
    roberta_layer_moments,
)
from trueband.properties.bounds.variance import sigma_bound
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference.config import LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import embed, positions_from_ids
from trueband.reference.layers import layer_norm, lm_head, weight
from trueband.reference.longformer import (
    longformer_encoder,
    longformer_layer,
    longformer_masked_lm,
    longformer_self_attention,
)
from trueband.reference.roberta import roberta_encoder, roberta_layer, roberta_masked_lm
from trueband.reference.roberta_attention import roberta_self_attention

SIZES: dict[str, Any] = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "initializer_range": 0.5,
}
PAD, TOKENS = 1, 12


@cache
def peer(architecture: str) -> Any:
    torch.manual_seed(11)
    if architecture == "longformer":
        config = transformers.LongformerConfig(**SIZES, attention_window=[4, 6])
        model: Any = transformers.LongformerForMaskedLM(config)
    else:
        model = transformers.XLMRobertaForMaskedLM(transformers.XLMRobertaConfig(**SIZES))
    for parameter in model.parameters():  # biases of the peer start at 0: faults in them would be invisible
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


def state_of(model: Any) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def padded_ids(rng: np.random.Generator) -> np.ndarray:
    ids = rng.integers(3, 30, size=(3, TOKENS))
    ids[0, -3:], ids[1, :2] = PAD, PAD  # right, left, none
    return ids


def test_roberta_agrees_with_the_peer_in_float64() -> None:
    model = peer("roberta").double()
    state, config = state_of(model), XLMRobertaConfig(**SIZES)
    ids = padded_ids(np.random.default_rng(0))
    mask = (ids != PAD).astype(np.int64)
    with torch.no_grad():
        output = model(torch.tensor(ids), attention_mask=torch.tensor(mask), output_hidden_states=True)
    taps = [tap.numpy() for tap in output.hidden_states]

    precision = Precision.of("float64")
    bound = embedding_bound(state, "roberta.", config, ids, positions_from_ids(ids, PAD), precision)
    verdicts = [judge(taps[0], embed(state, config, ids, prefix="roberta."), bound)]
    for i in range(2):
        name = f"roberta.encoder.layer.{i}"
        moments = roberta_layer_moments(state, name, config, taps[i], mask, precision)
        verdicts.append(judge(taps[i + 1], roberta_layer(state, name, config, taps[i], mask), sigma_bound(moments)))
    head = sigma_bound(lm_head_moments(state, "roberta.", config, taps[-1], precision))
    verdicts.append(judge(output.logits.numpy(), lm_head(state, taps[-1], 1e-5, "roberta."), head))
    assert all(verdict.passed for verdict in verdicts), verdicts


def longformer_verdicts(change: dict[str, Any] | None = None) -> list[Verdict]:
    """The peer's layers (its softmax is float32 whatever the dtype) against ours under changed options."""
    model = peer("longformer").float()
    state, config = state_of(model), LongformerConfig(**SIZES, attention_window=(4, 6))
    ids = padded_ids(np.random.default_rng(1))
    mask, flags = (ids != PAD).astype(np.int64), np.zeros((3, TOKENS), dtype=np.int64)
    flags[0, 0], flags[2, [0, 5]] = 1, 1
    with torch.no_grad():
        output = model(
            torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            global_attention_mask=torch.tensor(flags),
            output_hidden_states=True,
        )
    taps = [tap[:, :TOKENS].double().numpy() for tap in output.hidden_states]
    verdicts = []
    for i in range(2):
        name = f"longformer.encoder.layer.{i}"
        options: dict[str, Any] = {
            "window": config.window(i),
            "attention_mask": mask,
            "global_attention_mask": flags,
        } | (change or {})
        expected = longformer_layer(state, name, config, taps[i], **options)
        moments = longformer_layer_moments(
            state, name, config, taps[i], config.window(i), mask, flags, Precision.of("float32")
        )
        verdicts.append(judge(taps[i + 1], expected, sigma_bound(moments)))
    return verdicts


def test_longformer_agrees_with_the_peer_with_one_window_for_each_layer() -> None:
    verdicts = longformer_verdicts()
    assert all(verdict.passed for verdict in verdicts), verdicts


@pytest.mark.parametrize(
    "change", [{"window": 1}, {"window": 4}, {"attention_mask": None}, {"global_attention_mask": None}]
)
def test_a_wrong_reference_would_not_agree(change: dict[str, Any]) -> None:
    assert not all(verdict.passed for verdict in longformer_verdicts(change))


def as_longformer(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    renamed = {name.replace("roberta.", "longformer.", 1): array for name, array in state.items()}
    copies = {
        name.replace(f".self.{part}.", f".self.{part}_global."): array
        for name, array in renamed.items()
        for part in ("query", "key", "value")
        if f".self.{part}." in name
    }
    return renamed | copies


@pytest.mark.parametrize("flag", [0, 1])
def test_a_window_that_covers_the_text_is_full_attention(flag: int) -> None:
    state = state_of(peer("roberta").double())
    ids = padded_ids(np.random.default_rng(2))
    mask = (ids != PAD).astype(np.int64)
    full = roberta_masked_lm(state, XLMRobertaConfig(**SIZES), ids, attention_mask=mask)
    config = LongformerConfig(**SIZES, attention_window=2 * TOKENS)
    band = longformer_masked_lm(
        as_longformer(state), config, ids, attention_mask=mask, global_attention_mask=np.full_like(mask, flag)
    )
    real, precision = mask.astype(bool), Precision.of("float64")
    # masked rows differ by contract (0 from their attention), and no real row reads them
    first = longformer_layer_moments(
        as_longformer(state), "longformer.encoder.layer.0", config, band.hidden_states[0], TOKENS, mask, None, precision
    )
    assert len(band.hidden_states) == len(full.hidden_states) == 3
    bound = sigma_bound(first).at(real)
    assert judge(band.hidden_states[1][real], full.hidden_states[1][real], bound).passed
    assert not judge(band.hidden_states[1], full.hidden_states[1], sigma_bound(first)).passed


def test_pads_attend_the_real_keys_in_roberta_and_nothing_in_longformer() -> None:
    state = as_longformer(state_of(peer("roberta").double()))
    x, mask = np.random.default_rng(4).standard_normal((1, 6, 16)), np.array([[1, 1, 1, 1, 0, 0]])
    name, config = "longformer.encoder.layer.0", LongformerConfig(**SIZES)
    full = roberta_self_attention(state, name, XLMRobertaConfig(**SIZES), x, mask)
    assert (full.probabilities[0, :, 4:, :4] > 0).all()
    assert (full.probabilities[..., 4:] == 0).all()
    band = longformer_self_attention(state, name, config, x, window=6, attention_mask=mask)
    assert (band.context[0, 4:] == 0).all()
    assert (band.probabilities[0, :, 4:] == 0).all()


def test_a_fully_masked_sequence_gets_nothing_from_attention() -> None:
    state = state_of(peer("roberta").double())
    config, name = XLMRobertaConfig(**SIZES), "roberta.encoder.layer.0"
    x, mask = np.random.default_rng(5).standard_normal((2, 4, 16)), np.array([[0, 0, 0, 0], [1, 1, 1, 0]])
    attention = roberta_self_attention(state, name, config, x, mask)
    assert (attention.context[0] == 0).all()
    assert (attention.probabilities[0] == 0).all()
    assert np.isfinite(roberta_layer(state, name, config, x, mask)).all()
    alone = roberta_layer(state, name, config, x[1:], mask[1:])
    moments = roberta_layer_moments(state, name, config, x[1:], mask[1:], Precision.of("float64"))
    assert judge(roberta_layer(state, name, config, x, mask)[1:], alone, sigma_bound(moments, moments)).passed


def test_a_head_mask_of_zeros_leaves_the_bias_of_the_projection() -> None:
    state = state_of(peer("roberta").double())
    config, name = XLMRobertaConfig(**SIZES), "roberta.encoder.layer.1"
    x = np.random.default_rng(6).standard_normal((1, 4, 16))
    none = roberta_self_attention(state, name, config, x, head_mask=np.zeros(4))
    assert (none.context == 0).all()
    some = roberta_self_attention(state, name, config, x, head_mask=np.array([0.0, 1.0, 0.0, 1.0]))
    every = roberta_self_attention(state, name, config, x)
    kept = np.repeat([False, True, False, True], 4)
    assert np.array_equal(some.context[..., kept], every.context[..., kept])
    assert (some.context[..., ~kept] == 0).all()


def test_taps_start_behind_the_embeddings_and_chain() -> None:
    state, config = state_of(peer("roberta").double()), XLMRobertaConfig(**SIZES)
    ids, rng = np.array([[0, 5, 7, 2]]), np.random.default_rng(8)
    head_mask = rng.uniform(size=(2, 4))
    taps = roberta_encoder(state, config, ids, head_mask=head_mask, prefix="roberta.")
    assert np.array_equal(taps[0], embed(state, config, ids, prefix="roberta."))
    for i in range(2):
        again = roberta_layer(state, f"roberta.encoder.layer.{i}", config, taps[i], head_mask=head_mask[i])
        assert np.array_equal(taps[i + 1], again)
    words = weight(state, "roberta.embeddings.word_embeddings.weight")[ids]
    given = roberta_encoder(state, config, inputs_embeds=words, head_mask=head_mask, prefix="roberta.")
    assert np.array_equal(given[-1], taps[-1])


def test_layers_of_the_longformer_chain_each_with_its_window_and_head_mask() -> None:
    state, config = state_of(peer("longformer").double()), LongformerConfig(**SIZES, attention_window=(4, 6))
    rng = np.random.default_rng(10)
    ids = padded_ids(rng)
    masks = {"attention_mask": (ids != PAD).astype(np.int64), "global_attention_mask": (ids == ids[0, 4]).astype(int)}
    head_mask = rng.uniform(size=(2, 4))
    taps = longformer_encoder(state, config, ids, head_mask=head_mask, prefix="longformer.", **masks)
    for i, window in enumerate((2, 3)):
        name = f"longformer.encoder.layer.{i}"
        again = longformer_layer(state, name, config, taps[i], window=window, head_mask=head_mask[i], **masks)
        assert np.array_equal(taps[i + 1], again)
        every = longformer_layer(state, name, config, taps[i], window=window, **masks)
        assert not np.array_equal(every, again)
        attention = longformer_self_attention(state, name, config, taps[i], window=window, **masks)
        some = longformer_self_attention(
            state, name, config, taps[i], window=window, head_mask=np.array([0.0, 1.0, 0.0, 1.0]), **masks
        )
        kept = np.repeat([False, True, False, True], 4)
        assert np.array_equal(some.context[..., kept], attention.context[..., kept])
        assert (some.context[..., ~kept] == 0).all()


def test_inputs_stay_as_they_are() -> None:
    state = state_of(peer("roberta").double())
    x, mask = np.random.default_rng(9).standard_normal((1, 4, 16)), np.array([[1, 1, 1, 0]])
    before = x.copy(), mask.copy(), {name: array.copy() for name, array in state.items()}
    roberta_layer(state, "roberta.encoder.layer.0", XLMRobertaConfig(**SIZES), x, mask)
    layer_norm(state, "roberta.encoder.layer.0.output.LayerNorm", x, 1e-5)
    assert np.array_equal(x, before[0])
    assert np.array_equal(mask, before[1])
    assert all(np.array_equal(state[name], array) for name, array in before[2].items())
