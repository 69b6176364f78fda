"""Every model class: written, read back by the peer and by itself, bit for bit."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import trueband.optimized.models as models
from trueband.optimized.checkpoints import PretrainedModel
from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig

LED: dict[str, Any] = {
    "vocab_size": 30,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_encoder_position_embeddings": 40,
    "max_decoder_position_embeddings": 10,
    "attention_window": [4, 6],
}
CLASSES = sorted(
    name for name, each in vars(models).items() if inspect.isclass(each) and issubclass(each, PretrainedModel)
)
OF_THE_PEER = [name for name in CLASSES if hasattr(transformers, name)]


def config_of(name: str, sizes: dict[str, Any]) -> Any:
    labels = 2 if name.endswith("QuestionAnswering") else 3
    if name.startswith("LED"):
        return LEDConfig(**LED, num_labels=labels)
    if name.startswith("Longformer"):
        return LongformerConfig(**sizes, attention_window=8, num_labels=labels)
    return XLMRobertaConfig(**sizes, num_labels=labels, is_decoder=name.endswith("CausalLM"))


def model_of(name: str, sizes: dict[str, Any]) -> Any:
    model = getattr(models, name)(config_of(name, sizes))
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            value.normal_(std=0.3)
    return model


def test_the_classes_are_those_of_the_contract() -> None:
    heads = (
        "ForMaskedLM",
        "ForSequenceClassification",
        "ForQuestionAnswering",
        "ForTokenClassification",
        "ForMultipleChoice",
    )
    expected = {f"{family}{head}" for family in ("Longformer", "XLMRoberta") for head in ("Model", *heads)}
    expected |= {"XLMRobertaForCausalLM", "LEDModel", "LEDForConditionalGeneration", "LEDForQuestionAnswering"}
    assert set(OF_THE_PEER) == expected
    assert set(CLASSES) == expected | {"LEDForSequenceClassification"}  # which the peer removed


@pytest.mark.parametrize("name", CLASSES)
def test_it_reads_what_it_wrote(name: str, sizes: dict[str, Any], tmp_path: Path) -> None:
    model = model_of(name, sizes)
    model.save_pretrained(tmp_path)
    again = getattr(models, name).from_pretrained(tmp_path)
    assert again.config == model.config
    before, after = model.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert [key for key in before if not torch.equal(before[key], after[key])] == []
    tied = [len({id(value) for value in each.state_dict(keep_vars=True).values()}) for each in (model, again)]
    assert tied[0] == tied[1]
    assert not any(value.is_meta for value in (*again.parameters(), *again.buffers()))


@pytest.mark.parametrize("name", OF_THE_PEER)
def test_the_peer_reads_it(name: str, sizes: dict[str, Any], tmp_path: Path) -> None:
    transformers.utils.logging.disable_progress_bar()
    model = model_of(name, sizes)
    model.save_pretrained(tmp_path)
    theirs, told = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(told.values()), told
    before, after = model.state_dict(), theirs.state_dict()
    assert before.keys() == after.keys()
    assert [key for key in before if not torch.equal(before[key], after[key])] == []


@pytest.mark.parametrize("name", OF_THE_PEER)
def test_it_reads_the_peers(name: str, sizes: dict[str, Any], tmp_path: Path) -> None:
    transformers.utils.logging.disable_progress_bar()
    config = config_of(name, sizes).to_dict()
    config["attention_window"] = [4, 6]  # the peer wants a list; XLM-RoBERTa does not look at it
    family = name.split("For")[0].removesuffix("Model")
    theirs = getattr(transformers, name)(getattr(transformers, f"{family}Config")(**config))
    with torch.no_grad():
        for value in theirs.parameters():
            value.normal_(std=0.3)
    theirs.save_pretrained(tmp_path)
    model = getattr(models, name).from_pretrained(tmp_path)
    before, after = theirs.state_dict(), model.state_dict()
    assert before.keys() == after.keys()
    assert [key for key in before if not torch.equal(before[key], after[key])] == []


def test_pruned_heads_are_written_and_read(sizes: dict[str, Any], tmp_path: Path) -> None:
    model = model_of("XLMRobertaModel", sizes)
    model.prune_heads({0: [1], 1: [0, 3]})
    model.save_pretrained(tmp_path)
    again = models.XLMRobertaModel.from_pretrained(tmp_path)
    assert again.config.pruned_heads == {0: (1,), 1: (0, 3)}
    ids = torch.arange(4, 20)[None]
    with torch.no_grad():
        assert torch.equal(again(ids).last_hidden_state, model.eval()(ids).last_hidden_state)


@pytest.mark.parametrize("kind", ["relative_key", "relative_key_query"])
def test_relative_positions_are_written_and_read(kind: str, sizes: dict[str, Any], tmp_path: Path) -> None:
    model = models.XLMRobertaModel(XLMRobertaConfig(**sizes, position_embedding_type=kind))
    model.save_pretrained(tmp_path)
    again = models.XLMRobertaModel.from_pretrained(tmp_path)
    assert again.config.position_embedding_type == kind
    ids = torch.arange(4, 20)[None]
    with torch.no_grad():
        assert torch.equal(again(ids).last_hidden_state, model.eval()(ids).last_hidden_state)


def test_a_bias_of_the_logits_that_is_not_stored_is_zero(tmp_path: Path) -> None:
    models.LEDModel(LEDConfig(**LED)).save_pretrained(tmp_path)
    model = models.LEDForConditionalGeneration.from_pretrained(tmp_path)
    assert torch.equal(model.final_logits_bias, torch.zeros(1, 30))
    assert model.lm_head.weight is model.led.shared.weight
