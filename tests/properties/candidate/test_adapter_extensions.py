"""Adapters for kernels of today: windows of two limits, softcaps, sinks, slopes, grouped heads, packed rows."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from trueband.properties.candidate.adapter import adapter, signature_of
from trueband.properties.candidate.probe import Probe
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target, load_target
from trueband.properties.cases.case import Case
from trueband.properties.checks import CHECKS
from trueband.properties.running.search import try_case

SOURCE = '''
import torch

def dense(q, k, v, sides, softcap=None, sinks=None, slopes=None, seen=True):
    """(b, n, h, d)"""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    ahead = torch.arange(k.shape[2]) - torch.arange(q.shape[2])[:, None]
    left, right = sides
    seen = seen & ((ahead >= -left) | (left < 0)) & ((ahead <= right) | (right < 0))
    scores = q @ k.mT / q.shape[-1] ** 0.5
    scores = softcap * torch.tanh(scores / softcap) if softcap else scores
    scores = scores if slopes is None else scores - slopes[:, None, None] * ahead.abs()
    scores = scores.masked_fill(~seen, -torch.inf)
    if sinks is not None:
        scores = torch.cat([scores, sinks[:, None, None].expand(*scores.shape[:3], 1)], -1)
    return (scores.softmax(-1)[..., : k.shape[2]] @ v).transpose(1, 2), scores.logsumexp(-1)

def flash(q, k, v, window_size=(-1, -1), softcap=0.0, alibi_slopes=None, return_softmax_lse=False):
    """q: (batch, seqlen, nheads, headdim)"""
    assert softcap is not None
    output, lse = dense(q, k, v, window_size, softcap, None, alibi_slopes)
    return (output, lse) if return_softmax_lse else output

def model(query, key, value, sliding_window, s_aux=None, logits_soft_cap=None, num_key_value_groups=1):
    """[B, H, T, D]"""
    key, value = (x.repeat_interleave(num_key_value_groups, 1) for x in (key, value))
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    return dense(q, k, v, (sliding_window - 1, sliding_window - 1), logits_soft_cap, s_aux)[0].transpose(1, 2)

def varlen(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, window_size=(-1, -1)):
    """q: (total, nheads, headdim)"""
    assert q.ndim == 3 and int(cu_seqlens_q[-1]) == len(q) and max_seqlen_q == max_seqlen_k
    own = torch.searchsorted(cu_seqlens_k, torch.arange(len(q)), right=True)
    return dense(q[None], k[None], v[None], window_size, seen=own == own[:, None])[0][0]
'''
# name: (features that its adapter must claim, cases that it must serve)
KERNELS: dict[str, tuple[set[str], list[dict[str, Any]]]] = {
    "flash": (
        {"asymmetric", "unlimited_side", "softcap", "slopes", "lse"},
        [{"window": (2, 0), "softcap": 2.0}, {"window": (None, 1), "slopes": True}],
    ),
    "model": ({"gqa", "sinks", "softcap"}, [{"heads": 4, "key_heads": 2, "sinks": True, "softcap": 0.5}]),
    "varlen": (
        {"padding", "asymmetric", "unlimited_side"},
        [{"window": (1, None), "masked": ((5, 6), (0, *range(1, 7)))}],
    ),
}


@pytest.mark.parametrize("name", KERNELS)
def test_the_adapter_uses_what_the_kernel_has(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / f"of_today_{name}.py"
    file.write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path])
    found = load_target(f"{file}:{name}")
    signature = signature_of(found)
    assert signature is not None
    answer = adapter(found, signature, f"{file}:{name}")
    sys.modules.pop(file.stem)
    file.write_text(f"{SOURCE}\n\n{answer.source}", encoding="utf-8")
    importlib.invalidate_caches()
    target = load_target(f"{file}:{answer.then.rpartition(':')[2]}")
    sys.modules.pop(file.stem)
    features = target.resolved().features
    assert features is not None
    assert features & {*KERNELS["flash"][0], *KERNELS["model"][0], *KERNELS["varlen"][0]} == KERNELS[name][0]
    assert "..." not in answer.source
    for given in ({}, *KERNELS[name][1]):
        assert right(target, given), given
    if "lse" in features:
        assert try_case(CHECKS["lse_matches_reference"], Runner(target), Case(5, 1), Probe).failure is None


def right(target: Target, given: dict[str, Any]) -> bool:
    case = Case(7, 2, head_dim=4, batch=2, heads=3, family="normal").replace(**given)
    return try_case(CHECKS["matches_reference"], Runner(target), case, Probe).failure is None
