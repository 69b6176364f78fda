"""What must not change a result does not change a bit of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trueband.optimized import band_attention
from trueband.properties.bounds import Precision, attention_bound
from trueband.properties.results.verdict import judge
from trueband.reference import band_attention as reference

SEEDS = range(30)


def run(case: Any, poison: float | None = None) -> dict[str, Tensor]:
    """Output and gradients; `poison` is put into everything that masked tokens hold."""
    grad_output = torch.tensor(case.grad_output, dtype=getattr(torch, case.dtype))
    positional, keywords = case.torch_call()
    if poison is not None:
        masked = ~keywords["attention_mask"][:, None, :, None]
        for name, leaf in case.leaves.items():
            if name != "head_mask":
                leaf.data.masked_fill_(masked, poison)
        grad_output.masked_fill_(masked, poison)
    output = band_attention(*positional, **keywords)
    grads = torch.autograd.grad(output, list(case.leaves.values()), grad_output)
    return {"output": output.detach(), **dict(zip(case.leaves, grads, strict=True))}


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 3e38])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_masked_tokens_hold(draw_case: Callable[[int, str], Any], dtype: str, poison: float) -> None:
    checked = 0
    for seed in SEEDS:
        case = draw_case(seed, dtype)
        if "attention_mask" in case.options:
            clean, poisoned = run(case), run(case, poison)
            for name, tensor in clean.items():
                assert torch.equal(tensor, poisoned[name]), f"seed {seed}, {name}"
            checked += 1
    assert checked > 10


def test_inputs_are_never_modified(draw_case: Callable[[int, str], Any]) -> None:
    for seed in SEEDS:
        case = draw_case(seed, "float32")
        positional, keywords = case.torch_call()
        tensors = [t for t in (*positional, *keywords.values()) if isinstance(t, Tensor)]
        before = [t.detach().clone() for t in tensors]
        output = band_attention(*positional, **keywords)
        grad_output = torch.tensor(case.grad_output, dtype=torch.float32)
        kept = grad_output.clone()
        output.backward(grad_output)
        assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))
        assert torch.equal(kept, grad_output)


def test_a_row_of_the_batch_does_not_depend_on_the_others(draw_case: Callable[[int, str], Any]) -> None:
    checked = 0
    for seed in SEEDS:
        case = draw_case(seed, "float32")
        batch = run(case)
        for b in range(len(case.grad_output)):
            part = slice(b, b + 1)
            inputs = {name: array[part] for name, array in case.inputs.items()}
            options = {
                name: value[part] if name.endswith("attention_mask") else value for name, value in case.options.items()
            }
            alone = run(type(case)(case.dtype, inputs, options, case.grad_output[part]))
            for name in ("output", *inputs):
                assert torch.equal(alone[name], batch[name][part]), f"seed {seed}, {name}"
            checked += b
    assert checked > 10


@pytest.mark.parametrize("huge", [1.0, 3e38])
@pytest.mark.parametrize(
    ("window", "dilation", "causal"), [(0, 1, False), (3, 1, False), (3, 2, False), (40, 1, True), (130, 1, False)]
)
def test_a_key_that_a_row_does_not_attend(window: int, dilation: int, causal: bool, huge: float) -> None:
    """Not even when its score, or what the backward pass makes of its value, overflows."""
    tokens = 300
    query, key, value, grad_output = torch.randn(4, 1, 2, tokens, 4)
    mask = torch.zeros(1, tokens, dtype=torch.bool)
    mask[0, 17] = not causal

    def call(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        leaf = query.clone().requires_grad_()
        options: dict[str, Any] = {"window": window, "dilation": dilation, "causal": causal}
        output = band_attention(leaf, k, v, global_attention_mask=mask, **options)
        return output.detach(), torch.autograd.grad(output, leaf, grad_output)[0]

    before = call(key, value)
    position = torch.arange(tokens)
    for changed in (0, 1, 127, 128, 200, 299):
        k, v = key.clone(), value.clone()
        k[:, :, changed], v[:, :, changed] = huge, -huge
        offset = position - changed
        attends = (offset.abs() <= window * dilation) & (offset % dilation == 0) & ((offset >= 0) | (not causal))
        attends |= mask[0]  # the global row attends everything
        assert attends[changed]
        assert not attends.all()
        after = call(k, v)
        for old, new in zip(before, after, strict=True):
            assert torch.equal(old[:, :, ~attends], new[:, :, ~attends])
        assert not torch.equal(before[0][:, :, changed], after[0][:, :, changed])


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "tokens before heads": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "head dim outside": lambda x: x.permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0),
    "offset": lambda x: torch.cat([x.new_full((7,), 9.0), x.flatten()])[7:].view(x.shape),
    "every other element": lambda x: torch.stack([x, x + 1], dim=-1)[..., 0],
    "every other token": lambda x: torch.stack([x, x + 1], dim=3).flatten(2, 3)[:, :, ::2],
    "flipped twice in the batch": lambda x: x.flip(0).flip(0),
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda name: name.replace(" ", "-"))
def test_layout_of_the_inputs(draw_case: Callable[[int, str], Any], layout: str) -> None:
    for seed in SEEDS:
        case = draw_case(seed, "float32")
        positional, keywords = case.torch_call()
        moved = [LAYOUTS[layout](tensor.detach()) for tensor in positional]
        assert all(torch.equal(a, b) for a, b in zip(moved, positional, strict=True))
        output = band_attention(*moved, **keywords)
        expected = reference(*case.positional, **case.keywords).output
        verdict = judge(
            output.detach().double().numpy(), expected, attention_bound(case.checked(), Precision.of("float32"))
        )
        assert verdict.passed, str(verdict)


def test_expanded_inputs_and_gradients() -> None:
    """One head or one token, expanded: tensors of stride 0, and the gradient of a sum."""
    tokens = 140
    one = torch.randn(2, 1, tokens, 4).expand(2, 3, tokens, 4)
    row = torch.randn(2, 3, 1, 4).expand(2, 3, tokens, 4)
    for query, key, value in ((one, one, one), (row, one, row), (one, row, one)):
        arrays = [t.double().numpy() for t in (query, key, value)]
        expected = reference(*arrays, window=9).output
        leaf = query.detach().requires_grad_()
        output = band_attention(leaf, key, value, window=9)
        from_sum = torch.autograd.grad(output.sum(), leaf)[0]
        solid = [t.contiguous() for t in (query, key, value)]
        solid_leaf = solid[0].requires_grad_()
        again = band_attention(solid_leaf, *solid[1:], window=9)
        assert torch.equal(again, output)
        assert torch.equal(torch.autograd.grad(again, solid_leaf, torch.ones_like(again))[0], from_sum)
        assert np.isfinite(expected).all()


def test_a_flag_on_a_masked_token_does_not_forbid_causal() -> None:
    """Dropped flags make no global token; a flag on a real token is refused."""
    x = torch.randn(1, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    real = torch.tensor([[True, True, True, True, False]])
    output = band_attention(x, x, x, window=2, causal=True, attention_mask=real, global_attention_mask=~real)
    assert torch.equal(output, band_attention(x, x, x, window=2, causal=True, attention_mask=real))
    with pytest.raises(ValueError, match="causal: expected False with global tokens"):
        band_attention(x, x, x, window=2, causal=True, attention_mask=real, global_attention_mask=real)
