"""Codes: what position a key (or row) has, as one channel that is not 0, in as many channels as the heads really have.

The first code of a position is its last digit in base head_dim, the second the sum of its other digits: a key taken for
another changes a count, and a key that is dropped or counted twice changes two. Every head of every sequence has its
own channel for each code, so that one taken for another is seen, too.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float

CODES = 2


def codes(tokens: int, head_dim: int, which: int) -> NDArray[np.int64]:
    """(n,) the code of each position, below head_dim."""
    position = np.arange(tokens)
    if which == 0 or head_dim == 1:
        return position % head_dim
    rest, total = position // head_dim, np.zeros(tokens, dtype=np.int64)
    while rest.any():
        total += rest % head_dim
        rest = rest // head_dim
    return total % head_dim


def one_hot(code: NDArray[np.int64], channels: int) -> Float:
    """(n, channels): 1 in the channel of each code."""
    coded = np.zeros((len(code), channels))
    coded[np.arange(len(code)), code] = 1.0
    return coded


def code_of_channel(head_dim: int, number: int) -> NDArray[np.int64]:
    """(d,): which code each channel stands for, for the head of this number, counted over the batch.

    Affine maps of the codes: as many different ones as there are, head_dim times the units modulo head_dim.

    >>> code_of_channel(4, 1), code_of_channel(4, 4)
    (array([3, 0, 1, 2]), array([0, 3, 2, 1]))
    """
    units = _units(head_dim)
    factor, shift = units[number // head_dim % len(units)], number % head_dim
    channel = (factor * np.arange(head_dim) + shift) % head_dim
    return np.argsort(channel)


@lru_cache
def _units(head_dim: int) -> tuple[int, ...]:
    return tuple(unit for unit in range(1, head_dim + 1) if math.gcd(unit, head_dim) == 1)


def coded(code: NDArray[np.int64], batch: int, heads: int, channels: int, first: int = 0, weight: float = 1.0) -> Float:
    """(b, h, n, d): the codes of all positions, in the channels of each head.

    Args:
        first: number of the first head: other tables have other numbers.
        weight: what stands in the channel.
    """
    array = np.zeros((batch, heads, len(code), channels))
    position = np.arange(len(code))
    for b, h in np.ndindex(batch, heads):
        channel = np.argsort(code_of_channel(channels, first + b * heads + h))
        array[b, h, position, channel[code]] = weight
    return array
