"""Models from NumPy weights: what is missing, unknown, tied, of another shape; and the dtype that is computed in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from trueband.properties.models.case import ModelCase
from trueband.reference.config import FAMILIES
from trueband.witnesses.building import build, fill, widest_dtype

WORDS = "led.shared.weight"
COPIES = ("led.encoder.embed_tokens.weight", "led.decoder.embed_tokens.weight", "lm_head.weight")
DENSE = "roberta.encoder.layer.0.output.dense.weight"


def case_of(architecture: str, head: str = "lm") -> ModelCase:
    return ModelCase(architecture, tokens=6, head=head, dtype="float64")


@pytest.mark.parametrize(
    ("architecture", "head"), [(family.name, head) for family in FAMILIES.values() for head in family.heads]
)
def test_every_weight_is_where_its_name_says(architecture: str, head: str) -> None:
    """Exact: float32 numbers, copied. Tied weights are given once."""
    case = case_of(architecture, head)
    model = build(case.model.class_name, case.config, case.state, "float64")
    held = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    assert all(np.array_equal(held[name], array) for name, array in case.state.items())
    assert not model.training
    assert next(model.parameters()).dtype == torch.float64


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_the_model_computes_in_the_dtype_and_float64_keeps_all_digits(dtype: str) -> None:
    """Exact: copied numbers. Wrong: weights that are loaded in float32 and cast after."""
    case = case_of("xlm-roberta")
    number = 1 + 2.0**-40  # no float32 holds it
    state = {**case.state, DENSE: np.full(case.state[DENSE].shape, number)}
    held = build(case.model.class_name, case.config, state, dtype).get_parameter(DENSE)
    assert held.dtype == getattr(torch, dtype)
    assert (held.double() == (number if dtype == "float64" else 1.0)).all()


@pytest.mark.parametrize("name", [WORDS, *COPIES])
def test_tied_weights_may_stand_under_any_one_of_their_names(name: str) -> None:
    case = case_of("led")
    state = {(name if each == WORDS else each): array for each, array in case.state.items()}
    model = build(case.model.class_name, case.config, state, "float64")
    words = model.get_parameter(WORDS)
    assert np.array_equal(words.detach().numpy(), case.state[WORDS])
    assert all(model.get_parameter(copy) is words for copy in COPIES)


def test_tied_weights_may_not_be_missing_under_all_names() -> None:
    """Wrong: a list of names that may be missing, whatever stands under the others."""
    case = case_of("led")
    state = {name: array for name, array in case.state.items() if name != WORDS}
    with pytest.raises(ValueError, match=rf"^state: expected the weights of LEDFor\w+, got missing \['{WORDS}'\]"):
        build(case.model.class_name, case.config, state, "float64")


@pytest.mark.parametrize("missing", ["lm_head.decoder.weight", "lm_head.bias"])
def test_a_weight_that_the_configuration_unties_may_not_be_missing(missing: str) -> None:
    """Wrong: a list of names that may be missing, whether the model ties them or not."""
    case = case_of("xlm-roberta")
    words = case.state["roberta.embeddings.word_embeddings.weight"]
    state = {**case.state, "lm_head.decoder.weight": 2 * words}
    untied = {**case.config, "tie_word_embeddings": False}
    model = build(case.model.class_name, untied, state, "float64")
    assert np.array_equal(model.get_parameter("lm_head.decoder.weight").detach().numpy(), 2 * words)
    less = {name: array for name, array in state.items() if name != missing}
    with pytest.raises(ValueError, match=rf"got missing \['{missing}'\]"):
        build(case.model.class_name, untied, less, "float64")


def test_every_weight_is_needed() -> None:
    case = case_of("longformer", "qa")
    for name in case.state:
        state = {each: array for each, array in case.state.items() if each != name}
        with pytest.raises(ValueError, match=rf"got missing \['{name}'\]"):
            build(case.model.class_name, case.config, state, "float64")


def test_a_weight_that_the_model_does_not_have_is_refused() -> None:
    case = case_of("longformer")
    state = {**case.state, "longformer.surprise": np.zeros(1, dtype=np.float32)}
    with pytest.raises(ValueError, match=r"got missing \[\], unknown \['longformer.surprise'\]"):
        build(case.model.class_name, case.config, state, "float64")


def test_a_weight_of_another_shape_is_refused() -> None:
    """Wrong: a copy that spreads one row over all of them."""
    case = case_of("xlm-roberta")
    state = {**case.state, DENSE: case.state[DENSE][:1]}
    with pytest.raises(ValueError, match=rf"^state: expected {DENSE} of shape \(4, 8\), got \(1, 8\)"):
        build(case.model.class_name, case.config, state, "float64")


def test_a_class_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^model_class: expected a class of .*, got 'BartModel'"):
        build("BartModel", {}, {}, "float64")


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("architecture", ["xlm-roberta", "longformer"])
def test_a_base_model_has_a_pooling_layer_if_its_weights_have(architecture: str, pooled: bool) -> None:
    case = case_of(architecture)
    model = build(case.family.base_class, case.config, case.headless_state(pooled), "float64")
    assert any(name.startswith("pooler.") for name in model.state_dict()) == pooled


def test_any_module_of_torch_can_be_filled() -> None:
    """What is tied is asked of the module: no name of it is known here."""

    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False)
            self.second.weight = self.first.weight

    module: Any = Tied()
    fill(module, {"second.weight": np.eye(2)})
    assert torch.equal(module.first.weight, torch.eye(2))
    with pytest.raises(ValueError, match=r"^state: expected the weights of Tied, got missing \['first.weight'\]"):
        fill(module, {})


def test_the_widest_dtype_holds_every_weight() -> None:
    half, single, double = (np.zeros(1, dtype=each) for each in ("float16", "float32", "float64"))
    assert widest_dtype({"a": half, "b": single}) == "float32"
    assert widest_dtype({"a": single, "b": double}) == "float64"
