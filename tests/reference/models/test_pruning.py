"""Pruning of heads is masking them, in fewer weights."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import run_roberta_layer
from trueband.properties.bounds.variance import sigma_bound
from trueband.properties.results.verdict import judge, judge_exact
from trueband.reference.config import XLMRobertaConfig
from trueband.reference.pruning import prune_heads
from trueband.reference.roberta import roberta_layer_output

FLOAT64, HEADS = Precision.of("float64"), {0: [2], 1: [0, 3]}
CONFIG = XLMRobertaConfig(
    hidden_size=16,
    num_attention_heads=4,
    num_hidden_layers=2,
    intermediate_size=64,
    layer_norm_eps=1e-5,
    max_position_embeddings=8,
    position_embedding_type="relative_key",
)


@pytest.fixture(scope="module")
def state(encoder: SimpleNamespace) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {}
    for i in range(2):
        name = f"roberta.encoder.layer.{i}"
        weights |= encoder.random_layer(rng, 16, "float64", name)
        weights[f"{name}.attention.self.distance_embedding.weight"] = rng.standard_normal((15, 4))
    return weights


def test_a_pruned_layer_is_one_with_masked_heads(state: dict[str, np.ndarray]) -> None:
    x, mask = np.random.default_rng(1).standard_normal((2, 5, 16)), np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    pruned, config = prune_heads(state, CONFIG, HEADS, prefix="roberta.")
    given = np.random.default_rng(2).uniform(0.5, 1.0, size=4)
    for i, gone in HEADS.items():
        name, keep = f"roberta.encoder.layer.{i}", given.copy()
        keep[gone] = 0.0
        masked = roberta_layer_output(state, name, CONFIG, x, mask, keep)
        ours = roberta_layer_output(pruned, name, config, x, mask, given)  # heads numbered as before
        left = config.kept_heads(i)
        # Projections of fewer heads are products of another shape, which a BLAS may sum in another order.
        moments = run_roberta_layer(pruned, name, config, x, mask, FLOAT64, head_mask=given)
        p, context = moments.attention.probabilities(), moments.attention.context()
        assert judge(ours.attention.probabilities, masked.attention.probabilities[:, left], sigma_bound(p, p)).passed
        rows = np.repeat([head in left for head in range(4)], 4)
        assert judge(ours.attention.context, masked.attention.context[..., rows], sigma_bound(context, context)).passed
        bound = sigma_bound(moments.output, moments.output)
        assert judge(ours.hidden_states, masked.hidden_states, bound).passed
        other = keep[[1, 2, 3, 0]]  # the wrong one: other heads masked
        assert not judge(ours.hidden_states, roberta_layer_output(state, name, CONFIG, x, mask, other)[0], bound).passed


def test_only_the_pruned_weights_change(state: dict[str, np.ndarray]) -> None:
    before = {name: array.copy() for name, array in state.items()}
    pruned, config = prune_heads(state, CONFIG, {1: [3, 0, 3]}, prefix="roberta.")
    name = "roberta.encoder.layer.1.attention"
    assert pruned[f"{name}.self.query.weight"].shape == (8, 16)
    assert pruned[f"{name}.self.key.bias"].tolist() == state[f"{name}.self.key.bias"][4:12].tolist()
    assert pruned[f"{name}.output.dense.weight"].shape == (16, 8)
    changed = {key for key in state if pruned[key] is not state[key]}
    parts = {f"{name}.self.{part}.{kind}" for part in ("query", "key", "value") for kind in ("weight", "bias")}
    assert changed == parts | {f"{name}.output.dense.weight"}
    assert all(judge_exact(state[key], array).passed for key, array in before.items())
    assert config.pruned_heads == {1: (0, 3)}
    assert CONFIG.pruned_heads == {}


def test_pruning_twice_is_pruning_once(state: dict[str, np.ndarray]) -> None:
    once, config = prune_heads(state, CONFIG, {0: [1, 2]}, prefix="roberta.")
    first, between = prune_heads(state, CONFIG, {0: [1]}, prefix="roberta.")
    twice, after = prune_heads(first, between, {0: [2, 1]}, prefix="roberta.")
    assert after == config
    assert all(judge_exact(twice[key], once[key]).passed for key in once)


def test_a_configuration_remembers_pruned_heads() -> None:
    assert XLMRobertaConfig.from_dict({"pruned_heads": {"3": [5, 1]}}).kept_heads(3) == [0, 2, 3, 4, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({2: [0]}, "pruned_heads: expected layers from 0 to 1, got 2"),
        ({0: [4]}, r"pruned_heads: expected heads from 0 to 3, got \[4\]"),
        ({0: [0, 1, 2, 3]}, "heads: expected at least one head left in layer 0, got none"),
    ],
)
def test_refused(state: dict[str, np.ndarray], heads: dict[int, list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prune_heads(state, CONFIG, heads, prefix="roberta.")
