"""Rows of few global tokens without projecting all tokens: the projections of keys and values are absorbed.

With k_j = Wk x_j + bk and v_j = Wv x_j + bv, for each head:

    q . k_j = (Wk^T q) . x_j + q . bk         sum_j p_j v_j = Wv (sum_j p_j x_j) + bv

The second term of a score is the same for all keys, and the softmax does not see it; the gradient of bk is 0. What is
left are products of the hidden states with h * x vectors, where the projections take 2 D of them.
Shapes: h heads of d, D = h * d, m tokens that are looked at, x global tokens.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.block import Part, Setting
from trueband.optimized.attention.chunked.plan import Row
from trueband.optimized.attention.chunked.rows import rows_backward, rows_forward
from trueband.optimized.attention.chunked.tensors import Unit


class Weights(NamedTuple):
    """The projections in the working dtype. Matrices (h, d, D), biases (h, 1, d)."""

    query: Tensor
    query_bias: Tensor
    key: Tensor
    value: Tensor
    value_bias: Tensor


def pays(row: Row, heads: int, width: int, work: Setting) -> bool:
    """Return whether this is less work, and can be done: without dropout probabilities add up to 1."""
    return row.global_count * heads < width and work.dropout.generator is None


def weights_of(projections: tuple[Tensor, ...], heads: int, dtype: torch.dtype) -> Weights:
    """`projections`: weight (D, D) and bias (D,) of query, key and value."""
    matrices = [projection.to(dtype).unflatten(0, (heads, -1)) for projection in projections[0::2]]
    biases = [projection.to(dtype).view(heads, 1, -1) for projection in projections[1::2]]
    return Weights(matrices[0], biases[0], matrices[1], matrices[2], biases[2])


def queries(asking: Tensor, parts: Weights) -> tuple[Tensor, Tensor]:
    """Queries (h, x, d) of the global tokens' states (x, D), and the same as vectors (h, x, D) of the states' space."""
    query = asking @ parts.query.mT + parts.query_bias
    return query, query @ parts.key


def mixed(vectors: Tensor, own: Tensor, row: Row, work: Setting) -> Tensor:
    """sum_j p_j x_j (h, x, D) of the vectors (h, x, D) on the states (m, D)."""
    unit, unweighted = Unit(row, slice(0, 1)), work._replace(weight=None)
    return rows_forward(vectors.flatten(0, 1)[None], own[None], own[None], unit, unweighted)[0].view(vectors.shape)


def forward(own: Tensor, asking: Tensor, parts: Weights, row: Row, work: Setting) -> Tensor:
    """Output (h, x, d) of the global tokens' states (x, D) on all states (m, D), in the working dtype."""
    _, vectors = queries(asking, parts)
    output = mixed(vectors, own, row, work) @ parts.value.mT + parts.value_bias
    return output if work.weight is None else output * work.weight


def backward(
    grad_output: Tensor,
    own: Tensor,
    asking: Tensor,
    parts: Weights,
    row: Row,
    work: Setting,
    grads: list[Tensor],
    grad_head_mask: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gradients of `own` (m, D) and `asking` (x, D) from that of the output (h, x, d).

    Adds to `grads`, those of weight (D, D) and bias (D,) of query, key and value, and to that of the head mask (h,).
    """
    query, vectors = queries(asking, parts)
    states = mixed(vectors, own, row, work)
    if work.weight is not None:
        grad_head_mask += (grad_output * (states @ parts.value.mT + parts.value_bias)).sum(dim=(1, 2))
        grad_output = grad_output * work.weight
    grads[4] += (grad_output.mT @ states).flatten(0, 1)
    grads[5] += grad_output.sum(dim=1).flatten()
    grad_own = torch.zeros_like(own)
    both = Part(own[None], own[None], grad_own[None], grad_own[None])  # the states are the keys and the values
    grad_mixed, unit = (grad_output @ parts.value).flatten(0, 1)[None], Unit(row, slice(0, 1))
    unused, unweighted = own.new_zeros(1), work._replace(weight=None)
    flat = rows_backward(vectors.flatten(0, 1)[None], both, unit, unweighted, grad_mixed, unused)
    grad_vectors = flat[0].view(vectors.shape)
    grads[2] += (query.mT @ grad_vectors).flatten(0, 1)
    grad_query = grad_vectors @ parts.key.mT
    grads[0] += (grad_query.mT @ asking).flatten(0, 1)
    grads[1] += grad_query.sum(dim=1).flatten()
    return grad_own, (grad_query @ parts.query).sum(dim=0)
