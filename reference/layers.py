"""The layers that every RoBERTa-type encoder is made of, in float64: one function for each, one line for each equation.

A state dict maps the Hub's names to arrays of any floating dtype; values are brought to float64 as they are read.
Shapes: b batch, h heads, n tokens, d head dim, D hidden size, F feed-forward size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float

State = Mapping[str, NDArray[Any]]

ERF = np.frompyfunc(math.erf, 1, 1)


def weight(state: State, name: str) -> Float:
    """One array of the state dict in float64; ValueError when it is missing."""
    if name not in state:
        raise ValueError(f"state: expected the key {name!r}, got {len(state)} keys without it")
    return state[name].astype(np.float64, copy=False)


def linear(state: State, name: str, x: Float) -> Float:
    """y = x W^T + b. x (..., in) -> (..., out); W (out, in), b (out,)."""
    return x @ weight(state, f"{name}.weight").T + weight(state, f"{name}.bias")


def layer_norm(state: State, name: str, x: Float, eps: float) -> Float:
    """y = g (x - mean) / sqrt(var + eps) + b over the last axis, with the biased variance (arXiv 1607.06450)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return weight(state, f"{name}.weight") * centred / np.sqrt(variance + eps) + weight(state, f"{name}.bias")


def erf(x: Float) -> Float:
    """The error function, element by element, to float64 accuracy."""
    numbers: Any = ERF(x)
    result: Float = numbers.astype(np.float64)
    return result


def gelu(x: Float) -> Float:
    """x Phi(x), with Phi the normal distribution function (arXiv 1606.08415, the exact form, not the tanh one).

    Phi(x) = (1 + erf(x / sqrt 2)) / 2.

    >>> gelu(np.array([-1.0, 0.0, 1.0])).round(6).tolist()
    [-0.158655, 0.0, 0.841345]
    """
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def split_heads(x: Float, heads: int) -> Float:
    """(b, n, h * d) -> (b, h, n, d)."""
    batch, tokens, hidden_size = x.shape
    return x.reshape(batch, tokens, heads, hidden_size // heads).transpose(0, 2, 1, 3)


def merge_heads(x: Float) -> Float:
    """(b, h, n, d) -> (b, n, h * d)."""
    batch, heads, tokens, head_dim = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, tokens, heads * head_dim)


def attention_output(state: State, name: str, hidden_states: Float, context: Float, eps: float) -> Float:
    """y = LayerNorm(x + dense(context)), (b, n, D). `name`: of the attention, e.g. "encoder.layer.0.attention"."""
    projected = linear(state, f"{name}.output.dense", context)
    return layer_norm(state, f"{name}.output.LayerNorm", hidden_states + projected, eps)


def feed_forward(state: State, name: str, attended: Float, eps: float) -> Float:
    """z = LayerNorm(y + dense(gelu(dense(y)))), (b, n, D). `name`: of the layer, e.g. "encoder.layer.0"."""
    inner = gelu(linear(state, f"{name}.intermediate.dense", attended))  # (b, n, F)
    outer = linear(state, f"{name}.output.dense", inner)
    return layer_norm(state, f"{name}.output.LayerNorm", attended + outer, eps)


def after_attention(state: State, name: str, hidden_states: Float, context: Float, eps: float) -> Float:
    """What follows the attention in a post-LN layer. `name`: of the layer, e.g. "encoder.layer.0". All (b, n, D)."""
    attended = attention_output(state, f"{name}.attention", hidden_states, context, eps)
    return feed_forward(state, name, attended, eps)


def pooler(state: State, hidden_states: Float, prefix: str = "") -> Float:
    """tanh(dense(x_0)): of the first token only. (b, n, D) -> (b, D)."""
    return np.tanh(linear(state, f"{prefix}pooler.dense", hidden_states[:, 0]))


def classification_head(state: State, name: str, features: Float) -> Float:
    """logits = out_proj(tanh(dense(x))). (b, D) -> (b, labels). `name`: of the head, e.g. "classifier"."""
    return linear(state, f"{name}.out_proj", np.tanh(linear(state, f"{name}.dense", features)))


def lm_head(state: State, hidden_states: Float, eps: float, prefix: str = "") -> Float:
    """logits = LayerNorm(gelu(dense(x))) E^T + b. (b, n, D) -> (b, n, vocabulary).

    E is `lm_head.decoder.weight`, or the word embeddings under `prefix` where it is tied to them and left out.
    """
    features = layer_norm(state, "lm_head.layer_norm", gelu(linear(state, "lm_head.dense", hidden_states)), eps)
    tied = f"{prefix}embeddings.word_embeddings.weight"
    own = "lm_head.decoder.weight"
    return features @ weight(state, own if own in state else tied).T + weight(state, "lm_head.bias")
