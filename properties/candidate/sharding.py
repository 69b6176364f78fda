"""How the tokens of a sequence are dealt to ranks, and which axis of an argument they are."""

from __future__ import annotations

from collections.abc import Sequence

Piece = tuple[int, int]  # first token, and the one after the last
SHARDINGS = ("contiguous", "zigzag")
PROCESS_GROUPS = ("gloo", "nccl", "threads")


def pieces_of(tokens: int, ranks: int, sharding: str) -> list[list[Piece]]:
    """Return the pieces of the sequence that each rank holds.

    As `torch.chunk` cuts: every piece has ceil(tokens / pieces) tokens, the last ones have fewer, or none.
    "contiguous": rank r has piece r. "zigzag": of twice as many pieces, rank r has pieces r and 2 ranks - 1 - r: all
    ranks have as much to do under a causal mask.
    """
    count = ranks if sharding == "contiguous" else 2 * ranks
    size = -(-tokens // count)
    cuts = [(min(place * size, tokens), min((place + 1) * size, tokens)) for place in range(count)]
    return [[cut] for cut in cuts] if sharding == "contiguous" else [[cuts[r], cuts[-1 - r]] for r in range(ranks)]


def suited(asked: int | None, declared: Sequence[int], tokens: int, sharding: str, empty: bool) -> int:
    """Return the number of ranks for a call: the one that is asked for, by default the most.

    Args:
        declared: by the target.
        empty: whether it takes a shard of no tokens. If not, it is the most of those below for which no rank has one.
    """
    asked = max(declared) if asked is None else asked
    if empty:
        return asked
    fitting = [
        count
        for count in declared
        if count <= asked and all(_tokens(held) for held in pieces_of(tokens, count, sharding))
    ]
    return max(fitting, default=min(declared))


def offset_of(held: Sequence[Piece]) -> int | tuple[int, ...]:
    """Return the `offset` of a rank: the first token of its piece, or of each of its pieces."""
    first = tuple(piece[0] for piece in held)
    return first[0] if len(first) == 1 else first


def token_axis(name: str, dimensions: int, layout: str) -> int | None:
    """Return the axis of the tokens of an argument or a result; None for one that every rank has as a whole."""
    if dimensions == 4:
        return 1 if layout == "bnhd" else 2
    if dimensions == 3:  # lse and its gradient, (b, h, m)
        return 2
    return 1 if dimensions == 2 else None


def _tokens(held: Sequence[Piece]) -> int:
    return sum(last - first for first, last in held)
