"""`trueband compile`, as a user runs it: real compilers, no GPU."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from trueband.properties.gpu.triton_version import COMPILE, installed, numbers

pytestmark = pytest.mark.needs_triton(COMPILE)
KERNELS = str(Path(__file__).with_name("compiled.py"))


class Done:
    """A run: its exit code, what it printed, and its JSON lines."""

    def __init__(self, ran: subprocess.CompletedProcess[str], path: Path) -> None:
        self.code, self.words = ran.returncode, ran.stdout + ran.stderr
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        self.head: dict[str, Any] = {}
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
        if self.lines:
            self.head = self.lines.pop(0)

    @property
    def refused(self) -> list[dict[str, str]]:
        """{gate: message} of each kernel."""
        return [line["refused"] for line in self.lines[:-1]]


Command = Callable[..., Done]


@pytest.fixture
def command(tmp_path: Path, trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # of a user who sanitizes, too; it changes nothing

    def run(*arguments: str) -> Done:
        return Done(trueband_here("compile", *arguments, "--json", "judged.jsonl"), tmp_path / "judged.jsonl")

    return run


@pytest.fixture
def run(command: Command) -> Command:
    """Compiles a function of compiled.py for some GPUs."""
    return lambda function, *gpus: command(f"{KERNELS}:{function}", *(word for gpu in gpus for word in ("--gpu", gpu)))


def test_right_kernels_for_three_gpus(run: Command) -> None:
    done = run("right")
    assert done.code == 0, done.words
    assert "all 12 kernels pass 7 gates, compiled for sm_80, sm_90, gfx942; nothing ran on a GPU" in done.words
    by_gpu = {gpu: [line for line in done.lines[:-1] if line["target"] == gpu] for gpu in ("sm_80", "sm_90", "gfx942")}
    for gpu, name in (("sm_80", "mma.sync"), ("sm_90", "wgmma.mma_async"), ("gfx942", "v_mfma")):
        bfloat16, float16, tf32, float32 = by_gpu[gpu]
        for line in (bfloat16, float16, tf32):
            assert [product.startswith(name) for product in line["products"]] == [True], line
        assert (bfloat16["dots"], float16["dots"], tf32["dots"], float32["dots"]) == (
            ["bf16"],
            ["f16"],
            ["f32 cut"],
            ["f32"],
        )
        assert all(line["registers"] > 0 and line["warps"] == 4 for line in by_gpu[gpu])
        assert (gpu == "gfx942") == bool(float32["products"])  # which has instructions for float32 itself


def test_spills_are_refused(run: Command) -> None:
    done = run("spills", "sm_80", "sm_90", "sm_80")
    assert done.code == 1
    for line in done.lines[:-1]:
        assert line["spilled"] > 0
        assert set(line["refused"]) == {"spills"}
    assert "REFUSED product[*fp32%16, *fp32%16, *fp32%16, M=128, N=128, K=64, PRECISION=ieee] [sm_80]" in done.words
    assert done.lines[-1] == {"record": "end", "kernels": 2, "refused": 2, "crash": ""}
    assert (done.head["record"], done.head["machine"]["triton"]) == ("run", version("triton"))  # of what compiled


def test_too_much_shared_memory_is_refused(run: Command) -> None:
    """It compiles; a GPU would not launch it."""
    done = run("too_much_shared", "sm_80", "sm_90")
    assert done.code == 1
    limits = [("sm_80", 166912), ("sm_90", 232448)]
    assert [(line["target"], line["refused"]["shared_memory"]) for line in done.lines[:-1]] == [
        (gpu, f"expected at most {limit} bytes of shared memory, got 262144") for gpu, limit in limits
    ]


def test_products_without_tensor_cores_are_refused(run: Command) -> None:
    done = run("too_small_for_tensor_cores", "gfx942")
    assert done.code == 1
    told = "expected instructions of tensor cores for products of bf16, got none"
    assert done.refused == [{"tensor_cores": told}]


def test_a_kernel_without_products_is_refused_where_they_are_required(run: Command) -> None:
    done = run("products_wanted", "sm_80")
    assert done.code == 1
    assert done.refused == [{"tensor_cores": "expected products of matrices (tl.dot), got none"}]


def test_what_does_not_compile_is_refused(run: Command) -> None:
    done = run("does_not_compile", "sm_80")
    assert done.code == 1
    broken, fine = done.refused
    assert fine == {}
    assert broken["compiles"].endswith("arange's range must be a power of 2")


def test_autotuned_kernels_in_every_configuration(run: Command) -> None:
    done = run("autotuned", "sm_90")
    assert done.code == 0, done.words
    sizes = [(line["kernel"].partition("BLOCK=")[2], line["warps"]) for line in done.lines[:-1]]
    assert sorted(set(sizes)) == [("32]", 4), ("64]", 8)]


@pytest.mark.evidence
@pytest.mark.parametrize(
    ("function", "code", "told"),
    [
        ("raises", 3, "OverflowError: on purpose"),
        ("raises", 3, "the first 1 kernels pass"),
        ("yields", 0, "all 2 kernels pass"),
        ("nothing", 5, "nothing was compiled"),
        ("multiply", 2, "dtype"),
    ],
)
def test_exit_codes(run: Command, function: str, code: int, told: str) -> None:
    done = run(function, "sm_80")
    assert done.code == code, done.words
    assert told in done.words


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("kernels",), "target: expected module:function, file.py:function or triton, got 'kernels'"),
        (("triton", "--gpu", "sm_70"), "gpu: expected some of sm_80, sm_86, sm_89, sm_90, gfx90a, gfx942, got 'sm_70'"),
        ((f"{KERNELS}:right", "--tier", "nightly"), "--tier: expected none with a target of your own"),
        ((f"{KERNELS}:right", "--jobs", "2"), "--jobs: expected none with a target of your own"),
        ((f"{KERNELS}:right", "--time-limit", "-1"), "time_limit: expected more than 0 seconds, got -1"),
    ],
)
def test_usage(command: Command, arguments: tuple[str, ...], told: str) -> None:
    done = command(*arguments)
    assert done.code == 2, done.words
    assert done.words == f"trueband: error: {told}\n"


# What triton before 3.7 has no registers for: 16 bytes of each thread. The tiles were chosen with a newer one.
SPILLED = {"sm_80": {"band_backward_key-bfloat16-d64-causal"}}


@pytest.mark.evidence
@pytest.mark.parametrize("gpu", ["sm_80", "sm_90", "gfx942"])
def test_the_package_itself(command: Command, gpu: str) -> None:
    """The shipped tiles for bfloat16 and heads 64 wide; `--tier nightly` has all of them."""
    done = command("--gpu", gpu, "--jobs", "2")
    spilled = SPILLED.get(gpu, set()) if numbers(installed() or "") < (3, 7) else set()
    refused = {line["kernel"]: list(line["refused"]) for line in done.lines[:-1] if line["refused"]}
    assert refused == {name: ["spills"] for name in spilled}, done.words
    assert done.code == bool(spilled)
    names = [line["kernel"] for line in done.lines[:-1]]
    assert len(names) == len(set(names))
    kernels = {line["kernel"].partition("-")[0] for line in done.lines[:-1]}
    assert kernels == {
        "add_parts",
        "band_backward_key",
        "band_backward_query",
        "band_forward",
        "global_keys_backward",
        "global_rows_backward_key",
        "global_rows_backward_query",
        "global_rows_forward",
        "global_rows_join",
        "span_backward_key",
        "span_backward_query",
        "span_forward",
    }
    with_products = {line["kernel"].partition("-")[0] for line in done.lines[:-1] if line["products"]}
    assert with_products == kernels - {"add_parts", "global_rows_join"}
