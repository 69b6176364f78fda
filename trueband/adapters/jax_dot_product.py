"""`jax-dot-product`: jax.nn.dot_product_attention with local_window_size, compiled by XLA for the CPU.

local_window_size is (left, right), the token itself not counted. Where causal, the first query stands at the first key,
also with fewer queries than keys: those are not declared. Its lse has no gradient (`stop_gradient`).

Added here: rows of masked tokens set to 0, and their lse to minus infinity. JAX compiles for every shape: window, scale
and masks are arguments of the compiled program, and the compiler is asked not to optimize. So what the compiler's
optimizations might do wrong is not seen; every shape is. Compiled for the CPU, bfloat16 is refused by XLA for one token
of one channel, and is not declared.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

from trueband.properties.candidate.target import Target

# Before jax starts its compiler. A case is compiled in a third of the time.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: Any,
    attention_mask: Any = None,
    causal: bool = False,
    scale: float | None = None,
    return_lse: bool = False,
) -> Any:
    """The contract's operator without global tokens, (b, n, h, d) and (b, n, k, d) arrays in, (b, n, h, d) out."""
    import jax.numpy as jnp

    left, right = window if isinstance(window, tuple) else (window, window)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    keys = None if attention_mask is None else attention_mask[:, None, None, :]
    output, lse = _compiled()(query, key, value, keys, scale, causal, left, right)
    lse = lse.swapaxes(1, 2).astype(jnp.float32)
    if attention_mask is not None:
        output = jnp.where(attention_mask[:, :, None, None], output, 0)
        lse = jnp.where(attention_mask[:, None], lse, -jnp.inf)
    return (output, lse) if return_lse else output


@lru_cache(maxsize=1)
def _compiled() -> Any:
    import jax

    def run(query: Any, key: Any, value: Any, mask: Any, scale: Any, causal: bool, left: Any, right: Any) -> Any:
        return jax.nn.dot_product_attention(
            query,
            key,
            value,
            mask=mask,
            scale=scale,
            is_causal=causal,
            local_window_size=(left, right),
            return_residual=True,
        )

    return jax.jit(run, static_argnames="causal")


os.environ.setdefault("XLA_FLAGS", QUICK)
target = Target(
    attention,
    dtypes=("float32",),
    features=frozenset(
        {
            *("padding", "causal", "scale", "gqa", "asymmetric", "lse"),
            *("backward", "deterministic", "deterministic_gradients"),
        }
    ),
    library="jax",
    layout="bnhd",
    name="jax.nn.dot_product_attention",
)
