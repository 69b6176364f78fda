"""The table of families: it names what is there, in the reference and in the optimized models, and nothing else."""

from __future__ import annotations

import pytest

from trueband.optimized import models
from trueband.optimized.checkpoints.config_file import config_class, takes_pooling_layer
from trueband.properties.models.case import ModelCase
from trueband.reference.classes import FUNCTIONS
from trueband.reference.config import (
    FAMILIES,
    MODEL_TYPES,
    family_of_class,
    family_of_config,
    family_of_type,
)

CLASSES = [name for family in FAMILIES.values() for name in family.classes]


def test_the_reference_has_every_class_and_no_other() -> None:
    assert sorted(FUNCTIONS) == sorted(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_the_optimized_models_have_every_class_built_from_the_configuration_of_its_family(name: str) -> None:
    family, kind = family_of_class(name), getattr(models, name)
    assert config_class(kind) is family.config
    assert takes_pooling_layer(kind) == (family.pooler and name == family.base_class)


@pytest.mark.parametrize("name", FAMILIES)
def test_weights_are_called_what_the_table_says(name: str) -> None:
    """The base model stands under the prefix inside a model with a head, its words under their name."""
    family, config = FAMILIES[name], ModelCase(name, tokens=4).model.settings
    base, whole = (getattr(models, each)(config) for each in (family.base_class, family.class_with("lm")))
    inside = [each for each, _ in whole.named_parameters() if each.startswith(family.prefix)]
    alone = [each for each, _ in base.named_parameters() if not each.startswith("pooler.")]
    assert inside == [f"{family.prefix}{each}" for each in alone]
    assert whole.get_parameter(family.word_embeddings).shape == (config.vocab_size, config.hidden_size)


def test_each_family_is_found_by_its_names() -> None:
    for family in FAMILIES.values():
        assert {family_of_type(each) for each in family.model_types} == {family}
        assert family_of_config(family.config) is family
        assert family.model_types[0] == family.name
    assert len(set(MODEL_TYPES)) == len(MODEL_TYPES)


def test_what_no_family_has_is_refused() -> None:
    assert family_of_type("bart") is None
    assert family_of_type(None) is None
    for name in ("MaskedLM", "LEDForMaskedLM", "LongformerForCausalLM", "RobertaModel", "BartModel"):
        with pytest.raises(ValueError, match=rf"^model_class: expected a class of .*, got '{name}'"):
            family_of_class(name)
    with pytest.raises(ValueError, match=r"^config: expected one of XLMRobertaConfig, .*, got object"):
        family_of_config(object)  # type: ignore[arg-type]


def test_the_language_model_of_a_decoder_is_a_class_of_its_own() -> None:
    assert FAMILIES["xlm-roberta"].class_with("decoder") == "XLMRobertaForCausalLM"
    assert FAMILIES["led"].class_with("lm") == "LEDForConditionalGeneration"
