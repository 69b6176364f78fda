"""Golden checks on a trained RoBERTa: what its author published, and agreement with the reference layer by layer."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.layerwise import judge_layers
from trueband.golden.published import published
from trueband.golden.records import GoldenCheck, Outcome
from trueband.golden.sapiens import FIRST_RESIDUE, MASK, PAD, RESIDUES, UNKNOWN, decode_best, encode, load_sapiens
from trueband.golden.witness import MaskedLMWitness, run_masked_lm
from trueband.properties.bounds.bound import Bound
from trueband.properties.verdict import judge, judge_exact

RUNS = ("fairseq_2022", "hf_2025")  # two runs that the author published


def judge_embedding(last_hidden_states: NDArray[Any], residues: slice, run: str) -> Outcome:
    """Mean over the residues of the last hidden states (1, n, 128), against a published run."""
    data = published("sapiens_vh")
    expected = np.array(data["embedding"][run])
    tolerance = np.full(expected.shape, data["tolerances"]["embedding"]["value"])
    value = last_hidden_states[0, residues].astype(np.float64).mean(axis=0)
    return Outcome.of(judge(value, expected, Bound({"published": tolerance}), f"embedding of {run}"))


def _embedding(run: str) -> GoldenCheck:
    def check(witness: MaskedLMWitness) -> Outcome:
        ids = encode(published("sapiens_vh")["embedding"]["seq"])
        output = run_masked_lm(witness, "roberta", load_sapiens(), ids)
        return judge_embedding(output.hidden_states[-1], slice(1, -1), run)

    return GoldenCheck(f"sapiens_embedding_{run}", f"the sequence embedding is that of the author's {run} run", check)


def _padding(witness: MaskedLMWitness) -> Outcome:
    ids = encode(published("sapiens_vh")["embedding"]["seq"])
    length = ids.shape[1]
    padded = np.full((1, length + 9), PAD)
    padded[:, :length] = ids
    output = run_masked_lm(witness, "roberta", load_sapiens(), padded, (padded != PAD).astype(np.int64))
    return judge_embedding(output.hidden_states[-1], slice(1, length - 1), RUNS[0])


def _scores(witness: MaskedLMWitness) -> Outcome:
    data = published("sapiens_vh")
    ids = encode(data["scores"]["seq"])
    logits = run_masked_lm(witness, "roberta", load_sapiens(), ids).logits[0, 1:-1].astype(np.float64)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = weights / weights.sum(axis=-1, keepdims=True)  # over all 25 symbols
    table = data["scores"]["mask_rows"]
    value = probabilities[[int(row) for row in table], FIRST_RESIDUE:MASK]
    expected = np.array([[row[residue] for residue in RESIDUES] for row in table.values()])
    tolerance = np.full(expected.shape, data["tolerances"]["scores"]["value"])
    return Outcome.of(judge(value, expected, Bound({"printed digits and float32": tolerance}), "scores"))


def _infill(case: int, kind: str, star: int) -> GoldenCheck:
    """Residues put in for "*": published with "*" read as the mask, and with "*" read as the unknown symbol."""

    def check(witness: MaskedLMWitness) -> Outcome:
        entry = published("sapiens_vh")["infill"][case]
        sequence: str = entry["seq"]
        logits = run_masked_lm(witness, "roberta", load_sapiens(), encode(sequence, star)).logits[0, 1:-1]
        best = decode_best(logits)
        filled = "".join(b if a == "*" else a for a, b in zip(sequence, best, strict=True))
        return Outcome.same_text(best if kind.startswith("best") else filled, entry[kind], kind)

    name = f"sapiens_infill_{case + 1}_{kind}"
    return GoldenCheck(name, f"the sequence predicted for text {case + 1} is the published one ({kind})", check)


def _accuracy(witness: MaskedLMWitness) -> Outcome:
    data = published("sapiens_vh")
    ids = encode(data["embedding"]["seq"])
    places = np.arange(1, ids.shape[1] - 1)
    copies = np.repeat(ids, len(places), axis=0)  # one copy for each residue, with that residue masked
    copies[np.arange(len(places)), places] = MASK
    logits = run_masked_lm(witness, "roberta", load_sapiens(), copies).logits[np.arange(len(places)), places]
    right = sum(a == b for a, b in zip(decode_best(logits), data["embedding"]["seq"], strict=True))
    expected = Fraction(data["single_mask_infill_accuracy"]["fraction"])
    count = judge_exact([float(right)], [float(expected * len(places))], "residues found again")
    return Outcome.of(count)


def _layers(witness: MaskedLMWitness) -> Outcome:
    ids = encode(published("sapiens_vh")["scores"]["seq"])
    checkpoint = load_sapiens()
    output = run_masked_lm(witness, "roberta", checkpoint, ids)
    return Outcome.worst(judge_layers("roberta", checkpoint, ids, output))


CHECKS = (
    *(_embedding(run) for run in RUNS),
    GoldenCheck("sapiens_padding", "nine pads behind the sequence leave its published embedding as it is", _padding),
    GoldenCheck("sapiens_scores", "200 published probabilities of residues", _scores),
    _infill(0, "masked_fill", MASK),
    _infill(1, "masked_fill_mask", MASK),
    _infill(1, "best_mask", MASK),
    _infill(1, "masked_fill_unk", UNKNOWN),
    _infill(1, "best_unk", UNKNOWN),
    GoldenCheck("sapiens_accuracy", "masking each residue in turn, exactly 74 of 119 are found again", _accuracy),
    GoldenCheck("sapiens_layers", "every layer agrees with the reference fed the same input, within 8 sigma", _layers),
)
