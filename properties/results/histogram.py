"""Histograms of errors: counts of error/bound in bins of a quarter of a decade.

Every case counts once, by the largest error/bound of its comparisons. The bins of a histogram, in order:

    0                  exactly 0: no error at all
    1                  up to 1e-6
    2 ... BINS - 2     (EDGES[i - 2], EDGES[i - 1]]: four for each decade from 1e-6 to 1
    BINS - 1           above 1: an alarm
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

DECADES, PER_DECADE = 6, 4
EDGES = tuple(10.0 ** (i / PER_DECADE - DECADES) for i in range(DECADES * PER_DECADE + 1))
BINS = len(EDGES) + 2


def empty() -> list[int]:
    """Return the histogram of no case."""
    return [0] * BINS


def bin_of(ratio: float) -> int:
    """Return the bin of an error/bound >= 0; inf is an alarm."""
    return 0 if ratio == 0 else 1 + bisect_left(EDGES, ratio)


def name_of(index: int) -> str:
    """Return the range of a bin in words."""
    if index == 0:
        return "0"
    if index == BINS - 1:
        return "> 1"
    low = "0" if index == 1 else f"{EDGES[index - 2]:.2g}"
    return f"{low} to {EDGES[index - 1]:.2g}"


def add(histograms: Iterable[Sequence[int]]) -> list[int]:
    """Return the sum of histograms; an empty one counts nothing.

    Raises:
        ValueError: one has another number of bins.
    """
    total = empty()
    for histogram in histograms:
        if histogram and len(histogram) != BINS:
            raise ValueError(f"histogram: expected {BINS} bins, got {len(histogram)}")
        for index, count in enumerate(histogram):
            total[index] += count
    return total
