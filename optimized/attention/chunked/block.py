"""One block of queries against its keys: softmax attention, and its vector-Jacobian product.

    scores s = scale q k^T     probabilities p = softmax(s), 0 where blank     output o = weight (p * kept) v

`kept` is the dropout's 0/1 noise; `weight` is the head mask over the probability of being kept. Given dO:

    dV = (p * kept)^T (weight dO)           g = kept * (dO v^T)         delta_i = sum_j p_ij g_ij
    ds = p * (g - delta)                    dQ = weight scale ds k      dK = scale ds^T (weight q)

Shapes: c heads at a time, r queries, d head dim; keys and values come in parts (c, columns, d) that stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.blanks import Blanks, fill
from trueband.optimized.attention.chunked.space import Workspace


class Part(NamedTuple):
    """Keys and values (c, columns, d); in the backward pass also their gradients, which are added to.

    All lie where `chunked_space` says, as do the queries and the gradients of the output.
    """

    key: Tensor
    value: Tensor
    grad_key: Tensor | None = None
    grad_value: Tensor | None = None


class Dropout:
    """0/1 noise in the order of the plan, from one seed; `keep` is the probability of a 1."""

    def __init__(self, dropout_p: float, seed: Tensor | None, device: torch.device) -> None:
        self.keep = 1 - dropout_p
        self.generator: torch.Generator | None = None
        if seed is not None:
            self.generator = torch.Generator(device).manual_seed(int(seed))

    def draw(self, out: Tensor) -> Tensor:
        return out.bernoulli_(self.keep, generator=self.generator)


class Setting(NamedTuple):
    """The settings that all blocks of a call share. `weight`: (h, 1, 1), or None when it would be 1."""

    scale: float
    weight: Tensor | None
    dropout: Dropout
    space: Workspace


def setting(
    scale: float,
    head_mask: Tensor | None,
    dropout_p: float,
    seed: Tensor | None,
    dtype: torch.dtype,
    device: torch.device,
) -> Setting:
    """`dtype`: of the inputs; the work is done in `working_dtype(dtype)`."""
    dtype = working_dtype(dtype)
    dropout = Dropout(dropout_p, seed, device)
    weight = None if head_mask is None else head_mask.detach().to(dtype)[:, None, None]
    if dropout.generator is not None:
        weight = torch.ones(1, 1, 1, dtype=dtype, device=device) if weight is None else weight
        weight = weight / dropout.keep
    return Setting(scale, weight, dropout, Workspace(dtype, device))


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """float64 for float64, float32 for all others."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def weight_of(setting: Setting, heads: slice) -> Tensor | None:
    weight = setting.weight
    return weight if weight is None or len(weight) == 1 else weight[heads]


def probabilities(query: Tensor, parts: Sequence[Part], blanks: Blanks, scale: float, space: Workspace) -> Tensor:
    """(c, r, columns) before dropout. A row with nothing to attend is NaN: its caller throws it away."""
    columns = sum(part.key.shape[1] for part in parts)
    scores = space.take("scores", *query.shape[:2], columns)
    at = 0
    for part in parts:
        own = scores[..., at : at + part.key.shape[1]]
        torch.baddbmm(own, query, part.key.mT, beta=0, alpha=scale, out=own)
        at += part.key.shape[1]
    fill(scores, blanks, float("-inf"))
    return torch.softmax(scores, dim=-1, out=scores)  # in place: half the memory stays in the cache


def block_forward(query: Tensor, parts: Sequence[Part], blanks: Blanks, heads: slice, setting: Setting) -> Tensor:
    """Output (c, r, d), valid until the next block."""
    space = setting.space
    p = probabilities(query, parts, blanks, setting.scale, space)
    if setting.dropout.generator is not None:
        p.mul_(setting.dropout.draw(space.take("kept", *p.shape)))
    output = space.take("output", *query.shape)
    at = 0
    for part in parts:
        own = p[..., at : at + part.key.shape[1]]
        torch.baddbmm(output, own, part.value, beta=0 if at == 0 else 1, out=output)
        at += part.key.shape[1]
    weight = weight_of(setting, heads)
    return output if weight is None else output.mul_(weight)


def block_backward(
    query: Tensor,
    parts: Sequence[Part],
    blanks: Blanks,
    heads: slice,
    setting: Setting,
    grad_output: Tensor,
    skipped: Tensor | None,
    grad_head_mask: Tensor,
) -> Tensor:
    """Gradient of the query (c, r, d), valid until the next block; adds to those of the parts and of the head mask.

    `skipped`: (r,) bool, rows that are not computed here; their query and grad_output must be 0.
    """
    space, dropout, weight = setting.space, setting.dropout, weight_of(setting, heads)
    p = probabilities(query, parts, blanks, setting.scale, space)
    if skipped is not None:
        p.masked_fill_(skipped[:, None], 0)
    weighted_query, weighted_grad = query, grad_output
    if weight is not None:
        weighted_query = torch.mul(query, weight, out=space.take("weighted query", *query.shape))
        weighted_grad = torch.mul(grad_output, weight, out=space.take("weighted gradient", *query.shape))

    kept, used = None, p
    if dropout.generator is not None:
        kept = dropout.draw(space.take("kept", *p.shape))
        used = torch.mul(p, kept, out=space.take("used", *p.shape))

    grad_p = space.take("gradients", *p.shape)
    at = 0
    for part in parts:
        columns = slice(at, at := at + part.key.shape[1])
        assert part.grad_value is not None
        part.grad_value.baddbmm_(used[..., columns].mT, weighted_grad)
        torch.baddbmm(grad_p[..., columns], grad_output, part.value.mT, beta=0, out=grad_p[..., columns])
    fill(grad_p, blanks, 0.0)
    if kept is not None:
        grad_p.mul_(kept)

    grad_p.mul_(p)
    delta = grad_p.sum(dim=-1, keepdim=True)
    grad_head_mask[heads] += delta.sum(dim=(1, 2)) / dropout.keep
    grad_scores = grad_p.addcmul_(p, delta, value=-1)

    grad_query = space.take("output", *query.shape)
    at = 0
    for part in parts:
        columns = slice(at, at + part.key.shape[1])
        assert part.grad_key is not None
        part.grad_key.baddbmm_(grad_scores[..., columns].mT, weighted_query, alpha=setting.scale)
        torch.baddbmm(
            grad_query,
            grad_scores[..., columns],
            part.key,
            beta=0 if at == 0 else 1,
            alpha=setting.scale,
            out=grad_query,
        )
        at = columns.stop
    return grad_query if weight is None else grad_query.mul_(weight)
