"""Launches the kernels of spans: torch tensors in, torch tensors out. Importing this module imports triton."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.span.arguments import SpanArguments
from trueband.optimized.attention.chunked.span.forward import new_results
from trueband.optimized.attention.chunked.span.rows import check_starts
from trueband.optimized.attention.chunked.tensors import new_like
from trueband.optimized.attention.triton.blocks import Blocks, Tile, choose_span, width
from trueband.optimized.attention.triton.kernels.span_backward_key import span_backward_key
from trueband.optimized.attention.triton.kernels.span_backward_query import span_backward_query
from trueband.optimized.attention.triton.kernels.span_forward import span_forward
from trueband.optimized.attention.triton.launch import blocks_of, strides, unit
from trueband.optimized.attention.triton.places import Place, Run

FARTHEST_LIMIT = 2**29  # of a window; the kernels count within a tile in 32 bits


class Setting(NamedTuple):
    """What all kernels of a call share.

    Attributes:
        states: (b, n) int8, 0 for masked tokens. starts: (b,) int64, where the first queries stand.
        segments: (b, n) int64. weights, sinks, slopes: (h,) float32. What is not given is any tensor of the dtype.
        flags: which of the optional steps are compiled in.
        numbers: heads, group, queries, tokens.
        limits: left and right, the scale, the softcap.
    """

    states: Tensor
    starts: Tensor
    segments: Tensor
    weights: Tensor
    sinks: Tensor
    slopes: Tensor
    flags: dict[str, bool]
    numbers: list[int]
    limits: list[Any]
    weighted: bool
    precision: str
    blocks: Blocks
    sizes: dict[str, int]
    batch: int
    run: Run

    def launch(
        self, kernel: Any, programs: int, tile: Tile, tensors: Sequence[Tensor], numbers: list[int], **more: Any
    ) -> None:
        """Runs a kernel. It takes the tensors, then `numbers`: their strides, and sizes, the number of blocks last."""
        constants = {**self.sizes, "QUERIES": tile.queries, "KEYS": tile.keys, **more, "PRECISION": self.precision}
        self.run(kernel, programs, (*tensors, *numbers, *self.limits), constants, tile.warps, tile.stages)


def setting(call: SpanArguments, place: Place) -> Setting:
    query, key, value, device = call.query, call.key, call.value, call.query.device
    (batch, heads, queries, head_dim), tokens, channels = query.shape, key.shape[2], value.shape[3]
    starts = read_starts(call)
    left, right = (read_limit(limit, call) for limit in call.reach)
    none = torch.ones(heads, device=device)
    nothing = torch.zeros(1, dtype=torch.int64, device=device)
    tf32 = place.tf32 and query.dtype == torch.float32

    def per_head(values: Tensor | None) -> Tensor:
        return none if values is None else values.detach().to(torch.float32).contiguous()

    masked = call.attention_mask is not None
    states = torch.ones(1, dtype=torch.int8, device=device)
    if call.attention_mask is not None:
        states = call.attention_mask.to(torch.int8).contiguous()
    return Setting(
        states=states,
        starts=starts,
        segments=nothing if call.segments is None else call.segments.to(torch.int64).contiguous(),
        weights=per_head(call.head_mask),
        sinks=per_head(call.sinks),
        slopes=per_head(call.slopes),
        flags={
            "HAS_LEFT": left is not None,
            "HAS_RIGHT": right is not None,
            "MASKED": masked,
            "SEGMENTS": call.segments is not None,
            "CAPPED": call.softcap is not None,
            "SLOPES": call.slopes is not None,
        },
        numbers=[heads, call.group, queries, tokens],
        limits=[left or 0, right or 0, float(call.scale), float(call.softcap or 1)],
        weighted=call.head_mask is not None,
        precision="tf32" if tf32 else "ieee",
        blocks=choose_span(query.dtype, tf32, max(head_dim, channels), place.architecture, max(queries, tokens)),
        sizes={
            "HEAD_DIM": head_dim,
            "WIDTH": width(head_dim),
            "VALUE_DIM": channels,
            "VALUE_WIDTH": width(channels),
        },
        batch=batch,
        run=place.run,
    )


def read_starts(call: SpanArguments) -> Tensor:
    """(b,) int64. Offsets that are a tensor are read, and wait for the device, only where they may be wrong."""
    if call.offsets is None or call.segments is not None:
        starts = call.starts()
        check_starts(call, starts)
        return torch.tensor(starts, dtype=torch.int64, device=call.query.device)
    check_starts(call, call.starts())
    return call.offsets.contiguous()


def read_limit(limit: int | None, call: SpanArguments) -> int | None:
    """The limit, or None where no key is as far."""
    if limit is None or limit < FARTHEST_LIMIT:
        return limit
    if call.offsets is None and abs(call.offset) + call.query.shape[2] + call.key.shape[2] < FARTHEST_LIMIT:
        return None
    raise ValueError(f"window: expected limits below 2^29, or None, for impl='triton' with an offset, got {limit}")


def forward(work: Setting, query: Tensor, key: Tensor, value: Tensor, sinks: bool) -> tuple[Tensor, Tensor]:
    """Output (b, h, m, e) and lse (b, h, m) float32."""
    query, key, value = (unit(tensor) for tensor in (query, key, value))
    output, lse = new_results(query, value)
    tile, (heads, _, queries, _) = work.blocks.forward, work.numbers
    blocks = blocks_of(queries, tile.queries)
    rows = [query, key, value, output]
    others = [lse, work.states, work.starts, work.segments, work.weights, work.sinks, work.slopes]
    numbers = [*strides(*rows), *work.numbers, blocks]
    work.launch(span_forward, blocks * heads * work.batch, tile, [*rows, *others], numbers, **work.flags, SINKS=sinks)
    return output, lse


class Gradients(NamedTuple):
    """Of the inputs, of their shapes; of the head mask and the slopes, (h,) float32, None without.

    `deltas`: (b, h, m) float32, sum_c dO_ic o_ic - dl_i, 0 in rows that attend nothing.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    head_mask: Tensor | None
    slopes: Tensor | None
    deltas: Tensor


def backward(
    work: Setting,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    lse: Tensor,
    grad_output: Tensor,
    grad_lse: Tensor,
) -> Gradients:
    """Compute all gradients but that of the sinks. `output`, `lse`: of the forward pass."""
    query, key, value, output, grad_output = (unit(tensor) for tensor in (query, key, value, output, grad_output))
    heads, group, queries, tokens = work.numbers
    lse, grad_lse = lse.contiguous(), grad_lse.contiguous()
    grad_query, grad_key, grad_value = new_like(query), new_like(key), new_like(value)
    deltas = torch.empty_like(lse)
    # Where nothing is written, any tensor will do.
    row_sums = torch.zeros_like(lse) if work.weighted else deltas
    slope_sums = torch.zeros_like(lse) if work.flags["SLOPES"] else deltas
    tile, blocks = work.blocks.backward_query, blocks_of(queries, work.blocks.backward_query.queries)
    rows = [query, key, value, output, grad_output]
    of_rows = [lse, grad_lse, deltas, row_sums, slope_sums]
    others = [work.states, work.starts, work.segments, work.weights, work.slopes]
    work.launch(
        span_backward_query,
        blocks * heads * work.batch,
        tile,
        [*rows, *of_rows, grad_query, *others],
        [*strides(*rows, grad_query), *work.numbers, blocks],
        **work.flags,
        WEIGHTED=work.weighted,
    )
    tile, blocks = work.blocks.backward_key, blocks_of(tokens, work.blocks.backward_key.keys)
    rows = [query, key, value, grad_output]
    work.launch(
        span_backward_key,
        blocks * (heads // group) * work.batch,
        tile,
        [*rows, lse, deltas, grad_key, grad_value, *others],
        [*strides(*rows, grad_key, grad_value), *work.numbers, blocks],
        **work.flags,
    )
    shares, far = (sums.sum(dim=(0, 2)) for sums in (row_sums, slope_sums))
    return Gradients(
        grad_query,
        grad_key,
        grad_value,
        shares if work.weighted else None,
        -far if work.flags["SLOPES"] else None,
        deltas,
    )
