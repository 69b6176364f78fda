"""Checks of what the embeddings of RoBERTa's kind read beside the ids: the padding id, positions, and token types."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.taps import judge_embeddings
from trueband.properties.verdict import Verdict, judge_exact
from trueband.reference.embeddings import positions_from_ids

ENCODERS = ("xlm-roberta", "longformer")


@model_check(
    "positions follow the padding id and not the mask; handed in, they are used as they are", ENCODERS, ("float64",)
)
def check_position_ids(probe: ModelProbe) -> Iterator[Verdict]:
    case = probe.case
    ids = case.inputs["input_ids"].copy()
    ids[probe.random.integers(0, 4, ids.shape) == 0] = case.pad_token_id  # also among the real tokens
    other = probe.random.integers(0, 2, ids.shape)
    given = {**case.inputs, "input_ids": ids}
    output = probe.forward_of(given)
    yield from judge_embeddings(case, given, output)
    masked = probe.forward_of({**given, "attention_mask": other})
    yield judge_exact(masked["hidden_states"][0], output["hidden_states"][0], "embeddings under another mask")
    default = {**given, "position_ids": positions_from_ids(ids, case.pad_token_id)}
    yield judge_exact(probe.forward_of(default)["logits"], output["logits"], "logits with the default position_ids")
    chosen = {**given, "position_ids": probe.random.integers(0, case.config["max_position_embeddings"], ids.shape)}
    yield from judge_embeddings(case, chosen, probe.forward_of(chosen))


@model_check("token types add their own embedding, type 0 without them", ENCODERS, ("float64",))
def check_token_types(probe: ModelProbe) -> Iterator[Verdict]:
    case = probe.case
    types = probe.random.integers(0, case.config["type_vocab_size"], case.real.shape)
    given = {**case.inputs, "token_type_ids": types}
    yield from judge_embeddings(case, given, probe.forward_of(given))
    zeros = probe.forward(token_type_ids=np.zeros_like(types))["logits"]
    yield judge_exact(zeros, probe.forward()["logits"], "logits with token_type_ids of 0")


@model_check("embeddings in place of ids: every token has a position, padding too", ENCODERS, ("float64",))
def check_positions_of_embeddings(probe: ModelProbe) -> Iterator[Verdict]:
    case = probe.case
    given = {name: array for name, array in case.inputs.items() if name != "input_ids"}
    given["inputs_embeds"] = case.words[case.inputs["input_ids"]]
    yield from judge_embeddings(case, given, probe.forward_of(given))
