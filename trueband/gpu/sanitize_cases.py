"""The launches of `trueband sanitize triton`: the package's kernels, both ways, around the edges of their tiles."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch

from trueband.gpu.interpreter import can_be_mended
from trueband.gpu.triton import fused
from trueband.properties.cases.case import Case

# In the interpreter tiles have 16 and 32 rows, parts of a global row 64; beyond 100 tokens four times as many.
GLOBAL = (0, 15, 16, 31, 32, 63, 64)


def cases() -> Iterator[Case]:
    """Lengths, windows and positions of globals around the edges; masks, dilations, ragged globals, a padded head."""
    plain: dict[str, Any] = {"heads": 2, "dilation": (1, 2), "head_dim": 8}
    yield from (Case(tokens, window, **plain) for tokens, window in ((1, 0), (17, 0), (33, 16), (48, 15)))
    yield from (Case(tokens, 17, **plain, causal=True, head_mask=True) for tokens in (31, 65))
    for tokens, window in ((16, 31), (33, 1), (65, 17)):
        flagged = tuple(position for position in GLOBAL if position < tokens)
        masked = tuple(range(3, tokens, 7))
        common: dict[str, Any] = {**plain, "global_": (flagged,), "masked": (masked,), "head_mask": True}
        yield Case(tokens, window, **common)
        yield Case(tokens, window, **common, separate_globals=True, dtype="float16")
        if can_be_mended():  # else there is no bfloat16 in the interpreter
            yield Case(tokens, window, **common, dtype="bfloat16")
    yield Case(129, 64, head_dim=16, global_=((0, 128),), masked=((1, 127),))
    yield Case(40, 3, head_dim=20, global_=(tuple(range(40)),), masked=((0, 39),))
    yield Case(70, 40, head_dim=3, batch=2, global_=((69,), ()), masked=((), tuple(range(70))))
    yield Case(20, 5, head_dim=16, masked=(tuple(range(16)),))


def edges() -> None:
    """Outputs and gradients of all cases; nothing is compared."""
    every = list(cases())
    for number, case in enumerate(every):
        print(f"{number + 1}/{len(every)} {case.to_json()}", file=sys.stderr)
        inputs = case.inputs()
        tensors: dict[str, Any] = {name: torch.tensor(array) for name, array in inputs.arrays.items()}
        for name in inputs.floating:
            tensors[name] = tensors[name].to(getattr(torch, case.dtype)).requires_grad_()
        output = fused(**tensors, **inputs.options)
        grad_output = torch.tensor(case.grad_output()).to(output.dtype)
        torch.autograd.grad(output, [tensors[name] for name in inputs.floating], grad_output)
