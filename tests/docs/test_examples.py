"""The Python examples of the pages do what they show. Those of two pages have tests of their own, see `ELSEWHERE`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from trueband.templates import text_of

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = {
    "docs/recordings.md": "tests/golden/recordings/test_page.py",
    "docs/gpu.md": "tests/properties/gpu/test_sanitize_command.py",
}
PAGES = [
    name
    for name in ("README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md")))
    if name not in ELSEWHERE
]
SHORT = ("--cases", "20")


class Block(NamedTuple):
    """A block of code of a page, and its number among those of its language."""

    page: str
    number: int
    text: str


def blocks(text: str, language: str, page: str = "") -> list[Block]:
    """In their order."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(page, number, block) for number, block in enumerate(found)]


def of_pages(language: str) -> dict[str, Block]:
    """Of all pages, by page and number: "README.md 0"."""
    texts = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
    found = [block for page, text in texts.items() for block in blocks(text, language, page)]
    return {f"{block.page} {block.number}": block for block in found}


PYTHON = of_pages("python")
# Those that are no scripts: kernels, targets and tests, each with a test below.
KERNEL, SAME_KERNEL = "README.md 0", "docs/kernels.md 0"
TARGET, NUMPY_TARGET, TRITON_TARGET, MODELS = (f"docs/kernels.md {number}" for number in (1, 2, 3, 4))
SUITE, CALL = "docs/fronts.md 0", "docs/fronts.md 1"
EMULATOR, ONNX, RANKS = "docs/emulator.md 0", "docs/library.md 5", "docs/ranks.md 0"
NO_SCRIPTS = (KERNEL, SAME_KERNEL, TARGET, NUMPY_TARGET, TRITON_TARGET, MODELS, SUITE, CALL, EMULATOR, ONNX, RANKS)
NUMBER = r"-?\d+(\.\d+)?(e[-+]?\d+)?"


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def promised(script: str) -> str:
    """A pattern of what the comments behind `print(...)`, or "# prints: ..." below, say that a script prints.

    A number stands for any number, except where the comment has nothing else to say: machines differ in last bits.
    "..." stands for anything.
    """
    lines = re.findall(r"^\s*print\(.*\) +# (.+)$|^# (?:prints: )?(.+)$", script, re.MULTILINE)
    return "\n".join(_pattern("".join(line)) for line in lines)


def _pattern(line: str) -> str:
    line = line.removeprefix("some ").replace("...", "\0")
    parts = re.split(r"(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)", line)
    return (
        "".join(NUMBER if place % 2 else re.escape(part) for place, part in enumerate(parts))
        .replace("\\\0", ".*")
        .replace("\0", ".*")
    )


def run_script(text: str, folder: Path) -> str:
    """What is wrong with a script of a page; empty for nothing."""
    done = run(folder, "-W", "error", "-c", text)
    if done.returncode:
        return done.stderr
    pattern = promised(text)
    if pattern and not re.fullmatch(pattern, done.stdout.strip()):
        return f"expected {pattern}, got {done.stdout}"
    return ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the kernel of README in my_kernel.py."""
    (tmp_path / "my_kernel.py").write_text(PYTHON[KERNEL].text, encoding="utf-8")
    return tmp_path


@pytest.mark.evidence
@pytest.mark.parametrize("name", [name for name in PYTHON if name not in NO_SCRIPTS])
def test_scripts(name: str, folder: Path) -> None:
    assert run_script(PYTHON[name].text, folder) == ""


def test_a_model_becomes_an_onnx_graph(folder: Path) -> None:
    """Torch's exporter warns of itself."""
    done = run(folder, "-c", PYTHON[ONNX].text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "(3, 200, 90)"


@pytest.mark.parametrize(
    ("script", "wrong"),
    [
        ("import trueband.absent", "ModuleNotFoundError"),
        ("print(1 + 1)  # three", "expected three, got 2"),
        ("print('a', 1)  # a", "got a 1"),
        ("print('a')\n# prints: b: line ... of it", "got a"),
        ("import warnings\nwarnings.warn('old', DeprecationWarning)", "DeprecationWarning: old"),
    ],
    ids=["raises", "prints another", "prints more", "comment below", "warns"],
)
def test_a_wrong_script_is_seen(script: str, wrong: str, tmp_path: Path) -> None:
    assert wrong in run_script(script, tmp_path)


@pytest.mark.evidence
def test_the_kernel_fails_as_shown(
    folder: Path, trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PYTHON[KERNEL].text == PYTHON[SAME_KERNEL].text
    monkeypatch.chdir(folder)
    done = trueband_here(
        "check", "my_kernel.py:attention", *SHORT, "-k", "mask_decoding or small_world or reachability"
    )
    assert done.returncode == 1
    for page in ("README.md", "docs/kernels.md"):
        (shown,) = [block.text for name, block in of_pages("text").items() if name == f"{page} 0"]
        for failure in re.findall(r"^FAILED.*?reproduce[^\n]*\n", shown, re.DOTALL | re.MULTILINE):
            assert failure in done.stdout


@pytest.mark.evidence
def test_the_mended_kernel_passes(
    folder: Path, trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    mended = PYTHON[KERNEL].text.replace("< max(window, 1)", "<= window")
    assert mended != PYTHON[KERNEL].text
    (folder / "my_kernel.py").write_text(mended, encoding="utf-8")
    monkeypatch.chdir(folder)
    done = trueband_here(
        "check", "my_kernel.py:attention", *SHORT, "-k", "mask_decoding or small_world or reachability"
    )
    assert done.returncode == 0, done.stdout


def test_the_target_declares(folder: Path) -> None:
    script = (
        f"{PYTHON[TARGET].text}\nassert target.limits.fit('head_dim', 60) == 64\nassert target.padding == 'right'\n"
    )
    assert run_script(script, folder) == ""


def test_the_numpy_target_passes(
    folder: Path, trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it fails where its gradient lacks the scale."""
    right, scale = PYTHON[NUMPY_TARGET].text, "grad_s = scale * p"
    assert scale in right
    (folder / "right.py").write_text(right, encoding="utf-8")
    (folder / "wrong.py").write_text(right.replace(scale, "grad_s = p"), encoding="utf-8")
    monkeypatch.chdir(folder)
    for file, code in (("right.py", 0), ("wrong.py", 1)):
        done = trueband_here("check", f"{file}:target", *SHORT, "-k", "matches_reference or gradients_match_reference")
        assert done.returncode == code, done.stdout


@pytest.mark.evidence
def test_the_kernel_on_ranks_passes_and_one_that_takes_itself_for_the_first_does_not(
    folder: Path, trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    right, place = PYTHON[RANKS].text, "(offset + torch.arange"
    assert right.count(place) == 1
    monkeypatch.chdir(folder)
    for source, expected in ((right, 0), (right.replace(place, "(torch.arange"), 1)):
        (folder / "my_ranks.py").write_text(source, encoding="utf-8")
        done = trueband_here("check", "my_ranks.py:target", "--gate", "--cases", "40", "-k", "ranks_agree or late")
        assert done.returncode == expected, done.stdout + done.stderr


@pytest.mark.evidence
def test_the_triton_target_passes(
    folder: Path, trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the kernel of the template under the page's names; and it fails where that sees a key too much."""
    kernel, called = text_of("triton").partition("\n\n\ndef attention(")[0], "kernel(q, k, v, scale, window)"
    assert called in kernel
    mine = kernel.replace(called, "attention(q, k, v, sliding_window, sm_scale)")
    mine = mine.replace(
        "    q, k, v = q.cont", "    window, scale = sliding_window - 1, sm_scale\n    q, k, v = q.cont"
    )
    (folder / "my_target.py").write_text(PYTHON[TRITON_TARGET].text, encoding="utf-8")
    monkeypatch.chdir(folder)
    for source, code in ((mine, 0), (mine.replace("sliding_window - 1", "sliding_window"), 1)):
        (folder / "my_triton.py").write_text(source, encoding="utf-8")
        done = trueband_here(
            "check", "my_target.py:target", "--cases", "10", "-k", "mask_decoding or matches_reference"
        )
        assert done.returncode == code, done.stdout + done.stderr


def test_the_models_pass(folder: Path, trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of transformers."""
    (folder / "my_models.py").write_text(PYTHON[MODELS].text, encoding="utf-8")
    monkeypatch.chdir(folder)
    for dtype, code in (("float32", 0), ("float64", 1)):
        given = ["--model-target", "my_models.py:factory", "--dtype", dtype, "--cases", "2"]
        done = trueband_here("check", *given, "-k", "encoder_layers or embeddings")
        assert done.returncode == code, done.stdout + done.stderr


@pytest.mark.evidence
def test_the_suite_runs_the_checks(folder: Path) -> None:
    (folder / "test_mine.py").write_text(PYTHON[SUITE].text, encoding="utf-8")
    done = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py", "-k", "mask_decoding", "-rfp")
    assert done.returncode == 1, done.stdout
    assert "FAILED test_mine.py::test_attention[my_kernel:attention-mask_decoding-float32]" in done.stdout


@pytest.mark.evidence
def test_the_call_prints_failures(folder: Path) -> None:
    """With fewer cases."""
    call, short = "trueband.check(attention)", "trueband.check(attention, cases=20, select='mask_decoding')"
    assert call in PYTHON[CALL].text
    (folder / "call.py").write_text(PYTHON[CALL].text.replace(call, short), encoding="utf-8")
    done = run(folder, "call.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mask_decoding\nfloat32\n")
    assert "\ntrueband repro " in done.stdout


@pytest.mark.needs_triton("the targets ptx-sm90*")
def test_the_emulator_finds_what_is_shown(tmp_path: Path) -> None:
    (kernel,) = blocks((ROOT / "docs" / "gpu.md").read_text(encoding="utf-8"), "python")
    (tmp_path / "my_triton.py").write_text(kernel.text, encoding="utf-8")
    assert run_script(PYTHON[EMULATOR].text, tmp_path) == ""


def test_files_that_pages_show_are_well_formed() -> None:
    for block in of_pages("json").values():
        assert json.loads(block.text)
    for block in of_pages("toml").values():
        assert tomllib.loads(block.text)
