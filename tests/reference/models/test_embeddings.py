"""Position ids, embeddings, limits, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trueband.reference.config import LongformerConfig, XLMRobertaConfig
from trueband.reference.embeddings import embed, positions_from_embeddings, positions_from_ids
from trueband.reference.longformer import longformer_encoder
from trueband.reference.roberta import roberta_encoder, roberta_layer

CONFIG = XLMRobertaConfig(
    vocab_size=10,
    hidden_size=4,
    num_hidden_layers=0,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=8,
    type_vocab_size=2,
    layer_norm_eps=1e-5,
)


@pytest.fixture
def state() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "embeddings.word_embeddings.weight": rng.standard_normal((10, 4)),
        "embeddings.position_embeddings.weight": rng.standard_normal((8, 4)),
        "embeddings.token_type_embeddings.weight": rng.standard_normal((2, 4)),
        "embeddings.LayerNorm.weight": np.ones(4),
        "embeddings.LayerNorm.bias": np.zeros(4),
    }


def test_positions_follow_the_ids_that_are_not_padding() -> None:
    ids = np.array([[0, 5, 2, 1, 1], [1, 1, 0, 5, 2], [0, 1, 5, 1, 2]])
    assert positions_from_ids(ids, 1).tolist() == [[2, 3, 4, 1, 1], [1, 1, 2, 3, 4], [2, 1, 3, 1, 4]]


def test_positions_from_embeddings_number_every_token() -> None:
    assert positions_from_embeddings(2, 3, 1).tolist() == [[2, 3, 4], [2, 3, 4]]


def test_left_padding_changes_nothing_for_the_real_tokens(state: dict[str, np.ndarray]) -> None:
    plain = embed(state, CONFIG, np.array([[0, 5, 2]]))
    padded = embed(state, CONFIG, np.array([[1, 1, 0, 5, 2]]))
    assert np.array_equal(padded[:, 2:], plain)


def test_words_given_as_embeddings(state: dict[str, np.ndarray]) -> None:
    ids = np.array([[0, 5, 7, 2]])
    words = state["embeddings.word_embeddings.weight"][ids]
    assert np.array_equal(embed(state, CONFIG, inputs_embeds=words), embed(state, CONFIG, ids))


def test_token_types_are_added(state: dict[str, np.ndarray]) -> None:
    ids, types = np.array([[0, 5, 2]]), np.array([[0, 1, 0]])
    same = embed(state, CONFIG, ids, token_type_ids=types) == embed(state, CONFIG, ids)
    assert same.all(axis=-1).tolist() == [[True, False, True]]


def test_the_limit_counts_real_tokens_only(state: dict[str, np.ndarray]) -> None:
    assert CONFIG.max_length == 6
    assert embed(state, CONFIG, np.array([[1, 1, 1, 1, 0, 5, 5, 5, 5, 2]])).shape == (1, 10, 4)
    with pytest.raises(ValueError, match="input_ids: expected at most 6 tokens, got 7"):
        roberta_encoder(state, CONFIG, np.array([[0, 5, 5, 5, 5, 5, 2]]))
    with pytest.raises(ValueError, match="input_ids: expected at most 6 tokens, got 7"):
        embed(state, CONFIG, np.array([[0, 5, 2, 1, 1, 1, 1], [0, 5, 5, 5, 5, 5, 2]]))  # the longest row counts
    with pytest.raises(ValueError, match="inputs_embeds: expected at most 6 tokens, got 7"):
        roberta_encoder(state, CONFIG, inputs_embeds=np.zeros((1, 7, 4)))


IDS = np.array([[0, 5, 2]])


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "input_ids: expected exactly one of .*, got neither", {"input_ids": None}),
        (ValueError, "input_ids: expected exactly one .*, got both", {"inputs_embeds": np.zeros((1, 3, 4))}),
        (TypeError, "input_ids: expected a numpy array of integers, got float64", {"input_ids": IDS * 1.0}),
        (TypeError, "input_ids: expected a numpy array of integers, got list", {"input_ids": [[0, 2]]}),
        (ValueError, r"input_ids: expected shape \(batch, tokens\).*, got \(3,\)", {"input_ids": IDS[0]}),
        (ValueError, "input_ids: expected ids from 0 to 9, got 13", {"input_ids": IDS + 8}),
        (ValueError, "input_ids: expected ids from 0 to 9, got -1", {"input_ids": IDS - 1}),
        (ValueError, r"token_type_ids: expected shape \(1, 3\), got \(1, 2\)", {"token_type_ids": IDS[:, :2]}),
        (ValueError, "token_type_ids: expected ids from 0 to 1, got 5", {"token_type_ids": IDS}),
        (ValueError, "position_ids: expected ids from 0 to 7, got 8", {"position_ids": IDS + 3}),
        (
            ValueError,
            r"inputs_embeds: expected shape \(batch, tokens, 4\), got \(1, 3, 5\)",
            {"input_ids": None, "inputs_embeds": np.zeros((1, 3, 5))},
        ),
        (
            TypeError,
            "inputs_embeds: expected a numpy array of a floating dtype, got int64",
            {"input_ids": None, "inputs_embeds": np.zeros((1, 3, 4), dtype=np.int64)},
        ),
        (ValueError, r"head_mask: expected shape \(layers, heads\) = \(0, 2\), got \(2,\)", {"head_mask": np.ones(2)}),
        (TypeError, "head_mask: expected a numpy array of a floating dtype, got list", {"head_mask": [[1.0, 1.0]]}),
    ],
)
def test_refused_inputs(
    state: dict[str, np.ndarray], error: type[Exception], message: str, options: dict[str, Any]
) -> None:
    arguments: dict[str, Any] = {"input_ids": IDS} | options
    with pytest.raises(error, match=message):
        roberta_encoder(state, CONFIG, **arguments)


@pytest.mark.parametrize(
    ("error", "message", "mask"),
    [
        (ValueError, r"attention_mask: expected shape \(batch, tokens\) = \(1, 3\), got \(1, 1\)", np.ones((1, 1))),
        (ValueError, "attention_mask: expected 0 and 1 only, got 2", np.array([[0, 1, 2]])),
        (ValueError, "attention_mask: expected 0 and 1 only, got nan", np.array([[0, 1, np.nan]])),
        (ValueError, "attention_mask: expected 0 and 1 only, got -1", np.array([[0, 1, -1]])),
        (TypeError, "attention_mask: expected a numpy array of 0 and 1, got list", [[1, 1, 1]]),
    ],
)
def test_refused_masks(error: type[Exception], message: str, mask: Any) -> None:
    with pytest.raises(error, match=message):
        roberta_layer({}, "layer", CONFIG, np.zeros((1, 3, 4)), mask)


def test_an_activation_that_is_not_there_is_refused(state: dict[str, np.ndarray]) -> None:
    config = LongformerConfig.from_dict(CONFIG.to_dict() | {"hidden_act": "relu", "num_hidden_layers": 0})
    with pytest.raises(ValueError, match=r"hidden_act: expected 'gelu' \(the exact form\), got 'relu'"):
        longformer_encoder(state, config, IDS)
