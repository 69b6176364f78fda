"""What `trueband golden record` and `verify` refuse, before any work is done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trueband.hub import record as golden_record

Cli = Callable[..., int]
Made = Callable[[str], SimpleNamespace]
Spoil = Callable[[dict[str, Any]], object]


def _embeddings_alone(given: dict[str, Any]) -> None:
    given.clear()
    given.update(inputs_embeds=[[[0.5] * 16] * 32])


WRONG_INPUTS: dict[str, tuple[str, Spoil, str]] = {
    "no ids": ("longformer", lambda given: given.pop("input_ids"), "inputs: expected input_ids, and of attention_mask"),
    "an argument too much": ("roberta", lambda given: given.update(global_attention_mask=[[0] * 32] * 2), "got also"),
    "rows of several lengths": (
        "roberta",
        lambda given: given["input_ids"][0].pop(),
        "input_ids: expected rows of one length",
    ),
    "a word that is not there": (
        "led",
        lambda given: given["input_ids"][0].__setitem__(3, 60),
        "input_ids: expected ids below 60, got 60",
    ),
    "a mask of 2": (
        "longformer",
        lambda given: given["global_attention_mask"][0].__setitem__(0, 2),
        "expected 0 and 1 only, got 2",
    ),
    "a mask of another shape": (
        "led",
        lambda given: given["decoder_attention_mask"].pop(),
        r"decoder_attention_mask: expected shape \(2, 9\)",
    ),
    "a mask of fractions": (
        "roberta",
        lambda given: given["attention_mask"][0].__setitem__(0, 0.5),
        "expected 0 and 1 only, got 0.5",
    ),
    "embeddings in the place of ids": (
        "longformer",
        lambda given: given.update(inputs_embeds=[[[0.5] * 16] * 32] * 2),
        "got also inputs_embeds",
    ),
    "embeddings alone": (
        "roberta",
        _embeddings_alone,
        "inputs: expected input_ids, .*, got also inputs_embeds",
    ),
    "an encoder's states where nothing reads them": (
        "roberta_decoder",
        lambda given: given.update(encoder_hidden_states=[[[0.5] * 16] * 3] * 2),
        "got also encoder_hidden_states",
    ),
    "an encoder's states that are not finite": (
        "roberta_cross",
        lambda given: given["encoder_hidden_states"][0][0].__setitem__(0, float("nan")),
        "encoder_hidden_states: expected finite numbers of float32, got others",
    ),
    "an encoder's states of another width": (
        "roberta_cross",
        lambda given: given.update(encoder_hidden_states=[[[0.5] * 15] * 7] * 2),
        r"encoder_hidden_states: expected numbers of shape \(batch, tokens, 16\), got float64 \(2, 7, 15\)",
    ),
    "an encoder's states of another batch": (
        "roberta_cross",
        lambda given: given["encoder_hidden_states"].pop(),
        "expected a batch of 2, got 1",
    ),
    "a mask of states that are not there": (
        "roberta_cross",
        lambda given: given.pop("encoder_hidden_states"),
        "encoder_attention_mask: expected encoder_hidden_states beside it, got none",
    ),
    "no choices": (
        "roberta_MultipleChoice",
        lambda given: given.update(input_ids=given["input_ids"][0]),
        r"input_ids: expected integers of shape \(batch, choices, tokens\), got int64 \(3, 32\)",
    ),
    "a question that does not end": (
        "longformer_QuestionAnswering",
        lambda given: given["input_ids"][1].__setitem__(5, 7),
        r"input_ids: expected 3 separators \(id 2\) in every row, or a global_attention_mask, got 2 in row 1",
    ),
    "a text that does not end": (
        "led_SequenceClassification",
        lambda given: given["input_ids"][1].__setitem__(5, 7),
        r"input_ids: expected the same number of end tokens \(id 2\), at least one, in every row, got \[3, 2\]",
    ),
    "fractions": ("roberta", lambda given: given.update(input_ids=[[0.5] * 32] * 2), "input_ids: expected integers"),
}


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
        ({"--out": "{tmp}"}, r"--out: expected a file, got the folder .*.safetensors"),
        ({"--out": "{inputs}/out.safetensors"}, r"--out: expected a folder that can be written, got .*inputs.json"),
        ({"--inputs": "ghost.json"}, "--inputs: expected a JSON or safetensors file, got ghost.json"),
        ({"--inputs": "ghost.safetensors"}, "--inputs: expected a JSON or safetensors file, got ghost.safetensors"),
    ],
)
def test_wrong_options_are_refused(
    changes: dict[str, str], message: str, made: Made, golden_cli: Cli, tmp_path: Path
) -> None:
    model = made("roberta")
    there = tmp_path / "folder.safetensors"
    there.mkdir()
    options = {"--inputs": str(model.inputs), "--out": str(tmp_path / "out.safetensors")} | changes
    options["--out"] = options["--out"].format(tmp=there, inputs=model.inputs)
    with pytest.raises(ValueError, match=message):
        golden_cli("record", model.folder, *(each for option in options.items() for each in option))
    assert [*tmp_path.rglob("*")] == [there]


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    made: Made, golden_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made("roberta")
    monkeypatch.setattr(golden_record, "read_model", lambda *given: pytest.fail("the model was read"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as one who may write everywhere
    with pytest.raises(ValueError, match="--out: expected a folder that can be written, got"):
        golden_cli("record", model.folder, "--inputs", model.inputs, "--out", tmp_path / "new" / "out.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_models_that_are_not_recorded_are_refused(made: Made, golden_cli: Cli, tools: Any, tmp_path: Path) -> None:
    model = made("roberta")
    options = ("--inputs", model.inputs, "--out", tmp_path / "out.safetensors")
    refused: list[tuple[dict[str, Any], str]] = [
        ({"model_type": "bert"}, "model_type: expected one of xlm-roberta, .*, got 'bert'"),
        ({"pruned_heads": {"0": [1]}}, r"expected .*layer.0.attention.self.query.weight of shape \(12, 16\), got"),
        ({"position_embedding_type": "relative_key"}, "expected .*distance_embedding.*, got no such tensors"),
        ({"architectures": ["RobertaForTokenClassification"]}, r"expected the weights classifier.\* of .*, got no"),
    ]
    for number, (changes, message) in enumerate(refused):
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
    with pytest.raises(
        ValueError, match=r"^--checkpoint: expected a folder with config\.json and weights, got .*ghost"
    ):
        golden_cli("verify", model.recording, "--checkpoint", model.folder / "ghost")
