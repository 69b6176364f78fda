"""Which rows of a long sequence to look at: those where kernels go wrong, and some at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
BLOCKS = (16, 32, 64, 128)
MOST = 32  # rows of each sequence


def choose_rows(
    real: NDArray[np.bool_], is_global: NDArray[np.bool_], random: np.random.Generator, most: int = MOST
) -> Rows:
    """(b, min(most, n)) positions of each sequence, in order, each once.

    The first and the last; those at edges of padding; some at and beside global tokens; some at multiples of 16, 32,
    64 and 128, the last of each among them, and one beside; the rest at random. All where the sequence is that short.

    Args:
        real, is_global: (b, n).
    """
    tokens = real.shape[1]
    if tokens <= most:
        return np.tile(np.arange(tokens), (len(real), 1))
    return np.stack([_of_sequence(*flags, random, most) for flags in zip(real, is_global, strict=True)])


def _of_sequence(real: NDArray[np.bool_], is_global: NDArray[np.bool_], random: np.random.Generator, most: int) -> Rows:
    tokens = len(real)
    seen = np.flatnonzero(real)
    wanted = [0, tokens - 1, *seen[:1], *seen[-1:]]
    edges = np.flatnonzero(real[1:] != real[:-1])
    for edge in _some(edges, 2, random):
        wanted += [edge, edge + 1]
    globals_ = np.flatnonzero(is_global)
    for position in _some(globals_, 2, random):
        wanted += [position, position + 1]
    for block in BLOCKS:
        last = (tokens - 1) // block * block
        for start in (last, block * int(random.integers(tokens // block + 1))):
            wanted += [start - 1, start]
    rest = random.permutation(seen if len(seen) >= most else tokens)
    order = [position for position in (*wanted, *rest, *range(tokens)) if 0 <= position < tokens]
    return np.sort(np.array(list(dict.fromkeys(int(position) for position in order))[:most], dtype=np.int64))


def _some(positions: Rows, most: int, random: np.random.Generator) -> list[int]:
    chosen = random.choice(positions, min(most, len(positions)), replace=False)
    return [int(position) for position in chosen]
