"""The operator `trueband::relative_attention`: full attention whose scores know the distance of query and key.

    s_ij = scale (q_i k_j + q_i d_ij [+ k_j d_ij])        d_ij = distances[i - j + P - 1]

(arXiv 1803.02155, 2009.13658; `relative_key`, and in brackets what `relative_key_query` adds.) With `causal`, the
queries are the last of the tokens that the keys stand for. Blocks of rows at a time: memory grows linearly.
Shapes: b batch, h heads, t queries, n keys, d head dim, P positions; in a block c heads, r rows, k keys, and the
distances that occur there, r + k - 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.blanks import Blanks, as_one, fill
from trueband.optimized.attention.chunked.block import Setting, setting, weight_of
from trueband.optimized.attention.chunked.tensors import Unit, accumulator, load, load_as_it_lies, new_like, store
from trueband.optimized.attention.operators import dense
from trueband.optimized.attention.operators.differentiable import Weights, output
from trueband.optimized.attention.operators.full_op import plan, units
from trueband.optimized.attention.operators.registration import Definition, register

TILE = 32  # keys at a time, at least, where keys meet the distances


def steps(rows: slice, keys: slice, device: torch.device) -> Tensor:
    """(r, k) index of a pair's distance among those of the block, which begin with that of row 0 and the last key."""
    count, seen = rows.stop - rows.start, keys.stop - keys.start
    return torch.arange(count, device=device)[:, None] - torch.arange(seen, device=device) + seen - 1


def distances_of(distances: Tensor, rows: slice, keys: slice, shift: int) -> slice:
    """The part of the table that a block needs. `shift`: position of query 0 less that of key 0."""
    middle = (len(distances) - 1) // 2  # distance 0
    return slice(rows.start + shift - (keys.stop - 1) + middle, rows.stop - 1 + shift - keys.start + middle + 1)


def tiles(index: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """A few keys of a block at a time: the keys, the distances they need, and (r, keys) indices into those."""
    rows, seen = index.shape
    step = max(rows, TILE)
    for start in range(0, seen, step):
        stop = min(start + step, seen)
        yield slice(start, stop), slice(seen - stop, rows + seen - 1 - start), index[:, start:stop] - (seen - stop)


def relative_scores(query: Tensor, key: Tensor, table: Tensor, index: Tensor, scale: float, of_keys: bool) -> Tensor:
    """(c, r, k) of one block; differentiable. `table`: (r + k - 1, d)."""
    heads = len(query)
    scores = query @ key.mT + (query @ table.T).gather(-1, index.expand(heads, -1, -1))
    if of_keys:
        parts = [
            (key[:, some] @ table[near].T).gather(-1, own.T.expand(heads, -1, -1)).mT
            for some, near, own in tiles(index)
        ]
        scores = scores + torch.cat(parts, dim=-1)
    return scale * scores


def shift_of(unit: Unit, query: Tensor, key: Tensor, causal: bool) -> int:
    """Position of query 0 less that of the first key that is looked at."""
    return (key.shape[2] - query.shape[2] if causal else 0) - unit.row.tokens.start


def blank_out(scores: Tensor, blanks: Blanks) -> Tensor:
    fill(scores, blanks, float("-inf"))
    return scores


def forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    distances: Tensor,
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    seed: Tensor | None,
    scale: float,
    dropout_p: float,
    causal: bool,
    of_keys: bool,
) -> Tensor:
    """Output (b, h, t, d)."""
    work = setting(scale, head_mask, dropout_p, seed, query.dtype, query.device)
    result, table = new_like(query), distances.to(work.space.dtype)
    for unit in units(query, key, attention_mask):
        k, v = load("key", key, unit, work.space), load("value", value, unit, work.space)
        shift = shift_of(unit, query, key, causal)
        for rows, keys, blanks in plan(unit, query, key, causal):
            own = query[unit.row.index, unit.heads, rows].to(k.dtype)
            near, index = table[distances_of(table, rows, keys, shift)], steps(rows, keys, k.device)
            scores = relative_scores(own, k[:, keys], near, index, scale, of_keys)
            p = blank_out(scores, blanks).softmax(dim=-1)
            if work.dropout.generator is not None:
                p = p * work.dropout.draw(torch.empty_like(p))
            weight = weight_of(work, unit.heads)
            context = p @ v[:, keys]
            result[unit.row.index, unit.heads, rows] = (context if weight is None else context * weight).to(
                result.dtype
            )
    return result


def backward(
    grad_output: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    distances: Tensor,
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    seed: Tensor | None,
    scale: float,
    dropout_p: float,
    causal: bool,
    of_keys: bool,
) -> list[Tensor]:
    """Gradients of query, key, value, distances and head_mask; the last is empty where there is none."""
    work = setting(scale, head_mask, dropout_p, seed, query.dtype, query.device)
    grads, table = [new_like(tensor) for tensor in (query, key, value)], distances.to(work.space.dtype)
    grad_table, grad_head_mask = torch.zeros_like(table), table.new_zeros(query.shape[1])
    for unit in units(query, key, attention_mask):
        k, v = load("key", key, unit, work.space), load("value", value, unit, work.space)
        shift = shift_of(unit, query, key, causal)
        grad_k = accumulator("key gradients", grads[1], unit, work.space)
        grad_v = accumulator("value gradients", grads[2], unit, work.space)
        for rows, keys, blanks in plan(unit, query, key, causal):
            place = (unit.row.index, unit.heads, rows)
            own, grad = query[place].to(k.dtype), grad_output[place].to(k.dtype)
            near, index = distances_of(table, rows, keys, shift), steps(rows, keys, k.device)
            scores = relative_scores(own, k[:, keys], table[near], index, scale, of_keys)
            p = blank_out(scores, blanks).softmax(dim=-1)
            grad_scores, used = block_gradients(p, grad, v[:, keys], blanks, unit.heads, work, grad_head_mask)
            grad_v[:, keys] += used.mT @ grad
            by_distance = skewed(grad_scores, index, len(table[near]))
            grads[0][place] = (grad_scores @ k[:, keys] + by_distance @ table[near]).to(query.dtype)
            grad_k[:, keys] += grad_scores.mT @ own
            grad_table[near] += (by_distance.mT @ own).sum(dim=0)
            if of_keys:
                for some, part, own_index in tiles(index):
                    by_distance = skewed(grad_scores[..., some].mT, own_index.T, part.stop - part.start)
                    grad_k[:, keys][:, some] += by_distance @ table[near][part]
                    grad_table[near][part] += (by_distance.mT @ k[:, keys][:, some]).sum(dim=0)
        store(grad_k, grads[1], unit)
        store(grad_v, grads[2], unit)
    last = query.new_empty(0) if head_mask is None else grad_head_mask.to(head_mask.dtype)
    return [*grads, grad_table.to(distances.dtype), last]


def block_gradients(
    p: Tensor, grad: Tensor, value: Tensor, blanks: Blanks, heads: slice, work: Setting, grad_head_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient of the scores before the scale, and what multiplies the gradient of the output in that of the values."""
    weight = weight_of(work, heads)
    kept = None if work.dropout.generator is None else work.dropout.draw(torch.empty_like(p))
    grad_p = grad @ value.mT
    fill(grad_p, blanks, 0.0)
    used = p
    if kept is not None:
        grad_p, used = grad_p * kept, p * kept
    weighted = grad_p * p
    delta = weighted.sum(dim=-1, keepdim=True)
    grad_head_mask[heads] += delta.sum(dim=(1, 2)) / work.dropout.keep
    grad_scores = work.scale * (weighted - p * delta)
    return (grad_scores, used) if weight is None else (grad_scores * weight, used * weight)


def skewed(grad_scores: Tensor, index: Tensor, count: int) -> Tensor:
    """(c, r, k) by key -> (c, r, count) by distance."""
    heads, rows, _ = grad_scores.shape
    zeros = grad_scores.new_zeros(heads, rows, count)
    return zeros.scatter_(-1, index.expand(heads, -1, -1), grad_scores)


def weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    distances: Tensor,
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    seed: Tensor | None,
    scale: float,
    dropout_p: float,
    causal: bool,
    of_keys: bool,
) -> Iterator[Weights]:
    """Yield the factors of the values, in the order of the plan; differentiable."""
    work = setting(scale, head_mask, dropout_p, seed, query.dtype, query.device)
    table = distances.to(work.space.dtype)
    for unit in units(query, key, attention_mask):
        k, v = load_as_it_lies(key, unit), load_as_it_lies(value, unit)
        shift = shift_of(unit, query, key, causal)
        for rows, keys, blanks in plan(unit, query, key, causal):
            own = query[unit.row.index, unit.heads, rows].to(k.dtype)
            near, index = table[distances_of(table, rows, keys, shift)], steps(rows, keys, k.device)
            blank = as_one(blanks, index.shape[0], index.shape[1], k.device)
            scores = relative_scores(own, k[:, keys], near, index, scale, of_keys)
            p = scores.masked_fill(blank, float("-inf")).softmax(dim=-1).masked_fill(blank, 0)
            if work.dropout.generator is not None:
                p = p * work.dropout.draw(torch.empty_like(p)) / work.dropout.keep
            p = p if head_mask is None else p * head_mask[unit.heads, None, None].to(p.dtype)
            seen = torch.arange(keys.start, keys.stop, device=k.device) + unit.row.tokens.start
            yield Weights(unit, torch.arange(rows.start, rows.stop, device=k.device), seen, 0, 1, p, v[:, keys])


relative_op = register(
    Definition(
        name="relative_attention",
        differentiable=[("query", False), ("key", False), ("value", False), ("distances", False), ("head_mask", True)],
        tensors=["attention_mask", "seed"],
        values="float scale, float dropout_p, bool causal, bool of_keys",
        forward=forward,
        backward=backward,
        composite=lambda query, *rest: output(weights(query, *rest), query),
        new_output=lambda query, *rest: new_like(query),
        new_gradient=lambda tensor: new_like(tensor) if tensor.ndim == 4 else tensor.new_empty(tensor.shape),
        dense=dense.relative,
    )
)
