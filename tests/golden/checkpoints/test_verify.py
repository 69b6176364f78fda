"""All goldens of a folder: honest failures of random weights, passing where transformers computed the goldens from the
same weights, and failing again where a weight, a window or the file is another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from trueband.golden.checkpoints import CheckpointEntry
from trueband.golden.checkpoints.slices import parse_slice
from trueband.golden.records import GoldenRecord
from trueband.golden.store import Store, open_store
from trueband.hub.folder_models import OptimizedFolder
from trueband.hub.verify_checkpoint import verify_checkpoint

Make = Callable[..., tuple[Path, Any]]
Table = dict[str, CheckpointEntry]
Restate = Callable[..., Store]
HELLO = [0, 31414, 232, 328, 740, 1140, 12695, 69]
LED_GOLDENS = ("led_base_no_head", "led_base_lm_head")


def by_name(records: list[GoldenRecord]) -> dict[str, GoldenRecord]:
    return {record.name: record for record in records}


def failed(records: list[GoldenRecord]) -> list[str]:
    return [record.name for record in records if not record.passed and not record.cannot_run]


def led_outputs(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """What transformers computes of the inputs of LED's test: 4096 and 1024 tokens."""
    with torch.no_grad():
        output = model(
            torch.tensor([HELLO * 512]), decoder_input_ids=torch.tensor([HELLO * 128]), output_hidden_states=True
        )
    return output.decoder_hidden_states[-1][:, :3, :3].numpy(), output.logits[:, :3, :3].numpy()


@pytest.fixture(scope="module")
def expected(led: tuple[Path, Any]) -> dict[str, tuple[np.ndarray, None]]:
    values = led_outputs(led[1])
    return {name: (value, None) for name, value in zip(LED_GOLDENS, values, strict=True)}


def test_random_weights_run_every_golden_and_pass_none(led: tuple[Path, Any], table: Table) -> None:
    lines: list[str] = []
    records = by_name(verify_checkpoint(led[0], table=table, progress=lines.append))
    store = open_store()
    of_led = {"allenai/led-base-16384", "facebook/bart-base"}
    assert records.keys() - {"allenai/led-base-16384: configuration"} == {
        name for name in store if store.index[name]["checkpoint"] in of_led
    }
    ran = {name for name, record in records.items() if not record.cannot_run}
    assert ran >= {*LED_GOLDENS, "bart_base_bumblebee_hidden__derived_for_led_base"}
    for name in ran - {"allenai/led-base-16384: configuration"}:
        record = records[name]
        assert not record.passed
        assert record.error is not None
        assert record.tolerance is not None
        assert record.error > record.tolerance
        assert "EXCEEDS" in record.detail
    assert "needs tokenizer.json" in records["ctranslate2_bart_base_tokens"].detail
    assert "beam search" in records["fairseq_bart_base_fill_mask"].detail
    assert lines[0].startswith(f"{led[0]}: allenai/led-base-16384, recognized by shape")
    assert any("led_base_no_head: LEDModel, last_hidden_state" in line for line in lines)


def test_goldens_of_the_same_weights_pass(
    led: tuple[Path, Any], table: Table, restate: Restate, expected: dict[str, Any]
) -> None:
    records = verify_checkpoint(led[0], table=table, store=restate(expected))
    assert [(record.name, record.passed) for record in records[1:]] == [(name, True) for name in sorted(LED_GOLDENS)]


def test_one_changed_weight_fails(
    led: tuple[Path, Any], table: Table, restate: Restate, expected: dict[str, Any], tmp_path: Path
) -> None:
    """The wrong weights: the highest bit of the mantissa of one of them is another."""
    tensors = load_file(led[0] / "model.safetensors")
    weight = tensors["led.encoder.layers.1.fc2.weight"]
    weight.view(torch.int32)[0, 0] ^= 1 << 22
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((led[0] / "config.json").read_text(encoding="utf-8"), encoding="utf-8")
    assert set(failed(verify_checkpoint(tmp_path, table=table, store=restate(expected)))) == set(LED_GOLDENS)


def test_the_window_of_one_layer_fails(
    led: tuple[Path, Any], table: Table, restate: Restate, expected: dict[str, Any], changed_config: Any, tmp_path: Path
) -> None:
    folder = changed_config(led[0], tmp_path / "checkpoint", attention_window=[64, 32])
    records = verify_checkpoint(folder, table=table, store=restate(expected))
    assert set(failed(records)) == {"allenai/led-base-16384: configuration", *LED_GOLDENS}
    assert records[0].detail == "attention_window: published 64, here [64, 32]"


def test_other_weights_than_the_published_file(
    led: tuple[Path, Any], table: Table, restate: Restate, expected: dict[str, Any]
) -> None:
    known = dataclasses.replace(table["allenai/led-base-16384"], weights_sha256={"model.safetensors": "0" * 64})
    records = verify_checkpoint(led[0], table=table | {known.id: known}, store=restate(expected))
    assert failed(records) == ["allenai/led-base-16384: weights model.safetensors"]
    assert "model.safetensors: expected sha256 " + "0" * 64 in records[1].detail


def test_a_crash_is_one_record(
    led: tuple[Path, Any], table: Table, restate: Restate, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = OptimizedFolder.compute

    def out_of_memory(self: OptimizedFolder, model: Any, inputs: Any, generate: Any) -> Any:
        if "Conditional" in type(model).__name__:
            raise MemoryError("no room for 4096 tokens")
        return compute(self, model, inputs, generate)

    monkeypatch.setattr(OptimizedFolder, "compute", out_of_memory)
    records = by_name(verify_checkpoint(led[0], table=table, store=restate(expected)))
    assert records["led_base_no_head"].passed
    assert not records["led_base_lm_head"].passed
    assert records["led_base_lm_head"].detail == "raised MemoryError: no room for 4096 tokens"


@pytest.fixture(scope="module")
def longformer(make: Make, sizes: dict[str, Any]) -> tuple[Path, Any, np.ndarray]:
    """(folder, model, its last hidden states of the 4002 tokens of Longformer's test)."""
    folder, model = make("LongformerModel", **sizes["longformer"])
    ids = torch.tensor([[0, *[20920, 232, 328, 1437] * 1000, 2]])
    flags = torch.zeros_like(ids)
    flags[:, [1, 4, 21]] = 1
    with torch.no_grad():
        states = model(ids, attention_mask=torch.ones_like(ids), global_attention_mask=flags).last_hidden_state
    return folder, model, states.numpy()


def test_one_model_and_one_run_serve_goldens_of_one_input(
    longformer: tuple[Path, Any, np.ndarray], table: Table, restate: Restate, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, states = longformer
    sums = {"longformer_base_long_sum": (states.sum(dtype=np.float64), None)}
    store = restate(sums | {"longformer_base_long_mean": (states.mean(dtype=np.float64), None)})
    calls: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        real = getattr(OptimizedFolder, name)

        def call(*arguments: Any) -> Any:
            calls.append(name)
            return real(*arguments)

        return call

    for name in ("load", "compute"):
        monkeypatch.setattr(OptimizedFolder, name, counted(name))
    records = by_name(verify_checkpoint(folder, table=table, store=store))
    assert calls == ["load", "compute"]
    assert records["longformer_base_long_mean"].passed


def test_the_reference_verifies_too(longformer: tuple[Path, Any, np.ndarray], table: Table, restate: Restate) -> None:
    folder, model, _ = longformer
    with torch.no_grad():
        states = model(torch.tensor([[0, 20920, 232, 328, 1437, 2]])).last_hidden_state
    store = restate({"longformer_base_short": (states[0, 0, -5:], None)})
    records = verify_checkpoint(folder, table=table, store=store, witness="reference")
    assert [(record.name, record.witness, record.passed) for record in records[1:]] == [
        ("longformer_base_short", "reference", True)
    ]


ROBERTA_HEADS = {
    "roberta_base_no_head": ("RobertaModel", {}),
    "roberta_base_mlm": ("RobertaForMaskedLM", {}),
    "bumblebee_roberta_base_clm": ("RobertaForCausalLM", {}),
    "bumblebee_roberta_emotion": ("RobertaForSequenceClassification", {"num_labels": 4}),
    "bumblebee_roberta_ner": ("RobertaForTokenClassification", {"num_labels": 5}),
    "bumblebee_roberta_multiple_choice": ("RobertaForMultipleChoice", {}),
    "bumblebee_roberta_qa": ("RobertaForQuestionAnswering", {}),
}


@pytest.mark.parametrize("name", ROBERTA_HEADS)
def test_every_head_by_both_witnesses(name: str, make: Make, sizes: dict[str, Any], restate: Restate) -> None:
    told = open_store().golden(name).metadata
    model_class, fields = ROBERTA_HEADS[name]
    folder, model = make(model_class, **sizes["encoder"], **fields)
    with torch.no_grad():
        output = model(torch.tensor(told.inputs["input_ids"]))
    if told.output == "start_logits;end_logits":
        values = torch.cat([output.start_logits, output.end_logits])
    else:
        values = output[told.output]
    index = parse_slice(told.slice).parts
    assert told.checkpoint is not None
    table = {told.checkpoint: CheckpointEntry(told.checkpoint, "roberta")}
    store = restate({name: (values.numpy()[index], None)})
    for witness in ("optimized", "reference"):
        record = verify_checkpoint(folder, chosen=told.checkpoint, table=table, store=store, witness=witness)[-1]
        assert record.passed, record.detail
        assert record.witness == witness


def test_led_by_the_reference(led: tuple[Path, Any], table: Table, restate: Restate) -> None:
    name = "bart_base_bumblebee_logits__derived_for_led_base"
    with torch.no_grad():
        logits = led[1](torch.tensor([[0, 345, 232, 328, 740, 140, 1695, 69, 6078, 1588, 2]])).logits
    store = restate({name: (logits[0, 1:4, 1:4].numpy(), None)})
    assert verify_checkpoint(led[0], table=table, store=store, witness="reference")[-1].passed


def test_a_superseded_value_must_be_missed(
    longformer: tuple[Path, Any, np.ndarray], table: Table, restate: Restate
) -> None:
    """The wrong implementation, which hits it, has the fault that it is the fingerprint of."""
    folder, model, _ = longformer
    with torch.no_grad():
        states = model(torch.tensor([[0, 20920, 232, 328, 1437, 2]])).last_hidden_state[0, 0, -5:].numpy()
    for value, passed, told in ((states, False, "has the fault of"), (states + 1, True, "refuted, as it must be")):
        store = restate({"longformer_base_short": (value, None)}, kind="superseded")
        record = verify_checkpoint(folder, table=table, store=store)[1]
        assert record.passed is passed
        assert record.detail.startswith(told)


def test_a_class_that_the_folder_does_not_give(longformer: tuple[Path, Any, np.ndarray], table: Table) -> None:
    record = by_name(verify_checkpoint(longformer[0], ["longformer_base_mlm_long_loss"], table=table))
    assert record["longformer_base_mlm_long_loss"].cannot_run
    detail = record["longformer_base_mlm_long_loss"].detail
    assert detail.startswith("cannot run: the folder gives no LongformerForMaskedLM: ")
    assert "lm_head.dense.weight" in detail


def test_weights_of_another_shape_are_a_failure(
    led: tuple[Path, Any], table: Table, changed_config: Any, tmp_path: Path
) -> None:
    """The wrong folder: its config.json is not that of its weights."""
    folder = changed_config(led[0], tmp_path / "checkpoint", encoder_ffn_dim=24)
    known = dataclasses.replace(table["allenai/led-base-16384"], shape={})
    records = verify_checkpoint(folder, ["led_base_no_head"], chosen=known.id, table=table | {known.id: known})
    assert failed(records) == ["led_base_no_head"]
    assert "expected encoder.layers.0.fc1.weight of shape (24, 8), got (16, 8)" in records[-1].detail


def test_a_bart_runs_as_an_led(make: Make, sizes: dict[str, Any], table: Table, restate: Restate) -> None:
    folder, model = make("BartForConditionalGeneration", **sizes["bart"] | {"num_labels": 2})
    ids = torch.tensor([[0, 345, 232, 328, 740, 140, 1695, 69, 6078, 1588, 2]])
    with torch.no_grad():
        output = model(ids, output_hidden_states=True)
    values = {
        "bart_base_bumblebee_hidden__derived_for_led_base": (output.decoder_hidden_states[-1][0, 1:4, 1:4], None),
        "bart_base_bumblebee_logits__derived_for_led_base": (output.logits[0, 1:4, 1:4], None),
    }
    records = verify_checkpoint(folder, table=table, store=restate(values))
    assert [(record.name, record.passed) for record in records[1:]] == [(name, True) for name in sorted(values)][::-1]


def test_a_camembert_runs_as_a_roberta(make: Make, sizes: dict[str, Any], table: Table, restate: Restate) -> None:
    folder, model = make("CamembertModel", **sizes["encoder"])
    with torch.no_grad():
        states = model(torch.tensor([[5, 121, 11, 660, 16, 730, 25543, 110, 83, 6]])).last_hidden_state
    records = verify_checkpoint(
        folder, table=table, store=restate({"camembert_base_no_head": (states[0, :3, :3], None)})
    )
    assert [(record.name, record.passed) for record in records[1:]] == [("camembert_base_no_head", True)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["sapiens_accuracy"]}, r"^ID: expected goldens of allenai/led-base-16384 \(.*, got \['sapiens_acc"),
        ({"witness": "magic"}, r"^--witness: expected optimized or reference, got 'magic'"),
        ({"chosen": "nobody/nothing"}, r"^--as: expected one of "),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str, led: tuple[Path, Any], table: Table) -> None:
    with pytest.raises(ValueError, match=message):
        verify_checkpoint(led[0], table=table, **options)


def test_a_folder_that_cannot_be_read(led: tuple[Path, Any], table: Table, changed_config: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^--checkpoint: expected a folder"):
        verify_checkpoint(tmp_path / "none", table=table)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"expected config.json in"):
        verify_checkpoint(tmp_path / "empty", table=table)
    cut = changed_config(led[0], tmp_path / "cut")
    content = (led[0] / "model.safetensors").read_bytes()
    (cut / "model.safetensors").unlink()
    (cut / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"model.safetensors: expected a whole safetensors file"):
        verify_checkpoint(cut, table=table)
