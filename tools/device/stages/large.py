"""large: production shapes up to 65,536 tokens through the gate, and calls whose offsets are beyond 32 bits."""

from __future__ import annotations

import json
import math
from typing import Any

from device.commands import check
from device.unit import Context, Unit

SHAPES = [
    {"tokens": tokens, "window": window, "heads": heads, "head_dim": head_dim}
    for tokens, window, heads, head_dim in (
        (4096, 256, 12, 64),
        (16384, 512, 16, 64),
        (65536, 256, 12, 64),
        (65536, 512, 2, 128),
        (65535, 1000, 3, 80),
    )
]
TINY = [{"tokens": 40, "window": 8, "heads": 1, "head_dim": 16}]
# batch, heads, tokens, head_dim: just beyond 2^31 elements, and their bytes beyond 2^32; bfloat16, 4.3 GB a tensor.
EDGES = {"int32-rows": (2, 128, 65568, 128), "int32-batch": (257, 8, 8192, 128), "int32-heads": (1, 2049, 8192, 128)}


def units(rehearsed: bool) -> list[Unit]:
    gate = [Unit(f"shapes-{dtype}", of_shapes, 150, (dtype,)) for dtype in ("bfloat16", "float32", "float16")]
    edges = [Unit(name, of_edge, 60, (sizes,)) for name, sizes in EDGES.items()]
    return [gate[0], edges[0]] if rehearsed else [gate[0], *edges, *gate[1:]]


def of_shapes(context: Context, dtype: str) -> dict[str, Any]:
    """The checks at size, with these shapes among theirs."""
    path = context.folder / "shapes.json"
    path.write_text(json.dumps(TINY if context.rehearsed else SHAPES), encoding="utf-8")
    if context.rehearsed:  # chunked: the interpreter takes minutes for the sizes that the checks add of themselves
        few = ("--cases", "1", "-k", "rows_match_reference", "--shapes", str(path))
        return check(context, {dtype: ("chunked", "--dtype", "float32", *few)})
    common = ("triton", "--device", "cuda", "--dtype", dtype, "--cases", "20", "--time-limit", "120")
    passes = {"forward": "at_size or rows_match_reference or extended_rows", "backward": "gradients or gradient_counts"}
    return check(context, {name: (*common, "--shapes", str(path), "-k", selected) for name, selected in passes.items()})


def of_edge(context: Context, sizes: tuple[int, int, int, int]) -> dict[str, Any]:
    """The last head of the last row, computed among all others and alone: the same bits, forward and backward.

    The kernels claim this, batch_invariance: whatever lies around a head changes nothing. An offset that wraps does.
    """
    import torch

    from trueband.gpu.triton import fused

    device = context.device
    batch, heads, tokens, head_dim = (2, 2, 48, 16) if context.rehearsed else sizes
    dtype = torch.float32 if context.rehearsed else torch.bfloat16
    options: dict[str, Any] = {"window": 8 if context.rehearsed else 128}
    whole = [
        torch.empty(batch, heads, tokens, head_dim, dtype=dtype, device=device.name).normal_(generator=generator)
        for generator in generators(device.name, 3)
    ]
    alone = [tensor[-1:, -1:].clone().requires_grad_() for tensor in whole]
    expected = fused(*alone, **options)
    above = torch.randn_like(expected)
    gradients = torch.autograd.grad(expected, alone, above)
    same = {}
    with torch.no_grad():
        output = fused(*whole, **options)
        same["output"] = equal(output[-1:, -1:], expected)
        same["first"] = equal(output[:1, :1], fused(*(tensor[:1, :1].clone() for tensor in whole), **options))
    del output
    leaves = [tensor.requires_grad_() for tensor in whole]
    result = fused(*leaves, **options)
    upstream = torch.zeros(1, 1, 1, 1, dtype=dtype, device=device.name).expand_as(result).clone()
    upstream[-1:, -1:] = above
    found = torch.autograd.grad(result, leaves, upstream)
    for name, one, other in zip(("query", "key", "value"), found, gradients, strict=True):
        same[f"gradient of {name}"] = equal(one[-1:, -1:], other)
    different = [name for name, value in same.items() if not value]
    return {
        "passed": not different,
        "elements": math.prod((batch, heads, tokens, head_dim)),
        "same": same,
        "summary": f"different from the head alone: {', '.join(different)}" if different else "the same bits",
    }


def generators(name: str, count: int) -> list[Any]:
    import torch

    return [torch.Generator(device=name).manual_seed(seed) for seed in range(count)]


def equal(one: Any, other: Any) -> bool:
    import torch

    return bool(torch.equal(one, other)) and bool(torch.isfinite(one.float()).all())
