"""The shape of a measurement: a level, its sizes, and how many multiply-adds it takes at the least."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

LEVELS = {
    "operator": "the attention alone, of given queries, keys and values; no token is global",
    "prefill": "causal attention, 4 heads of queries for each of keys, window to the left; all tokens at once",
    "decode": "the same for one new token; the others are in a cache",
    "module": "the layer with its projections; one token is global",
    "encoder": "LED's encoder as in LED-base (6 layers, width 768, feed-forward 3072); one token is global",
    "generation": "cached steps of LED-base's decoder in 4 beams, over an encoded text",
}
ENCODER_LAYERS, FEED_FORWARD = 6, 3072  # LED-base
BEAMS, NEW_TOKENS = 4, 32
GROUP = 4  # heads of queries for each of keys


@dataclass(frozen=True)
class Shape:
    """The work of one measurement. `window` is one-sided; `padding` is the share of masked tokens in the batch."""

    level: str
    tokens: int
    window: int
    backward: bool = False
    batch: int = 1
    heads: int = 12
    head_dim: int = 64
    padding: float = 0.0
    dtype: str = "float32"
    device: str = "cpu"

    @property
    def width(self) -> int:
        return self.heads * self.head_dim

    @property
    def group(self) -> tuple[Any, ...]:
        """The fields that shapes in one picture share: all but the number of tokens."""
        return tuple(value for name, value in asdict(self).items() if name != "tokens")

    @property
    def passes(self) -> str:
        return "forward and backward" if self.backward else "forward"

    def lengths(self) -> list[int]:
        """Real tokens of each row: all of them, or evenly spread around the share that is not padding."""
        if not self.padding:
            return [self.tokens] * self.batch
        spread = min(self.padding, 1 - self.padding)
        steps = [(2 * row + 1) / self.batch - 1 for row in range(self.batch)]  # -1 .. 1, 0 in the middle
        return [max(1, round(self.tokens * (1 - self.padding + spread * step))) for step in steps]

    def __str__(self) -> str:
        rows = f", {self.batch} rows" if self.batch > 1 else ""
        padding = f", {self.padding:.0%} padding" if self.padding else ""
        return f"{self.level} {self.passes}, window {self.window}, {self.tokens:,} tokens{rows}{padding}"


def band_pairs(tokens: int, window: int) -> int:
    """Pairs (i, j) of tokens with |i - j| <= window."""
    reach = min(window, tokens - 1)
    return tokens * (2 * reach + 1) - reach * (reach + 1)


def causal_pairs(tokens: int, window: int, last: bool) -> int:
    """Pairs (i, j) of tokens with i - window <= j <= i; of the last token alone, or of all."""
    reach = min(window, tokens - 1)
    return reach + 1 if last else tokens * (reach + 1) - reach * (reach + 1) // 2


def multiply_adds(shape: Shape) -> int:
    """The multiply-adds that the real tokens need. Of the attention, only the pairs inside the window count.

    Forward: queries by keys, probabilities by values, and each weight matrix by each token. Backward: twice that, and
    the scores again, since keeping them takes memory that is not linear in the window alone. The few products of a
    global token are left out.
    """
    lengths = shape.lengths()
    if shape.level in ("prefill", "decode"):
        pairs = sum(causal_pairs(tokens, shape.window, shape.level == "decode") for tokens in lengths)
        return (7 if shape.backward else 2) * shape.width * pairs
    attention = shape.width * sum(band_pairs(tokens, shape.window) for tokens in lengths)
    weights = {
        "operator": 0,
        "module": 3 * shape.width**2,
        "encoder": 4 * shape.width**2 + 2 * shape.width * FEED_FORWARD,
    }[shape.level]
    layers = ENCODER_LAYERS if shape.level == "encoder" else 1
    attention_products, weight_products = (7, 3) if shape.backward else (2, 1)
    return layers * (attention_products * attention + weight_products * weights * sum(lengths))
