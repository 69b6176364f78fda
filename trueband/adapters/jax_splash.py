"""`jax-splash`: the splash attention kernel that JAX brings for TPUs, in Pallas' interpreter, forward.

Its LocalMask is (left, right), the token itself not counted, with None for no limit and an offset of the queries. The
kernel has no scale, and wants whole blocks of 128 tokens.

Added here: 32-bit integers; queries times the scale; tokens of a segment of their own up to a whole block, and masked
tokens in it; rows of masked tokens set to 0. The mask of a call is laid out (`NumpyMask`), so that the kernel is
compiled once for sizes that round up to the same blocks and channels: 1 to 128 tokens are one program, and a head is
made 8, 64, 128 or 256 wide. So what only odd sizes would break is not seen, nor what the kernel does with masks that it
computes itself.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from trueband.adapters.jax_dot_product import QUICK
from trueband.properties.candidate.target import Target
from trueband.properties.cases.limits import Sizes

BLOCK = 128
WIDTHS = (8, 64, 128, 256)


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: Any,
    attention_mask: Any = None,
    causal: bool = False,
    scale: float | None = None,
    softcap: float | None = None,
    sinks: Any = None,
) -> Any:
    """The contract's operator without global tokens, (b, h, m, d) and (b, k, n, d) arrays in, (b, h, m, d) out."""
    import jax

    with jax.enable_x64(False):
        return _splash(query, key, value, window, attention_mask, causal, scale, softcap, sinks)


def _splash(
    query: Any,
    key: Any,
    value: Any,
    window: Any,
    attention_mask: Any,
    causal: bool,
    scale: float | None,
    softcap: float | None,
    sinks: Any,
) -> Any:
    """The same where integers of JAX have 32 bits."""
    import jax.numpy as jnp
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as splash
    from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks

    batch, heads, queries, head_dim = query.shape
    tokens = key.shape[2]
    if head_dim > WIDTHS[-1]:
        raise ValueError(f"head_dim: expected at most {WIDTHS[-1]}, got {head_dim}")
    scale = head_dim**-0.5 if scale is None else scale
    left, right = window if isinstance(window, tuple) else (window, window)
    rows, columns = (-(-each // BLOCK) * BLOCK for each in (queries, tokens))
    width = next(each for each in WIDTHS if each >= head_dim)
    seen = masks.LocalMask((rows, columns), (left, 0 if causal else right), tokens - queries)[:, :]
    kernel = splash.make_splash_mha(
        masks.MultiHeadMask([masks.NumpyMask(np.asarray(seen))] * heads),
        head_shards=1,
        q_seq_shards=1,
        attn_logits_soft_cap=softcap,
        interpret=True,
    )
    real = jnp.ones((batch, tokens), bool) if attention_mask is None else attention_mask
    of_keys = jnp.pad(real, ((0, 0), (0, columns - tokens)))
    of_queries = jnp.pad(real[:, tokens - queries :], ((0, 0), (0, rows - queries)))
    query, key, value = (
        jnp.pad(x, ((0, 0), (0, 0), (0, size - x.shape[2]), (0, width - head_dim)))
        for x, size in ((query * jnp.asarray(scale, query.dtype), rows), (key, columns), (value, columns))
    )
    output = jnp.stack(
        [
            kernel(
                query[row],
                key[row],
                value[row],
                splash.SegmentIds(of_queries[row].astype(jnp.int32), of_keys[row].astype(jnp.int32)),
                sinks,
            )
            for row in range(batch)
        ]
    )[:, :, :queries, :head_dim]
    return jnp.where(real[:, None, tokens - queries :, None], output, 0)


os.environ.setdefault("XLA_FLAGS", QUICK)
target = Target(
    attention,
    dtypes=("float32",),
    features=frozenset(
        {
            *("padding", "causal", "scale", "softcap", "sinks", "gqa"),
            *("asymmetric", "unlimited_side", "bottom_right", "deterministic"),
        }
    ),
    library="jax",
    sizes={"head_dim": Sizes(most=WIDTHS[-1])},
    name="jax splash attention",
)
