"""The forms a checkpoint comes in: pickles old and new, bases and heads, tied weights; and what can be done with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trueband.optimized.models import LongformerForMaskedLM, LongformerModel, XLMRobertaForMaskedLM


def to_pickle(folder: Path, legacy: bool) -> None:
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickles_give_the_same_weights(folder: Path, legacy: bool) -> None:
    expected = LongformerForMaskedLM.from_pretrained(folder, dtype=torch.float64).state_dict()
    to_pickle(folder, legacy)
    got = LongformerForMaskedLM.from_pretrained(folder, dtype=torch.float64).state_dict()
    assert all(torch.equal(got[name], expected[name]) for name in expected)


def test_a_base_model_reads_a_checkpoint_with_a_head(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = LongformerForMaskedLM.from_pretrained(folder)
    base = LongformerModel.from_pretrained(folder)
    assert caplog.text == ""
    with caplog.at_level(logging.INFO, logger="trueband.checkpoints"):
        base = LongformerModel.from_pretrained(folder)
    assert base.pooler is None
    assert "lm_head.dense.weight" in caplog.text
    ours, theirs = base.state_dict(), whole.longformer.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_head_reads_a_base_checkpoint_only_when_told_to(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    LongformerModel.from_pretrained(folder).save_pretrained(folder)
    with pytest.raises(
        ValueError, match=r"model\.safetensors: expected lm_head\.bias, lm_head\.dense\.weight.*new_head"
    ):
        LongformerForMaskedLM.from_pretrained(folder)
    with caplog.at_level(logging.WARNING, logger="trueband.checkpoints"):
        model = LongformerForMaskedLM.from_pretrained(folder, new_head=True)
    assert "initialized" in caplog.text
    assert "lm_head.dense.weight" in caplog.text
    assert model.lm_head.decoder.weight is model.longformer.embeddings.word_embeddings.weight
    stored = load_file(folder / "model.safetensors")
    assert all(torch.equal(model.state_dict()[f"longformer.{name}"], stored[name]) for name in stored)


def test_left_over_buffers_and_tied_copies_are_no_surprise(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = load_file(folder / "model.safetensors")
    state["longformer.embeddings.position_ids"] = torch.arange(60)[None]
    state["lm_head.decoder.weight"] = state["longformer.embeddings.word_embeddings.weight"].clone()
    state["longformer.pooler.dense.weight"] = torch.zeros(16, 16)
    save_file(state, folder / "model.safetensors")
    LongformerForMaskedLM.from_pretrained(folder)
    assert caplog.text == ""
    save_file(state | {"longformer.surprise": torch.zeros(1)}, folder / "model.safetensors")
    LongformerForMaskedLM.from_pretrained(folder)
    assert "longformer.surprise" in caplog.text
    assert "position_ids" not in caplog.text


def test_tied_weights_that_differ_are_refused(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["lm_head.decoder.weight"] = torch.zeros(40, 16)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"model\.safetensors: expected lm_head\.decoder\.weight to be longformer\.emb"
    ):
        LongformerForMaskedLM.from_pretrained(folder)


def test_roberta_and_xlm_roberta_are_one_model(peer_folder: Callable[..., tuple[Path, Any]]) -> None:
    folder, theirs = peer_folder("roberta")
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"xlm-roberta"', '"roberta"'))
    model = XLMRobertaForMaskedLM.from_pretrained(folder)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in theirs.state_dict().items())


def test_saving_over_the_files_in_use(folder: Path) -> None:
    """The mapped file is replaced, not overwritten: the weights stay what they were."""
    model = LongformerForMaskedLM.from_pretrained(folder)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.save_pretrained(folder)
    again = LongformerForMaskedLM.from_pretrained(folder).state_dict()
    assert all(torch.equal(again[name], before[name]) for name in before)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)


def test_training_works_on_mapped_weights(folder: Path) -> None:
    model = LongformerForMaskedLM.from_pretrained(folder).train()
    ids = torch.arange(4, 12)[None]
    before = model.lm_head.dense.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    assert not torch.equal(model.lm_head.dense.weight, before)


def test_the_device_is_the_one_asked_for(folder: Path) -> None:
    model = LongformerForMaskedLM.from_pretrained(folder, device="meta")
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    model = LongformerForMaskedLM.from_pretrained(folder, device="cpu")
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}
