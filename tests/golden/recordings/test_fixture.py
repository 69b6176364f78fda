"""The pytest fixture `golden`, in suites of somebody else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trueband.golden.recordings.recording import entering, own_taps, tap_names
from trueband.golden.store import GoldenFileError, open_store, read_golden
from trueband.golden_fixture import GoldenInTest, golden_in_test

Made = Callable[[str], SimpleNamespace]

SUITE = """
import numpy as np
import pytest

def test_passes(golden):
    recording = golden({path!r})
    recording.assert_close(recording.taps["layer.1"], tap="layer.1", dtype="float32")

def test_rows(golden):
    assert golden("taps_bart_led").inputs["input_ids"].shape[0] == 3

def test_fails(golden):
    recording = golden({path!r})
    recording.assert_close(recording.taps["layer.1"] + 1e-4, tap="layer.1", dtype="float32")

def test_is_inert():
    pass
"""


def run_suite(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "HYPOTHESIS"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(folder)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_plugin_is_installed() -> None:
    assert [(each.name, each.value) for each in entry_points(group="pytest11") if each.name == "trueband"] == [
        ("trueband", "trueband.pytest_plugin")
    ]


@pytest.mark.parametrize("options", [("-p", "no:xdist"), ("-n", "2")])
def test_in_a_suite(options: tuple[str, ...], made: Made, tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE.format(path=str(made("longformer").recording)), encoding="utf-8")
    done = run_suite(tmp_path, *options)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 3 passed" in done.stdout
    assert "AssertionError: recording: the layers of model give what they gave" in done.stdout
    assert "EXCEEDS bound" in done.stdout


def test_loading_the_plugin_loads_nothing_else() -> None:
    code = (
        "import sys, trueband.pytest_plugin; "
        "print([name for name in ('torch', 'numpy', 'hypothesis', 'safetensors') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_published_golden() -> None:
    golden = golden_in_test("bart_g2p_first_logits")
    expected = golden.expected
    assert isinstance(expected, np.ndarray)
    golden.assert_close(expected)
    golden.assert_close(torch.tensor(expected))
    with pytest.raises(AssertionError, match=r"bart_g2p_first_logits: .*\n.* EXCEEDS bound"):
        golden.assert_close(expected + 1)
    with pytest.raises(ValueError, match="tap, dtype: expected None for bart_g2p_first_logits"):
        golden.assert_close(expected, tap="layer.1")


def test_published_texts() -> None:
    golden = golden_in_test("bart_g2p_word_kokoro")
    expected = golden.expected
    assert isinstance(expected, list)
    golden.assert_close(expected)
    with pytest.raises(AssertionError, match="letters differ"):
        golden.assert_close(["another"])


def test_all_taps_of_a_recording(made: Made) -> None:
    path = made("longformer").recording
    golden, file = golden_in_test(path), read_golden(path)
    assert list(golden.taps) == tap_names(file)
    assert golden.entering.keys() == entering(file).keys()
    assert sorted(golden.inputs) == ["attention_mask", "global_attention_mask", "input_ids"]
    golden.assert_close(own_taps(file))  # float32 arrays: judged as float32
    golden.assert_close({name: torch.tensor(tap).bfloat16() for name, tap in golden.taps.items()})
    with pytest.raises(AssertionError, match=r"recording: .*\nembeddings\[.* EXCEEDS bound .* 8 sigma of float32"):
        golden.assert_close({name: torch.tensor(tap).bfloat16() for name, tap in golden.taps.items()}, dtype="float32")
    assert isinstance(golden, GoldenInTest)


def test_what_is_asked_wrong(made: Made) -> None:
    golden = golden_in_test(made("longformer").recording)
    tap = golden.taps["layer.0"]
    with pytest.raises(GoldenFileError, match=r"tap: expected one of embeddings, .*, got 'layer.9'"):
        golden.assert_close(tap, tap="layer.9")
    with pytest.raises(TypeError, match="value: expected a mapping from taps, or one tap, got ndarray"):
        golden.assert_close(tap)
    with pytest.raises(ValueError, match=r"dtype: expected one of float64, .*, got 'int8'"):
        golden.assert_close(tap, tap="layer.0", dtype="int8")
    with pytest.raises(ValueError, match=r"expected shape \(2, 32, '...'\) or \(2, 24, 16\), got \(2, 5, 16\)"):
        golden.assert_close(tap[:, :5], tap="layer.0")
    with pytest.raises(ValueError, match=r"taps: expected layer.0.attention, got embeddings"):
        golden.assert_close({"embeddings": golden.taps["embeddings"]})
    with pytest.raises(GoldenFileError, match="id: expected one of `trueband golden list`, got 'ghost'"):
        golden_in_test("ghost")
    with pytest.raises(GoldenFileError, match="expected a recording of taps, got a golden of kind published"):
        _ = golden_in_test(next(iter(open_store()))).taps
