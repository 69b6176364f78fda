"""The models against those of transformers with the same weights: keys, logits, loss, hidden states, probabilities.

Both are right within 8 sigma of the exact result (the moments are carried through the whole model), so they differ by
16 at most. The peer's banded softmax is in float32 whatever the dtype: Longformers are compared in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from trueband.optimized import LongformerForMaskedLM, LongformerModel, XLMRobertaForMaskedLM, XLMRobertaModel
from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.encoder_variance import (
    embedding_bound,
    lm_head_moments,
    longformer_layer_moments,
    roberta_layer_moments,
)
from trueband.properties.bounds.variance import Moments, attention_moments, known, linear_moments, sigma_bound
from trueband.properties.verdict import judge
from trueband.reference import LongformerConfig, XLMRobertaConfig, dense_to_compact
from trueband.reference.embeddings import embed, positions_from_ids
from trueband.reference.layers import split_heads
from trueband.reference.masks import visible_to_global_rows, visible_to_local_rows

Fill = Callable[[torch.nn.Module], Any]
State = dict[str, np.ndarray]


def floats(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def agree(ours: torch.Tensor, theirs: torch.Tensor, bound: Bound, what: str) -> None:
    verdict = judge(floats(ours), floats(theirs), bound.scaled(2.0), what)
    assert verdict.passed, str(verdict)


def embedded(state: State, prefix: str, config: Any, ids: np.ndarray, precision: Precision) -> Moments:
    """The embeddings; their hard bound is taken as one sigma."""
    positions = positions_from_ids(ids, config.pad_token_id)
    bound = embedding_bound(state, prefix, config, ids, positions, precision)
    return Moments(embed(state, config, ids, prefix=prefix), bound.total**2)


def probabilities(
    state: State, name: str, suffix: str, config: Any, x: Moments, visible: np.ndarray, precision: Precision
) -> Moments:
    """Probabilities are the output for one-hot values."""
    heads = config.num_attention_heads
    projected = []
    for part in ("query", "key"):
        weights = f"{name}.attention.self.{part}{suffix}"
        y = linear_moments(x, state[f"{weights}.weight"], state[f"{weights}.bias"], precision)
        projected.append(Moments(split_heads(y.value, heads), split_heads(y.variance, heads)))
    identity = known(np.broadcast_to(np.eye(visible.shape[-1]), visible.shape))
    query, key = projected
    return attention_moments(query, key, identity, visible, 1 / math.sqrt(config.head_dim), precision)


def loss_bound(logits: Bound) -> Bound:
    """logsumexp(x) - x_label moves by 2 max |dx| at most; so does its mean. Its own roundings are far below that."""
    return Bound({"logits": np.array(2 * logits.total.max())})


def test_xlm_roberta(small: dict[str, Any], randomize: Fill, state_of: Any, batch: Any) -> None:
    config, precision = XLMRobertaConfig(**small), Precision.of("float64")
    peer_config: Any = transformers.XLMRobertaConfig(**{**small, "attn_implementation": "eager"})
    peer = randomize(transformers.XLMRobertaForMaskedLM(peer_config).double())
    model = XLMRobertaForMaskedLM(config).double().eval()
    assert model.load_state_dict(peer.state_dict(), strict=True).missing_keys == []
    assert list(model.state_dict()) != []
    assert set(model.state_dict()) == set(peer.state_dict())
    options = {"attention_mask": batch.mask, "labels": batch.labels}
    ours = model(batch.ids, **options, output_hidden_states=True, output_attentions=True)
    theirs = peer(batch.ids, **options, output_hidden_states=True, output_attentions=True)

    state, mask = state_of(peer), batch.mask.numpy()
    x = embedded(state, "roberta.", config, batch.ids.numpy(), precision)
    visible = np.broadcast_to(mask.astype(bool)[:, None, None], (len(mask), 4, *[mask.shape[1]] * 2))
    agree(ours.hidden_states[0], theirs.hidden_states[0], sigma_bound(x), "embeddings")
    for i in range(2):
        name = f"roberta.encoder.layer.{i}"
        p = probabilities(state, name, "", config, x, visible, precision)
        agree(ours.attentions[i], theirs.attentions[i], sigma_bound(p), f"attentions {i}")
        x = roberta_layer_moments(state, name, config, x, mask, precision)
        agree(ours.hidden_states[i + 1], theirs.hidden_states[i + 1], sigma_bound(x), name)
    logits = sigma_bound(lm_head_moments(state, "roberta.", config, x, precision))
    agree(ours.logits, theirs.logits, logits, "logits")
    agree(ours.loss, theirs.loss, loss_bound(logits), "loss")


@pytest.mark.parametrize("with_global", [False, True], ids=["local", "global"])
@pytest.mark.parametrize("window", [4, 6, 40])
def test_longformer(
    small: dict[str, Any], randomize: Fill, state_of: Any, batch: Any, window: int, with_global: bool
) -> None:
    config, precision = LongformerConfig(**small, attention_window=window), Precision.of("float32")
    peer = randomize(
        transformers.LongformerForMaskedLM(transformers.LongformerConfig(**small, attention_window=[window] * 2))
    )
    model = LongformerForMaskedLM(config).eval()
    model.load_state_dict(peer.state_dict(), strict=True)
    assert set(model.state_dict()) == set(peer.state_dict())
    batch.mask[:, -1], batch.ids[:, -1], batch.labels[:, -1] = 1, 5, 5
    options = {"attention_mask": batch.mask, "labels": batch.labels}
    if with_global:
        options["global_attention_mask"] = batch.global_mask
    ours = model(batch.ids, **options, output_hidden_states=True, output_attentions=True)
    theirs = peer(batch.ids, **options, output_hidden_states=True, output_attentions=True)
    assert (ours.global_attentions is not None) == with_global

    state, mask = state_of(peer), batch.mask.numpy()
    flags = batch.global_mask.numpy() if with_global else np.zeros_like(mask)
    real, is_global = mask.astype(bool), (flags * mask).astype(bool)
    x = embedded(state, "longformer.", config, batch.ids.numpy(), precision)
    agree(ours.hidden_states[0], theirs.hidden_states[0], sigma_bound(x), "embeddings")
    for i in range(2):
        name, one_sided = f"longformer.encoder.layer.{i}", config.window(i)
        local = visible_to_local_rows(real, is_global, one_sided, (1,) * 4, causal=False)
        p = probabilities(state, name, "", config, x, local, precision)
        q = probabilities(state, name, "_global", config, x, visible_to_global_rows(real, is_global, 4), precision)
        total = sigma_bound(p).total + sigma_bound(q).total
        bound = dense_to_compact(total, is_global, one_sided, (1,) * 4)
        agree(ours.attentions[i], theirs.attentions[i], Bound({"8 sigma": bound.local}), f"attentions {i}")
        if with_global:
            agree_on_global_rows(ours.global_attentions[i], theirs.global_attentions[i], bound.global_, is_global)
        x = longformer_layer_moments(state, name, config, x, one_sided, mask, flags, precision)
        agree(ours.hidden_states[i + 1], theirs.hidden_states[i + 1], sigma_bound(x), name)
    logits = sigma_bound(lm_head_moments(state, "longformer.", config, x, precision))
    agree(ours.logits, theirs.logits, logits, "logits")
    agree(ours.loss, theirs.loss, loss_bound(logits), "loss")


def agree_on_global_rows(ours: torch.Tensor, theirs: torch.Tensor, bound: np.ndarray, is_global: np.ndarray) -> None:
    """The peer returns them at its padded length, and fills missing columns with something else than 0."""
    batch, _, tokens, columns = ours.shape
    assert (batch, tokens, columns) == (*is_global.shape, is_global.sum(axis=1).max())
    for b, count in enumerate(is_global.sum(axis=1)):
        assert not ours[b, :, :, count:].any()
        own, peer = ours[b, :, :, :count], theirs[b, :, :tokens, :count]
        agree(own, peer, Bound({"8 sigma": bound[b, :, :, :count]}), "global_attentions")


@pytest.mark.parametrize("pooled", [True, False])
def test_keys_of_the_base_models(small: dict[str, Any], pooled: bool) -> None:
    pairs: list[tuple[Any, Any]] = [
        (XLMRobertaModel(XLMRobertaConfig(**small), pooled), transformers.XLMRobertaModel),
        (LongformerModel(LongformerConfig(**small), pooled), transformers.LongformerModel),
    ]
    for ours, kind in pairs:
        theirs = kind(kind.config_class(**small), add_pooling_layer=pooled)
        shapes = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
        assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == shapes
        assert ours.load_state_dict(theirs.state_dict(), strict=True).unexpected_keys == []
