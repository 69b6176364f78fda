"""Sapiens (Merck): a RoBERTa trained on antibody sequences, small, with published outputs. Symbols and checkpoint."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trueband.golden.weights.fairseq import Checkpoint, load_fairseq_roberta
from trueband.golden.weights.fetch import fetch
from trueband.golden.weights.wheels import SAPIENS

START, PAD, END, UNKNOWN = 0, 1, 2, 3
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"  # the order of dict.txt; ids 4 .. 23
FIRST_RESIDUE = 4
MASK = FIRST_RESIDUE + len(RESIDUES)


@cache
def _load(path: Path) -> Checkpoint:
    return load_fairseq_roberta(path)


def load_sapiens() -> Checkpoint:
    """Configuration and weights of the heavy-chain model, fetched if need be."""
    return _load(fetch(SAPIENS)["checkpoint_vh.pt"])


def encode(sequence: str, star: int = MASK) -> NDArray[np.int64]:
    """(1, n + 2): start, one id for each residue, end. `star`: the id of "*".

    The author's 2022 runs read "*" as the mask, those of 2025 as the unknown symbol.
    """
    ids = {residue: FIRST_RESIDUE + i for i, residue in enumerate(RESIDUES)} | {"*": star}
    unknown = sorted(set(sequence) - ids.keys())
    if unknown:
        raise ValueError(f"sequence: expected the letters {RESIDUES} and *, got {unknown[0]!r}")
    return np.array([[START, *(ids[symbol] for symbol in sequence), END]])


def decode_best(logits: NDArray[np.float64]) -> str:
    """The best residue at each position, of logits (n, vocabulary); other symbols are not considered."""
    best = logits[:, FIRST_RESIDUE:MASK].argmax(axis=-1)
    return "".join(RESIDUES[i] for i in best)
