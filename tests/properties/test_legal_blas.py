"""The legal BLAS itself: torch calls it, its sums are right, and their order depends on what it says, nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"
sys.path.insert(0, str(TOOLS))
from legal_blas import MODES, build, environment  # noqa: E402

# Prints what a process that computes with the library finds: {question: answer}.
PROGRAM = """
import ctypes, json, torch
calls = ctypes.CDLL(None).legal_blas_calls
calls.restype = ctypes.c_ulong
torch.manual_seed(0)

def at(tensor, offset):  # the same numbers, some bytes behind a multiple of 64
    size = tensor.numel() * tensor.element_size()
    raw = torch.empty(size + 128, dtype=torch.uint8)
    start = -raw.data_ptr() % 64 + offset
    return raw[start : start + size].view(tensor.dtype).view(tensor.shape).copy_(tensor)

told = {"called": {}, "worst": 0.0}
for dtype in (torch.float32, torch.float64):
    for b, m, k, n in ((1, 1, 1, 1), (1, 5, 7, 3), (3, 4, 129, 6), (2, 9, 64, 1), (4, 1, 33, 8), (2, 3, 0, 2)):
        x, y, z = (torch.randn(shape, dtype=dtype) for shape in ((b, m, k), (b, k, n), (b, m, n)))
        flat = {
            "bmm": (lambda: x @ y, x.double() @ y.double()),
            "turned": (lambda: x.mT.contiguous().mT @ y.mT.contiguous().mT, x.double() @ y.double()),
            "baddbmm": (
                lambda: torch.baddbmm(z, x, y, beta=-2, alpha=0.5), -2 * z.double() + 0.5 * x.double() @ y.double()
            ),
            "mm": (lambda: x[0] @ y[0], x[0].double() @ y[0].double()),
            "addmm": (lambda: torch.addmm(z[0], x[0], y[0]), z[0].double() + x[0].double() @ y[0].double()),
            "mv": (lambda: x[0] @ y[0, :, 0], x[0].double() @ y[0, :, 0].double()),
            "turned mv": (lambda: y[0].mT @ x[0, 0], y[0].double().mT @ x[0, 0].double()),
            "dot": (lambda: torch.dot(x[0, 0], y[0, :, 0]), torch.dot(x[0, 0].double(), y[0, :, 0].double())),
        }
        size = (x.abs().double() @ y.abs().double() + 2 * z.abs().double()).max().item()
        for name, (product, right) in flat.items():
            before = calls()
            error = (product().double() - right).abs().max().item()
            told["called"][name] = told["called"].get(name, 0) + calls() - before
            unit = torch.finfo(dtype).eps / 2  # of each product, sum, and of alpha and beta
            told["worst"] = max(told["worst"], error / ((k + 4) * unit * size + 5e-324))
x, y, one = torch.randn(16, 129), torch.randn(129, 16), torch.tensor([[1e8, 1.0, -1e8, 0.25]])
first = at(x, 0) @ at(y, 0)
told["the same call"] = torch.equal(first, at(x, 0) @ at(y, 0))
told["other addresses"] = all(torch.equal(first, at(x, i) @ at(y, j)) for i in range(0, 64, 4) for j in (0, 8))
told["other shapes"] = all(torch.equal(first[:rows], at(x[:rows], 0) @ at(y, 0)) for rows in (4, 8, 12))
rows = at(x[:1].expand(8, 129).contiguous(), 0) @ at(y, 0)
told["other places"] = bool((rows == rows[0]).all())
told["nan"] = bool((torch.tensor([[0.0, 1.0]]) @ torch.tensor([[torch.inf], [1.0]])).isnan().all())
print(json.dumps(told))
"""
# What may change the bits in a mode; nothing else may.
DEPENDS = {
    "align": {"other addresses"},
    "shape": {"other shapes"},
    "place": {"other places"},
    "call": {"the same call", "other addresses", "other shapes"},
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("legal_blas"))


@pytest.mark.parametrize("mode", MODES)
def test_its_sums_are_right_and_their_order_depends_on_what_it_says(mode: str, library: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment(library, mode), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert min(told["called"].values()) > 0, told["called"]
    assert told["worst"] <= 1
    assert told["nan"]
    questions = ("the same call", "other addresses", "other shapes", "other places")
    assert {name for name in questions if not told[name]} == DEPENDS[mode]


@pytest.mark.parametrize("value", ["", "aligned"])
def test_a_run_that_would_test_nothing_ends_at_once(value: str, library: Path) -> None:
    done = subprocess.run(["true"], env=environment(library, value), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "LEGAL_BLAS: expected align, shape, place or call, got" in done.stderr
