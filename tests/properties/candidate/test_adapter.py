"""A kernel with other names for its arguments is answered with an adapter that works when it is pasted."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trueband.properties.candidate.adapter import Adapter, adapter, check_signature, signature_of
from trueband.properties.candidate.probe import Probe
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.synonyms import FILLINGS, layout_in
from trueband.properties.candidate.target import Target, TargetError, load_target
from trueband.properties.cases.case import Case
from trueband.properties.checks import CHECKS
from trueband.properties.running.search import try_case

DENSE = """
import math
import torch

def dense(query, key, value, window, real=None, causal=False, scale=None):
    tokens = query.shape[2]
    p = torch.arange(tokens)
    seen = (p[:, None] - p).abs() <= window
    if causal:
        seen &= p[:, None] >= p
    seen = seen.expand(query.shape[0], tokens, tokens)
    if real is not None:
        seen = seen & real[:, None, :] & real[:, :, None]
        query, key, value = (x.masked_fill(~real[:, None, :, None], 0) for x in (query, key, value))
    scores = query @ key.mT * (scale if scale is not None else 1 / math.sqrt(query.shape[3]))
    scores = scores.masked_fill(~seen[:, None], -math.inf)
    weights = (scores - scores.amax(-1, keepdim=True).clamp_min(-1e30)).exp()
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-30) @ value

def turned(q, k, v, *rest):
    return dense(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), *rest).transpose(1, 2)
"""
# name: (a right kernel of another signature, features that its adapter must claim)
KERNELS = {
    "short": ("def short(q, k, v, window_size):\n    return dense(q, k, v, window_size)", set()),
    "pair": (
        "def pair(q, k, v, softmax_scale=None, causal=False, window_size=(-1, -1)):\n"
        '    """q, k, v: (batch_size, seqlen, nheads, headdim)."""\n'
        "    return turned(q, k, v, window_size[0], None, causal, softmax_scale)",
        {"causal", "scale"},
    ),
    "padded": (
        "def padded(Q, K, V, w, key_padding_mask, is_causal, sm_scale, num_heads):\n"
        "    assert num_heads == Q.shape[1] and isinstance(sm_scale, float)\n"
        "    return dense(Q, K, V, w, None if key_padding_mask is None else ~key_padding_mask, is_causal, sm_scale)",
        {"padding", "causal", "scale"},
    ),
    "by_place": ("def by_place(x, y, z, r, /):\n    return dense(x, y, z, r)", set()),
    "shown_by_the_source": (
        "def shown_by_the_source(query, key, value, sliding_window, mask=None):\n    b, t, h, d = query.shape\n"
        "    return turned(query, key, value, sliding_window - 1, mask)",
        {"padding"},
    ),
    "both_sides": (
        "def both_sides(queries, keys, values, attention_window, attn_mask=None, dropout_p=0.1):\n"
        "    real = None if attn_mask is None else attn_mask[:, 0, 0]\n"
        "    return dense(queries, keys, values, attention_window // 2, real)",
        {"padding"},
    ),
    "lengths_alone": (
        "def lengths_alone(q, k, v, lengths, window_size, block_size):\n    # [b, h, t, d]\n"
        "    real = None if lengths is None else torch.arange(q.shape[2]) < lengths[:, None]\n"
        "    return dense(q, k, v, window_size, real)",
        {"padding"},
    ),
    "module": (
        "class Module(torch.nn.Module):\n    def forward(self, q, k, v, window_size):\n"
        "        return dense(q, k, v, window_size)\n\nmodule = Module()",
        set(),
    ),
    "packed": (
        'def packed(qkv, window_size):\n    """(b, n, 3, h, d)"""\n    # b n h d\n'
        "    return turned(*qkv.unbind(2), window_size)",
        set(),
    ),
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of all kernels, under a name that no other test imports."""
    path = tmp_path / f"kernels_{tmp_path.name.replace('-', '_')}.py"
    path.write_text(DENSE + "\n\n".join(source for source, _ in KERNELS.values()) + "\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield path
    for name in (path.stem, f"beside_{path.stem}"):
        sys.modules.pop(name, None)


def made(file: Path, name: str) -> Adapter:
    target = load_target(f"{file}:{name}")
    signature = signature_of(target)
    assert signature is not None
    return adapter(target, signature, f"{file}:{name}")


def passes(target: Target) -> bool:
    """Whether it gives the reference's numbers where heads, tokens, window and scale all matter."""
    more: dict[str, Any] = {"causal": True} if "causal" in target.resolved().features else {}  # type: ignore[operator]
    more |= {"scale": 0.5} if "scale" in target.resolved().features else {}  # type: ignore[operator]
    masked = ((6,), (4, 5, 6)) if target.padding == "right" else ((1, 6), (0,))
    more |= {"masked": masked} if "padding" in target.resolved().features else {}  # type: ignore[operator]
    case = Case(7, 2, head_dim=4, batch=2, heads=3, family="normal")
    found = [
        try_case(CHECKS["matches_reference"], Runner(target), each, Probe) for each in (case, case.replace(**more))
    ]
    return all(one.failure is None for one in found)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("place", ["below", "beside"])
def test_the_adapter_works_where_it_is_pasted(file: Path, name: str, place: str) -> None:
    answer = made(file, name)
    checked = answer.then.rpartition(":")[2]
    pasted = file if place == "below" else file.with_name(f"beside_{file.name}")
    sys.modules.pop(file.stem, None)
    pasted.write_text((file.read_text() if place == "below" else "") + "\n\n" + answer.source, encoding="utf-8")
    importlib.invalidate_caches()
    target = load_target(f"{pasted}:{checked}")
    assert check_signature(target, "") is None  # type: ignore[func-returns-value]
    features = target.resolved().features
    assert features is not None
    assert features & {"padding", "causal", "scale", "globals", "dilation"} == KERNELS[name][1]
    assert passes(target)


def test_a_wrong_guess_is_not_passed_off_as_right(file: Path) -> None:
    """The named wrong adapter: one that hands a one-sided window to a kernel that counts both sides."""
    wrong = made(file, "both_sides").source.replace("2 * window", "window")
    file.write_text(f"{file.read_text()}\n\n{wrong}", encoding="utf-8")
    sys.modules.pop(file.stem, None)
    assert not passes(load_target(f"{file}:both_sides_adapter"))


def test_what_is_not_certain_has_a_comment(file: Path) -> None:
    lines = made(file, "padded").source.splitlines()
    (window,) = (line for line in lines if line.strip().startswith("w="))
    (mask,) = (line for line in lines if line.strip().startswith("key_padding_mask="))
    (scale,) = (line for line in lines if line.strip().startswith("sm_scale="))
    assert "# one-sided here, |i - j| <= window: change it if w counts otherwise" in window
    assert "~attention_mask,  # (b, n), True for a padded token" in mask
    assert "#" not in scale
    assert 'trueband.Target(padded_adapter, layout="bnhd")' in "\n".join(lines)  # nothing tells its layout


def test_an_argument_that_nobody_knows_is_left_to_fill_in(file: Path) -> None:
    file.write_text("def strange(q, k, v, window, zeta): return q\n", encoding="utf-8")
    assert "zeta=...,  # trueband does not know what zeta is: fill it in" in made(file, "strange").source


def test_a_library_that_a_file_of_its_own_would_not_show_is_declared(file: Path) -> None:
    file.write_text("import numpy\ndef right(q, k, v, window_size): return q\n", encoding="utf-8")
    assert 'right_target = trueband.Target(right_adapter, library="numpy")' in made(file, "right").source


def test_an_optional_argument_of_another_meaning_is_no_window(file: Path) -> None:
    file.write_text("def full(q, k, v, attn_bias=None): return q\n", encoding="utf-8")
    source = made(file, "full").source
    assert "attn_bias" not in source
    assert "# full takes no window" in source


def test_declared_features_are_asked_for(file: Path) -> None:
    def kernel(query, key, value, *, window):  # type: ignore[no-untyped-def]
        return query

    check_signature(Target(kernel, features=frozenset({"backward"})), "k.py:kernel")
    with pytest.raises(TargetError, match="unexpected") as caught:
        check_signature(Target(kernel, features=frozenset({"padding"})), "k.py:kernel")
    assert "give it to the trueband.Target in place of kernel" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "layout"),
    [
        ("q: (batch_size, seqlen, nheads, headdim)", "bnhd"),
        ("Tensor of shape [B, H, T, D]", "bhnd"),
        ('Float[Tensor, "b n h d"]', "bnhd"),
        ("bqhd,bkhd->bhqk", "bnhd"),
        ("layout is BHSD", "bhnd"),
        ("takes a band of keys", ""),
    ],
)
def test_layouts_are_read_off_words(words: str, layout: str) -> None:
    assert layout_in(words) == layout


def test_every_argument_of_the_contract_is_its_own_synonym() -> None:
    contract = inspect.signature(importlib.import_module("trueband.reference.attention").band_attention).parameters
    known = {name for name in contract if name in FILLINGS and FILLINGS[name].argument == name}
    assert set(contract) - known <= {"dropout_p", "generator"}


@pytest.mark.evidence
def test_the_command_answers_once_and_its_adapter_passes(file: Path) -> None:
    command = [sys.executable, "-m", "trueband", "check"]
    done = subprocess.run([*command, f"{file}:short"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("trueband: error: target: expected a function of query, key, value, *, window, got ")
    answer = done.stderr.partition(":\n\n")[2]
    file.write_text(f"{file.read_text()}\n\n{answer}", encoding="utf-8")
    again = [*command, f"{file}:short_adapter", "-k", "mask_decoding or single_token", "--cases", "20"]
    done = subprocess.run(again, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
