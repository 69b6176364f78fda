"""Dropout: on the probabilities, seeded by torch's generator, the same in both passes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trueband.optimized import band_attention

TOKENS = 64


def table(dropout_p: float, seed: int = 1, global_tokens: int = 0) -> Tensor:
    """(n, n) probabilities after dropout, read off with one-hot values; all are equal before it."""
    torch.manual_seed(seed)
    zero, identity = torch.zeros(1, 1, TOKENS, TOKENS), torch.eye(TOKENS)[None, None]
    mask = torch.zeros(1, TOKENS, dtype=torch.bool)
    mask[:, :global_tokens] = True
    options = {"window": TOKENS, "global_attention_mask": mask, "dropout_p": dropout_p}
    return band_attention(zero, zero, identity, **options)[0, 0]  # type: ignore[call-overload]


def test_dropped_probabilities_are_zero_and_the_others_are_scaled() -> None:
    for global_tokens in (0, TOKENS):
        found = table(0.5, global_tokens=global_tokens)
        assert set(found.unique().tolist()) == {0.0, 2 / TOKENS}  # powers of two: exact


def test_heads_that_are_computed_apart_are_scaled_alike() -> None:
    zero = torch.zeros(1, 2, TOKENS, TOKENS)
    identity = torch.eye(TOKENS).expand(1, 2, -1, -1)
    found = band_attention(zero, zero, identity, window=TOKENS, dilation=(1, 2), dropout_p=0.5)
    assert set(found[0, 0].unique().tolist()) == {0.0, 2 / TOKENS}
    assert set(found[0, 1].unique().tolist()) == {0.0, 4 / TOKENS}  # sees every other token


def test_share_of_dropped_probabilities() -> None:
    """Hoeffding: N independent draws leave the share by more than sqrt(ln(2 / delta) / 2N) with probability delta."""
    for dropout_p in (0.1, 0.5, 0.9):
        share = (table(dropout_p) == 0).double().mean().item()
        assert abs(share - dropout_p) <= math.sqrt(math.log(2 / 1e-12) / (2 * TOKENS**2))


def test_the_seed_decides() -> None:
    assert torch.equal(table(0.5, seed=3), table(0.5, seed=3))
    assert not torch.equal(table(0.5, seed=3), table(0.5, seed=4))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    x = torch.randn(1, 1, 5, 2)
    torch.set_rng_state(state)
    band_attention(x, x, x, window=1)
    assert torch.equal(torch.get_rng_state(), state)  # no dropout: no random number is drawn


def test_rows_and_heads_are_dropped_apart() -> None:
    torch.manual_seed(2)
    zero = torch.zeros(2, 3, TOKENS, TOKENS)
    found = band_attention(zero, zero, torch.eye(TOKENS).expand(2, 3, -1, -1), window=TOKENS, dropout_p=0.5)
    tables = found.flatten(0, 1)
    assert all(not torch.equal(tables[i], tables[j]) for i in range(6) for j in range(i))
    assert not torch.equal(tables[0, 0], tables[0, 1])
