"""Checks of padding: where it changes nothing, and where it must."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.bounds.bound import Bound
from trueband.properties.checks.check import claim
from trueband.properties.models.case import FIRST_WORD, VOCABULARY, ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.from_start import logits_bound
from trueband.properties.models.model import Arrays
from trueband.properties.models.witness import ReferenceModels
from trueband.properties.results.verdict import Verdict, judge, no_evidence

MOST = 4  # tokens that every case has positions left for


@model_check(
    "masked tokens behind a sequence, whatever their ids, change no real row", dtypes=("float64",), about="padding"
)
def check_right_padding(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: two runs of other shapes, by the errors of both."""
    case = probe.case
    added = int(probe.random.integers(1, MOST + 1))
    longer = _extended(case, probe.random.integers(FIRST_WORD, VOCABULARY, (case.batch, added)), in_front=False)
    before, after = (probe.forward_of(inputs)["logits"] for inputs in (case.inputs, longer))
    bound = logits_bound(case, case.inputs)
    if case.architecture == "led":  # all rows of the decoder
        yield judge(after, before, bound.scaled(2.0), f"logits with {added} masked tokens more")
        return
    real = case.real
    both = bound + logits_bound(case, longer).at(np.s_[:, : case.tokens])
    yield judge(after[:, : case.tokens][real], before[real], both.at(real), f"logits with {added} masked tokens more")


@model_check(
    "padding on the left gives what padding on the right and none at all give",
    ("xlm-roberta",),
    ("float64",),
    about="padding",
)
def check_left_padding(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: two runs of other shapes, by the errors of both."""
    case = probe.case
    logits, bounds = [], []
    for on_the_left in (False, True):
        mask = np.sort(case.real, axis=1) if on_the_left else -np.sort(-case.real.astype(int), axis=1) != 0
        ids = np.full(mask.shape, case.pad_token_id)
        for row, kept, words, real in zip(ids, mask, case.inputs["input_ids"], case.real, strict=True):
            row[kept] = words[real]
        inputs = {**case.inputs, "input_ids": ids, "attention_mask": mask.astype(np.int64)}
        logits.append(probe.forward_of(inputs)["logits"][mask])
        bounds.append(logits_bound(case, inputs).at(mask))
    yield judge(logits[1], logits[0], bounds[0] + bounds[1], "logits of the real tokens, padding left and right")
    row = int(probe.random.integers(case.batch))
    alone = {name: array[row : row + 1] for name, array in case.inputs.items()}
    alone["input_ids"] = alone["input_ids"][case.real[row : row + 1]][None]
    alone["attention_mask"] = np.ones_like(alone["input_ids"])
    place = slice(int(case.real[:row].sum()), int(case.real[: row + 1].sum()))
    bound = bounds[0].at(place) + logits_bound(case, alone).at(0)
    yield judge(probe.forward_of(alone)["logits"][0], logits[0][place], bound, f"logits of row {row} without padding")


@model_check(
    "padding on the left moves LED's positions, and so changes its results", ("led",), ("float64",), about="padding"
)
def check_left_padding_moves_positions(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: no evidence where the reference's two results are not farther apart than the errors of two models."""
    case = probe.case
    added = int(probe.random.integers(1, MOST + 1))
    moved = _extended(case, np.full((case.batch, added), case.pad_token_id), in_front=True)
    both, what = (case.inputs, moved), f"logits with {added} masked tokens in front"
    bound = logits_bound(case, both[0]) + logits_bound(case, both[1])
    right, wrong = (ReferenceModels().forward(case.model, inputs)["logits"] for inputs in both)
    if not (np.abs(wrong - right) > 2 * bound.total).any():  # a model's results may then be the same
        yield no_evidence(what)
        return
    before, after = (probe.forward_of(inputs)["logits"] for inputs in both)
    yield _differs(after, before, bound, what)


def _extended(case: ModelCase, ids: np.ndarray, *, in_front: bool) -> Arrays:
    """Add masked tokens (b, t), none of them global, before or after the inputs."""
    added = {"input_ids": ids, "attention_mask": np.zeros_like(ids), "global_attention_mask": np.zeros_like(ids)}
    longer = dict(case.inputs)
    for name in added.keys() & longer.keys():
        parts = (added[name], longer[name]) if in_front else (longer[name], added[name])
        longer[name] = np.concatenate(parts, axis=1)
    return longer


def _differs(first: np.ndarray, second: np.ndarray, bound: Bound, what: str) -> Verdict:
    """Judge that some element differs by more than rounding can explain."""
    beyond = np.abs(first - second) / bound.total
    message = f"{what}: expected other numbers, got the same within {beyond.max():.3g} bounds"
    return claim(bool(beyond.max() > 1), message)
