"""Seeded faults of padding, of positions and types, and of arguments that get lost."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.models.faults.fault import Call, fault, faulty_candidate
from trueband.properties.models.faults.layers import globals_ignored, head_masks_ignored, padding_attended
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.witness import ReferenceModels

ENCODERS = "xlm-roberta longformer"
ALL = f"{ENCODERS} led"


@fault("padding behind a sequence is attended", ALL, "right_padding", "huggingface/transformers PR 5219")
def appended_padding_attended(call: Call) -> Call:
    return padding_attended(call)


@fault("LED's positions skip the padding on the left", "led", "left_padding_moves_positions")
def positions_skip_left_padding(call: Call) -> Call:
    if "encoder_outputs" in call.inputs:
        return call
    first = call.inputs["attention_mask"].argmax(axis=1)

    def moved(array: np.ndarray) -> np.ndarray:
        return np.stack([np.roll(row, -count, axis=0) for row, count in zip(array, first, strict=True)])

    return call.map_inputs(moved, "input_ids", "inputs_embeds", "attention_mask", "global_attention_mask")


@fault(
    "positions count the tokens that are not masked",
    ENCODERS,
    "position_ids positions_of_embeddings",
    "huggingface/transformers PR 9183",
)
def positions_follow_mask(call: Call) -> Call:
    if "position_ids" in call.inputs:
        return call
    mask = call.inputs["attention_mask"]
    return call.with_inputs(position_ids=call.config["pad_token_id"] + np.cumsum(mask, axis=1) * mask)


@fault("position_ids are ignored", ENCODERS, "position_ids head_arguments")
def position_ids_ignored(call: Call) -> Call:
    return call.without_inputs("position_ids")


@fault("token types are ignored", ENCODERS, "token_types head_arguments")
def token_types_ignored(call: Call) -> Call:
    return call.without_inputs("token_type_ids")


@fault("a head keeps the global mask to itself", "longformer led", "head_arguments")
def head_drops_globals(call: Call) -> Call:
    return call if call.head == "lm" else globals_ignored(call)


@fault("a head swallows head masks", ALL, "head_arguments", "transformers 5: swallowed silently")
def head_swallows_masks(call: Call) -> Call:
    return call if call.head == "lm" else head_masks_ignored(call)


@fault("LED's decoder reads the labels themselves", "led", "heads")
def labels_read_unshifted(call: Call) -> Call:
    if call.head != "lm" or "labels" not in call.inputs:
        return call
    labels = call.inputs["labels"]
    return call.with_inputs(decoder_input_ids=np.where(labels < 0, call.config["pad_token_id"], labels))


@fault("labels of several classes at once are taken as one class", ALL, "heads")
def problem_type_ignored(call: Call) -> Call:
    if call.config.get("problem_type") != "regression" or call.config["num_labels"] == 1:
        return call
    return call.with_config(problem_type="multi_label_classification")


@fault("the mask of the decoder's tokens is ignored", "led", "decoder_layers", "huggingface/transformers #15556")
def target_mask_ignored(call: Call) -> Call:
    return call.without_inputs("decoder_attention_mask")


@faulty_candidate("0 times NaN: what a hidden token holds spoils the others", ALL, "masked_ids_are_ignored")
class HiddenNanSpreads(ReferenceModels):
    def forward(self, model: Model, inputs: Arrays) -> Any:
        output = super().forward(model, inputs)
        embeds = [array for name, array in inputs.items() if name.endswith("inputs_embeds")]
        if any(np.isnan(array).any() for array in embeds):
            output["logits"] = np.full_like(output["logits"], np.nan)
        return output


@faulty_candidate("0 times NaN: what a later token holds spoils those before", "xlm-roberta led", "decoder_is_causal")
class LaterNanSpreads(HiddenNanSpreads):
    """A NaN in a later token spreads as one in a masked token does."""


@faulty_candidate("a model without a head leaves out its last layer", ALL, "headless_layers")
class LastLayerLeftOut(ReferenceModels):
    def base(self, model: Model, inputs: Arrays) -> Any:
        output = super().base(model, inputs)
        output["hidden_states"][-1] = output["hidden_states"][-2]
        return output
