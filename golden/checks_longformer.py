"""Golden checks on the trained RoBERTa converted to a Longformer (`to_longformer`).

`attention_window` is two-sided here, as in the Hub's configurations: 128 means 64 tokens on each side. The text has
121 tokens, so 256 covers it and 128 does not: there the embedding must be off by what was recorded, and no published
number exists; the reference with its dense masks stands in, layer by layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trueband.golden.checks_sapiens import RUNS, judge_embedding
from trueband.golden.fairseq import Checkpoint, to_longformer
from trueband.golden.layerwise import judge_layers
from trueband.golden.published import published
from trueband.golden.records import GoldenCheck, Outcome
from trueband.golden.sapiens import FIRST_RESIDUE, PAD, encode, load_sapiens
from trueband.golden.witness import MaskedLMWitness, run_masked_lm
from trueband.properties.bounds.bound import Bound
from trueband.properties.verdict import judge

LEARNED_POSITIONS = 144
MAX_POSITIONS = 512
COVERS = 256
PADS = 7


def _text(pads: int = 0) -> NDArray[np.int64]:
    ids = encode(published("sapiens_vh")["embedding"]["seq"])
    return np.concatenate([ids, np.full((1, pads), PAD)], axis=1)


def _longformer(attention_window: int) -> Checkpoint:
    return to_longformer(load_sapiens(), attention_window, MAX_POSITIONS)


def _flags(ids: NDArray[np.int64], positions: Sequence[int] | None) -> NDArray[np.int64]:
    """1 at the global positions; None: everywhere."""
    flags = np.zeros_like(ids)
    flags[:, slice(None) if positions is None else list(positions)] = 1
    return flags


def _same_embedding(attention_window: int, positions: Sequence[int] | None, label: str, pads: int = 0) -> GoldenCheck:
    def check(witness: MaskedLMWitness) -> Outcome:
        ids = _text(pads)
        mask = (ids != PAD).astype(np.int64)
        checkpoint = _longformer(attention_window)
        output = run_masked_lm(witness, "longformer", checkpoint, ids, mask, _flags(ids, positions))
        return judge_embedding(output.hidden_states[-1], slice(1, ids.shape[1] - pads - 1), RUNS[0])

    name = f"longformer_window_{attention_window}_{label}"
    claim = f"two-sided window {attention_window}, {label.replace('_', ' ')}: the published embedding of the RoBERTa"
    return GoldenCheck(name, claim, check)


def _tiled_positions(witness: MaskedLMWitness) -> Outcome:
    """144 masked residues stand in front: the text takes the rows of the position table from 144 on."""
    text = _text()
    ids = np.concatenate([np.full((1, LEARNED_POSITIONS), FIRST_RESIDUE), text], axis=1)
    mask = (np.arange(ids.shape[1])[None] >= LEARNED_POSITIONS).astype(np.int64)
    output = run_masked_lm(witness, "longformer", _longformer(COVERS), ids, mask, _flags(ids, []))
    return judge_embedding(output.hidden_states[-1], slice(LEARNED_POSITIONS + 1, -1), RUNS[0])


def _miss(attention_window: int) -> GoldenCheck:
    def check(witness: MaskedLMWitness) -> Outcome:
        data, ids = published("sapiens_vh"), _text()
        output = run_masked_lm(witness, "longformer", _longformer(attention_window), ids, None, _flags(ids, []))
        embedding = output.hidden_states[-1][0, 1:-1].astype(np.float64).mean(axis=0)
        off_by = np.abs(embedding - np.array(data["embedding"][RUNS[0]])).max()
        recorded = data["longformer_miss"]
        printed = Bound({"printed digits": np.array([recorded["half_unit"]])})
        expected = [recorded["attention_window"][str(attention_window)]]
        return Outcome.of(judge([off_by], expected, printed, "distance from the published embedding"))

    claim = f"two-sided window {attention_window}, no globals: off the published embedding by the recorded distance"
    return GoldenCheck(f"longformer_window_{attention_window}_must_miss", claim, check)


def _layers(attention_window: int, positions: Sequence[int], label: str, pads: int = 0) -> GoldenCheck:
    def check(witness: MaskedLMWitness) -> Outcome:
        ids, checkpoint = _text(pads), _longformer(attention_window)
        masks = (ids != PAD).astype(np.int64), _flags(ids, positions)
        output = run_masked_lm(witness, "longformer", checkpoint, ids, *masks)
        return Outcome.worst(judge_layers("longformer", checkpoint, ids, output, *masks))

    name = f"longformer_layers_{attention_window}_{label}"
    claim = f"two-sided window {attention_window}, {label.replace('_', ' ')}: every layer agrees within 8 sigma"
    return GoldenCheck(name, claim, check)


CHECKS = (
    _same_embedding(COVERS, [], "no_globals"),
    _same_embedding(COVERS, [0], "first_global"),
    _same_embedding(COVERS, None, "all_global"),
    _same_embedding(COVERS, [0, 60], "two_globals_padded", PADS),
    _same_embedding(64, None, "all_global"),
    _same_embedding(64, None, "all_global_padded", PADS),
    GoldenCheck(
        "longformer_tiled_positions",
        "behind 144 masked residues the text has the tiled positions, and its published embedding",
        _tiled_positions,
    ),
    _miss(128),
    _miss(64),
    _layers(128, [], "no_globals"),
    _layers(64, [], "no_globals"),
    _layers(64, [0, 60, 120], "globals_padded", PADS),
)
