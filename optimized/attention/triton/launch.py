"""Launches the kernels: torch tensors in, torch tensors out. Importing this module imports triton."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.tensors import new_like, unset_like
from trueband.optimized.attention.triton import tokens as token_states
from trueband.optimized.attention.triton.blocks import Blocks, Tile, choose, parts, width
from trueband.optimized.attention.triton.kernels.add_parts import add_parts
from trueband.optimized.attention.triton.kernels.backward_key import band_backward_key, global_keys_backward
from trueband.optimized.attention.triton.kernels.backward_query import band_backward_query
from trueband.optimized.attention.triton.kernels.forward import band_forward
from trueband.optimized.attention.triton.kernels.global_rows import global_rows_forward, global_rows_join
from trueband.optimized.attention.triton.kernels.global_rows_backward import (
    global_rows_backward_key,
    global_rows_backward_query,
)
from trueband.optimized.attention.triton.places import Place, Run


class Setting(NamedTuple):
    """The arguments that all kernels of a call share.

    Attributes:
        weights: (h,) float32, of the heads. dilations: (h,) int32.
        different: the dilations that occur.
        weighted: a head mask is given, and its gradient wanted.
        global_rows: compute the rows of global tokens; if not, they are 0.
    """

    tokens: token_states.Tokens
    weights: Tensor
    dilations: Tensor
    different: list[int]
    window: int
    causal: bool
    scale: float
    weighted: bool
    precision: str
    blocks: Blocks
    global_rows: bool
    shape: tuple[int, int, int, int]
    run: Run

    def band_blocks(self, size: int) -> int:
        """Blocks of `size` steps in the head that has most of them."""
        tokens = self.shape[2]
        return max(dilation * blocks_of(blocks_of(tokens, dilation), size) for dilation in self.different)

    @property
    def global_blocks(self) -> int:
        return blocks_of(self.tokens.most, self.blocks.globals)

    @property
    def heads_in_all(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def sizes(self) -> dict[str, int]:
        return {"HEAD_DIM": self.shape[3], "WIDTH": width(self.shape[3])}

    @property
    def log2_scale(self) -> float:
        return self.scale * math.log2(math.e)


def setting(
    query: Tensor,
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    global_attention_mask: Tensor | None,
    window: int,
    dilations: list[int],
    causal: bool,
    scale: float,
    global_rows: bool,
    place: Place,
) -> Setting:
    states = token_states.read(attention_mask, global_attention_mask, query)
    if causal and states.most:
        raise ValueError("causal: expected False with global tokens (not defined), got True")
    batch, heads, tokens, head_dim = query.shape
    # Beyond the sequence nothing changes; numbers stay small enough for the kernels' arithmetic.
    near = [min(dilation, tokens) for dilation in dilations]
    tf32 = place.tf32 and query.dtype == torch.float32
    weights = torch.ones(heads, device=query.device) if head_mask is None else head_mask.detach()
    return Setting(
        states,
        weights.to(torch.float32).contiguous(),
        torch.tensor(near, dtype=torch.int32, device=query.device),
        sorted(set(near)),
        min(window, tokens),
        causal,
        scale,
        head_mask is not None,
        "tf32" if tf32 else "ieee",
        choose(query.dtype, tf32, head_dim, place.architecture, tokens),
        global_rows,
        (batch, heads, tokens, head_dim),
        place.run,
    )


def forward(
    work: Setting,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_global: Tensor,
    key_global: Tensor,
    value_global: Tensor,
) -> tuple[Tensor, Tensor]:
    """Output (b, h, n, d), and the rows' log-sums (b, h, n) float32 (see `kernels`)."""
    query, key, value = (unit(tensor) for tensor in (query, key, value))
    output, log_sums = unset_like(query), query.new_empty(work.shape[:3], dtype=torch.float32)
    tile, states = work.blocks.forward, work.tokens
    blocks = work.band_blocks(tile.queries)
    rows = [query, key, value, output]
    launch(
        band_forward,
        blocks * work.heads_in_all,
        work,
        tile,
        [*rows, log_sums, *states[:3], work.weights, work.dilations],
        [*strides(*rows), *work.shape[1:3], states.positions.shape[1], blocks, work.window, work.log2_scale],
        QUERIES=tile.queries,
        KEYS=tile.keys,
        GLOBALS=work.blocks.globals,
        CAUSAL=work.causal,
        PRECISION=work.precision,
    )
    if states.most and work.global_rows:
        forward_global_rows(work, unit(query_global), unit(key_global), unit(value_global), output, log_sums)
    return output, log_sums


def forward_global_rows(
    work: Setting, query: Tensor, key: Tensor, value: Tensor, output: Tensor, log_sums: Tensor
) -> None:
    """Writes the rows of global tokens."""
    tile, states = work.blocks.forward, work.tokens
    batch, heads, tokens, head_dim = work.shape
    count, size = parts(tokens, work.blocks)
    part_outputs = log_sums.new_empty(batch, heads, count, states.most, head_dim)
    part_log_sums = log_sums.new_empty(batch, heads, count, states.most)
    launch(
        global_rows_forward,
        work.global_blocks * count * work.heads_in_all,
        work,
        tile,
        [query, key, value, part_outputs, part_log_sums, *states[:3]],
        [*strides(query, key, value), heads, tokens, states.most, work.global_blocks, count, size, work.log2_scale],
        KEYS=tile.keys,
        GLOBALS=work.blocks.globals,
        PRECISION=work.precision,
    )
    launch(
        global_rows_join,
        work.global_blocks * work.heads_in_all,
        work,
        tile,
        [part_outputs, part_log_sums, output, log_sums, states.positions, states.counts, work.weights],
        [*strides(output), heads, tokens, states.most, work.global_blocks, count],
        GLOBALS=work.blocks.globals,
    )


class Gradients(NamedTuple):
    """(b, h, n, d) of the local rows, and of the rows of global tokens (None without any); (h,) of the head mask."""

    local: tuple[Tensor, Tensor, Tensor]
    of_global_rows: tuple[Tensor, Tensor, Tensor] | None
    head_mask: Tensor | None


def backward(
    work: Setting,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_global: Tensor,
    key_global: Tensor,
    value_global: Tensor,
    output: Tensor,
    log_sums: Tensor,
    grad_output: Tensor,
) -> Gradients:
    """Compute all gradients. `output`, `log_sums`: of the forward pass."""
    query, key, value, output, grad_output = (unit(t) for t in (query, key, value, output, grad_output))
    log_sums = log_sums.contiguous()
    grad_query, grad_key, grad_value = (unset_like(query) for _ in range(3))
    deltas = torch.empty_like(log_sums)
    row_sums = torch.empty_like(log_sums) if work.weighted else deltas
    _, heads, tokens, _ = work.shape
    states, most = work.tokens, work.tokens.positions.shape[1]

    tile = work.blocks.backward_query
    blocks = work.band_blocks(tile.queries)
    rows = [query, key, value, output, grad_output]
    launch(
        band_backward_query,
        blocks * work.heads_in_all,
        work,
        tile,
        [*rows, log_sums, deltas, row_sums, grad_query, *states[:3], work.weights, work.dilations],
        [*strides(*rows, grad_query), heads, tokens, most, blocks, work.window, work.log2_scale, work.scale],
        QUERIES=tile.queries,
        KEYS=tile.keys,
        GLOBALS=work.blocks.globals,
        CAUSAL=work.causal,
        WEIGHTED=work.weighted,
        PRECISION=work.precision,
    )
    tile = work.blocks.backward_key
    blocks = work.band_blocks(tile.keys)
    rows = [query, key, value, grad_output]
    launch(
        band_backward_key,
        blocks * work.heads_in_all,
        work,
        tile,
        [*rows, log_sums, deltas, grad_key, grad_value, states.states, work.weights, work.dilations],
        [*strides(*rows, grad_key), heads, tokens, blocks, work.window, work.log2_scale, work.scale],
        QUERIES=tile.queries,
        KEYS=tile.keys,
        CAUSAL=work.causal,
        PRECISION=work.precision,
    )
    local = (grad_query, grad_key, grad_value)
    shares = row_sums.sum(dim=(0, 2)) if work.weighted else None
    if states.most:
        backward_global_keys(work, query, key, value, grad_output, log_sums, deltas, grad_key, grad_value)
    if not states.most or not work.global_rows:
        return Gradients(local, None, shares)
    projections = (unit(query_global), unit(key_global), unit(value_global))
    of_global_rows, own = backward_global_rows(work, *projections, output, grad_output, log_sums, deltas)
    return Gradients(local, of_global_rows, None if shares is None or own is None else shares + own)


def backward_global_keys(
    work: Setting,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    grad_output: Tensor,
    log_sums: Tensor,
    deltas: Tensor,
    grad_key: Tensor,
    grad_value: Tensor,
) -> None:
    """Writes the gradients of global keys and values, as the local rows see them."""
    tile, states = work.blocks.backward_key, work.tokens
    batch, heads, tokens, head_dim = work.shape
    count, size = parts(tokens, work.blocks)
    key_parts, value_parts = (log_sums.new_empty(batch, heads, count, states.most, head_dim) for _ in range(2))
    rows = [query, key, value, grad_output]
    launch(
        global_keys_backward,
        work.global_blocks * count * work.heads_in_all,
        work,
        tile,
        [*rows, log_sums, deltas, key_parts, value_parts, *states[:3], work.weights],
        [*strides(*rows), heads, tokens, states.most, work.global_blocks, count, size, work.log2_scale, work.scale],
        QUERIES=tile.queries,
        GLOBALS=work.blocks.globals,
        PRECISION=work.precision,
    )
    add_up(work, key_parts, grad_key)
    add_up(work, value_parts, grad_value)


def backward_global_rows(
    work: Setting,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    grad_output: Tensor,
    log_sums: Tensor,
    deltas: Tensor,
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor | None]:
    """Gradients of the projections of the rows of global tokens, and their share (h,) of that of the head mask."""
    states = work.tokens
    batch, heads, tokens, head_dim = work.shape
    count, size = parts(tokens, work.blocks)
    query_parts = log_sums.new_empty(batch, heads, count, states.most, head_dim)
    # Beyond a row's count nothing is written, and everything is summed.
    row_sums = log_sums.new_zeros(batch, heads, count, states.most) if work.weighted else deltas
    tile = work.blocks.backward_query
    rows = [query, key, value, output, grad_output]
    launch(
        global_rows_backward_query,
        work.global_blocks * count * work.heads_in_all,
        work,
        tile,
        [*rows, log_sums, deltas, row_sums, query_parts, *states[:3], work.weights],
        [*strides(*rows), heads, tokens, states.most, work.global_blocks, count, size, work.log2_scale, work.scale],
        KEYS=tile.keys,
        GLOBALS=work.blocks.globals,
        WEIGHTED=work.weighted,
        PRECISION=work.precision,
    )
    grad_query, grad_key, grad_value = new_like(query), unset_like(query), unset_like(query)
    add_up(work, query_parts, grad_query)
    tile = work.blocks.backward_key
    blocks = blocks_of(tokens, tile.keys)
    rows = [query, key, value, grad_output]
    launch(
        global_rows_backward_key,
        blocks * work.heads_in_all,
        work,
        tile,
        [*rows, log_sums, deltas, grad_key, grad_value, *states[:3], work.weights],
        [*strides(*rows, grad_key), heads, tokens, states.most, blocks, work.log2_scale, work.scale],
        KEYS=tile.keys,
        GLOBALS=work.blocks.globals,
        PRECISION=work.precision,
    )
    return (grad_query, grad_key, grad_value), row_sums.sum(dim=(0, 2, 3)) if work.weighted else None


def add_up(work: Setting, part_tables: Tensor, table: Tensor) -> None:
    """Adds up (b, h, parts, most, d) into the rows of global tokens of a (b, h, n, d) table."""
    launch(
        add_parts,
        work.global_blocks * work.heads_in_all,
        work,
        work.blocks.forward,
        [part_tables, table, work.tokens.positions, work.tokens.counts],
        [*strides(table), work.shape[1], work.tokens.most, work.global_blocks, part_tables.shape[2]],
        GLOBALS=work.blocks.globals,
    )


def launch(
    kernel: Callable[..., Any],
    programs: int,
    work: Setting,
    tile: Tile,
    tensors: list[Tensor],
    numbers: list[float],
    **constants: Any,
) -> None:
    """Runs a kernel where the call is to be computed. The kernel takes the tensors, then their strides and sizes."""
    work.run(kernel, programs, (*tensors, *numbers), {**work.sizes, **constants}, tile.warps, tile.stages)


def blocks_of(count: int, size: int) -> int:
    return -(-count // size)


def unit(tensor: Tensor) -> Tensor:
    """The same values with the numbers of a row side by side."""
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()


def strides(*tensors: Tensor) -> list[int]:
    """Strides of the batch, the heads and the tokens of each tensor."""
    return [tensor.stride(axis) for tensor in tensors for axis in range(3)]
