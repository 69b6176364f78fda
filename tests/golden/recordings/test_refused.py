"""What `trueband golden record` and `verify` refuse, before any work is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Cli = Callable[..., int]
Made = Callable[[str], SimpleNamespace]
Spoil = Callable[[dict[str, Any]], object]
WRONG_INPUTS: dict[str, tuple[str, Spoil, str]] = {
    "no ids": ("longformer", lambda given: given.pop("input_ids"), "inputs: expected input_ids, and of attention_mask"),
    "an argument too much": ("roberta", lambda given: given.update(global_attention_mask=[[0] * 32] * 2), "got also"),
    "rows of several lengths": (
        "roberta", lambda given: given["input_ids"][0].pop(), "input_ids: expected rows of one length",
    ),
    "a word that is not there": (
        "led", lambda given: given["input_ids"][0].__setitem__(3, 60), "input_ids: expected ids below 60, got 60",
    ),
    "a mask of 2": (
        "longformer", lambda given: given["global_attention_mask"][0].__setitem__(0, 2), "expected 0 and 1 only, got 2",
    ),
    "a mask of another shape": (
        "led", lambda given: given["decoder_attention_mask"].pop(), r"decoder_attention_mask: expected shape \(2, 9\)",
    ),
    "fractions": ("roberta", lambda given: given.update(input_ids=[[0.5] * 32] * 2), "input_ids: expected integers"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_INPUTS)
def test_wrong_inputs_are_refused(wrong: str, made: Made, golden_cli: Cli, tmp_path: Path) -> None:
    name, change, message = WRONG_INPUTS[wrong]
    model = made(name)
    given = json.loads(model.inputs.read_text())
    change(given)
    (tmp_path / "in.json").write_text(json.dumps(given))
    out = tmp_path / "out.safetensors"
    with pytest.raises(ValueError, match=message):
        golden_cli("record", model.folder, "--inputs", tmp_path / "in.json", "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--rows": "1,x"}, "--rows: expected numbers with commas between, or all, got '1,x'"),
        ({"--rows": "32"}, "--rows: expected rows of 32 tokens, got 32"),
        ({"--dtype": "int8"}, "--dtype: expected one of float64, .*, got 'int8'"),
        ({"--out": "recording.npz"}, r"--out: expected a file named \*.safetensors, got recording.npz"),
        ({"--inputs": "ghost.json"}, "--inputs: expected a JSON or safetensors file, got ghost.json"),
        ({"--inputs": "ghost.safetensors"}, "--inputs: expected a JSON or safetensors file, got ghost.safetensors"),
    ],
)
def test_wrong_options_are_refused(
    changes: dict[str, str], message: str, made: Made, golden_cli: Cli, tmp_path: Path
) -> None:
    model = made("roberta")
    options = {"--inputs": str(model.inputs), "--out": str(tmp_path / "out.safetensors")} | changes
    with pytest.raises(ValueError, match=message):
        golden_cli("record", model.folder, *(each for option in options.items() for each in option))
    assert list(tmp_path.iterdir()) == []


def test_models_that_are_not_recorded_are_refused(made: Made, golden_cli: Cli, tools: Any, tmp_path: Path) -> None:
    model = made("roberta")
    options = ("--inputs", model.inputs, "--out", tmp_path / "out.safetensors")
    for number, (changes, message) in enumerate(
        [
            ({"model_type": "bert"}, "model_type: expected one of xlm-roberta, .*, got 'bert'"),
            ({"is_decoder": True}, "is_decoder: expected an encoder with all its heads, got True"),
            ({"pruned_heads": {"0": [1]}}, "pruned_heads: expected an encoder with all its heads"),
            ({"position_embedding_type": "relative_key"}, "position_embedding_type: expected 'absolute'"),
        ]
    ):
        folder = tools.reconfigured(model.folder, tmp_path / f"changed{number}", **changes)
        with pytest.raises(ValueError, match=message):
            golden_cli("record", folder, *options)
    with pytest.raises(ValueError, match=r"MODEL_DIR: expected a folder with config.json and weights, got"):
        golden_cli("record", tmp_path / "ghost", *options)


def test_verify_without_the_model_says_what_is_missing(made: Made, golden_cli: Cli) -> None:
    model = made("roberta")
    with pytest.raises(ValueError, match=r"--checkpoint: expected the folder of the model that .* was recorded of"):
        golden_cli("verify", model.recording)
    with pytest.raises(ValueError, match=r"ID: expected recordings \(\*.safetensors\) or ids of goldens, got both"):
        golden_cli("verify", model.recording, "sapiens_accuracy", "--checkpoint", model.folder)
