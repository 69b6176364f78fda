"""Wrong arguments of a rank, and arguments that differ from rank to rank, are told before ranks wait for each other."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from trueband.optimized.parallel import band_attention

QUERY = torch.zeros(2, 2, 4, 8)
WHOLE = torch.ones(2, 8, dtype=torch.bool)


@pytest.fixture(scope="module", autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    store = tmp_path_factory.mktemp("store") / "store"
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"attention_mask": WHOLE}, "attention_mask: expected shape (batch, tokens) = (2, 4), got (2, 8)"),
        ({"attention_mask": WHOLE[0, :4]}, "attention_mask: expected shape (batch, tokens) = (2, 4), got (4,)"),
        (
            {"global_attention_mask": WHOLE[:1, :4]},
            "global_attention_mask: expected shape (batch, tokens) = (2, 4), got",
        ),
        ({"segments": WHOLE.long()}, "segments: expected shape"),
        ({"key": QUERY[:, :, :3]}, "key: expected shape (2, key heads, 4, 8), got (2, 2, 3, 8)"),
        ({"key": torch.zeros(2, 3, 4, 8)}, "key: expected a number of heads that divides the 2 of query, got 3"),
        ({"value": QUERY[:, :, :3]}, "value: expected the batch, heads and tokens of key (2, 2, 4, value_dim), got"),
        ({"key_global": QUERY[:, :, :3]}, "key_global: expected the shape of key (2, 2, 4, 8), got (2, 2, 3, 8)"),
        ({"head_mask": torch.ones(3)}, "head_mask: expected"),
        ({"query": QUERY[0]}, "query: expected shape (batch, heads, tokens of this rank, head_dim), got (2, 4, 8)"),
        ({"group": "world"}, "group: expected a process group, a DeviceMesh of one dimension or None, got 'world'"),
    ],
)
def test_what_is_not_of_this_rank_is_refused(changed: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {"query": QUERY, "key": QUERY, "value": QUERY, "window": 1, **changed}
    with pytest.raises((ValueError, TypeError), match=re.escape(told)):
        band_attention(**given)


def test_a_rank_may_have_no_token() -> None:
    nothing = QUERY[:, :, :0]
    output = band_attention(nothing, nothing, nothing, window=1, attention_mask=WHOLE[:, :0], key_global=nothing)
    assert isinstance(output, torch.Tensor)
    assert output.shape == (2, 2, 0, 8)


TWO = """
import sys, torch, torch.distributed as dist
from trueband.optimized.parallel import band_attention
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
x = torch.zeros(1, 1, 4, 2)
try:
    band_attention(x, x, x, window=1 + rank)
except ValueError as error:
    print(error)
"""


@pytest.mark.evidence
def test_what_differs_from_rank_to_rank_is_told_on_both(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWO]
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    told = [rank.communicate(timeout=120)[0] for rank in ranks]
    assert told == [f"window: expected the same on every rank, got {n} here and another elsewhere\n" for n in (1, 2)]
