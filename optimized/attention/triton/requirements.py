"""The requirements of the Triton kernels, and the reason why a call cannot have them."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.span.arguments import SpanArguments
from trueband.optimized.attention.triton.blocks import WIDEST
from trueband.optimized.attention.triton.places import cpu_is_served

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


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
    return of_place(query, dropout_p)


def span_refusal(call: SpanArguments) -> str | None:
    """The same for what the operator of bands does not take."""
    query, value = call.query, call.value
    reason = refusal(query, call.dropout_p)
    if reason is not None:
        return reason
    if value.shape[-1] > WIDEST:
        return f"value: expected value_dim <= {WIDEST} for impl='triton', got {value.shape[-1]}"
    if any(dilation != 1 for dilation in call.dilations):
        return f"dilation: expected 1 for impl='triton' with what the second edition added, got {call.dilations}"
    if call.global_attention_mask is not None:
        return "global_attention_mask: expected None for impl='triton' with what the second edition added, got a tensor"
    return None


def of_place(query: Tensor, dropout_p: float) -> str | None:
    """Why the place where the tensors are cannot serve a call."""
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
