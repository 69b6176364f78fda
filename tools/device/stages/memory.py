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

    from trueband.bench.inputs import passes, projections
    from trueband.bench.operators import dense_mask
    from trueband.bench.shape import Shape
    from trueband.bench.table import exponent
    from trueband.optimized import band_attention

    found: dict[int, int] = {}
    message = ""
    for tokens in TINY if context.rehearsed else LENGTHS:
        dtype, heads = ("float32", 1) if context.rehearsed else ("bfloat16", 12)
        shape = Shape(
            "operator", tokens, 8 if context.rehearsed else 256, both, 1, heads, 64, 0.0, dtype, context.place
        )
        inputs = projections(shape)
        if name == "sdpa":
            mask = dense_mask(shape)

            def compute(mask: Any = mask, inputs: Any = inputs) -> Any:
                return torch.nn.functional.scaled_dot_product_attention(*inputs, attn_mask=mask)
        else:
            kernel = "chunked" if context.rehearsed else name

            def compute(kernel: str = kernel, inputs: Any = inputs, window: int = shape.window) -> Any:
                return band_attention(*inputs, window=window, impl=kernel)

        call = passes(compute, inputs, both)
        try:
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
