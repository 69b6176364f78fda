"""`trueband golden record`, and `verify` of what it wrote: right models pass, changed ones fail where they changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from trueband.golden.recordings.recording import tap_names
from trueband.golden.store import GoldenFileError, read_golden, write_golden
from trueband.hub import record as golden_record
from trueband.hub.folder_files import load_model
from trueband.hub.verify_recording import verify_recording
from trueband.properties.bounds.precision import DTYPES

Cli = Callable[..., int]
Made = Callable[[str], SimpleNamespace]
MODELS = ("roberta", "roberta_base", "longformer", "led", "led_base")


def failures(recording: Path, folder: Path, dtype: str | None = None) -> list[str]:
    """Taps that fail."""
    records = verify_recording(recording, folder, dtype)
    return [record.name.partition(":")[2] for record in records if not record.passed]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MODELS)
def test_a_recording_of_float32_holds_in_every_dtype(name: str, dtype: str, made: Made) -> None:
    model = made(name)
    records = verify_recording(model.recording, model.folder, dtype)
    taps = tap_names(read_golden(model.recording))
    assert [record.name for record in records] == [f"recording:{tap}" for tap in taps]
    assert [record.detail for record in records if not record.passed] == []
    assert all(record.witness == f"model, {dtype}" for record in records)


def test_what_is_told_of_a_recording(made: Made) -> None:
    model = made("led")
    golden = read_golden(model.recording)
    told = golden.metadata
    assert (told.kind, told.model_class, told.dtype) == ("recording", "LEDForConditionalGeneration", "float32")
    assert list(told.weights_sha256) == ["model.safetensors"]
    assert told.details["machine"]["torch"] == torch.__version__
    assert told.details["device"] == "cpu"
    assert told.details["config"]["attention_window"] == [4, 8, 6]
    assert told.why == []
    assert set(golden.inputs) == {
        "input_ids",
        "attention_mask",
        "global_attention_mask",
        "decoder_input_ids",
        "decoder_attention_mask",
    }
    assert [name for name in tap_names(golden) if "layer.1" in name] == [
        "encoder.layer.1.attention",
        "encoder.layer.1",
        "decoder.layer.1.attention",
        "decoder.layer.1.cross_attention",
        "decoder.layer.1",
    ]
    assert {24, 25} <= set(golden.arrays["rows"].tolist())  # where the padding of the second text starts
    assert golden.arrays["decoder_rows"].tolist() == list(range(9))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_other_dtypes(dtype: torch.dtype, golden_cli: Cli, tools: Any, tmp_path: Path) -> None:
    folder = tools.make_model("longformer", tmp_path / "model", dtype)
    inputs, out = tools.make_inputs("longformer", tmp_path / "in.json"), tmp_path / "out.safetensors"
    assert golden_cli("record", folder, "--inputs", inputs, "--out", out) == 0
    assert read_golden(out).metadata.dtype == str(dtype).removeprefix("torch.")
    for name in DTYPES:
        assert failures(out, folder, name) == []


def test_inputs_in_safetensors_and_rows_by_number(
    made: Made, golden_cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = made("roberta")
    arrays = {name: np.array(rows) for name, rows in json.loads(model.inputs.read_text()).items()}
    save_file(arrays, tmp_path / "in.safetensors")
    out = tmp_path / "out.safetensors"
    capsys.readouterr()
    code = golden_cli(
        "record", model.folder, "--inputs", tmp_path / "in.safetensors", "--out", out, "--rows=-1,0,7", "--json"
    )
    assert code == 0
    golden = read_golden(out)
    assert golden.metadata.inputs_sha256 == read_golden(model.recording).metadata.inputs_sha256
    assert golden.arrays["rows"].tolist() == [0, 7, 31]
    assert golden.arrays["tap.logits"].shape == (2, 3, 256)  # of 300 columns
    told = json.loads(capsys.readouterr().out)
    assert told["written"] is True
    assert told["machine"] == golden.metadata.details["machine"]
    assert [each["what"] for each in told["taps"]] == tap_names(golden)
    assert failures(out, model.folder) == []


def test_masks_of_any_dtype_give_the_same_recording(made: Made, golden_cli: Cli, tmp_path: Path) -> None:
    model = made("roberta")
    given = {name: torch.tensor(rows) for name, rows in json.loads(model.inputs.read_text()).items()}
    expected = read_golden(model.recording).metadata.inputs_sha256
    for number, dtype in enumerate((torch.bool, torch.float32, torch.bfloat16)):
        arrays = {"input_ids": given["input_ids"].int(), "attention_mask": given["attention_mask"].to(dtype)}
        save_tensors(arrays, tmp_path / "in.safetensors")
        out = tmp_path / f"out{number}.safetensors"
        command = ("record", model.folder, "--inputs", tmp_path / "in.safetensors", "--out", out, "--rows=0")
        assert golden_cli(*command) == 0
        assert read_golden(out).metadata.inputs_sha256 == expected


def test_the_window_of_one_layer_fails_at_that_layer(made: Made, tools: Any, tmp_path: Path) -> None:
    model = made("longformer")
    folder = tools.reconfigured(model.folder, tmp_path / "changed", attention_window=[4, 6, 6])
    records = verify_recording(model.recording, folder)
    failed = [record for record in records if not record.passed]
    assert [record.name for record in failed] == ["recording:layer.1.attention", "recording:layer.1"]
    assert "attention_window (4, 6, 6), recorded (4, 8, 6)" in failed[0].detail


def test_one_bit_of_one_weight_fails_by_name_and_by_number(made: Made, tools: Any, tmp_path: Path) -> None:
    model = made("led")
    name = "led.decoder.layers.1.encoder_attn.v_proj.weight"
    folder = tools.with_one_bit_changed(model.folder, tmp_path / "changed", name, 17)
    with pytest.raises(ValueError, match=r"--checkpoint: expected .*model.safetensors with sha256 \w+, got \w+: other"):
        verify_recording(model.recording, folder)
    recording = tools.told_of(model.recording, folder, tmp_path / "recording.safetensors")
    assert failures(recording, folder) == ["decoder.layer.1.cross_attention", "decoder.layer.1"]


def test_a_model_that_is_wired_wrong_is_seen(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong model: layer 2 reads what layer 0 gave. Every layer by itself is right."""
    from trueband.hub import verify_recording as golden_record_verify

    model = made("roberta")

    def wrong(*arguments: Any) -> Any:
        found = load_model(*arguments)
        layers, kept = found.roberta.encoder.layer, []
        layers[0].register_forward_hook(lambda module, given, output: kept.append(output[0]))
        layers[2].register_forward_pre_hook(lambda module, given: (kept[-1], *given[1:]))
        return found

    monkeypatch.setattr(golden_record_verify, "load_model", wrong)
    failed = [record for record in verify_recording(model.recording, model.folder) if not record.passed]
    assert [record.detail for record in failed] == ["layer.2 does not read what layer.1 gave"]


def test_nothing_is_written_where_the_model_is_wrong(
    made: Made, golden_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = made("led")

    def wrong(*arguments: Any) -> Any:
        found = load_model(*arguments)
        found.led.encoder.layers[1].self_attn.longformer_self_attn.query_global.bias.data += 0.01
        return found

    monkeypatch.setattr(golden_record, "load_model", wrong)
    out = tmp_path / "out.safetensors"
    assert golden_cli("record", model.folder, "--inputs", model.inputs, "--out", out) == 1
    told = capsys.readouterr().out
    assert "nothing written" in told
    assert told.count("FAILED") == 2  # the attention of layer 1, and the layer
    assert list(tmp_path.iterdir()) == []


def test_replacing_needs_a_reason_and_keeps_it(
    made: Made, golden_cli: Cli, tools: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = made("longformer"), tmp_path / "out.safetensors"
    shutil.copyfile(model.recording, out)
    before = out.read_bytes()
    with pytest.raises(ValueError, match=r"--why: expected a reason to replace .*out.safetensors, .*, got none"):
        golden_cli("record", model.folder, "--inputs", model.inputs, "--out", out)
    assert out.read_bytes() == before
    changed = tools.reconfigured(model.folder, tmp_path / "changed", attention_window=[4, 6, 6])
    command = ("record", changed, "--inputs", model.inputs, "--out", out, "--why")
    capsys.readouterr()
    assert golden_cli(*command, "window of layer 1 is 6 now") == 0
    told = capsys.readouterr().out
    assert f"old against new (recorded with torch {torch.__version__})" in told.splitlines()
    lines = [line.split() for line in told.splitlines() if line.endswith("APART")]
    assert lines[0][0] == "layer.1.attention"
    assert golden_cli(*command, "once more") == 0
    assert read_golden(out).metadata.why == ["window of layer 1 is 6 now", "once more"]
    other = tools.make_inputs("longformer", tmp_path / "other.json", seed=2)
    assert golden_cli("record", changed, "--inputs", other, "--out", out, "--why", "other texts") == 0
    assert "B: expected the inputs of out, got others" in capsys.readouterr().out


def test_an_interrupt_leaves_the_old_recording(
    made: Made, tmp_path: Path, as_from_a_terminal: Callable[[list[str]], list[str]]
) -> None:
    model, out = made("longformer"), tmp_path / "out.safetensors"
    shutil.copyfile(model.recording, out)
    before = out.read_bytes()
    asked = ["--inputs", str(model.inputs), "--out", str(out), "--why", "interrupted", "--rows", "all"]
    command = [sys.executable, "-m", "trueband", "golden", "record", str(model.folder), *asked]
    with subprocess.Popen(
        as_from_a_terminal(command),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "reference: layer.1" in line:
                process.send_signal(signal.SIGINT)
                break
        told = process.stderr.read()
    assert process.returncode == 130
    assert told.splitlines()[-1] == "trueband: interrupted"
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]


def test_a_full_disk_leaves_the_old_recording(
    made: Made, golden_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = made("longformer"), tmp_path / "out.safetensors"
    shutil.copyfile(model.recording, out)
    before = out.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/out.safetensors'"):
        golden_cli("record", model.folder, "--inputs", model.inputs, "--out", out, "--why", "full")
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]


def spoiled(recording: Path, target: Path, name: str) -> Path:
    """With the lowest bit of the first value of one array changed."""
    golden = read_golden(recording)
    content = bytearray(recording.read_bytes())
    size = int.from_bytes(content[:8], "little")
    start = json.loads(content[8 : 8 + size])[name]["data_offsets"][0]
    content[8 + size + start] ^= 1
    assert name in golden.arrays
    target.write_bytes(bytes(content))
    return target


def test_one_bit_of_any_array_is_seen(made: Made, tmp_path: Path) -> None:
    recording = made("led").recording
    for name in read_golden(recording).arrays:
        path = spoiled(recording, tmp_path / "spoiled.safetensors", name)
        with pytest.raises(GoldenFileError, match=rf"{name}: expected sha256 .*: it was altered"):
            read_golden(path)


@pytest.mark.parametrize("left", [0, 7, 100, -1])
def test_a_truncated_recording_is_refused(left: int, made: Made, golden_cli: Cli, tmp_path: Path) -> None:
    model, path = made("longformer"), tmp_path / "recording.safetensors"
    path.write_bytes(model.recording.read_bytes()[:left])
    with pytest.raises(GoldenFileError, match=r"recording.safetensors: expected a whole safetensors file, got"):
        golden_cli("verify", path, "--checkpoint", model.folder)


def test_a_recording_without_an_array_is_refused(made: Made, tmp_path: Path) -> None:
    golden = read_golden(made("longformer").recording)
    del golden.arrays["sigma.float16.layer.2"]
    write_golden(tmp_path / "out.safetensors", golden)
    with pytest.raises(GoldenFileError, match=r"expected the array sigma.float16.layer.2, got a recording without it"):
        verify_recording(tmp_path / "out.safetensors", made("longformer").folder)


def test_another_model_is_refused(made: Made) -> None:
    with pytest.raises(ValueError, match=r"--checkpoint: expected .*model.safetensors with sha256 \w+, got \w+: other"):
        verify_recording(made("longformer").recording, made("roberta").folder)


def test_a_model_with_other_layers_is_refused(made: Made, tools: Any, tmp_path: Path) -> None:
    model = made("roberta")
    folder = tools.reconfigured(model.folder, tmp_path / "changed", num_hidden_layers=2)
    with pytest.raises(ValueError, match=r"expected .* the stages of .*, got a .* without layer.2 \(config.json: "):
        verify_recording(model.recording, folder)


def test_verify_on_the_command_line(made: Made, golden_cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    model = made("longformer")
    capsys.readouterr()
    assert golden_cli("verify", model.recording, "--checkpoint", model.folder, "--dtype", "bfloat16", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["record"] for line in lines] == ["run", *["golden"] * 8, "summary"]
    assert golden_cli("verify", model.recording, "--checkpoint", model.folder) == 0
    assert "recording  8 taps: 8 passed" in capsys.readouterr().out
