"""How models are called: places of arguments, signatures, and the form of the answer."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

import trueband.optimized
from trueband.optimized.layers.outputs import MaskedLMOutput
from trueband.optimized.models.led_decoder import LEDDecoder
from trueband.optimized.models.led_encoder import LEDEncoder

CLASSES = [
    name
    for name in trueband.optimized.__all__
    if inspect.isclass(kind := getattr(trueband.optimized, name)) and issubclass(kind, torch.nn.Module)
]
SHARED = [name for name in CLASSES if name != "LEDForSequenceClassification"]  # the installed peer dropped it


def places(function: Any) -> list[str]:
    """Names of the arguments that may be given without their names."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]


def test_there_are_all_classes() -> None:
    assert len(CLASSES) == 17


@pytest.mark.parametrize("name", SHARED)
def test_what_has_a_place_has_the_peers(name: str) -> None:
    own = places(getattr(trueband.optimized, name).forward)
    theirs = places(getattr(transformers, name).forward)
    assert own == theirs[: len(own)]
    assert len(own) >= 3
    assert own != sorted(own)  # the wrong one: another order is seen


def test_stacks_of_led_have_the_peers_places() -> None:
    assert places(LEDEncoder.forward) == ["input_ids", "attention_mask", "global_attention_mask"]
    assert places(LEDDecoder.forward) == ["input_ids", "attention_mask"]


@pytest.mark.parametrize("name", SHARED)
def test_every_argument_of_the_peer_is_in_the_signature(name: str) -> None:
    """Trainer reads there which columns of a data set a model takes."""
    own = set(inspect.signature(getattr(trueband.optimized, name).forward).parameters)
    theirs = set(inspect.signature(getattr(transformers, name).forward).parameters)
    assert theirs - own - {"kwargs", "logits_to_keep"} == set()


@pytest.mark.parametrize("name", CLASSES)
def test_an_argument_without_a_fixed_place_is_asked_for_by_name(name: str, make: Any) -> None:
    model = make(name)
    count = len(places(type(model).forward))
    with pytest.raises(TypeError, match=rf"{name}: expected at most {count} arguments without their names \(input_ids"):
        model(*[None] * (count + 1))


@pytest.mark.parametrize("name", ["XLMRobertaForMaskedLM", "XLMRobertaForSequenceClassification", "XLMRobertaModel"])
def test_the_third_argument_is_the_token_types(name: str, make: Any, ids: Tensor) -> None:
    model = make(name)
    types = torch.arange(9).remainder(2).expand(2, -1)
    output = model(ids, torch.ones_like(ids), types)
    assert output.get("loss") is None
    assert torch.equal(output[0], model(ids, attention_mask=torch.ones_like(ids), token_type_ids=types)[0])
    assert not torch.equal(output[0], model(ids)[0])


def test_the_third_argument_of_led_is_what_the_decoder_reads(make: Any, ids: Tensor) -> None:
    for name in ("LEDForConditionalGeneration", "LEDForQuestionAnswering", "LEDForSequenceClassification", "LEDModel"):
        model, read = make(name), ids.flip(1)
        assert torch.equal(model(ids, None, read)[0], model(ids, decoder_input_ids=read)[0])


def test_choices_come_with_their_types(make: Any, ids: Tensor) -> None:
    types = torch.arange(9).remainder(2).expand(1, 2, -1)
    for name in ("XLMRobertaForMultipleChoice", "LongformerForMultipleChoice"):
        model = make(name)
        flags = {"global_attention_mask": torch.ones_like(ids)[None]} if name.startswith("Long") else {}
        given = model(ids[None], types, **flags).logits
        assert torch.equal(given, model(ids[None], token_type_ids=types, **flags).logits)
        assert not torch.equal(given, model(ids[None], **flags).logits)


@pytest.mark.parametrize("name", SHARED)
def test_answers_are_tuples_in_the_peers_order(name: str, pair: Any, ids: Tensor) -> None:
    own, peer = pair(name)
    given: dict[str, Any] = {"input_ids": ids[None] if "Choice" in name else ids}
    if name.startswith("Longformer"):
        given["global_attention_mask"] = torch.ones_like(given["input_ids"])
    if name.endswith(("MaskedLM", "CausalLM", "ConditionalGeneration", "TokenClassification")):
        given["labels"] = ids.remainder(2)
    asked = {"output_hidden_states": True, "output_attentions": not name.startswith("XLM")}
    ours, theirs = own(**given, **asked), peer(**given, **asked)
    names = [each for each in theirs.keys()]  # noqa: SIM118
    if name == "XLMRobertaModel":  # this peer writes no cache without being asked
        names = [each for each in names if each != "past_key_values"]
    assert [each for each in ours.keys() if each in names] == names  # noqa: SIM118
    assert [type(each) for each in own(**given, **asked, return_dict=False)] == [type(each) for each in ours.to_tuple()]


def test_an_output_is_read_like_a_tuple_and_like_a_mapping(make: Any, ids: Tensor) -> None:
    output = make("XLMRobertaForMaskedLM")(ids, labels=ids)
    loss, logits = output
    assert loss is output.loss is output[0] is output["loss"]
    assert logits is output[-1] is output["logits"]
    assert output[:2] == (loss, logits) == output.to_tuple()
    assert list(output.keys()) == ["loss", "logits"]
    assert len(output) == 2
    assert "loss" in output
    assert "attentions" not in output
    assert dict(output) == {"loss": loss, "logits": logits}
    assert output.get("hidden_states", 5) == 5
    with pytest.raises(KeyError):
        output["hidden_states"]
    with pytest.raises(IndexError):
        output[2]


def test_an_output_is_made_again_by_tools_that_walk_through_it(make: Any, ids: Tensor) -> None:
    """Of a mapping (accelerate), of pairs, and of the leaves of a tree (torch)."""
    output = make("LEDForConditionalGeneration")(ids, labels=ids)
    for again in (type(output)(dict(output.items())), type(output)((name, each) for name, each in output.items())):
        assert again.logits is output.logits
        assert again.encoder_last_hidden_state is output.encoder_last_hidden_state
        assert again.past_key_values is None
    with pytest.raises(TypeError, match="lost: expected a field of MaskedLMOutput"):
        MaskedLMOutput({"lost": ids})  # type: ignore[arg-type]
    leaves, tree = torch.utils._pytree.tree_flatten(output)
    again = torch.utils._pytree.tree_unflatten(leaves, tree)
    assert again.logits is output.logits


def test_the_configuration_asks_for_tuples_and_states(make: Any, ids: Tensor) -> None:
    for name in ("LongformerForMaskedLM", "XLMRobertaModel", "LEDForConditionalGeneration"):
        model = make(name, output_hidden_states=True, output_attentions=True)
        output = model(ids)
        assert all(output.get(each) is not None for each in output.keys())  # noqa: SIM118
        assert {"hidden_states", "encoder_hidden_states"} & set(output.keys())
        assert {"attentions", "encoder_attentions"} & set(output.keys())
        assert model(ids, output_hidden_states=False).get("hidden_states") is None
        model.config.return_dict = False
        assert isinstance(model(ids), tuple)
        assert torch.equal(model(ids, return_dict=True)[0], model(ids)[0])


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_model_is_traced(make: Any, ids: Tensor) -> None:
    model = make("XLMRobertaForSequenceClassification")
    traced = torch.jit.trace(model, ids, check_trace=False)
    assert torch.equal(traced(ids.flip(0))[0], model(ids.flip(0)).logits)


def test_led_is_exported_for_any_batch_and_lengths(make: Any, agree: Any) -> None:
    model = make("LEDForConditionalGeneration", encoder_layers=1, decoder_layers=1)
    rows, tokens, read = (torch.export.Dim(name, min=2, max=32) for name in ("rows", "tokens", "read"))
    shapes: dict[str, Any] = {name: {0: rows, 1: tokens} for name in ("input_ids", "attention_mask")}
    shapes |= {"global_attention_mask": {0: rows, 1: tokens}, "decoder_input_ids": {0: rows, 1: read}}

    def given(count: int, length: int, of_decoder: int) -> dict[str, Any]:
        words = torch.arange(3, 3 + count * length).remainder(40).view(count, length)
        flags = torch.zeros_like(words)
        flags[:, 0] = flags[-1, -1] = 1
        mask = torch.ones_like(words)
        mask[0, -2:] = 0
        masks = {"attention_mask": mask, "global_attention_mask": flags}
        return {"input_ids": words, **masks, "decoder_input_ids": words[:, :of_decoder].clone(), "use_cache": False}

    exported = torch.export.export(
        model, (), given(2, 9, 5), dynamic_shapes={**shapes, "use_cache": None}, strict=False
    ).module()
    for sizes in ((2, 9, 5), (3, 17, 7), (4, 6, 2)):
        assert agree(exported(**given(*sizes)).logits, model(**given(*sizes)).logits)


def test_one_row_of_positions_and_types_stands_for_all(make: Any, ids: Tensor) -> None:
    row = torch.arange(2, 11)[None]
    for name in ("XLMRobertaModel", "LongformerModel"):
        model = make(name)
        for argument, values in (("position_ids", row.flip(1)), ("token_type_ids", row.remainder(2))):
            one, all_rows = ({argument: each} for each in (values, values.expand(2, -1)))
            assert torch.equal(model(ids, **one)[0], model(ids, **all_rows)[0])
            assert not torch.equal(model(ids, **one)[0], model(ids)[0])


@pytest.mark.parametrize("kind", ["XLMRoberta", "Longformer", "LED"])
def test_labels_of_one_column(kind: str, make: Any, ids: Tensor) -> None:
    model = make(f"{kind}ForSequenceClassification")
    labels = torch.tensor([[1], [0]])
    assert torch.equal(model(ids, labels=labels).loss, model(ids, labels=labels[:, 0]).loss)


def test_global_tokens_marked_by_two(pair: Any, ids: Tensor, agree: Any) -> None:
    """How the first Longformers were called, and what the peer still takes."""
    own, peer = pair("LongformerModel")
    mask = torch.ones_like(ids)
    mask[:, [0, 5]] = 2
    flags = (mask == 2).long()
    assert torch.equal(own(ids, mask)[0], own(ids, torch.ones_like(ids), flags)[0])
    assert agree(own(ids, mask)[0], peer(ids, mask)[0])
    classifier = make_classifier = trueband.optimized.LongformerForSequenceClassification(own.config).double().eval()
    whole = flags.clone()
    mask[:, 0] = whole[:, 0] = 1
    assert torch.equal(classifier(ids, mask)[0], make_classifier(ids, torch.ones_like(ids), whole)[0])
    with pytest.raises(ValueError, match="attention_mask: expected 0 and 1 only, got 2"):
        own(ids, mask, flags)


@pytest.mark.parametrize("name", ["gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh"])
def test_activations(name: str, pair: Any, ids: Tensor, agree: Any) -> None:
    own, peer = pair("XLMRobertaModel", hidden_act=name)
    assert agree(own(ids)[0], peer(ids)[0])
    assert not agree(own(ids)[0], pair("XLMRobertaModel")[0](ids)[0])


def test_an_activation_in_led(pair: Any, ids: Tensor, agree: Any) -> None:
    own, peer = pair("LEDModel", activation_function="relu")
    assert agree(own(ids)[0], peer(ids)[0])
