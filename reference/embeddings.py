"""Input embeddings of RoBERTa-type encoders, and the checks of a model's inputs. b batch, n tokens, D hidden size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.config import LongformerConfig, XLMRobertaConfig
from trueband.reference.layers import State, layer_norm, weight
from trueband.reference.masks import Bool

Ids = NDArray[np.integer[Any]]
Config = XLMRobertaConfig | LongformerConfig


def positions_from_ids(input_ids: Ids, pad_token_id: int) -> Ids:
    """(b, n): pad + 1, pad + 2, ... over the ids that are not padding, wherever the padding stands; pads get pad.

    >>> positions_from_ids(np.array([[1, 1, 0, 7, 2, 1]]), pad_token_id=1)
    array([[1, 1, 2, 3, 4, 1]])
    """
    positions = np.full(input_ids.shape, pad_token_id)
    for row, ids in enumerate(input_ids):
        not_pad = np.flatnonzero(ids != pad_token_id)
        positions[row, not_pad] = pad_token_id + 1 + np.arange(len(not_pad))
    return positions


def positions_from_embeddings(batch: int, tokens: int, pad_token_id: int) -> Ids:
    """(b, n): pad + 1 .. pad + n. Without ids nobody can tell which tokens are padding: all are numbered."""
    return np.tile(pad_token_id + 1 + np.arange(tokens), (batch, 1))


def embed(
    state: State,
    config: Config,
    input_ids: Ids | None = None,
    *,
    inputs_embeds: NDArray[Any] | None = None,
    token_type_ids: Ids | None = None,
    position_ids: Ids | None = None,
    prefix: str = "",
) -> Float:
    """LayerNorm(word + type + position). Ids (b, n) -> (b, n, D); `inputs_embeds` (b, n, D) stand for the word part.

    Where positions are relative none is added here: LayerNorm(word + type).

    Raises:
        ValueError, TypeError: not exactly one of input_ids and inputs_embeds; ids out of range or of the wrong shape;
            more tokens than the position table has rows for.
    """
    name = f"{prefix}embeddings"
    if (input_ids is None) == (inputs_embeds is None):
        got = "neither" if input_ids is None else "both"
        raise ValueError(f"input_ids: expected exactly one of input_ids and inputs_embeds, got {got}")
    if input_ids is not None:
        shape: tuple[int, ...] = check_ids("input_ids", input_ids, None, config.vocab_size).shape
        length = int((input_ids != config.pad_token_id).sum(axis=1).max())
        words = weight(state, f"{name}.word_embeddings.weight")[input_ids]
    else:
        words = check_hidden_states("inputs_embeds", inputs_embeds, config.hidden_size)
        shape = words.shape[:2]
        length = shape[1]
    if not config.absolute_positions:
        length = shape[1]  # distances count every token, padding too
    if (position_ids is None or not config.absolute_positions) and length > config.max_length:
        argument = "inputs_embeds" if input_ids is None else "input_ids"
        raise ValueError(f"{argument}: expected at most {config.max_length} tokens, got {length}")
    token_type_ids = np.zeros(shape, dtype=np.int64) if token_type_ids is None else token_type_ids
    check_ids("token_type_ids", token_type_ids, shape, config.type_vocab_size)

    added = words + weight(state, f"{name}.token_type_embeddings.weight")[token_type_ids]
    if config.absolute_positions:
        if position_ids is None:
            position_ids = default_positions(input_ids, shape, config.pad_token_id)
        check_ids("position_ids", position_ids, shape, config.max_position_embeddings)
        added = added + weight(state, f"{name}.position_embeddings.weight")[position_ids]
    return layer_norm(state, f"{name}.LayerNorm", added, config.layer_norm_eps)


def default_positions(input_ids: Ids | None, shape: tuple[int, ...], pad_token_id: int) -> Ids:
    """(b, n): from the ids where there are ids."""
    if input_ids is not None:
        return positions_from_ids(input_ids, pad_token_id)
    return positions_from_embeddings(shape[0], shape[1], pad_token_id)


def check_ids(name: str, ids: Any, shape: tuple[int, ...] | None, count: int) -> Ids:
    """Integers of shape (b, n), 0 <= id < count."""
    if not isinstance(ids, np.ndarray) or not np.issubdtype(ids.dtype, np.integer):
        got = ids.dtype if isinstance(ids, np.ndarray) else type(ids).__name__
        raise TypeError(f"{name}: expected a numpy array of integers, got {got}")
    if ids.ndim != 2 or 0 in ids.shape or shape not in (None, ids.shape):
        raise ValueError(f"{name}: expected shape {shape or '(batch, tokens), both at least 1'}, got {ids.shape}")
    outside = ids[(ids < 0) | (ids >= count)]
    if outside.size:
        raise ValueError(f"{name}: expected ids from 0 to {count - 1}, got {outside[0]}")
    return ids


def check_hidden_states(name: str, value: Any, hidden_size: int) -> Float:
    """Floats of shape (b, n, D), brought to float64."""
    if not isinstance(value, np.ndarray) or not np.issubdtype(value.dtype, np.floating):
        got = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"{name}: expected a numpy array of a floating dtype, got {got}")
    if value.ndim != 3 or 0 in value.shape or value.shape[2] != hidden_size:
        raise ValueError(f"{name}: expected shape (batch, tokens, {hidden_size}), got {value.shape}")
    return value.astype(np.float64)


def check_mask(name: str, mask: Any, shape: tuple[int, ...], default: bool) -> Bool:
    """A model's mask: 0 and 1 as bools, integers or floats, of shape (b, n) exactly; None: `default` everywhere."""
    if mask is None:
        return np.full(shape, default)
    if not isinstance(mask, np.ndarray):
        raise TypeError(f"{name}: expected a numpy array of 0 and 1, got {type(mask).__name__}")
    if mask.shape != shape:
        raise ValueError(f"{name}: expected shape (batch, tokens) = {shape}, got {mask.shape}")
    other = mask[(mask != 0) & (mask != 1)]
    if other.size:
        raise ValueError(f"{name}: expected 0 and 1 only, got {other[0]}")
    return mask.astype(bool)


def check_head_mask(name: str, head_mask: Any, layers: int, heads: int) -> Float:
    """(layers, heads), float64; ones for None."""
    if head_mask is None:
        return np.ones((layers, heads))
    if not isinstance(head_mask, np.ndarray) or not np.issubdtype(head_mask.dtype, np.floating):
        got = head_mask.dtype if isinstance(head_mask, np.ndarray) else type(head_mask).__name__
        raise TypeError(f"{name}: expected a numpy array of a floating dtype, got {got}")
    if head_mask.shape != (layers, heads):
        raise ValueError(f"{name}: expected shape (layers, heads) = {(layers, heads)}, got {head_mask.shape}")
    return head_mask.astype(np.float64)


def check_activation(config: Config) -> None:
    if config.hidden_act != "gelu":
        raise ValueError(f"hidden_act: expected 'gelu' (the exact form), got {config.hidden_act!r}")
