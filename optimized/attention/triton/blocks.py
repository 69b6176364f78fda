"""Tile sizes of the kernels, by dtype, width of a head, and target. Chosen so that nothing spills to local memory."""

from __future__ import annotations

from typing import NamedTuple

import torch

WIDEST = 128  # head_dim that the kernels are shipped for


class Tile(NamedTuple):
    """Rows of queries, of keys, and the warps that share the work."""

    queries: int
    keys: int
    warps: int = 4


class Blocks(NamedTuple):
    """Tiles of the kernels.

    Attributes:
        forward, backward_query, backward_key: of the passes over the band; those of global tokens take their `keys`
            (forward, backward_query, backward_key) or `queries` (backward_key).
        globals: global tokens in a tile.
        part: least tokens in a part of a row of a global token, a multiple of all tiles.
        stages: of the software pipeline.
    """

    forward: Tile
    backward_query: Tile
    backward_key: Tile
    globals: int = 16
    part: int = 512
    stages: int = 2


MOST_PARTS = 8  # so that memory stays linear in n when all tokens are global

INTERPRETER = "interpreter"
# There: small and unequal, so that short sequences have edges of every kind. Its time is in the number of tiles, not in
# their size: those of longer sequences are larger.
INTERPRETED = Blocks(Tile(32, 16), Tile(16, 32), Tile(32, 16), part=64)
INTERPRETED_LONG = Blocks(Tile(128, 64), Tile(64, 128), Tile(128, 64), part=256)
INTERPRETED_SHORT = 100  # tokens


def choose(dtype: torch.dtype, tf32: bool, head_dim: int, architecture: str, tokens: int) -> Blocks:
    """The shipped tiles for an architecture (see `places`); `tokens` makes a difference in the interpreter alone."""
    if architecture == INTERPRETER:
        return INTERPRETED if tokens <= INTERPRETED_SHORT else INTERPRETED_LONG
    columns, hopper = width(head_dim), architecture == "sm_90"
    wide = columns > 64
    if dtype == torch.float32 and tf32:
        if wide:
            return Blocks(Tile(32, 32), Tile(16, 32), Tile(32, 16))
        return Blocks(Tile(64, 32), Tile(64 if hopper else 32, 32), Tile(32, 32))
    if dtype == torch.float32:
        small = Tile(16, 16)
        backward_query = Tile(32, 16) if columns == 64 and not hopper else small
        return Blocks(small if wide else Tile(32, 32), backward_query, small)
    forward = Tile(64, 64 if hopper or columns == 64 else 32)
    if wide:
        return Blocks(forward, Tile(32, 32), Tile(32, 32))
    return Blocks(forward, Tile(64, 32), Tile(64 if hopper else 32, 64))


def width(head_dim: int) -> int:
    """Columns of a tile: the next power of two, at least what a matrix product of the hardware takes."""
    return max(16, 1 << (head_dim - 1).bit_length())


def parts(tokens: int, blocks: Blocks) -> tuple[int, int]:
    """(number of parts, tokens in each) of the rows of global tokens. They depend on the length alone."""
    least = -(-tokens // MOST_PARTS)
    size = -(-least // blocks.part) * blocks.part
    return -(-tokens // size), size
