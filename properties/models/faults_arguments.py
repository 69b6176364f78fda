"""Seeded faults of padding, of positions and types, and of arguments that get lost on their way."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.models.faults import Call, fault, padding_attended
from trueband.properties.models.faults_generation import faulty_candidate
from trueband.properties.models.witness import Arrays, ReferenceModels

ENCODERS = "xlm-roberta longformer"
ALL = f"{ENCODERS} led"


@fault("padding behind a sequence is attended", ALL, "right_padding", "huggingface/transformers PR 5219")
def appended_padding_attended(call: Call) -> Call:
    return padding_attended(call)


@fault("LED's positions skip the padding on the left", "led", "left_padding_moves_positions")
def positions_skip_left_padding(call: Call) -> Call:
    moved = {}
    for name in ("input_ids", "attention_mask", "global_attention_mask"):
        first = call.inputs["attention_mask"].argmax(axis=1)
        rows = zip(call.inputs[name], first, strict=True)
        moved[name] = np.stack([np.roll(row, -count) for row, count in rows])
    return call.with_inputs(**moved)


@fault("positions count the tokens that are not masked", ENCODERS, "position_ids positions_of_embeddings",
       "huggingface/transformers PR 9183")  # fmt: skip
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
    if "global_attention_mask" not in call.inputs:
        return call
    return call.with_inputs(global_attention_mask=np.zeros_like(call.inputs["global_attention_mask"]))


@fault("a head swallows head masks", ALL, "head_arguments", "transformers 5: swallowed silently")
def head_swallows_masks(call: Call) -> Call:
    return call if call.head is None else call.without_inputs("head_mask", "decoder_head_mask", "cross_attn_head_mask")


@fault("LED's decoder reads the labels themselves", "led", "heads")
def labels_read_unshifted(call: Call) -> Call:
    if call.head != "lm" or "labels" not in call.inputs:
        return call
    found = call.inputs["labels"]
    return call.with_inputs(decoder_input_ids=np.where(found < 0, call.config["pad_token_id"], found))


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
    def forward(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any:
        output = super().forward(architecture, config, state, inputs, dtype)
        embeds = [array for name, array in inputs.items() if name.endswith("inputs_embeds")]
        if any(np.isnan(array).any() for array in embeds):
            output["logits"] = np.full_like(output["logits"], np.nan)
        return output


@faulty_candidate("0 times NaN: what a later token holds spoils those before", "xlm-roberta led", "decoder_is_causal")
class LaterNanSpreads(HiddenNanSpreads):
    """As for masked tokens."""


@faulty_candidate("a model without a head leaves out its last layer", ALL, "headless_layers")
class LastLayerLeftOut(ReferenceModels):
    def base(self, architecture: str, config: dict[str, Any], state: Arrays, inputs: Arrays, dtype: str) -> Any:
        output = super().base(architecture, config, state, inputs, dtype)
        output["hidden_states"][-1] = output["hidden_states"][-2]
        return output
