"""`trueband bench --roofline`: what the fused kernels cannot be faster than on a GPU, from their compiled code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trueband.bench.shape import Shape
from trueband.properties.gpu.roofline import DEVICES, Count, lines, scaled
from trueband.properties.gpu.triton_version import EXECUTE, refusal

DTYPES = ("bfloat16", "float16", "float32")
# Heads do the same: one of two is executed. With one alone, its number would be compiled into the kernels.
HEADS = 2


def roofline(device: str, shape: Shape) -> list[str]:
    """The report: forward pass, and backward pass if the shape has one, with one global token.

    Args:
        device: one of `DEVICES`.
        shape: the shape of the operator.

    Raises:
        ValueError: "<option>: expected ..., got ...".
    """
    if shape.dtype not in DTYPES:
        raise ValueError(f"--dtype: expected one of {', '.join(DTYPES)} with --roofline, got {shape.dtype}")
    if shape.padding:
        raise ValueError(f"--padding: expected none with --roofline, got {shape.padding:g}")
    refused = refusal(EXECUTE[DEVICES[device].capability])
    if refused is not None:
        raise ValueError(f"--roofline: {refused}")
    counter = Counter(DEVICES[device].capability, shape)
    counter.execute()
    title = (
        f"b {shape.batch}, h {shape.heads}, n {shape.tokens}, d {shape.head_dim}, window {shape.window}, {shape.dtype}"
    )
    return lines(DEVICES[device], f"{title}, 1 global token", counter.counts)


class Counter:
    """Executes the kernels of a call, one head of it, and counts for all.

    Attributes:
        counts: the counts of each kernel, in order.
    """

    def __init__(self, capability: int, shape: Shape) -> None:
        self.capability, self.shape = capability, shape
        self.counts: list[Count] = []

    def execute(self) -> None:
        """Run the package's own launchers, with tensors on the CPU in the layout of a model."""
        from trueband.optimized import band_attention
        from trueband.optimized.attention.triton.places import Place, serve_cpu

        shape, random = self.shape, torch.Generator().manual_seed(0)

        def tensor() -> Tensor:
            size = (1, shape.tokens, HEADS, shape.head_dim)
            return torch.randn(size, generator=random).to(getattr(torch, shape.dtype)).transpose(1, 2)

        mask = torch.zeros(1, shape.tokens, dtype=torch.bool)
        mask[:, 0] = True
        inputs = [tensor().requires_grad_(shape.backward) for _ in range(3)]
        serve_cpu(Place(f"sm_{self.capability}", tf32=False, run=self.run))
        try:
            output = band_attention(*inputs, window=shape.window, global_attention_mask=mask, impl="triton")
            if shape.backward:
                torch.autograd.grad(output, inputs, tensor())
        finally:
            serve_cpu(None)

    def run(
        self,
        kernel: Callable[..., Any],
        programs: int,
        arguments: Sequence[Any],
        constants: Mapping[str, Any],
        warps: int,
        stages: int,
    ) -> None:
        """Compile a kernel, execute its programs of the first head, and count: what a `Place` does."""
        from trueband.gpu.ptx import compiler, requested
        from trueband.gpu.unwritten import plain
        from trueband.properties.gpu.ptx.launch import Pointer, launch

        request, values = requested(kernel, arguments, constants, self.capability, warps, stages)
        compiled, build = compiler().kernel(request), compiler().compiled(request)
        handed = [Pointer(plain(value)) if isinstance(value, Tensor) else value for value in values]
        counters: dict[str, float] = {}
        blocks = [(program, 0, 0) for program in range(programs // HEADS)]
        launch(compiled, (programs, 1, 1), handed, counters, blocks)
        times = self.shape.batch * self.shape.heads
        # Products of exact float32 are made without tensor cores.
        self.counts.append(
            Count(
                request.kernel,
                len(blocks) * times,
                scaled(counters, times),
                build["registers"],
                compiled.shared,
                warps,
                "half" if self.shape.dtype != "float32" else "tf32",
            )
        )
