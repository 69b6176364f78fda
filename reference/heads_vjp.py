"""The heads of XLM-RoBERTa and Longformer in training. Every function maps the last hidden states (b, n, D) to logits
and returns their vjp, which gives the gradient of all states.

Shapes: b batch, n tokens, C classes, D hidden size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.reference.arguments import Float
from trueband.reference.layers import State, weight
from trueband.reference.layers_vjp import Gradients, Vjp, gelu, layer_norm, linear, rows, tanh


def tied_head(state: State, table: str, bias: str, x: Float) -> tuple[Float, Vjp]:
    """logits = x E^T + b; E is the table of the words, whose gradient gets this use added."""
    e = weight(state, table)
    offset = weight(state, bias)

    def vjp(dy: Float, gradients: Gradients) -> Float:
        gradients.add(table, rows(dy).T @ rows(x))
        gradients.add(bias, rows(dy).sum(axis=0).reshape(offset.shape))
        return dy @ e

    return x @ e.T + offset, vjp


def lm_head(state: State, x: Float, eps: float, prefix: str) -> tuple[Float, Vjp]:
    """LayerNorm(gelu(dense(x))) E^T + b: (b, n, D) -> (b, n, vocabulary)."""
    inner, dense_vjp = linear(state, "lm_head.dense", x)
    active, gelu_vjp = gelu(inner)
    features, norm_vjp = layer_norm(state, "lm_head.layer_norm", active, eps)
    own, tied = "lm_head.decoder.weight", f"{prefix}embeddings.word_embeddings.weight"
    logits, out_vjp = tied_head(state, own if own in state else tied, "lm_head.bias", features)

    def vjp(dy: Float, gradients: Gradients) -> Float:
        return dense_vjp(gelu_vjp(norm_vjp(out_vjp(dy, gradients), gradients), gradients), gradients)

    return logits, vjp


def classification_head(
    state: State, dense: str, out: str, x: Float, at: Any, keep_token: Any = 1.0, keep_inner: Any = 1.0
) -> tuple[Float, Vjp]:
    """out(keep tanh(dense(keep x_at))): (b, n, D) -> (b, C), from one token of each row, whose index is at (b,)."""
    every = np.arange(x.shape[1]) == np.asarray(at)[:, None]  # (b, n)
    picked = np.where(every[..., None], x, 0.0).sum(axis=1)
    inner, dense_vjp = linear(state, dense, keep_token * picked)
    active, tanh_vjp = tanh(inner)
    logits, out_vjp = linear(state, out, keep_inner * active)

    def vjp(dy: Float, gradients: Gradients) -> Float:
        dactive = keep_inner * out_vjp(dy, gradients)
        dpicked = keep_token * dense_vjp(tanh_vjp(dactive, gradients), gradients)
        return np.where(every[..., None], dpicked[:, None], 0.0)

    return logits, vjp


def token_head(state: State, name: str, x: Float, keep: Any = 1.0) -> tuple[Float, Vjp]:
    """dense(keep x): (b, n, D) -> (b, n, C)."""
    logits, dense_vjp = linear(state, name, keep * x)
    return logits, lambda dy, gradients: keep * dense_vjp(dy, gradients)
