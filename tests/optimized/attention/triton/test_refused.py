"""What `impl="triton"` asks for, told before any work is done; and what "auto" takes instead. No kernel runs here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from trueband.optimized import band_attention

CALL = """
import torch
from trueband.optimized import band_attention
x = torch.randn(1, 1, 5, 4)
assert torch.equal(band_attention(x, x, x, window=1), band_attention(x, x, x, window=1, impl="chunked"))
try:
    band_attention(x, x, x, window=1, impl="triton")
except ValueError as error:
    print(error)
"""
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "triton":
            raise ModuleNotFoundError("triton is not installed here", name=name)
sys.meta_path.insert(0, Blocked())
"""


@pytest.mark.evidence
def test_without_triton(compiling: Callable[..., str]) -> None:
    told = compiling(BLOCKED + CALL)
    assert told.startswith("impl: expected an implementation that is available, ('auto', 'chunked'), got 'triton'")
    assert "pip install 'trueband[triton]'" in told


@pytest.mark.evidence
def test_on_the_cpu(compiling: Callable[..., str]) -> None:
    told = compiling(CALL)
    assert told.startswith("query: expected a CUDA device for impl='triton'")
    assert told.strip().endswith("got cpu")


@pytest.mark.evidence
def test_an_environment_that_changes_too_late_is_seen_through(compiling: Callable[..., str]) -> None:
    late = 'import os, triton\nos.environ["TRITON_INTERPRET"] = "1"\n'
    assert compiling(late + CALL).startswith("query: expected a CUDA device for impl='triton'")


def test_importing_the_package_does_not_import_triton(compiling: Callable[..., str]) -> None:
    assert compiling("import sys, trueband.optimized\nprint('triton' in sys.modules)") == "False\n"


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "float64": ({"dtype": torch.float64}, {}, "query: expected dtype float32, bfloat16 or float16 for impl='triton'"),
    "wide head": ({"size": (1, 1, 3, 129)}, {}, "query: expected head_dim <= 128 for impl='triton', got 129"),
    "dropout": ({}, {"dropout_p": 0.5}, "dropout_p: expected 0 for impl='triton', which has no dropout, got 0.5"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_the_kernels_do_not_do(name: str) -> None:
    shape, options, message = WRONG[name]
    x = torch.empty(**{"size": (1, 1, 3, 4), "device": "meta", **shape})
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        band_attention(x, x, x, window=1, impl="triton", **options)
    assert band_attention(x, x, x, window=1, **options).shape == x.shape


SPANS: dict[str, tuple[dict[str, Any], str]] = {
    "float64": ({"query": (3, torch.float64)}, "query: expected dtype float32, bfloat16 or float16 for impl='triton'"),
    "wide values": ({"value": 129}, "value: expected value_dim <= 128 for impl='triton', got 129"),
    "dropout": ({"dropout_p": 0.5}, "dropout_p: expected 0 for impl='triton', which has no dropout, got 0.5"),
    "dilation": (
        {"dilation": [1, 2]},
        r"dilation: expected 1 for impl='triton' with .* second edition added, got \[1, 2\]",
    ),
    "globals": (
        {"global_attention_mask": torch.ones(1, 5, dtype=torch.bool)},
        "global_attention_mask: expected None for impl='triton' with what the second edition added, got a tensor",
    ),
}


@pytest.mark.parametrize("name", SPANS)
def test_what_the_kernels_of_spans_do_not_do(name: str) -> None:
    """Where the place would do, as it does for meta tensors; chunked takes it."""
    options, message = dict(SPANS[name][0]), SPANS[name][1]
    _, dtype = options.pop("query", (0, torch.float32))
    channels = options.pop("value", 4)
    query, key = (torch.empty(1, heads, tokens, 4, dtype=dtype, device="meta") for heads, tokens in ((2, 3), (1, 5)))
    value = torch.empty(1, 1, 5, channels, dtype=dtype, device="meta")
    if "global_attention_mask" in options:
        options["global_attention_mask"] = options["global_attention_mask"].to("meta")
    with pytest.raises(ValueError, match=message):
        band_attention(query, key, value, window=(2, 0), impl="triton", **options)
    assert band_attention(query, key, value, window=(2, 0), **options).shape == (1, 2, 3, channels)


def test_what_nothing_takes_is_told_first() -> None:
    """Arguments that are not defined together, before what the kernels do not do."""
    x, flags = torch.zeros(1, 2, 5, 4), torch.ones(1, 5, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"causal: expected False with global tokens .*, got True"):
        band_attention(x, x, x, window=(1, 1), global_attention_mask=flags, causal=True, impl="triton")
    with pytest.raises(ValueError, match="sinks: expected None with global tokens"):
        band_attention(x, x, x, window=1, global_attention_mask=flags, sinks=torch.zeros(2), impl="triton")
    with pytest.raises(ValueError, match="impl='triton'"):  # no token is flagged
        band_attention(x, x, x, window=(1, 1), global_attention_mask=~flags, causal=True, impl="triton")


def test_shapes_of_spans_without_a_device() -> None:
    query, key = torch.empty(2, 4, 3, 8, device="meta", requires_grad=True), torch.empty(2, 2, 7, 8, device="meta")
    output, lse = band_attention(query, key, key, window=(None, 0), offset=4, return_lse=True, impl="triton")
    assert (output.shape, output.stride()) == ((2, 4, 3, 8), (96, 8, 32, 1))
    assert (lse.shape, lse.dtype) == ((2, 4, 3), torch.float32)
    assert torch.autograd.grad(output.sum() + lse.sum(), query)[0].shape == query.shape


def test_shapes_without_a_device() -> None:
    x = torch.empty(2, 3, 7, 4, device="meta", dtype=torch.bfloat16, requires_grad=True)
    mask = torch.empty(2, 7, device="meta", dtype=torch.bool)
    output = band_attention(x, x, x, window=1, global_attention_mask=mask, impl="triton")
    assert (output.shape, output.dtype, output.stride()) == (x.shape, x.dtype, (84, 4, 12, 1))
    assert torch.autograd.grad(output.sum(), x)[0].shape == x.shape


@pytest.mark.evidence
def test_the_gate_on_a_device_that_is_not_there() -> None:
    command = [sys.executable, "-m", "trueband", "check", "triton", "--device", "cuda:99"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "device: expected one that torch can use, got 'cuda:99'" in done.stderr
