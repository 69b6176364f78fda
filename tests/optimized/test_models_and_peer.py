"""The models against those of transformers with the same weights: keys, logits, loss, hidden states, probabilities.

Both are right within their rounding errors, whose moments are carried through the whole model: 8 sigma of the
difference. The peer's banded softmax is in float32 whatever the dtype: Longformers are compared in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from trueband.optimized import LongformerForMaskedLM, LongformerModel, XLMRobertaForMaskedLM, XLMRobertaModel
from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.encoder_variance import lm_head_moments
from trueband.properties.bounds.losses import cross_entropy_bound
from trueband.properties.bounds.model_variance import longformer_moments, roberta_moments
from trueband.properties.bounds.variance import Moments, sigma_bound
from trueband.reference import LongformerConfig, XLMRobertaConfig

Fill = Callable[[torch.nn.Module], Any]
Pair = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]
ASKED = {"output_hidden_states": True, "output_attentions": True}


def bounds_of(
    state: dict[str, np.ndarray], prefix: str, config: Any, moments: dict[str, Moments], batch: Any, dtype: str
) -> dict[str, Bound]:
    """On the difference of two implementations, logits and loss included."""
    precision = Precision.of(dtype)
    logits = lm_head_moments(state, prefix, config, moments["last_hidden_state"], precision)
    bounds = {name: sigma_bound(each, each) for name, each in {**moments, "logits": logits}.items()}
    count = int((batch.labels != -100).sum())
    bounds["loss"] = cross_entropy_bound(logits.value, count, precision, bounds["logits"])
    return bounds


def test_xlm_roberta(small: dict[str, Any], randomize: Fill, state_of: Any, batch: Any, same: Any, flat: Any) -> None:
    config = XLMRobertaConfig(**small)
    peer_config: Any = transformers.XLMRobertaConfig(**{**small, "attn_implementation": "eager"})
    peer = randomize(transformers.XLMRobertaForMaskedLM(peer_config).double())
    model = XLMRobertaForMaskedLM(config).double().eval()
    assert model.load_state_dict(peer.state_dict(), strict=True).missing_keys == []
    assert list(model.state_dict()) != []
    assert set(model.state_dict()) == set(peer.state_dict())
    options = {"attention_mask": batch.mask, "labels": batch.labels}
    ours, theirs = (flat(each(batch.ids, **options, **ASKED)) for each in (model, peer))

    state, mask, ids = state_of(peer), batch.mask.numpy(), batch.ids.numpy()
    moments = roberta_moments(state, config, ids, Precision.of("float64"), attention_mask=mask)
    bounds = bounds_of(state, "roberta.", config, moments, batch, "float64")
    same(ours, theirs, bounds)
    batch.mask[3, 4] = 0  # the wrong one: a token less is seen
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same(flat(model(batch.ids, **options, **ASKED)), theirs, bounds)


@pytest.mark.parametrize("with_global", [False, True], ids=["local", "global"])
@pytest.mark.parametrize("window", [4, 6, 40])
def test_longformer(
    small: dict[str, Any],
    randomize: Fill,
    state_of: Any,
    batch: Any,
    same: Any,
    flat: Any,
    window: int,
    with_global: bool,
) -> None:
    config = LongformerConfig(**small, attention_window=window)
    peer = randomize(
        transformers.LongformerForMaskedLM(transformers.LongformerConfig(**small, attention_window=[window] * 2))
    )
    model = LongformerForMaskedLM(config).eval()
    model.load_state_dict(peer.state_dict(), strict=True)
    assert set(model.state_dict()) == set(peer.state_dict())
    batch.mask[:, -1], batch.ids[:, -1], batch.labels[:, -1] = 1, 5, 5
    masks = {"attention_mask": batch.mask}
    if with_global:
        masks["global_attention_mask"] = batch.global_mask
    ours, theirs = (flat(each(batch.ids, **masks, **ASKED, labels=batch.labels)) for each in (model, peer))

    state = state_of(peer)
    arrays = {name: mask.numpy() for name, mask in masks.items()}
    moments = longformer_moments(state, config, batch.ids.numpy(), Precision.of("float32"), **arrays)
    bounds = bounds_of(state, "longformer.", config, moments, batch, "float32")
    if with_global:
        as_here(theirs, (batch.global_mask * batch.mask).sum(dim=1).tolist())
    same(ours, theirs, bounds)
    batch.mask[3, 4] = 0  # the wrong one: a token less is seen
    with pytest.raises(AssertionError, match="EXCEEDS"):
        same(flat(model(batch.ids, **masks, **ASKED, labels=batch.labels)), theirs, bounds)


def as_here(theirs: dict[str, torch.Tensor], counts: list[int]) -> None:
    """The peer returns the rows of global tokens at its padded length, and fills missing columns with not 0."""
    for name in [name for name in theirs if name.startswith("global_attentions")]:
        rows = theirs[name][:, :, :13, : max(counts)].clone()
        for b, count in enumerate(counts):
            rows[b, :, :, count:] = 0
        theirs[name] = rows


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
