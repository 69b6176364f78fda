"""Files to start a target from, as `trueband new-target` writes them. Each runs as it is: its kernel is a stand-in."""

from __future__ import annotations

from pathlib import Path

FOR_WHOM = {
    "flash": "kernels called like FlashAttention: (q, k, v, causal, window_size=(left, right), softmax_scale)",
    "hf": "attention functions of transformers: (module, query, key, value, attention_mask, sliding_window, ...)",
    "jax": "kernels called like jax.nn.dot_product_attention, Pallas kernels: (q, k, v, is_causal, local_window_size)",
    "onnxruntime": "models with a GroupQueryAttention node: (b, n, h * d) arrays, seqlens_k, local_window_size",
    "triton": "Triton kernels, causal with grouped heads, in Triton's interpreter",
    "packed": "kernels of packed sequences: (total, h, d) tensors and cu_seqlens",
}


def text_of(name: str) -> str:
    """The text of a template, one of `FOR_WHOM`."""
    return (Path(__file__).parent / f"{name}_target.py").read_text(encoding="utf-8")
