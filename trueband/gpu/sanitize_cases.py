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


def spans() -> Iterator[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]]:
    """Shapes of query and of key, and options, of calls of spans around the edges; names of random (h,) arguments."""
    step, square = (1, 4, 1, 8), (2, 2, 33, 16)
    yield step, (1, 2, 65, 8), {"window": (31, 0), "offset": 64}
    yield square, square, {"window": (None, 0), "sinks": True, "segments": torch.arange(66).view(2, 33) // 20}
    yield square, (2, 1, 48, 16), {"window": (16, 17), "offset": torch.tensor([-20, 15]), "softcap": 3.0}
    masked = torch.ones(2, 65, dtype=torch.bool)
    masked[0, :16], masked[1, 3::7] = False, False
    scores = {"slopes": True, "head_mask": True, "attention_mask": masked}
    yield (2, 4, 31, 3), (2, 2, 65, 3), {"window": (None, None), "offset": 34, **scores}


def run_span(of_query: tuple[int, ...], of_key: tuple[int, ...], options: dict[str, Any]) -> None:
    """The output, the lse and the gradients of one call."""
    given = {"query": torch.randn(of_query), "key": torch.randn(of_key), "value": torch.randn(*of_key[:3], 5)}
    given |= {name: torch.rand(of_query[1]) for name, value in options.items() if value is True}
    leaves = [tensor.requires_grad_() for tensor in given.values()]
    output, lse = fused(**{**options, **given}, return_lse=True)
    torch.autograd.grad((output, lse), leaves, (torch.ones_like(output), torch.ones_like(lse)))


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
    for number, span in enumerate(spans()):
        print(f"span {number + 1} {span[:2]}", file=sys.stderr)
        run_span(*span)
