"""The requirements of the Triton kernels, and the reason why a call cannot have them."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from trueband.optimized.attention.triton.blocks import WIDEST
from trueband.optimized.attention.triton.places import cpu_is_served

DTYPES = (torch.float32, torch.bfloat16, torch.float16)

SPAN_REFUSAL = (
    "impl: expected 'auto' or 'chunked' for key heads, a value head dim or a number of keys of their own, a window of "
    "two sides, offset, segments, softcap, sinks, slopes and return_lse, which the Triton kernels do not have, got 'triton'"
)


def installed() -> bool:
    """Return whether triton can be imported; it is not imported."""
    try:
        return importlib.util.find_spec("triton") is not None
    except (ImportError, ValueError):  # what stands in its place says no
        return False


INSTALLED = installed()  # read once: calls are traced by torch.compile


def interpreted() -> bool:
    """Return whether triton was imported with TRITON_INTERPRET=1: kernels then run on the CPU, slowly."""
    import triton
    from triton.language import cdiv

    from trueband.optimized.attention.triton.kernels.tiles import load_rows

    # Triton decides when a kernel is defined, its own among them: what the environment says by now does not matter.
    return not any(isinstance(kernel, triton.runtime.JITFunction) for kernel in (cdiv, load_rows))


def too_old(device: torch.device) -> str | None:
    """Why a CUDA device cannot run the kernels; AMD's, which torch calls so too, are not asked."""
    if torch.version.hip is not None:
        return None
    properties = torch.cuda.get_device_properties(device)  # torch.compile takes it for a constant
    if properties.major >= 8:
        return None
    capability = f"{properties.major}.{properties.minor}"
    return f"query: expected a device of compute capability 8.0 or newer for impl='triton', got {capability} ({device})"


def refusal(query: Tensor, dropout_p: float) -> str | None:
    """Why a call cannot be served, as "<argument>: expected ..., got ..."; None when it can."""
    if not INSTALLED:
        return (
            "impl: expected an implementation that is available, ('auto', 'chunked'), got 'triton', which needs the "
            "package triton (pip install 'trueband[triton]')"
        )
    if query.dtype not in DTYPES:
        return f"query: expected dtype float32, bfloat16 or float16 for impl='triton', got {query.dtype}"
    if query.shape[-1] > WIDEST:
        return f"query: expected head_dim <= {WIDEST} for impl='triton', got {query.shape[-1]}"
    if dropout_p:
        return f"dropout_p: expected 0 for impl='triton', which has no dropout, got {dropout_p}"
    if query.device.type == "cuda":
        return too_old(query.device)
    if query.device.type == "meta" or (query.device.type == "cpu" and cpu_is_served()):
        return None
    if query.device.type != "cpu" or not interpreted():
        return (
            "query: expected a CUDA device for impl='triton' (or the CPU with TRITON_INTERPRET=1 set before triton is "
            f"imported: Triton's interpreter, for tests), got {query.device}"
        )
    if query.dtype == torch.bfloat16:
        return (
            "query: expected float32 or float16 in Triton's interpreter, which has no bfloat16 products, got bfloat16"
        )
    return None
