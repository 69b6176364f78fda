"""The legal BLAS itself: torch calls it, its sums are right, and their order depends on what it says, nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.evidence

TOOLS = Path(__file__).resolve().parents[3] / "tools"
sys.path.insert(0, str(TOOLS))
from legal_blas import MODES, SOURCE, NoCompiler, build, called, environment  # noqa: E402

# What makes other bits in a mode; see legal_blas_products.py. Nothing else may.
MOVES = {"align": {"address"}, "shape": {"shape"}, "place": {"place"}, "call": {"again", "line", "address", "shape"}}
NOT_OF_DOT = {"shape", "place"}  # one sum has neither
# Libraries that are not right: what stands in the source, and what is put in its place.
WRONG = {
    "reads what beta 0 forbids": ("beta == 0 ? alpha * sum :", "0 ? alpha * sum :"),
    "reads what alpha 0 forbids": ("alpha == 0 ? 0 : k, order", "k, order"),
    "drops the last product": ("for (long p = k - 1; p >= 0; p--)", "for (long p = k - 2; p >= 0; p--)"),
    "skips products with 0": (
        "lanes[p % 2] += a[p * step_a] * b[p * step_b]",
        "lanes[p % 2] += a[p * step_a] ? a[p * step_a] * b[p * step_b] : 0",
    ),
    "never turns the second of a batch": ("turn_b = op_b[g] != NO_TRANS", "turn_b = 0"),
    "begins backwards at the front": ("*step_x < 0 ? x - (k - 1) * (long)*step_x : x", "x"),
    "adds in single precision": ("PRECISION(double, d)", "#define double float\nPRECISION(double, d)\n#undef double"),
    "clears y for no products": ("if (k == 0) return;", ""),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("legal_blas"))


def products(library: Path, mode: str) -> dict[str, Any]:
    command = [sys.executable, str(TOOLS / "legal_blas_products.py")]
    done = subprocess.run(command, env=environment(library, mode), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("mode", MODES)
def test_torch_calls_it_and_its_sums_are_right_in_an_order_that_depends_on_what_it_says(
    mode: str, library: Path
) -> None:
    assert called(library, mode) == 0
    told = products(library, mode)
    assert called(library, mode) == 1
    for dtype in ("float32", "float64"):
        for name in ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot"):
            assert told["calls"][f"{name} {dtype}"] >= 32, told["calls"]
    assert told["judged"] > 1000
    assert told["wrong"] == []
    assert {name: set(moved) for name, moved in told["moves"].items()} == {
        f"{name} {dtype}": MOVES[mode] - (NOT_OF_DOT if name == "dot" else set())
        for dtype in ("float32", "float64")
        for name in ("mm", "bmm", "mv", "dot")
    }


@pytest.mark.parametrize("fault", WRONG)
def test_a_library_that_is_not_right_is_found_out(fault: str, tmp_path: Path) -> None:
    source, (there, instead) = SOURCE.read_text(encoding="utf-8"), WRONG[fault]
    assert there in source
    wrong = tmp_path / "wrong.c"
    wrong.write_text(source.replace(there, instead), encoding="utf-8")
    assert products(build(tmp_path, wrong), "call")["wrong"]


@pytest.mark.parametrize("given", [{"LEGAL_BLAS": ""}, {"LEGAL_BLAS": "aligned"}, {}])
def test_a_run_that_would_test_nothing_ends_at_once(given: Mapping[str, str], library: Path) -> None:
    variables = {"LD_PRELOAD": str(library), **given}
    done = subprocess.run(["/bin/true"], env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    told = given.get("LEGAL_BLAS", "nothing")
    assert done.stderr == f"LEGAL_BLAS: expected align, shape, place or call, got {told}\n"


def test_a_compiler_that_is_missing_or_refuses_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "no.c").write_text("int f(void) { return 1 }\n", encoding="utf-8")
    with pytest.raises(NoCompiler, match=r"^legal_blas: expected \S+ to build no\.c, got: .*error") as refused:
        build(tmp_path, tmp_path / "no.c")
    assert "\n" not in str(refused.value)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCompiler, match=r"^legal_blas: expected a C compiler \(cc, gcc, clang, or CC\), got none$"):
        build(tmp_path)
