"""The inputs and labels that each head needs."""

from __future__ import annotations

import numpy as np

from trueband.properties.models.case import ModelCase
from trueband.properties.models.model import Arrays

SEPARATOR = 2  # and end token


def head_inputs(case: ModelCase) -> Arrays:
    """Return the inputs of a case for its head, without a global mask: the head decides which tokens are global.

    A question ends with two separators and the text with one; LED's classification reads at the last end token.
    """
    random = np.random.default_rng([case.seed, 11])
    inputs = {name: case.inputs[name].copy() for name in ("input_ids", "attention_mask")}
    ids = inputs["input_ids"]
    for row in ids:
        if case.architecture == "longformer" and case.head in ("qa", "choice"):
            question = int(random.integers(1, case.tokens - 3))
            row[[question, question + 1, case.tokens - 1]] = SEPARATOR
        elif case.architecture == "led" and case.head == "sequence":
            row[int(random.integers(case.tokens))] = SEPARATOR
    if case.head == "choice":
        return {name: array[None] for name, array in inputs.items()}  # one row of the batch, a choice in each
    if case.architecture == "led" and case.head == "qa":
        inputs["decoder_input_ids"] = case.inputs["decoder_input_ids"]
    return inputs


def labels(case: ModelCase) -> Arrays:
    """Return labels by argument name; for sequences they are of the kind of the configuration, or else of the seed."""
    random = np.random.default_rng([case.seed, 13])
    classes = case.config["vocab_size" if case.head == "lm" else "num_labels"]
    led = case.architecture == "led"
    if case.head == "qa":
        length = case.target_tokens if led else case.tokens
        positions = random.integers(0, length + 1, (2, case.batch))  # one behind the last does not count
        positions[:, 0] %= length  # one that counts: a mean of nothing is no number
        return dict(zip(("start_positions", "end_positions"), positions, strict=True))
    if case.head == "choice":
        return {"labels": random.integers(0, case.batch, 1)}
    if case.head in ("token", "lm"):
        drawn = random.integers(0, classes, (case.batch, case.target_tokens if led else case.tokens))
        ignored = random.integers(0, 4, drawn.shape) == 0
        ignored[0, :2] = False  # also of a causal model one counts, where the first label does not
        return {"labels": np.where(ignored, -100, drawn)}
    kind = case.config["problem_type"]
    if classes == 1:
        return {"labels": random.standard_normal(case.batch)}
    if kind == "regression":
        return {"labels": random.standard_normal((case.batch, classes))}
    if kind == "multi_label_classification" or (kind is None and case.seed % 2):
        return {"labels": random.integers(0, 2, (case.batch, classes)).astype(np.float64)}
    return {"labels": random.integers(0, classes, case.batch)}


def default_globals(case: ModelCase) -> np.ndarray:
    """Return (b, n) bool: the tokens that Longformer's heads make global."""
    flags = np.zeros((case.batch, case.tokens), dtype=bool)
    if case.head == "sequence":
        flags[:, 0] = True
    for row, ids in zip(flags, head_inputs(case)["input_ids"].reshape(case.batch, -1), strict=True):
        first = list(ids).index(SEPARATOR) if case.head in ("qa", "choice") else 0
        if case.head == "qa":
            row[:first] = True
        elif case.head == "choice":
            row[first + 2 :] = True
    return flags
