"""Relative positions of XLM-RoBERTa, which the installed peer no longer has: by hand, and against a float64 computation
in PyTorch that goes through every pair of tokens."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import run_roberta_layer
from trueband.properties.bounds.layer_variance import ROBERTA, Attention, Layer
from trueband.properties.bounds.variance import Moments, known, sigma_bound
from trueband.properties.results.verdict import judge, judge_exact
from trueband.reference.config import XLMRobertaConfig
from trueband.reference.embeddings import embed
from trueband.reference.full_attention import relative_scores
from trueband.reference.roberta import roberta_encoder, roberta_model
from trueband.reference.roberta_attention import roberta_cross_attention, roberta_self_attention

FLOAT64, NAME, LONGEST = Precision.of("float64"), "encoder.layer.0", 8
KINDS = ["relative_key", "relative_key_query"]


def config_of(kind: str, **changes: Any) -> XLMRobertaConfig:
    return XLMRobertaConfig(
        vocab_size=20,
        hidden_size=16,
        num_attention_heads=4,
        num_hidden_layers=1,
        intermediate_size=64,
        max_position_embeddings=LONGEST,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        position_embedding_type=kind,
        **changes,
    )


@pytest.fixture(scope="module")
def state(encoder: SimpleNamespace) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = encoder.random_layer(rng, 16, "float64", NAME)
    cross = encoder.random_layer(rng, 16, "float64", "other")
    weights |= {
        name.replace("other.attention", f"{NAME}.crossattention"): array
        for name, array in cross.items()
        if name.startswith("other.attention")
    }
    return weights | {
        f"{NAME}.attention.self.distance_embedding.weight": rng.standard_normal((2 * LONGEST - 1, 4)),
        "embeddings.word_embeddings.weight": rng.standard_normal((20, 16)),
        "embeddings.token_type_embeddings.weight": rng.standard_normal((1, 16)),
        "embeddings.LayerNorm.weight": np.ones(16),
        "embeddings.LayerNorm.bias": np.zeros(16),
    }


def by_pairs(state: dict[str, np.ndarray], kind: str, x: np.ndarray, visible: np.ndarray, sign: int = 1) -> np.ndarray:
    """The context, pair by pair, in PyTorch float64. `sign` -1: distances the wrong way round."""
    weights = {name: torch.tensor(array) for name, array in state.items()}
    own = f"{NAME}.attention.self"
    query, key, value = (
        functional.linear(torch.tensor(x), weights[f"{own}.{part}.weight"], weights[f"{own}.{part}.bias"])
        for part in ("query", "key", "value")
    )
    query, key, value = (part.unflatten(-1, (4, 4)) for part in (query, key, value))
    table = weights[f"{own}.distance_embedding.weight"]
    batch, tokens = x.shape[:2]
    context = torch.zeros(batch, tokens, 4, 4, dtype=torch.float64)
    for b, h, i in np.ndindex(batch, 4, tokens):
        keys = np.flatnonzero(visible[b, i])
        if not len(keys):
            continue
        scores = []
        for j in keys:
            apart = table[sign * (i - j) + LONGEST - 1]
            score = query[b, i, h] @ key[b, j, h] + query[b, i, h] @ apart
            if kind == "relative_key_query":
                score = score + key[b, j, h] @ apart
            scores.append(score / math.sqrt(4))
        context[b, i, h] = torch.softmax(torch.stack(scores), dim=0) @ value[b, keys, h]
    return context.flatten(2).numpy()


def moments(state: dict[str, np.ndarray], config: XLMRobertaConfig, x: np.ndarray, mask: Any = None) -> Moments:
    """Of the context."""
    return run_roberta_layer(state, NAME, config, x, mask, FLOAT64).attention.context()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("causal", [False, True])
def test_every_pair_of_tokens(state: dict[str, np.ndarray], kind: str, causal: bool) -> None:
    x, mask = np.random.default_rng(1).standard_normal((2, 6, 16)), np.ones((2, 6), dtype=np.int64)
    mask[0, 4:], mask[1, :1] = 0, 0
    seen = np.repeat(mask[:, None, :] == 1, 6, axis=1)
    seen &= np.tril(np.ones((6, 6), dtype=bool)) | (not causal)
    ours = roberta_self_attention(state, NAME, config_of(kind, is_decoder=causal), x, mask).context
    bound = sigma_bound(moments(state, config_of(kind, is_decoder=causal), x, mask))
    verdict = judge(by_pairs(state, kind, x, seen), ours, bound)
    assert verdict.passed, verdict
    for wrong in (by_pairs(state, kind, x, seen, -1), by_pairs(state, KINDS[kind == "relative_key"], x, seen)):
        assert not judge(wrong, ours, bound).passed


def test_scores_by_hand() -> None:
    table = np.array([[1.0], [10.0], [100.0], [1000.0], [10000.0]])  # distances -2 .. 2
    query, key = np.array([[[[1.0], [2.0], [3.0]]]]), np.array([[[[1.0], [0.0], [0.5]]]])
    only_query = relative_scores(query, key, table, "relative_key")
    assert only_query[0, 0].tolist() == [[100, 10, 1], [2000, 200, 20], [30000, 3000, 300]]
    both = relative_scores(query, key, table, "relative_key_query")
    assert (both - only_query)[0, 0].tolist() == [[100, 0, 0.5], [1000, 0, 5], [10000, 0, 50]]


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_know_no_position(state: dict[str, np.ndarray], kind: str) -> None:
    twice = embed(state, config_of(kind), np.array([[0, 5, 5, 2]]))
    assert judge_exact(twice[:, 1], twice[:, 2]).passed


@pytest.mark.parametrize("kind", KINDS)
def test_only_distances_matter(state: dict[str, np.ndarray], kind: str) -> None:
    x = np.random.default_rng(2).standard_normal((1, 6, 16))
    plain = roberta_self_attention(state, NAME, config_of(kind), x[:, 2:]).context
    padded = roberta_self_attention(state, NAME, config_of(kind), x, np.array([[0, 0, 1, 1, 1, 1]])).context
    bound = sigma_bound(moments(state, config_of(kind), x[:, 2:]))
    assert judge(padded[:, 2:], plain, bound).passed
    apart = roberta_self_attention(
        state, NAME, config_of(kind), x[:, [2, 0, 3, 4, 5]], np.array([[1, 0, 1, 1, 1]])
    ).context
    assert not judge(apart[:, [0, 2, 3, 4]], plain, bound).passed


def test_cross_attention_has_no_positions(state: dict[str, np.ndarray]) -> None:
    config = config_of("relative_key", is_decoder=True, add_cross_attention=True)
    rng = np.random.default_rng(3)
    x, encoded = rng.standard_normal((1, 3, 16)), rng.standard_normal((1, 5, 16))
    forwards = roberta_cross_attention(state, NAME, config, x, encoded).context
    backwards = roberta_cross_attention(state, NAME, config, x, encoded[:, ::-1]).context
    seen = {"": np.ones((1, 3, 5), dtype=bool)}
    layer, parts = Layer(state, NAME, 4, FLOAT64), ROBERTA.cross
    assert parts is not None
    context = Attention(layer, parts, 4, known(x), known(encoded), seen).context()
    assert judge(forwards, context.value, sigma_bound(context)).passed
    assert judge(backwards, forwards, sigma_bound(context)).passed


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_counts_every_token(state: dict[str, np.ndarray], kind: str) -> None:
    config, ids = config_of(kind), np.array([[1, 1, 1, 0, 5, 6, 7, 8, 2]])
    with pytest.raises(ValueError, match="input_ids: expected at most 8 tokens, got 9"):
        roberta_model(state, config, ids)
    assert roberta_encoder(state, config, ids[:, 1:])[-1].shape == (1, 8, 16)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"position_embedding_type: expected one of absolute, relative_key, .* got 'rotary'"
    ):
        config_of("rotary")
