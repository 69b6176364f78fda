"""`trueband new-target`: what it writes passes as it stands, and is rejected where its kernel is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueband.templates import FOR_WHOM, text_of

# name: (a line of the stand-in, the same with a fault)
FAULTS = {
    "flash": ("(ahead >= -left if left >= 0 else True)", "(ahead > -left if left > 0 else True)"),
    "hf": ("x.repeat_interleave(module.num_key_value_groups, 1)", "x.repeat(1, module.num_key_value_groups, 1, 1)"),
    "jax": ("(ahead >= -left)", "(ahead > -left)"),
    "onnxruntime": ("(behind < local_window_size)", "(behind <= local_window_size)"),
    "packed": ("(sequence == sequence[:, None])", "(sequence <= sequence[:, None])"),
    "triton": ("head // group * tokens", "head % (tl.num_programs(1) // group) * tokens"),
}
ASKED = "matches_reference or mask_decoding or key_heads_serve_groups"


@pytest.mark.evidence
@pytest.mark.parametrize("name", FOR_WHOM)
def test_a_template_passes_and_one_with_a_fault_does_not(
    name: str, tmp_path: Path, trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = FAULTS[name]
    assert right in text_of(name)
    monkeypatch.chdir(tmp_path)
    assert trueband_here("new-target", name, "-o", "mine.py").returncode == 0
    (tmp_path / "faulty.py").write_text(text_of(name).replace(right, wrong), encoding="utf-8")
    for file, code in (("mine.py", 0), ("faulty.py", 1)):
        done = trueband_here("check", f"{file}:target", "--cases", 10, "-k", ASKED)
        assert done.returncode == code, done.stdout + done.stderr


@pytest.mark.parametrize("name", FOR_WHOM)
def test_what_is_to_be_written_is_short(name: str) -> None:
    """The lines between the signature of `attention` and `target`, which a kernel with other arguments changes."""
    body = text_of(name).partition("\ndef attention(")[2].partition("\n\n\ntarget = ")[0]
    assert 1 <= len(body.splitlines()) <= 20


def test_a_template_goes_to_stdout(trueband_here: Callable[..., Any]) -> None:
    done = trueband_here("new-target", "flash")
    assert (done.returncode, done.stdout, done.stderr) == (0, text_of("flash"), "")


def test_a_file_that_is_there_stays(tmp_path: Path, trueband_here: Callable[..., Any]) -> None:
    file = tmp_path / "mine.py"
    file.write_text("mine", encoding="utf-8")
    done = trueband_here("new-target", "hf", "-o", file)
    assert done.returncode == 2
    assert done.stderr == f"trueband: error: --output: expected a new file, got {file}, which exists\n"
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_name_that_is_none_is_wrong_usage(trueband_here: Callable[..., Any]) -> None:
    assert trueband_here("new-target", "cutlass").returncode == 2
