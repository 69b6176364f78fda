"""A target: a kernel of JAX or Pallas.

Put yours in the place of `kernel`, look at `target`, and

    trueband check THIS_FILE.py:target --cases 60

Windows: trueband's (left, right) says how many keys a row sees to each side, itself not counted, and so does
local_window_size of jax.nn.dot_product_attention. A window W that counts the token itself is left = W - 1.

JAX compiles for every shape, and trueband asks for many: so the compiler is asked not to optimize. A Pallas kernel runs
on the CPU with interpret=True.
"""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import jax
import jax.numpy as jnp

import trueband


# Yours: for instance `from jax.nn import dot_product_attention as kernel`. q is (b, m, h, d); k and v are (b, n, k, d),
# and k divides h.
def kernel(q, k, v, *, is_causal=False, local_window_size=None, scale=None):
    group = q.shape[2] // k.shape[2]
    q, k, v = jnp.moveaxis(q, 2, 1), *(jnp.repeat(jnp.moveaxis(x, 2, 1), group, 1) for x in (k, v))
    left, right = local_window_size
    ahead = jnp.arange(k.shape[2]) - jnp.arange(q.shape[2])[:, None]
    seen = (ahead >= -left) & (ahead <= right) & ((ahead <= 0) | jnp.logical_not(is_causal))
    scores = jnp.einsum("bhid,bhjd->bhij", q, k) * scale
    weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1)
    return jnp.moveaxis(weights @ v, 1, 2)


compiled = jax.jit(kernel)  # the window and the scale are arguments of the program: it is compiled for the shapes alone


def attention(query, key, value, *, window, causal=False, scale=None):
    left, right = window if isinstance(window, tuple) else (window, window)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scale = jnp.asarray(scale, query.dtype)
    return compiled(query, key, value, is_causal=causal, local_window_size=(left, right), scale=scale)


target = trueband.Target(
    attention,
    dtypes=("float32",),  # more: float64, bfloat16, float16
    features={  # take out what your kernel does not have; `trueband check` lists all others
        "causal",
        "scale",
        "gqa",  # fewer heads of keys than of queries
        "asymmetric",  # windows of two limits
        "backward",  # gradients
        "deterministic",  # the same call gives the same bits
        "deterministic_gradients",
    },
    library="jax",
    layout="bnhd",
    # sizes={"tokens": trueband.Sizes(multiple=128)},  # the kernel must raise for others
)
