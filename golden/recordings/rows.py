"""Selects the rows of a text that are recorded: those where a fault shows first.

The first and the last token, the last real one and the first pads, global tokens and their neighbors, the edges of
the windows that start at the first and in the middle, and of the blocks that an implementation may cut the text in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST = 24
Rows = NDArray[np.int64]


def selected_rows(
    tokens: int,
    windows: tuple[int, ...] = (),
    real: NDArray[np.bool_] | None = None,
    flagged: NDArray[np.bool_] | None = None,
    most: int = MOST,
) -> Rows:
    """Positions in order, the same for all texts of the batch.

    Args:
        tokens: length.
        windows: one-sided, of the layers.
        real, flagged: (b, n), masks; None: all real, none global.
        most: how many at most; those named first are kept.
    """
    positions = [0, tokens - 1]
    for row in () if real is None else real:
        ends = np.flatnonzero(np.diff(row.astype(np.int8)))  # the last before a change
        positions += [position for end in ends for position in (int(end), int(end) + 1)]
    for row in () if flagged is None else flagged:
        positions += [int(position) for position in np.flatnonzero(row)[:3]]
    for window in dict.fromkeys(windows):
        positions += [window, window + 1, tokens - 1 - window, 2 * window - 1, 2 * window]
    positions += [tokens // 2]
    for row in () if flagged is None else flagged:
        positions += [int(position) + 1 for position in np.flatnonzero(row)[:2]]
    positions += [int(position) for position in np.linspace(0, tokens - 1, most).round()]
    kept = list(dict.fromkeys(position for position in positions if 0 <= position < tokens))[:most]
    return np.array(sorted(kept), dtype=np.int64)


def parse_rows(text: str, tokens: int) -> Rows:
    """Rows by number, "0,1,-1", or "all".

    Raises:
        ValueError: no numbers, or a row that the text does not have.
    """
    if text == "all":
        return np.arange(tokens)
    try:
        rows = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"--rows: expected numbers with commas between, or all, got {text!r}") from error
    outside = [row for row in rows if not -tokens <= row < tokens]
    if outside:
        raise ValueError(f"--rows: expected rows of {tokens} tokens, got {outside[0]}")
    return np.array(sorted({row % tokens for row in rows}), dtype=np.int64)
