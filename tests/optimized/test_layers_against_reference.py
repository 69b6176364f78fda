"""Every layer of the models against the float64 reference, fed with the model's own input of that layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from trueband.optimized import LongformerForMaskedLM, XLMRobertaForMaskedLM, XLMRobertaModel
from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.encoder_variance import (
    embedding_bound,
    lm_head_moments,
    longformer_layer_moments,
    roberta_layer_moments,
)
from trueband.properties.bounds.variance import known, linear_moments, sigma_bound
from trueband.properties.results.verdict import judge
from trueband.reference import LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import embed, positions_from_ids

DTYPES = ("float64", "float32", "bfloat16")
Fill = Callable[[torch.nn.Module], Any]
State = Callable[[torch.nn.Module], dict[str, np.ndarray]]


def floats(tensor: torch.Tensor | None) -> np.ndarray:
    assert tensor is not None
    return tensor.detach().double().numpy()


def passes(actual: torch.Tensor, expected: np.ndarray, bound: Bound, what: str) -> None:
    verdict = judge(floats(actual), expected, bound, what)
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize("dtype", DTYPES)
def test_xlm_roberta(small: dict[str, Any], randomize: Fill, state_of: State, batch: Any, dtype: str) -> None:
    config = XLMRobertaConfig(**small)
    model = randomize(XLMRobertaForMaskedLM(config).to(getattr(torch, dtype)))
    state, precision, ids = state_of(model), Precision.of(dtype), batch.ids.numpy()
    batch.mask[3] = 0  # a sequence without a real token
    output = model(batch.ids, batch.mask, output_hidden_states=True)
    states = output.hidden_states
    expected = embed(state, config, ids, prefix="roberta.")
    positions = positions_from_ids(ids, config.pad_token_id)
    passes(states[0], expected, embedding_bound(state, "roberta.", config, ids, positions, precision), "embeddings")
    for i in range(config.num_hidden_layers):
        name = f"roberta.encoder.layer.{i}"
        moments = roberta_layer_moments(state, name, config, floats(states[i]), batch.mask.numpy(), precision)
        passes(states[i + 1], moments.value, sigma_bound(moments), name)
    moments = lm_head_moments(state, "roberta.", config, floats(states[-1]), precision)
    passes(output.logits, moments.value, sigma_bound(moments), "logits")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", [2, (4, 6), 512], ids=str)
@pytest.mark.parametrize("with_global", [False, True], ids=["local", "global"])
def test_longformer(
    small: dict[str, Any], randomize: Fill, state_of: State, batch: Any, dtype: str, window: Any, with_global: bool
) -> None:
    config = LongformerConfig(**small, attention_window=window)
    model = randomize(LongformerForMaskedLM(config).to(getattr(torch, dtype)))
    state, precision, ids = state_of(model), Precision.of(dtype), batch.ids.numpy()
    batch.mask[3] = 0  # a sequence without a real token
    global_mask = batch.global_mask if with_global else None
    output = model(batch.ids, batch.mask, global_mask, output_hidden_states=True)
    states = output.hidden_states
    expected = embed(state, config, ids, prefix="longformer.")
    positions = positions_from_ids(ids, config.pad_token_id)
    passes(states[0], expected, embedding_bound(state, "longformer.", config, ids, positions, precision), "embeddings")
    masks = (batch.mask.numpy(), None if global_mask is None else global_mask.numpy())
    for i in range(config.num_hidden_layers):
        name = f"longformer.encoder.layer.{i}"
        x = floats(states[i])
        moments = longformer_layer_moments(state, name, config, x, config.window(i), *masks, precision)
        passes(states[i + 1], moments.value, sigma_bound(moments), name)
    moments = lm_head_moments(state, "longformer.", config, floats(states[-1]), precision)
    passes(output.logits, moments.value, sigma_bound(moments), "logits")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [XLMRobertaForMaskedLM, LongformerForMaskedLM])
def test_loss(small: dict[str, Any], randomize: Fill, batch: Any, kind: Any, dtype: str) -> None:
    """Mean of logsumexp(x) - x_label, from the model's own logits.

    Roundings: V + 4 of the sum and of each exponential (relative, so absolute after the logarithm), one each of the
    logarithm, the shift by the maximum and the difference, and N + 1 of the mean; u of float32 at least.
    """
    config = XLMRobertaConfig(**small) if kind is XLMRobertaForMaskedLM else LongformerConfig(**small)
    model = randomize(kind(config).to(getattr(torch, dtype)))
    output = model(batch.ids, batch.mask, labels=batch.labels)
    counted = (batch.labels != -100).numpy()
    x, labels = floats(output.logits)[counted], batch.labels.numpy()[counted]
    log_sum = np.log(np.exp(x).sum(axis=-1))
    own = x[np.arange(len(labels)), labels]
    u = Precision.of(dtype).accumulator
    roundings = u * (config.vocab_size + 4 + 3 * (np.abs(log_sum) + np.abs(own) + np.abs(x).max(axis=-1)))
    total = roundings.mean() + u * (len(labels) + 1) * np.abs(log_sum - own).mean()
    passes(output.loss, (log_sum - own).mean(), Bound({"roundings": np.array(total)}), "loss")


@pytest.mark.parametrize("dtype", DTYPES)
def test_pooler(small: dict[str, Any], randomize: Fill, state_of: State, batch: Any, dtype: str) -> None:
    """tanh(W x_0 + b): tanh magnifies no error, and is itself good to 4 units of roundoff."""
    model = randomize(XLMRobertaModel(XLMRobertaConfig(**small)).to(getattr(torch, dtype)))
    state, precision = state_of(model), Precision.of(dtype)
    output = model(batch.ids, batch.mask)
    first = known(floats(output.last_hidden_state)[:, 0])
    dense = linear_moments(first, state["pooler.dense.weight"], state["pooler.dense.bias"], precision)
    expected = np.tanh(dense.value)
    rounding = 4 * max(precision.accumulator, precision.output) * np.abs(expected)
    passes(output.pooler_output, expected, sigma_bound(dense) + Bound({"tanh": rounding}), "pooler_output")
