"""Tile sizes of the kernels, by dtype, width of a head, and target. Chosen so that nothing spills to local memory."""

from __future__ import annotations

from typing import NamedTuple

import torch

WIDEST = 128  # head_dim that the kernels are shipped for


class Tile(NamedTuple):
    """Rows of queries, of keys, the warps that share the work, and the stages of the software pipeline."""

    queries: int
    keys: int
    warps: int = 4
    stages: int = 2


class Blocks(NamedTuple):
    """Tiles of the kernels.

    Attributes:
        forward, backward_query, backward_key: tiles of passes over the band; those of global tokens take `keys`
            (forward, backward_query, backward_key) or `queries` (backward_key).
        globals: global tokens in a tile.
        part: least tokens in a part of a row of a global token, a multiple of all tiles.
    """

    forward: Tile
    backward_query: Tile
    backward_key: Tile
    globals: int = 16
    part: int = 512


MOST_PARTS = 8  # so that memory stays linear in n when all tokens are global

INTERPRETER = "interpreter"
# There: small and unequal, so that short sequences have edges of every kind. Its time is in the number of tiles, not in
# their size: those of longer sequences are larger.
INTERPRETED = Blocks(Tile(32, 16), Tile(16, 32), Tile(32, 16), part=64)
INTERPRETED_LONG = Blocks(Tile(128, 64), Tile(64, 128), Tile(128, 64), part=256)
INTERPRETED_SHORT = 100  # tokens


# {(format, target): {columns of a tile: tiles}}. Each was compiled, causal and not, with a head mask and without, and
# does not spill. Half: float16 and bfloat16.
SHIPPED = {
    ("half", "sm_80"): {
        16: Blocks(Tile(64, 32), Tile(64, 32), Tile(32, 64)),
        32: Blocks(Tile(64, 32), Tile(64, 32), Tile(32, 64)),
        64: Blocks(Tile(64, 64), Tile(64, 32), Tile(32, 64)),
        128: Blocks(Tile(64, 32), Tile(32, 32, warps=8), Tile(32, 32)),
    },
    ("half", "sm_90"): {
        16: Blocks(Tile(64, 64), Tile(64, 32), Tile(64, 64)),
        32: Blocks(Tile(64, 64), Tile(64, 32), Tile(64, 64)),
        64: Blocks(Tile(64, 64), Tile(64, 32), Tile(64, 64)),
        128: Blocks(Tile(64, 64), Tile(32, 32, warps=8), Tile(32, 32)),
    },
    ("half", "gfx942"): {
        16: Blocks(Tile(64, 32), Tile(64, 32), Tile(32, 64)),
        32: Blocks(Tile(64, 32), Tile(64, 32), Tile(32, 64)),
        64: Blocks(Tile(64, 64), Tile(64, 32), Tile(32, 64)),
        128: Blocks(Tile(64, 32), Tile(32, 32), Tile(32, 32)),
    },
    ("tf32", "sm_80"): {
        16: Blocks(Tile(64, 32), Tile(32, 32), Tile(32, 32)),
        32: Blocks(Tile(64, 32), Tile(32, 32), Tile(32, 32)),
        64: Blocks(Tile(64, 32), Tile(32, 32), Tile(32, 32)),
        128: Blocks(Tile(32, 32), Tile(16, 32), Tile(32, 16)),
    },
    ("tf32", "sm_90"): {
        16: Blocks(Tile(64, 32), Tile(64, 32), Tile(32, 32)),
        32: Blocks(Tile(64, 32), Tile(64, 32), Tile(32, 32)),
        64: Blocks(Tile(64, 32), Tile(64, 32), Tile(32, 32)),
        128: Blocks(Tile(32, 32), Tile(16, 32), Tile(32, 16)),
    },
    ("float32", "sm_80"): {
        16: Blocks(Tile(32, 16), Tile(16, 16), Tile(16, 16)),
        32: Blocks(Tile(32, 16), Tile(16, 16), Tile(16, 16)),
        64: Blocks(Tile(32, 32), Tile(32, 16), Tile(16, 16)),
        128: Blocks(Tile(32, 16), Tile(32, 16), Tile(16, 16)),
    },
    ("float32", "sm_90"): {
        16: Blocks(Tile(32, 16), Tile(16, 16), Tile(16, 16)),
        32: Blocks(Tile(32, 16), Tile(16, 16), Tile(16, 16)),
        64: Blocks(Tile(32, 32), Tile(16, 16, stages=3), Tile(16, 16)),
        128: Blocks(Tile(16, 16), Tile(16, 16, stages=3), Tile(16, 16)),
    },
}


def choose(dtype: torch.dtype, tf32: bool, head_dim: int, architecture: str, tokens: int) -> Blocks:
    """The shipped tiles for an architecture (see `places`); those of sm_80 where it has none of its own.

    `tokens` makes a difference in the interpreter alone.
    """
    if architecture == INTERPRETER:
        return INTERPRETED if tokens <= INTERPRETED_SHORT else INTERPRETED_LONG
    kind = "half" if dtype != torch.float32 else "tf32" if tf32 else "float32"
    of_target = SHIPPED.get((kind, architecture), SHIPPED[kind, "sm_80"])
    return of_target[width(head_dim)]


def choose_span(dtype: torch.dtype, tf32: bool, head_dim: int, architecture: str, tokens: int) -> Blocks:
    """The tiles for spans: those of the band, but smaller where what spans have more of needs the registers."""
    blocks = choose(dtype, tf32, head_dim, architecture, tokens)
    if architecture == INTERPRETER:
        return blocks
    key = blocks.backward_key
    smaller = Tile(min(key.queries, 32), min(key.keys, 32), key.warps, stages=3)
    return blocks._replace(backward_key=smaller)


def width(head_dim: int) -> int:
    """Columns of a tile: the next power of two, at least what a matrix product of the hardware takes."""
    return max(16, 1 << (head_dim - 1).bit_length())


def parts(tokens: int, blocks: Blocks) -> tuple[int, int]:
    """(number of parts, tokens in each) of the rows of global tokens. They depend on the length alone."""
    least = -(-tokens // MOST_PARTS)
    size = -(-least // blocks.part) * blocks.part
    return -(-tokens // size), size
