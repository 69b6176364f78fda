"""Correct kernels of the second edition, written in the ways that people write them, and the same with one thing wrong.

All sums are in float32 (float64 for float64); who sees whom is the reference's.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trueband.properties.bounds import round_to
from trueband.reference.arguments import Arguments, check_arguments
from trueband.reference.attention import local_rows

Array = NDArray[np.float64]
LOG2E, LN2 = 1 / math.log(2), math.log(2)
FORMS = ("dense", "online", "scaled afterwards")


@dataclass(frozen=True)
class Call:
    """One call: arrays on the grid of a dtype, options, and the gradients of output and lse."""

    dtype: str
    arrays: dict[str, Array]
    options: dict[str, Any]
    grad_output: Array
    grad_lse: Array

    @property
    def arguments(self) -> Arguments:
        passed: dict[str, Any] = {**self.arrays, **self.options}
        return check_arguments(**passed)


def draw_call(seed: str, dtype: str, **chosen: Any) -> Call:
    """Sizes, windows, what is new, and numbers: flat, normal, peaked, or with cancellation."""
    pick, numbers = random.Random(seed), np.random.default_rng([*seed.encode()])
    key_heads, group = pick.choice((1, 1, 2)), chosen.pop("group", None) or pick.choice((1, 2, 3))
    heads, d, e = key_heads * group, pick.choice((1, 4, 16, 33)), pick.choice((1, 3, 8))
    n, m = pick.choice((1, 3, 9, 40, 70)), pick.choice((1, 2, 7, 24))
    batch, steps = pick.choice((1, 2)), (0, 1, 3, 8, 64, None)
    size = pick.choice((0.0, 1.0, 1.0, 3.0))

    def on_grid(*shape: int, scale: float = 1.0) -> Array:
        array = numbers.normal(size=shape) * scale
        if pick.random() < 0.3:  # large terms that cancel
            array[..., ::2] *= 16
        return round_to(array, dtype)

    arrays = {
        "query": on_grid(batch, heads, m, d, scale=size),
        "key": on_grid(batch, key_heads, n, d),
        "value": on_grid(batch, key_heads, n, e),
    }
    options: dict[str, Any] = {
        "window": (pick.choice(steps), pick.choice(steps)),
        "offset": pick.choice((0, n - m, pick.randrange(-2, n + 2))),
        "causal": pick.random() < 0.3,
        "softcap": pick.choice((None, None, 0.5, 5.0, 50.0)),
        "scale": pick.choice((None, 0.125, 1.0)),
    }
    if pick.random() < 0.6:
        arrays["sinks"] = round_to(numbers.normal(size=heads) * pick.choice((1.0, 5.0)), dtype)
    if pick.random() < 0.4:
        arrays["slopes"] = round_to(2.0 ** -numbers.uniform(0, 8, size=heads), dtype)
    if pick.random() < 0.3:
        arrays["head_mask"] = round_to(numbers.normal(size=heads), dtype)
    if pick.random() < 0.3:
        options["attention_mask"] = numbers.random((batch, n)) < 0.8
    for name, value in chosen.items():
        where = arrays if isinstance(value, np.ndarray) else options
        where[name] = value[:heads] if isinstance(value, np.ndarray) else value
    return Call(
        dtype, arrays, options, on_grid(batch, heads, m, e), numbers.normal(size=(batch, heads, m)).astype("f4")
    )


def run(call: Call, form: str, wrong: str = "") -> dict[str, Array]:
    """Output, lse and gradients by name, as a kernel of a form makes them; `wrong` names what it does wrong."""
    kernel = _Kernel(call, wrong)
    if form == "dense":
        output, lse = kernel.dense()
    elif form == "online":
        output, lse = kernel.online(tile=5)
    else:
        output, lse = kernel.scaled_afterwards()
    found = {"output": output, "lse": lse} | kernel.backward(output, lse, from_output=form != "dense")
    return {name: array.double().numpy() for name, array in found.items() if array is not None}


class _Kernel:
    def __init__(self, call: Call, wrong: str) -> None:
        self.a, self.wrong, self.call = call.arguments, wrong, call
        self.dtype = getattr(torch, call.dtype)
        self.wide = torch.float64 if call.dtype == "float64" else torch.float32
        a, rows = self.a, local_rows(self.a)
        self.visible = torch.from_numpy(rows.visible)
        self.query, self.key, self.value = (self._wide(x) for x in (a.query, a.key, a.value))
        if wrong == "heads of keys by turns":
            turns = torch.arange(a.shape[1]) % (a.shape[1] // a.group)
            self.key, self.value = self.key[:, :: a.group][:, turns], self.value[:, :: a.group][:, turns]
        by_position = np.zeros_like(a.distances) + np.arange(a.key.shape[2])
        self.far = self._wide(by_position if wrong == "slopes by position" else a.distances)
        self.slopes = None if a.slopes is None else self._wide(a.slopes)[:, None, None]
        self.sinks = None if rows.sinks is None or wrong == "no sink" else self._wide(rows.sinks)[..., None]
        if self.sinks is not None and wrong == "sink scaled":
            self.sinks = self.sinks * a.scale
        self.weights = self._wide(a.head_mask)[:, None, None]

    def _wide(self, array: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.wide)

    def _stored(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.dtype).to(self.wide)

    def _scores(self, by_sigmoid: bool = False) -> tuple[Tensor, Tensor | None]:
        """Scores, -inf where hidden, and tanh."""
        scores, y, cap = self.query @ self.key.transpose(-1, -2) * self.a.scale, None, self.a.softcap
        if cap is not None:
            x = scores / cap
            y = 2 * torch.sigmoid(2 * x) - 1 if by_sigmoid else torch.tanh(x)
            scores = cap * y
        if self.slopes is not None:
            scores = scores - self.slopes * self.far
        return scores.masked_fill(~self.visible, -math.inf), y

    def _finished(self, output: Tensor, live: Tensor) -> Tensor:
        return torch.where(live, output * self.weights, 0.0).to(self.dtype)

    def dense(self) -> tuple[Tensor, Tensor]:
        """The sink is one column more."""
        scores, _ = self._scores()
        live = self.visible.any(-1, keepdim=True)
        if self.sinks is not None:
            scores = torch.cat([scores, self.sinks], -1)
        lse = torch.logsumexp(scores, -1, keepdim=True)
        p = torch.where(torch.isneginf(scores), 0.0, torch.exp(scores - torch.where(torch.isneginf(lse), 0.0, lse)))
        p = p if self.sinks is None else p[..., :-1]
        return self._finished(self._stored(p) @ self.value, live), lse[..., 0]

    def online(self, tile: int) -> tuple[Tensor, Tensor]:
        """Tiles of keys, logarithms of base 2, tanh by a sigmoid; the sink is the first maximum."""
        scores, _ = self._scores(by_sigmoid=True)
        scores = scores * LOG2E
        first = torch.full((*scores.shape[:-1], 1), -math.inf, dtype=self.wide)
        top = first if self.sinks is None else self.sinks * LOG2E
        total = torch.where(torch.isneginf(top), 0.0, 1.0).to(self.wide)
        mixed = torch.zeros((*scores.shape[:-1], self.value.shape[-1]), dtype=self.wide)
        for start in range(0, scores.shape[-1], tile):
            part = scores[..., start : start + tile]
            highest = torch.maximum(top, part.amax(-1, keepdim=True))
            safe = torch.where(torch.isneginf(highest), 0.0, highest)
            weights, shrink = torch.exp2(part - safe), torch.exp2(top - safe)
            total = total * shrink + weights.sum(-1, keepdim=True)
            if self.wrong == "sink in every tile" and self.sinks is not None and start:
                total = total + torch.exp2(self.sinks * LOG2E - safe)
            mixed = mixed * shrink + self._stored(weights) @ self.value[..., start : start + tile, :]
            top = highest
        live = total > 0
        lse = torch.where(live, top + torch.log2(torch.where(live, total, 1.0)), -math.inf)
        lse = lse if self.wrong == "lse of base 2" else lse * LN2
        if self.wrong == "lse without the maximum":
            lse = torch.log(total)
        return self._finished(mixed / torch.where(live, total, 1.0), live), lse[..., 0]

    def scaled_afterwards(self) -> tuple[Tensor, Tensor]:
        """Attention without the sink, keys from the last to the first, then scaled by sigmoid(lse - sink)."""
        scores, _ = self._scores()
        live = self.visible.any(-1, keepdim=True)
        top = torch.where(live, scores.amax(-1, keepdim=True), 0.0)
        weights = torch.exp(scores - top)
        total = weights.flip(-1).cumsum(-1)[..., -1:]
        output = self._stored(weights).flip(-1) @ self.value.flip(-2) / torch.where(live, total, 1.0)
        lse = top + torch.log(total)
        if self.sinks is not None:
            output = output * torch.sigmoid(torch.where(torch.isneginf(self.sinks), math.inf, lse - self.sinks))
            lse = torch.logaddexp(lse, self.sinks)
        return self._finished(output, live), lse[..., 0]

    def backward(self, output: Tensor, lse: Tensor, from_output: bool) -> dict[str, Tensor | None]:
        """From the stored output and log-sum-exp, or from the probabilities."""
        a, real = self.a, torch.from_numpy(self.a.real_queries)[:, None]
        raw = torch.where(real[..., None], self._wide(self.call.grad_output), 0.0)
        grad_lse = torch.where(real, self._wide(self.call.grad_lse), 0.0)[..., None]
        if self.wrong == "no gradient of lse":
            grad_lse = torch.zeros_like(grad_lse)
        scores, y = self._scores(by_sigmoid=from_output)
        shift = torch.where(torch.isneginf(lse), 0.0, lse)[..., None]
        upstream, p = raw * self.weights, torch.exp(scores - shift)
        grad_p = upstream @ self.value.transpose(-1, -2)
        delta = (raw * output.to(self.wide) if from_output else p * grad_p).sum(-1, keepdim=True)
        grad_s = p * (grad_p - (delta - grad_lse))
        if self.wrong == "no row sum":
            grad_s = p * (grad_p + grad_lse)
        damped = y is not None and self.wrong != "no derivative of the softcap"
        grad_t = self._stored(grad_s * (1 - y * y) if damped and y is not None else grad_s)
        grads: dict[str, Tensor | None] = {
            "query": grad_t @ self.key * a.scale,
            "key": self._grouped(grad_t.transpose(-1, -2) @ self.query * a.scale, from_output),
            "value": self._grouped(self._stored(p).transpose(-1, -2) @ upstream, from_output),
            "sinks": None,
            "slopes": None,
        }
        if a.sinks is not None:
            of_sinks = torch.zeros_like(grad_lse) if self.sinks is None else torch.exp(self.sinks - shift)
            grads["sinks"] = -(of_sinks * (delta - grad_lse)).sum((0, 2, 3))
            if self.wrong == "no gradient of sinks":
                grads["sinks"] = torch.zeros(a.shape[1])
        if a.slopes is not None:
            grads["slopes"] = -(grad_s * self.far).sum((0, 2, 3))
        return {name: None if grad is None else grad.to(self.dtype) for name, grad in grads.items()}

    def _grouped(self, grad: Tensor, apart: bool) -> Tensor:
        """The sum over the query heads of each head of keys, rounded apart before or not."""
        split = (self._stored(grad) if apart else grad).unflatten(1, (-1, self.a.group))
        return split[:, :, 0] if self.wrong == "one query head" else split.sum(2)


def run_eager(call: Call) -> dict[str, Array]:
    """As models write it: every operation in the dtype of the inputs but the softmax, in float32; torch's gradients.

    Without a head mask: a product with it in the dtype of the inputs would be one rounding more.
    """
    a, dtype = call.arguments, getattr(torch, call.dtype)
    rows = local_rows(a)
    leaves = {name: torch.from_numpy(call.arrays[name]).to(dtype).requires_grad_() for name in call.arrays}
    real, visible = torch.from_numpy(a.real_queries)[:, None, :, None], torch.from_numpy(rows.visible)
    key, value = (leaves[name].repeat_interleave(a.group, dim=1) for name in ("key", "value"))
    scores = leaves["query"] @ key.transpose(-1, -2) * a.scale
    if a.softcap is not None:
        scores = torch.tanh(scores / a.softcap) * a.softcap
    if "slopes" in leaves:
        scores = scores - leaves["slopes"][:, None, None] * torch.from_numpy(a.distances).to(dtype)
    scores = torch.where(visible, scores, torch.finfo(dtype).min)
    live = visible.any(-1, keepdim=True)
    if "sinks" in leaves:
        sinks = leaves["sinks"][:, None, None].expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, sinks], -1)
    top = scores.amax(-1, keepdim=True).detach()
    centred = (scores - top).float()
    p = torch.softmax(centred, -1)
    p = (p[..., :-1] if "sinks" in leaves else p).to(dtype)
    output = torch.where(live, p, 0) @ value
    has_lse = real & (live | ("sinks" in leaves))
    lse = torch.where(has_lse, torch.logsumexp(centred, -1, keepdim=True) + top.float(), -math.inf)[..., 0]
    output = torch.where(real, output, 0)
    loss = (output * torch.from_numpy(call.grad_output).to(dtype)).sum()
    loss = loss + (torch.where(has_lse[..., 0], lse, 0.0) * torch.from_numpy(call.grad_lse)).sum()
    loss.backward()
    grads = {name: leaf.grad for name, leaf in leaves.items()}
    found = {"output": output, "lse": lse} | {name: grad for name, grad in grads.items() if grad is not None}
    return {name: array.detach().double().numpy() for name, array in found.items()}
