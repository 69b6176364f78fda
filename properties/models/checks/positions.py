"""Checks of what RoBERTa's embeddings read beside the ids: the padding id, positions, and token types."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.taps import judge_embeddings
from trueband.properties.results.verdict import Verdict
from trueband.reference.embeddings import positions_from_ids

ENCODERS = ("xlm-roberta", "longformer")


@model_check(
    "positions follow the padding id and not the mask; handed in, they are used as they are",
    ENCODERS,
    ("float64",),
    about="positions",
)
def check_position_ids(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: the embeddings are judged by the reference, each run for itself."""
    case = probe.case
    ids = case.inputs["input_ids"].copy()
    ids[probe.random.integers(0, 4, ids.shape) == 0] = case.pad_token_id  # also among the real tokens
    other = probe.random.integers(0, 2, ids.shape)
    inputs = {**case.inputs, "input_ids": ids}
    yield from judge_embeddings(case, inputs, probe.forward_of(inputs))
    masked = {**inputs, "attention_mask": other}
    yield from judge_embeddings(case, masked, probe.forward_of(masked))
    default = {**inputs, "position_ids": positions_from_ids(ids, case.pad_token_id)}
    yield from judge_embeddings(case, default, probe.forward_of(default))
    chosen = {**inputs, "position_ids": probe.random.integers(0, case.config["max_position_embeddings"], ids.shape)}
    yield from judge_embeddings(case, chosen, probe.forward_of(chosen))


@model_check("token types add their own embedding, type 0 without them", ENCODERS, ("float64",), about="positions")
def check_token_types(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: the embeddings are judged by the reference, each run for itself."""
    case = probe.case
    types = probe.random.integers(0, case.config["type_vocab_size"], case.real.shape)
    inputs = {**case.inputs, "token_type_ids": types}
    yield from judge_embeddings(case, inputs, probe.forward_of(inputs))
    zeros = {**case.inputs, "token_type_ids": np.zeros_like(types)}
    yield from judge_embeddings(case, zeros, probe.forward_of(zeros))


@model_check(
    "embeddings in place of ids: every token has a position, padding too", ENCODERS, ("float64",), about="positions"
)
def check_positions_of_embeddings(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: the embeddings are judged by the reference."""
    case = probe.case
    inputs = {name: array for name, array in case.inputs.items() if name != "input_ids"}
    inputs["inputs_embeds"] = case.words[case.inputs["input_ids"]]
    yield from judge_embeddings(case, inputs, probe.forward_of(inputs))
