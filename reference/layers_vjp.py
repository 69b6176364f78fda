"""The layers of `layers` with their vector-Jacobian products, written out: no automatic differentiation.

Every function returns its result y and a function that takes dL/dy, adds dL/dw to the gradients of its weights w and
returns dL/dx. In training, `keep` is what dropout multiplies by: 0 where an element is dropped, 1 / (1 - p) elsewhere
(Srivastava et al., JMLR 15, 2014), and 1 without dropout. Shapes as in `layers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.layers import State, erf, weight


class Gradients(dict[str, Float]):
    """dL/dw by the Hub's name of w. What is used in several places, such as a tied table, has the sum of its uses."""

    def add(self, name: str, gradient: Float) -> None:
        """One more use of the weight `name`."""
        self[name] = self[name] + gradient if name in self else gradient


Vjp = Callable[[Float, Gradients], Float]


def linear(state: State, name: str, x: Float) -> tuple[Float, Vjp]:
    """y = x W^T + b;  dx = dy W,  dW = sum_i dy_i x_i^T,  db = sum_i dy_i over all rows i."""
    w = weight(state, f"{name}.weight")

    def vjp(dy: Float, gradients: Gradients) -> Float:
        gradients.add(f"{name}.weight", rows(dy).T @ rows(x))
        gradients.add(f"{name}.bias", rows(dy).sum(axis=0))
        return dy @ w

    return x @ w.T + weight(state, f"{name}.bias"), vjp


def layer_norm(state: State, name: str, x: Float, eps: float) -> tuple[Float, Vjp]:
    """y = g z + b with z = r (x - mean), r = 1 / sqrt(var + eps);

    dg = sum_i dy_i z_i,  db = sum_i dy_i,  dz = g dy,  dx = r (dz - mean dz - z mean(z dz)).
    """
    gain = weight(state, f"{name}.weight")
    centred = x - x.mean(axis=-1, keepdims=True)
    r = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    z = centred * r

    def vjp(dy: Float, gradients: Gradients) -> Float:
        gradients.add(f"{name}.weight", rows(dy * z).sum(axis=0))
        gradients.add(f"{name}.bias", rows(dy).sum(axis=0))
        dz = gain * dy
        dx: Float = r * (dz - dz.mean(axis=-1, keepdims=True) - z * (z * dz).mean(axis=-1, keepdims=True))
        return dx

    return gain * z + weight(state, f"{name}.bias"), vjp


def gelu(x: Float) -> tuple[Float, Vjp]:
    """y = x Phi(x);  dx = dy (Phi(x) + x phi(x)), with the normal distribution function Phi and its density phi."""
    distribution = 0.5 * (1 + erf(x / math.sqrt(2)))

    def vjp(dy: Float, _: Gradients) -> Float:
        density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        return dy * (distribution + x * density)

    return x * distribution, vjp


def tanh(x: Float) -> tuple[Float, Vjp]:
    """y = tanh x;  dx = dy (1 - y^2)."""
    y = np.tanh(x)
    return y, lambda dy, _: dy * (1 - y**2)


def residual_norm(
    state: State, dense: str, norm: str, x: Float, residual: Float, eps: float, keep: Float | float = 1.0
) -> tuple[Float, Callable[[Float, Gradients], tuple[Float, Float]]]:
    """y = LayerNorm(residual + keep dense(x)). Its vjp returns dL/dx and dL/dresidual."""
    projected, dense_vjp = linear(state, dense, x)
    y, norm_vjp = layer_norm(state, norm, residual + keep * projected, eps)

    def vjp(dy: Float, gradients: Gradients) -> tuple[Float, Float]:
        added = norm_vjp(dy, gradients)
        return dense_vjp(keep * added, gradients), added

    return y, vjp


def feed_forward(
    state: State,
    names: tuple[str, str, str],
    x: Float,
    eps: float,
    keep_inner: Float | float = 1.0,
    keep: Float | float = 1.0,
) -> tuple[Float, Vjp]:
    """y = LayerNorm(x + keep dense(keep_inner gelu(dense(x)))). `names`: of the two dense layers and of the norm."""
    first, second, norm = names
    inner, first_vjp = linear(state, first, x)
    active, gelu_vjp = gelu(inner)
    y, outer_vjp = residual_norm(state, second, norm, keep_inner * active, x, eps, keep)

    def vjp(dy: Float, gradients: Gradients) -> Float:
        dactive, dx = outer_vjp(dy, gradients)
        return dx + first_vjp(gelu_vjp(keep_inner * dactive, gradients), gradients)

    return y, vjp


def lookup(state: State, name: str, ids: NDArray[Any], padding: int | None = None) -> tuple[Float, Vjp]:
    """y_i = T_id(i);  dT_k = sum of dy_i over the i with id(i) = k. Row `padding` of the table is never trained."""
    table = weight(state, name)

    def vjp(dy: Float, gradients: Gradients) -> Float:
        used = one_hot(ids.reshape(-1), len(table))
        if padding is not None:
            used[:, padding] = 0.0
        gradients.add(name, used.T @ rows(dy))
        return dy

    return table[ids], vjp


def one_hot(ids: NDArray[Any], count: int) -> Float:
    """(rows, count): 1 at the id of each row."""
    return np.asarray(ids[:, None] == np.arange(count), dtype=np.float64)


def rows(x: Float) -> Float:
    """(..., k) -> (rows, k)."""
    return x.reshape(-1, x.shape[-1])
