"""memory: the peak of a call against the length, beyond its inputs: linear for the package's own, forward and both."""

from __future__ import annotations

from typing import Any

from device.unit import Context, Unit

LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
TINY = (32, 64)
IMPLEMENTATIONS = ("triton", "chunked", "sdpa")


def units(rehearsed: bool) -> list[Unit]:
    return [
        Unit(f"{name}-{passes}", peaks, 60, (name, passes == "both"))
        for name in IMPLEMENTATIONS
        for passes in ("forward", "both")
    ]


def peaks(context: Context, name: str, both: bool) -> dict[str, Any]:
    """{tokens: bytes}. What does not fit is told, and no longer length is tried."""
    import torch

    from trueband.bench.inputs import passes
    from trueband.bench.shape import Shape
    from trueband.bench.table import exponent

    found: dict[int, int] = {}
    message = ""
    for tokens in TINY if context.rehearsed else LENGTHS:
        dtype, heads, window = ("float32", 1, 8) if context.rehearsed else ("bfloat16", 12, 256)
        shape = Shape("operator", tokens, window, both, heads=heads, dtype=dtype, device=context.place)
        try:
            call = passes(*work("chunked" if context.rehearsed and name == "triton" else name, shape), both)
            call()
            found[tokens] = context.device.peak(call)
        except torch.OutOfMemoryError as error:
            message = f"out of memory at {tokens:,} tokens: {str(error).splitlines()[0]}"
            break
    lengths = [tokens for tokens in found if found[tokens] > 0]
    grows = exponent(lengths, [float(found[tokens]) for tokens in lengths]) if len(lengths) > 1 else None
    growth = "" if grows is None else f", grows as tokens^{grows:.3g}"
    largest = max(found, default=0)
    return {
        "bytes": found,
        "exponent": grows,
        "out_of_memory": message,
        "summary": message or f"{found[largest] / 2**20:.4g} MiB at {largest:,} tokens{growth}",
    }


def work(name: str, shape: Any) -> tuple[Any, Any]:
    """A call, and its inputs. The dense mask of SDPA is made before, and does not count."""
    import torch

    from trueband.bench.inputs import projections
    from trueband.bench.operators import dense_mask
    from trueband.optimized import band_attention

    query, key, value = inputs = projections(shape)
    if name == "sdpa":
        mask, attention = dense_mask(shape), torch.nn.functional.scaled_dot_product_attention
        return lambda: attention(query, key, value, attn_mask=mask), inputs
    return lambda: band_attention(query, key, value, window=shape.window, impl=name), inputs
