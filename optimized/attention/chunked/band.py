"""Sliding-window attention with global tokens, and its vector-Jacobian product, block by block.

It computes the operator of docs/contract.md, section 1.

Memory beyond inputs and outputs: a few blocks; with half types, padding, or rows that are no whole lines of 64 bytes
also the keys and values of a few heads of one row of the batch, and in the backward pass their gradients. Nothing of
n * n elements.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.arguments import BandArguments, Inputs
from trueband.optimized.attention.chunked.blanks import Blanks
from trueband.optimized.attention.chunked.block import Part, Setting, block_backward, block_forward, setting
from trueband.optimized.attention.chunked.plan import (
    QUERIES,
    Band,
    Block,
    Layout,
    Row,
    band_scores,
    plan_heads,
    plan_rows,
)
from trueband.optimized.attention.chunked.rows import rows_backward, rows_forward
from trueband.optimized.attention.chunked.tensors import (
    ByChannel,
    Unit,
    accumulator,
    load,
    load_as_it_lies,
    new_like,
    store,
    unset_like,
    view,
)

NAMES = ("query", "key", "value")


class Plan(NamedTuple):
    """The order of the work, and its settings."""

    rows: list[Row]
    band: Band
    dilations: list[int]
    global_rows: bool
    setting: Setting

    def units(self) -> Iterator[tuple[Unit, int, Layout]]:
        """A few heads of a row of the batch, with their dilation and blocks."""
        for row in self.rows:
            layouts = {dilation: self.band.layout(row, dilation) for dilation in set(self.dilations)}
            for heads, dilation in plan_heads(self.dilations, band_scores(row, self.band.window)):
                yield Unit(row, heads), dilation, layouts[dilation]


def plan(call: BandArguments) -> Plan:
    query = call.query
    rows = plan_rows(call.attention_mask, call.global_attention_mask, (query.shape[0], query.shape[2]))
    if call.causal and any(row.global_positions is not None for row in rows):
        raise ValueError("causal: expected False with global tokens (not defined), got True")
    return Plan(
        rows,
        Band(call.window, call.causal, query.device),
        call.dilations,
        call.global_rows,
        setting(call.scale, call.head_mask, call.dropout_p, call.seed, query.dtype, query.device),
    )


def band_forward(*arguments: Any) -> Tensor:
    """Output (b, h, n, d) of `BandArguments`. Without `global_rows` the rows of global tokens are left 0."""
    call = BandArguments(*arguments)
    work, inputs, query = plan(call), call.inputs, call.query
    # All tokens are written if all are real.
    output = unset_like(query) if call.attention_mask is None else new_like(query)
    for unit, _, layout in work.units():
        local_forward(work, unit, layout, inputs, view(output, unit))
        if unit.row.global_positions is not None and work.global_rows:
            global_forward(work, unit, inputs, view(output, unit))
    return output


def local_forward(work: Plan, unit: Unit, layout: Layout, inputs: Inputs, output: Tensor) -> None:
    """Writes the local rows of `output` (c, m, d), and 0 into the others."""
    space, positions = work.setting.space, unit.row.global_positions
    q, k, v = view(inputs.query, unit), load_as_it_lies(inputs.key, unit), load("value", inputs.value, unit, space)
    front = None
    if positions is not None:
        front = Part(space.copied("front key", k[:, positions]), space.copied("front value", v[:, positions]))
    for strip, blocks in layout:
        strip_q, strip_v, strip_out = (t[:, strip] for t in (q, v, output))
        strip_k = ByChannel(k[:, strip], QUERIES + 2 * work.band.window, space)
        for block, own, out in zip(blocks, strip_q.split(QUERIES, dim=1), strip_out.split(QUERIES, dim=1), strict=True):
            parts, blanks = block_parts(front, Part(strip_k[block.keys], strip_v[:, block.keys]), block)
            result = block_forward(space.operand("query", own), parts, blanks, unit.heads, work.setting)
            if block.skipped is not None:
                result.masked_fill_(block.skipped[:, None], 0)
            out.copy_(result)


def global_forward(work: Plan, unit: Unit, inputs: Inputs, output: Tensor) -> None:
    """Writes the global rows of `output` (c, m, d)."""
    space, positions = work.setting.space, unit.row.global_positions
    k, v = load("key", inputs.key_global, unit, space), load("value", inputs.value_global, unit, space)
    q = space.copied("query", view(inputs.query_global, unit)[:, positions])
    output[:, positions] = rows_forward(q, k, v, unit, work.setting).to(output.dtype)


def block_parts(front: Part | None, band: Part, block: Block) -> tuple[list[Part], Blanks]:
    """The block's keys and values: those of the band, after those of the global tokens (`front`) if there are any."""
    if front is None:
        return [band], block.blanks
    return [front, band], [blank.shifted(front.key.shape[1]) for blank in block.blanks]


def band_backward(grad_output: Tensor, *arguments: Any) -> list[Tensor]:
    """Gradients of query, key, value, query_global, key_global, value_global, head_mask; empty where not given."""
    call = BandArguments(*arguments)
    work, inputs, query, head_mask, separate = plan(call), call.inputs, call.query, call.head_mask, call.separate
    local_grads = [new_like(query) for _ in range(3)]
    global_grads = [
        local if tensor is None else new_like(query) for local, tensor in zip(local_grads, separate, strict=True)
    ]
    grad_head_mask = torch.zeros(query.shape[1], dtype=work.setting.space.dtype, device=query.device)
    for unit, _, layout in work.units():
        grads = [
            accumulator(f"{name} gradients", grad, unit, work.setting.space)
            for name, grad in zip(NAMES, local_grads, strict=True)
        ]
        local_backward(work, unit, layout, inputs, grad_output, grads, grad_head_mask)
        if unit.row.global_positions is not None and work.global_rows:
            grads_g = [
                own if tensor is None else accumulator(f"global {name} gradients", grad, unit, work.setting.space)
                for name, own, tensor, grad in zip(NAMES, grads, separate, global_grads, strict=True)
            ]
            global_backward(work, unit, inputs, grad_output, grads_g, grad_head_mask)
            for part, tensor, target in zip(grads_g, separate, global_grads, strict=True):
                if tensor is not None:
                    store(part, target, unit)
        for part, target in zip(grads, local_grads, strict=True):
            store(part, target, unit)
    empty = query.new_empty(0)
    return [
        *local_grads,
        *(empty.clone() if tensor is None else grad for grad, tensor in zip(global_grads, separate, strict=True)),
        empty if head_mask is None else grad_head_mask.to(head_mask.dtype),
    ]


def local_backward(
    work: Plan, unit: Unit, layout: Layout, inputs: Inputs, grad_output: Tensor, grads: list[Tensor], grad_head: Tensor
) -> None:
    """Adds the local rows' gradients to `grads` (query, key, value; each (c, m, d)) and `grad_head` (h,)."""
    space, positions = work.setting.space, unit.row.global_positions
    k, v = load("key", inputs.key, unit, space), load("value", inputs.value, unit, space)
    grad_q, grad_k, grad_v = grads
    front = None
    if positions is not None:
        keys, values = space.copied("front key", k[:, positions]), space.copied("front value", v[:, positions])
        front = Part(
            keys,
            values,
            space.rows("front key gradients", *keys.shape).zero_(),
            space.rows("front value gradients", *values.shape).zero_(),
        )
    for strip, blocks in layout:
        q, grad_out = view(inputs.query, unit)[:, strip], view(grad_output, unit)[:, strip]
        strip_k, strip_v, strip_grad_q, strip_grad_k, strip_grad_v = (
            t[:, strip] for t in (k, v, grad_q, grad_k, grad_v)
        )
        for block in blocks:
            band = Part(*(t[:, block.keys] for t in (strip_k, strip_v, strip_grad_k, strip_grad_v)))
            parts, blanks = block_parts(front, band, block)
            own = space.operand("query", q[:, block.queries], block.skipped)
            own_grad = space.operand("output gradient", grad_out[:, block.queries], block.skipped)
            strip_grad_q[:, block.queries] = block_backward(
                own, parts, blanks, unit.heads, work.setting, own_grad, block.skipped, grad_head
            )
    if front is not None and front.grad_key is not None and front.grad_value is not None:
        grad_k[:, positions] += front.grad_key
        grad_v[:, positions] += front.grad_value


def global_backward(
    work: Plan, unit: Unit, inputs: Inputs, grad_output: Tensor, grads: list[Tensor], grad_head: Tensor
) -> None:
    """Adds the global rows' gradients to `grads` (query, key, value; each (c, m, d)) and `grad_head` (h,)."""
    space, positions = work.setting.space, unit.row.global_positions
    k, v = load("key", inputs.key_global, unit, space), load("value", inputs.value_global, unit, space)
    q = space.copied("query", view(inputs.query_global, unit)[:, positions])
    grad_out = space.copied("output gradient", view(grad_output, unit)[:, positions])
    part = Part(k, v, grads[1], grads[2])
    grads[0][:, positions] += rows_backward(q, part, unit, work.setting, grad_out, grad_head)
