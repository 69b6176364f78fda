"""`triton`: the package's fused kernels.

With `--device cuda` they run on the device. On the CPU they run in Triton's interpreter, mended where it is wrong (see
`interpreter`); it is slow: `--cases 200` takes minutes. Nothing of its verdict speaks for the compiled code.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import torch

from trueband.gpu.interpreter import can_be_mended, mend
from trueband.optimized import band_attention
from trueband.optimized.attention.triton.blocks import WIDEST
from trueband.optimized.attention.triton.places import interpreter, serve_cpu
from trueband.optimized.attention.triton.requirements import interpreted
from trueband.properties.candidate.target import WHOLE_CONTRACT, Target
from trueband.properties.cases.limits import Sizes


def fused(query: Any, key: Any, value: Any, **options: Any) -> Any:
    """`band_attention(..., impl="triton")`. For tensors on the CPU it asks for Triton's interpreter, which has to be
    done before triton is imported: in a process of its own, as that of the gate.
    """
    if isinstance(query, torch.Tensor) and query.device.type == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
        use()
    return band_attention(query, key, value, impl="triton", **options)


def fused_tf32(query: Any, key: Any, value: Any, **options: Any) -> Any:
    """The same where torch allows tf32: products of float32 cut their factors, on a device that has it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        return fused(query, key, value, **options)
    finally:
        torch.set_float32_matmul_precision(before)


def use() -> None:
    """Has Triton's interpreter run the kernels mended from now on, where it is one that `mend` knows."""
    if can_be_mended() and interpreted():
        mend()
        serve_cpu(interpreter())


target = Target(
    fused,
    # The interpreter alone, unmended, has no bfloat16.
    dtypes=("float32", "float16", *(["bfloat16"] if torch.cuda.is_available() or can_be_mended() else [])),
    features=WHOLE_CONTRACT - {"nan_local"},
    library="torch",
    sizes={"head_dim": Sizes(most=WIDEST)},
    name="trueband.optimized.band_attention[triton]",
)

# Not among the names of `trueband targets`: `trueband check trueband.gpu.triton:tf32 --device cuda`.
tf32 = replace(
    target,
    function=fused_tf32,
    dtypes=("float32",),
    accumulators={"float32": "tf32"},
    name="trueband.optimized.band_attention[triton tf32]",
)
