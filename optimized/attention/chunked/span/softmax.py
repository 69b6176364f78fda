"""One block of queries against its tiles of keys: an online softmax, and its vector-Jacobian product.

    products t = scale q k^T       scores s = c tanh(t / c) - slope |distance|, -inf where blank
    lse l = log(sum_j exp(s_j) + exp(sink))    probabilities p = exp(s - l)    output o = weight (p * kept) v

`kept` is the dropout's 0/1 noise; `weight` is the head mask over the probability of being kept. Given dO and dl:

    dV = (p * kept)^T (weight dO)      g = weight kept * (dO v^T)       D = dO . o
    ds = p * (g - D + dl)              dt = ds (1 - tanh(t / c)^2)      dQ = scale dt k         dK = scale dt^T q
    dsink = exp(sink - l) (dl - D)     dslope = -sum ds |distance|      dhead = sum p kept (dO v^T) / keep

Shapes: c heads of keys, each with the r query heads of a run; R = r * rows: the rows of a block, head by head.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.blanks import Blanks, fill
from trueband.optimized.attention.chunked.block import Part, Setting, weight_of
from trueband.optimized.attention.chunked.span.arguments import SpanArguments


class ScoreSetting(NamedTuple):
    """What all blocks of a call share beside `Setting`. `sinks`, `slopes`: (h,) of the dtype of the work, or None."""

    softcap: float | None
    sinks: Tensor | None
    slopes: Tensor | None


class Columns(NamedTuple):
    """A tile: its keys and values, which of them are not attended, and how far the first row is ahead of the first."""

    part: Part
    blanks: Blanks
    ahead: int


class Gradients(NamedTuple):
    """(h,) of the head mask, the sinks and the slopes, added up over all blocks; None where there are none."""

    head_mask: Tensor | None
    sinks: Tensor | None
    slopes: Tensor | None


class Rows(NamedTuple):
    """The rows of a block, and what their output has given: all 0 in rows that attend nothing, whose lse is inf.

    Attributes:
        query: (c, R, d).
        heads: their heads, c * r.
        grad_output: (c, R, e), not weighted.
        lse: (c, R, 1).
        delta: D - dl, (c, R, 1).
    """

    query: Tensor
    heads: slice
    grad_output: Tensor
    lse: Tensor
    delta: Tensor


class Attention:
    """Blocks of one call: its settings, and the buffers that they use in turn."""

    def __init__(self, work: Setting, call: SpanArguments) -> None:
        def own(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.detach().to(work.space.dtype)

        self.work, self.space = work, work.space
        self.options = ScoreSetting(call.softcap, own(call.sinks), own(call.slopes))
        self.far: tuple[tuple[int, int, int], Tensor] | None = None  # most tiles lie as the last one did

    def forward(self, query: Tensor, tiles: Iterable[Columns], heads: slice, channels: int) -> tuple[Tensor, Tensor]:
        """Output (c, R, e) and lse (c, R, 1) of the queries (c, R, d), valid until the next block."""
        space, dropout = self.space, self.work.dropout
        output = space.take("output", *query.shape[:2], channels)
        top, total, empty = per_row(self.options.sinks, heads, query), None, True
        if top is not None:
            total = torch.ones_like(top)
        for part, blanks, ahead in tiles:
            p = self.scores(query, part.key, blanks, ahead, heads)
            most = p.amax(dim=-1, keepdim=True)
            if top is not None:
                most = torch.maximum(most, top, out=most)
            shift = most.masked_fill(most == float("-inf"), 0)
            p.sub_(shift).exp_()
            own = p.sum(dim=-1, keepdim=True)
            if total is not None and top is not None:
                fading = top.sub_(shift).exp_()
                own.addcmul_(total, fading)
                if not empty:
                    output.mul_(fading)
            if dropout.generator is not None:
                p.mul_(dropout.draw(space.take("kept", *p.shape)))
            torch.baddbmm(output, p, part.value, beta=0 if empty else 1, out=output)
            top, total, empty = most, own, False
        if empty:
            output.zero_()
        if top is None or total is None:
            return output, output.new_full((*query.shape[:2], 1), float("-inf"))
        output.div_(total.masked_fill(total == 0, 1))
        weight = weight_of(self.work, heads)
        if weight is not None:
            by_head(output, heads).mul_(per_head(weight, output))
        return output, top + total.log()

    def scores(self, query: Tensor, key: Tensor, blanks: Blanks, ahead: int, heads: slice) -> Tensor:
        """(c, R, columns), -inf where blank. With a softcap, the buffer "tangent" holds tanh(t / c)."""
        (c, rows, _), columns, options = query.shape, key.shape[1], self.options
        table = self.space.take("scores", c, rows, columns)
        cap = options.softcap
        scale = self.work.scale if cap is None else self.work.scale / cap
        torch.baddbmm(table, query, key.mT, beta=0, alpha=scale, out=table)
        if cap is not None:
            tangent = torch.tanh(table, out=self.space.take("tangent", *table.shape))
            torch.mul(tangent, cap, out=table)
        apart = by_head(table, heads)
        if options.slopes is not None:
            apart.addcmul_(self.distances(apart, ahead), per_head(options.slopes[heads], table), value=-1)
        fill(apart, blanks, float("-inf"))
        return table

    def backward(self, rows: Rows, tiles: Iterable[Columns], grads: Gradients) -> Tensor:
        """Gradient of the queries (c, R, d), valid until the next block; adds to `grads` and those of the parts."""
        space, heads, query = self.space, rows.heads, rows.query
        weight, weighted = weight_of(self.work, heads), rows.grad_output
        if weight is not None:
            weighted = space.rows("weighted gradient", *weighted.shape).copy_(weighted)
            by_head(weighted, heads).mul_(per_head(weight, weighted))
        grad_query, empty = space.rows("query gradient", *query.shape), True
        for part, blanks, ahead in tiles:
            p = self.scores(query, part.key, blanks, ahead, heads).sub_(rows.lse).exp_()
            used, grad = self.of_scores(rows, p, part, blanks, ahead, grads)
            assert part.grad_key is not None
            assert part.grad_value is not None
            part.grad_value.baddbmm_(used.mT, weighted)
            part.grad_key.baddbmm_(grad.mT, query, alpha=self.work.scale)
            torch.baddbmm(grad_query, grad, part.key, beta=0 if empty else 1, alpha=self.work.scale, out=grad_query)
            empty = False
        sinks = per_row(self.options.sinks, heads, query)
        if sinks is not None and grads.sinks is not None:
            grads.sinks[heads] -= sum_of_heads(sinks.sub_(rows.lse).exp_().mul_(rows.delta), heads)
        return grad_query.zero_() if empty else grad_query

    def of_scores(
        self, rows: Rows, p: Tensor, part: Part, blanks: Blanks, ahead: int, grads: Gradients
    ) -> tuple[Tensor, Tensor]:
        """What multiplies the values, and the gradients of the products, (c, R, columns) each. Adds to `grads`."""
        space, heads, dropout, weight = self.space, rows.heads, self.work.dropout, weight_of(self.work, rows.heads)
        grad = space.take("gradients", *p.shape)
        torch.baddbmm(grad, rows.grad_output, part.value.mT, beta=0, out=grad)
        apart, used = by_head(grad, heads), p
        fill(apart, blanks, 0.0)
        if dropout.generator is not None:
            kept = dropout.draw(space.take("kept", *p.shape))
            grad.mul_(kept)
            used = torch.mul(p, kept, out=kept)
        if grads.head_mask is not None:
            share = torch.mul(p, grad, out=space.take("share", *p.shape))
            grads.head_mask[heads] += sum_of_heads(share, heads) / dropout.keep
        if weight is not None:
            apart.mul_(per_head(weight, grad))
        grad.sub_(rows.delta).mul_(p)
        if grads.slopes is not None:
            share = space.take("share", *p.shape)
            torch.mul(apart, self.distances(apart, ahead), out=by_head(share, heads))
            grads.slopes[heads] -= sum_of_heads(share, heads)
        if self.options.softcap is not None:
            tangent = space.take("tangent", *p.shape)
            fill(by_head(tangent, heads), blanks, 0.0)
            grad.addcmul_(grad, tangent.square_(), value=-1)
        return used, grad

    def distances(self, table: Tensor, ahead: int) -> Tensor:
        """(rows, columns): how far each row of (c, r, rows, columns) stands from each column, in tokens."""
        rows, columns = table.shape[2:]
        if self.far is None or self.far[0] != (rows, columns, ahead):
            line = torch.arange(columns + rows - 1, device=table.device).sub_(ahead + rows - 1).abs_().to(table.dtype)
            self.far = (rows, columns, ahead), line.unfold(0, columns, 1).flip(0)
        return self.far[1]


def by_head(table: Tensor, heads: slice) -> Tensor:
    """(c, r, rows, columns) of the table (c, R, columns) of some query heads."""
    return table.unflatten(1, ((heads.stop - heads.start) // table.shape[0], -1))


def per_head(values: Tensor, table: Tensor) -> Tensor:
    """The values of the heads of a table (c, R, columns), or one for all of them, as they multiply it head by head."""
    return values.reshape(1 if values.numel() == 1 else table.shape[0], -1, 1, 1)


def per_row(values: Tensor | None, heads: slice, table: Tensor) -> Tensor | None:
    """(c, R, 1): for each row of a table the value of its head, from (h,) values; to be written to."""
    if values is None:
        return None
    own = values[heads].view(len(table), -1, 1, 1)
    return own.repeat(1, 1, table.shape[1] // own.shape[1], 1).flatten(1, 2)


def sum_of_heads(table: Tensor, heads: slice) -> Tensor:
    """The sum over rows and columns of each head, (c * r,), of a table (c, R, columns)."""
    return by_head(table, heads).sum(dim=(2, 3)).flatten()
