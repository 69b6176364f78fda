"""Band attention with the tokens over ranks is that of one process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from trueband.adapters.chunked_ranks import band_attention as of_a_rank
from trueband.optimized import band_attention
from trueband.properties.candidate.sharded import Sharded

TOKENS = 13
SMALL: dict[str, Any] = {"window": 3}
CASES: dict[str, dict[str, Any]] = {
    "causal": {"window": 2, "causal": True},
    "window over all shards": {"window": 9},
    "two sides": {"window": (5, 1), "dilation": 2},
    "no limit": {"window": (None, 0)},
    "padding": {"window": 3, "attention_mask": torch.arange(TOKENS)[None].expand(2, -1) % 5 != 0},
    "globals": {"window": 2, "global_attention_mask": torch.arange(TOKENS)[None].expand(2, -1) % 6 == 1},
    "segments": {"window": 4, "segments": (torch.arange(TOKENS) // 5)[None].expand(2, -1).contiguous()},
    "sinks and slopes": {"window": 4, "sinks": torch.tensor([0.5, -1.0]), "slopes": torch.tensor([0.5, 0.25])},
    "head mask": {"window": 1, "head_mask": torch.tensor([0.5, 2.0]), "softcap": 3.0, "scale": 0.5},
}


@pytest.fixture(scope="module")
def sharded() -> Iterator[Sharded]:
    ranks = Sharded(of_a_rank, (1, 2, 4), "gloo", "contiguous", "bhnd", True, "cpu")
    yield ranks
    ranks.end()


def tensors(tokens: int = TOKENS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(2, 2, tokens, 3, generator=generator, dtype=torch.float64) for _ in range(3)]
    return [tensor.requires_grad_() for tensor in drawn]


def with_gradients(function: Any, projections: list[Tensor], **options: Any) -> list[Tensor]:
    query, key, value = projections
    output, lse = function(query=query, key=key, value=value, return_lse=True, **options)
    upstream = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view(output.shape)
    return [output, lse, *torch.autograd.grad((output * upstream).sum() + lse[lse.isfinite()].sum(), projections)]


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("name", CASES)
def test_as_in_one_process(sharded: Sharded, name: str, ranks: int) -> None:
    options = {
        key: value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
        for key, value in CASES[name].items()
    }
    expected = with_gradients(lambda **given: band_attention(**given), tensors(), **options)
    found = with_gradients(lambda **given: sharded(ranks=ranks, **given), tensors(), **options)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["causal", "sinks", "slopes", "segments"])
def test_what_is_not_defined_with_globals_is_refused_by_every_rank(sharded: Sharded, name: str) -> None:
    query, key, value = tensors()
    options: dict[str, Any] = {"causal": True, "segments": torch.zeros(2, TOKENS, dtype=torch.int64)}
    given = options.get(name, torch.ones(2, dtype=torch.float64))
    flags = torch.arange(TOKENS)[None].expand(2, -1) == 7
    with pytest.raises(Exception, match=rf"{name}: expected none with a global token \(global_attention_mask\), got"):
        sharded(query=query, key=key, value=value, global_attention_mask=flags, ranks=2, **SMALL, **{name: given})


def test_a_mesh_is_as_good_as_a_group() -> None:
    def with_a_mesh(query: Tensor, key: Tensor, value: Tensor, *, group: Any, **options: Any) -> Any:
        from torch.distributed.device_mesh import init_device_mesh

        return of_a_rank(query, key, value, group=init_device_mesh("cpu", (2,)), **options)

    ranks = Sharded(with_a_mesh, (2,), "gloo", "contiguous", "bhnd", True, "cpu")
    query, key, value = tensors()
    try:
        found = ranks(query=query, key=key, value=value, **SMALL)
    finally:
        ranks.end()
    torch.testing.assert_close(found, band_attention(query, key, value, **SMALL), rtol=1e-11, atol=1e-11)
