"""Recordings of every head, of poolers and of decoders: right models pass, and named faults fail where they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from trueband.golden.recordings.recording import entering, judge_taps, rows_of, tap_names
from trueband.golden.recordings.reference import natural_states, reference_taps
from trueband.golden.store import read_golden
from trueband.hub import verify_recording as golden_record_verify
from trueband.hub.folder_files import load_model, read_model
from trueband.hub.verify_recording import verify_recording
from trueband.properties.bounds.precision import DTYPES

Cli = Callable[..., int]
Made = Callable[[str], SimpleNamespace]
LAST: dict[str, dict[str, tuple[int, ...]]] = {  # of the model: its last taps and their shapes
    "roberta_base": {"layer.2": (2, 24, 16), "pooler": (2, 16)},
    "roberta_SequenceClassification": {"logits": (2, 3)},
    "roberta_TokenClassification": {"logits": (2, 24, 3)},
    "roberta_QuestionAnswering": {"start_logits": (2, 24), "end_logits": (2, 24)},
    "roberta_MultipleChoice": {"pooler": (6, 16), "logits": (2, 3)},
    "longformer_base": {"layer.2": (2, 24, 16), "pooler": (2, 16)},
    "longformer_SequenceClassification": {"logits": (2, 3)},
    "longformer_TokenClassification": {"logits": (2, 24, 3)},
    "longformer_QuestionAnswering": {"start_logits": (2, 24), "end_logits": (2, 24)},
    "longformer_MultipleChoice": {"pooler": (6, 16), "logits": (2, 3)},
    "led_SequenceClassification": {"decoder.layer.1": (2, 24, 16), "logits": (2, 3)},
    "led_QuestionAnswering": {"start_logits": (2, 24), "end_logits": (2, 24)},
    "roberta_decoder": {"logits": (2, 24, 256)},
    "roberta_cross": {"layer.2.cross_attention": (2, 24, 16), "layer.2": (2, 24, 16), "logits": (2, 24, 256)},
    "roberta_decoder_base": {"layer.2.cross_attention": (2, 24, 16), "layer.2": (2, 24, 16), "pooler": (2, 16)},
    "roberta_pruned": {"logits": (2, 24, 256)},
    "roberta_pruned_cross": {"logits": (2, 24, 256)},
    "roberta_relative_key": {"pooler": (2, 16)},
    "roberta_relative_key_query": {"pooler": (2, 16)},
    "roberta_decoder_relative": {"logits": (2, 24, 256)},
}


@pytest.mark.parametrize("name", LAST)
def test_a_recording_holds_in_every_dtype(name: str, made: Made) -> None:
    model = made(name)
    golden = read_golden(model.recording)
    last = list(LAST[name])
    assert tap_names(golden)[-len(last) :] == last
    assert {tap: golden.arrays[f"tap.{tap}"].shape for tap in last} == LAST[name]
    for dtype in DTYPES:
        records = verify_recording(model.recording, model.folder, dtype)
        assert [record.name.partition(":")[2] for record in records] == tap_names(golden)
        assert [record.detail for record in records if not record.passed] == []


@pytest.mark.parametrize("name", LAST)
def test_the_reference_gives_the_taps_and_what_they_read(name: str, made: Made) -> None:
    """All rows with dense masks, against the selected rows of the recording."""
    golden = read_golden(made(name).recording)
    folder = read_model(made(name).folder, "MODEL_DIR")
    state, config = dict(folder.recorded.state), folder.config
    given = reference_taps(str(golden.metadata.model_class), config, state, golden.inputs, entering(golden), "float64")
    assert [verdict for verdict in judge_taps(golden, given["taps"], "float64") if not verdict.passed] == []
    natural = natural_states(folder.recorded, golden.inputs)
    assert {stage: state.shape for stage, state in natural.items()} == {
        stage: state.shape for stage, state in entering(golden).items()
    }
    off = given["taps"] | {tap: given["taps"][tap] * 1.001 for tap in LAST[name]}  # a wrong one
    assert {verdict.what for verdict in judge_taps(golden, off, "float64") if not verdict.passed} == set(LAST[name])


Spoil = Callable[[Any], object]


def _reads_the_next_token(model: Any) -> None:
    def rolled(module: Any, given: Any, output: Any) -> None:
        output.last_hidden_state = output.last_hidden_state.roll(1, dims=1)

    next(model.children()).register_forward_hook(rolled)


def _without_tanh(model: Any) -> None:
    pooler = model.get_submodule("pooler")
    pooler.register_forward_hook(lambda module, given, output: module.dense(given[0][:, 0]))


def _spans_are_swapped(model: Any) -> None:
    for part in (model.qa_outputs.weight, model.qa_outputs.bias):
        part.data = part.data.flip(0)


def _choices_are_transposed(model: Any) -> None:
    def transposed(module: Any, given: Any, output: Any) -> None:
        output.logits = output.logits.T.reshape(output.logits.shape)

    model.register_forward_hook(transposed)


def _the_question_is_longer(model: Any) -> None:
    first = model.first_separators
    model.first_separators = lambda ids: first(ids) + 1


def _padding_of_the_encoder_is_attended(model: Any) -> None:
    model.register_forward_pre_hook(
        lambda module, given, named: (given, named | {"encoder_attention_mask": None}), with_kwargs=True
    )


def _distances_the_other_way(model: Any) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith("layer.1.attention.self.distance_embedding.weight"):
            parameter.data = parameter.data.flip(0)


def _heads_in_another_order(model: Any) -> None:
    """Of the layer that has two left."""
    output = model.roberta.encoder.layer[2].attention.output.dense.weight
    output.data = torch.cat([output.data[:, 4:], output.data[:, :4]], dim=1)


FAULTS: dict[str, tuple[str, Spoil, list[str]]] = {
    "the classifier reads the next token": ("roberta_SequenceClassification", _reads_the_next_token, ["wiring"]),
    "the same of LED": ("led_SequenceClassification", _reads_the_next_token, ["wiring"]),
    "the pooler has no tanh": ("longformer_base", _without_tanh, ["pooler"]),
    "start and end are swapped": ("led_QuestionAnswering", _spans_are_swapped, ["start_logits", "end_logits"]),
    "choices are transposed": ("roberta_MultipleChoice", _choices_are_transposed, ["logits"]),
    "the separator is global, too": (
        "longformer_QuestionAnswering",
        _the_question_is_longer,
        [f"layer.{i}{part}" for i in range(3) for part in (".attention", "")],
    ),
    "one token of the choice is not global": (
        "longformer_MultipleChoice",
        _the_question_is_longer,
        [f"layer.{i}{part}" for i in range(3) for part in (".attention", "")],
    ),
    "padding of the encoder is attended": (
        "roberta_cross",
        _padding_of_the_encoder_is_attended,
        [f"layer.{i}{part}" for i in range(3) for part in (".cross_attention", "")],
    ),
    "distances the other way": ("roberta_relative_key", _distances_the_other_way, ["layer.1.attention", "layer.1"]),
    "distances of a decoder the other way": (
        "roberta_decoder_relative",
        _distances_the_other_way,
        ["layer.1.attention", "layer.1"],
    ),
    "heads that are left change places": ("roberta_pruned", _heads_in_another_order, ["layer.2.attention", "layer.2"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen_where_it_is(fault: str, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    name, spoil, expected = FAULTS[fault]

    def wrong(*arguments: Any) -> Any:
        found = load_model(*arguments)
        spoil(found)
        return found

    monkeypatch.setattr(golden_record_verify, "load_model", wrong)
    records = verify_recording(made(name).recording, made(name).folder)
    assert [record.name.partition(":")[2] for record in records if not record.passed] == expected


def test_a_decoder_that_sees_what_follows_is_seen(made: Made, tools: Any, tmp_path: Path) -> None:
    model = made("roberta_decoder")
    folder = tools.reconfigured(model.folder, tmp_path / "changed", is_decoder=False)
    failed = [record for record in verify_recording(model.recording, folder) if not record.passed]
    assert failed[0].name == "recording:layer.0.attention"
    assert "is_decoder False, recorded True" in failed[0].detail


def test_another_head_on_the_same_weights_is_refused(made: Made, tools: Any, tmp_path: Path) -> None:
    model = made("roberta_QuestionAnswering")
    folder = tools.reconfigured(model.folder, tmp_path / "changed", architectures=["XLMRobertaModel"])
    with pytest.raises(ValueError, match=r"XLMRobertaForQuestionAnswering .*, got a XLMRobertaModel without logits"):
        verify_recording(model.recording, folder)


def test_a_class_that_is_not_known_is_recorded_as_the_base_model(
    made: Made, golden_cli: Cli, tools: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = made("roberta_TokenClassification"), tmp_path / "out.safetensors"
    folder = tools.reconfigured(model.folder, tmp_path / "changed", architectures=["RobertaForRanking"])
    assert golden_cli("record", folder, "--inputs", model.inputs, "--out", out) == 0
    assert "not recorded: the weights classifier.*" in capsys.readouterr().err
    golden = read_golden(out)
    assert golden.metadata.model_class == "XLMRobertaModel"
    assert tap_names(golden)[-1] == "layer.2"


def test_one_row_for_each_text_has_no_rows(made: Made, golden_cli: Cli, tmp_path: Path) -> None:
    """A tap of texts is compared whole, whatever rows a recording has."""
    model, out = made("led_SequenceClassification"), tmp_path / "out.safetensors"
    assert golden_cli("record", model.folder, "--inputs", model.inputs, "--out", out, "--rows=0,3") == 0
    golden = read_golden(out)
    assert rows_of(golden, "logits") is None
    assert rows_of(golden, "encoder.layer.1") is golden.arrays["rows"]
    assert rows_of(golden, "decoder.layer.1") is golden.arrays["decoder_rows"]
    assert golden_cli("diff", model.recording, out) == 0
    taps = {tap: golden.arrays[f"tap.{tap}"] for tap in tap_names(golden)}
    with pytest.raises(ValueError, match=r"logits: expected shape \(2, 3\), got \(2, 32, 3\)"):
        judge_taps(golden, taps | {"logits": np.zeros((2, 32, 3))}, "float32")


def test_without_states_a_decoder_is_recorded_without_its_cross_attention(
    made: Made, golden_cli: Cli, tmp_path: Path
) -> None:
    model = made("roberta_cross")
    given = json.loads(model.inputs.read_text())
    inputs = {name: given[name] for name in ("input_ids", "attention_mask")}
    (tmp_path / "in.json").write_text(json.dumps(inputs), encoding="utf-8")
    out = tmp_path / "out.safetensors"
    assert golden_cli("record", model.folder, "--inputs", tmp_path / "in.json", "--out", out) == 0
    assert [tap for tap in tap_names(read_golden(out)) if "cross" in tap] == []
    assert all(record.passed for record in verify_recording(out, model.folder))
