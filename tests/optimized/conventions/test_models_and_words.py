"""What a model says of itself, its tables of words, and configurations that are changed."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from trueband.optimized.layers.vocabulary import SPREAD
from trueband.reference import config as configs

ALL = [
    "XLMRobertaModel",
    "XLMRobertaForMaskedLM",
    "XLMRobertaForSequenceClassification",
    "LongformerModel",
    "LongformerForMaskedLM",
    "LongformerForTokenClassification",
    "LEDModel",
    "LEDForConditionalGeneration",
    "LEDForQuestionAnswering",
]
LANGUAGE = ["XLMRobertaForMaskedLM", "LongformerForMaskedLM", "LEDForConditionalGeneration"]


@pytest.mark.parametrize("name", ALL)
def test_words_are_found_where_the_peer_has_them(name: str, pair: Any) -> None:
    own, peer = pair(name)
    names, theirs = ({id(each): name for name, each in model.named_modules()} for model in (own, peer))
    for method in ("get_input_embeddings", "get_output_embeddings"):
        ours, other = getattr(own, method)(), getattr(peer, method)()
        if name.startswith("LED") or "LM" not in name.removeprefix("XLM") or method == "get_input_embeddings":
            assert (ours is None) == (other is None)
        if ours is not None and other is not None:
            assert names[id(ours)] == theirs[id(other)]
    assert (
        own.base_model_prefix == {"X": "roberta", "Lo": "longformer", "LE": "led"}[name[: 1 if name[0] == "X" else 2]]
    )
    assert own.num_parameters() == peer.num_parameters()
    assert own.num_parameters(exclude_embeddings=True) < own.num_parameters()
    own.get_input_embeddings().weight.requires_grad_(False)
    trained = own.num_parameters(only_trainable=True)
    assert trained == own.num_parameters() - own.get_input_embeddings().weight.numel()
    assert (own.device, own.dtype) == (torch.device("cpu"), torch.float64)
    if name.startswith("LED"):
        assert names[id(own.get_encoder())] == theirs[id(peer.get_encoder())]
        assert names[id(own.get_decoder())] == theirs[id(peer.get_decoder())]


@pytest.mark.parametrize("name", ALL)
def test_a_larger_vocabulary(name: str, make: Any, ids: Tensor) -> None:
    """What was there stays; new words lie around the mean of the old ones; the configuration knows."""
    model = make(name)
    old, before = model.get_input_embeddings().weight.detach().clone(), model(ids)[0].detach()
    table = model.resize_token_embeddings(43, pad_to_multiple_of=8)
    assert table is model.get_input_embeddings()
    assert table.weight.shape == (48, 16)
    assert table.num_embeddings == model.config.vocab_size == 48
    assert torch.equal(table.weight[:40], old)
    spread = (SPREAD * old.var(dim=0, correction=0)).sqrt()
    far = (table.weight[40:] - old.mean(dim=0)) / spread
    assert far.abs().max() < 8  # of a normal distribution: further with a probability of 1e-15
    assert far.std() > 0
    after = model(ids)[0].detach()
    assert torch.equal(after[..., : before.shape[-1]], before)
    assert model(ids.clamp(max=1) + 46)[0].isfinite().all()
    output = model.get_output_embeddings()
    if output is not None:
        assert output.weight is table.weight
        assert output.out_features == 48
        assert after.shape[-1] == 48


@pytest.mark.parametrize("name", LANGUAGE)
@pytest.mark.parametrize("tied", [True, False])
def test_heads_follow_the_words(name: str, tied: bool, make: Any, ids: Tensor) -> None:
    model = make(name, tie_word_embeddings=tied)
    head = model.get_output_embeddings().weight.detach().clone()
    model.resize_token_embeddings(50, mean_resizing=False)
    output = model.get_output_embeddings()
    assert torch.equal(output.weight[:40], head)
    assert output.weight.shape[0] == 50
    assert (output.weight is model.get_input_embeddings().weight) == tied
    assert model(ids).logits.shape[-1] == 50
    other = nn.Embedding(50, 16).double()
    model.set_input_embeddings(other)
    assert model.get_input_embeddings() is other
    assert (model.get_output_embeddings().weight is other.weight) == tied
    new = nn.Linear(16, 50, bias=output.bias is not None).double()
    model.set_output_embeddings(new)
    assert model.get_output_embeddings() is new
    model.tie_weights()
    assert (new.weight is other.weight) == tied
    if new.bias is not None:
        assert model.lm_head.bias is new.bias
    assert model.resize_token_embeddings() is other
    assert set(model.state_dict()) == set(make(name, tie_word_embeddings=tied).state_dict())


def test_gradient_checkpointing_takes_options(make: Any, ids: Tensor) -> None:
    model = make("LongformerForMaskedLM", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    assert not model.is_gradient_checkpointing
    grads = []
    for options in (None, {"use_reentrant": False}, {"use_reentrant": True, "preserve_rng_state": False}):
        model.zero_grad()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
        assert model.is_gradient_checkpointing
        model(ids, labels=ids).loss.backward()
        grads.append(model.longformer.encoder.layer[0].output.dense.weight.grad.clone())
    assert all(torch.equal(grads[0], grad) for grad in grads)
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    model.activation_checkpointing_enable(activation_checkpointing_kwargs=None, every_n_layers=1, offload=False)
    assert model.is_gradient_checkpointing
    model.activation_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_what_a_collator_asks_for(pair: Any, ids: Tensor) -> None:
    own, peer = pair("LEDForConditionalGeneration")
    labels = ids.masked_fill(ids > 30, -100)
    ours, theirs = (model.prepare_decoder_input_ids_from_labels(labels=labels) for model in (own, peer))
    assert torch.equal(ours, theirs)
    assert own.can_generate()
    assert not hasattr(own.led, "generate")


@pytest.mark.parametrize("kind", ["XLMRobertaConfig", "LongformerConfig", "LEDConfig"])
def test_configurations_are_changed_as_the_peers(kind: str) -> None:
    for config in (getattr(configs, kind)(), getattr(transformers, kind)()):
        assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
        config.num_labels = 3
        assert config.id2label[2] == "LABEL_2"
        config.id2label = {0: "a", 1: "b"}
        assert config.num_labels == 2
        config.id2label[0] = "first"
        assert config.id2label[0] == "first"
        config.hidden_size = 96
        assert config.hidden_size == config.to_dict().get("d_model", config.hidden_size) == 96
        config.a_new_field = 5
        assert config.to_dict()["a_new_field"] == 5
        assert not config.output_attentions
        with pytest.raises(AttributeError):
            config.there_is_no_such_field  # noqa: B018
        again = copy.deepcopy(config)
        again.a_new_field = 6
        assert config.a_new_field == 5
    with pytest.raises(TypeError, match="attention_windows"):
        getattr(configs, kind)(attention_windows=4)
    ours = getattr(configs, kind)(id2label={0: "a", 1: "b", 2: "c"}, output_hidden_states=True, num_beams=4)
    assert (ours.num_labels, ours.output_hidden_states, ours.num_beams) == (3, True, 4)
    assert ours.model_type == getattr(transformers, kind)().model_type
    assert pickle.loads(pickle.dumps(ours)) == ours
    assert type(ours).from_dict(ours.to_dict()) == ours


def test_what_is_wrong_with_a_changed_configuration_is_said_by_the_model(make: Any) -> None:
    config = make("LongformerModel").config
    config.attention_window = [4, 5]
    with pytest.raises(ValueError, match="attention_window: expected even"):
        type(make("LongformerModel"))(config)
    config.attention_window = [4, 6]
    assert type(make("LongformerModel"))(config).encoder.layer[1].attention.self.window == 3
    assert config.attention_window == (4, 6)
