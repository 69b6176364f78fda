"""Which shapes a tier asks for, from the cheapest on.

What a kernel chooses by one size, or by two (tiles by head_dim, grids by heads, another path from some length on), is
met by walking each size alone, the pairs that models have, and the models themselves.
"""

from __future__ import annotations

import itertools
from dataclasses import astuple, dataclass
from functools import cache

from trueband.properties.cases.choices import Choices
from trueband.properties.cases.limits import Limits
from trueband.properties.cases.shapes import Shape, of_models

HEADS = (*range(4, 18), 20, 24, 25, 28, 32, 40, 48, 56, 64)
BATCHES = (*range(4, 10), 12, 16, 17, 24, 32, 33)
HEAD_DIMS = (*range(8, 257, 8), 5, 6, 7, 9, 12, 20, 33, 50, 63, 65, 90, 100, 127, 129, 200, 255)
# Tiles and blocks, one more and one less; round numbers; and what is near to nothing.
TOKENS = (
    41,
    48,
    63,
    64,
    65,
    80,
    95,
    96,
    97,
    100,
    112,
    127,
    128,
    129,
    150,
    160,
    191,
    192,
    193,
    200,
    224,
    255,
    256,
    257,
    288,
    300,
    320,
    333,
    383,
    384,
    385,
    400,
    447,
    448,
    449,
    500,
    511,
    512,
    513,
    555,
    575,
    576,
    577,
    600,
    639,
    640,
    641,
    700,
    767,
    768,
    769,
    800,
    850,
    896,
    900,
    960,
    1000,
    1023,
    1024,
    1025,
    1088,
    1152,
    1200,
    1280,
    1400,
    1500,
    1535,
    1536,
    1537,
    1700,
    1800,
    2000,
    2047,
    2048,
    2049,
    2222,
    2560,
    3000,
    3072,
    3333,
    3584,
    4000,
    4095,
    4096,
    4097,
)
WINDOWS = (
    5,
    8,
    15,
    16,
    17,
    31,
    32,
    33,
    48,
    63,
    64,
    65,
    100,
    127,
    128,
    129,
    200,
    255,
    256,
    257,
    300,
    511,
    512,
    513,
    1000,
    1023,
    1024,
    1025,
    2048,
)
MODEL_HEADS, MODEL_HEAD_DIMS = (2, 4, 6, 8, 12, 16, 20, 24, 32, 40, 64), (32, 64, 72, 80, 96, 104, 128, 192, 256)
DEAR = 1_300  # tokens
LENGTHS = (130, 300, 600, 1100)
# One model at its whole size is in every tier: what goes wrong only where heads, channels and tokens are many at once.
WHOLE = Shape(4096, 256, 12, 64, name="Longformer base")


@dataclass(frozen=True)
class Budget:
    """What a tier spends on a shape.

    Attributes:
        tokens: of the longest sequence.
        numbers: of one input, in the largest shape; models are cut to fewer tokens.
        pairs: of a row and a key, in the largest shape.
        seconds: of one call of the target: what is larger in everything than a call that took longer is left out.
        total: seconds of a check in a dtype: what comes later, and is dearer, is left out.
    """

    tokens: int
    numbers: int
    pairs: int
    seconds: float
    total: float

    def holds(self, shape: Shape) -> bool:
        """Whether a shape is no larger."""
        return shape.tokens <= self.tokens and shape.numbers <= self.numbers and shape.pairs <= self.pairs


BUDGETS = {
    "quick": Budget(4_160, 400_000, 4_200_000, 1.0, 20.0),
    "full": Budget(8_192, 4_000_000, 100_000_000, 10.0, 600.0),
    "nightly": Budget(16_384, 40_000_000, 1_000_000_000, 60.0, 86_400.0),
}


def shapes(tier: str, limits: Limits) -> list[Shape]:
    """The shapes of a tier that a target takes, each once, from the cheapest on."""
    return list(dict.fromkeys(shape.fitted(limits) for shape in _all(tier)))


@cache
def _all(tier: str) -> tuple[Shape, ...]:
    budget = BUDGETS[tier]
    every = [
        *(Shape(9, 2, heads, 4) for heads in HEADS),
        *(Shape(20, 3 + head_dim % 5, 2, head_dim) for head_dim in HEAD_DIMS),
        *(Shape(12, 4, *pair) for pair in itertools.product(MODEL_HEADS, MODEL_HEAD_DIMS)),
        *(Shape(tokens, _window(number, tokens), 1, 8) for number, tokens in enumerate(TOKENS)),
        *(Shape(2 * window + 37, window, 1, 16) for window in WINDOWS),
        *(Shape(tokens, tokens // 5, 1, head_dim) for tokens in LENGTHS for head_dim in MODEL_HEAD_DIMS),
        *(Shape(tokens, 90, 1, head_dim) for tokens in (2100, 4100) for head_dim in (64, 128)),
        *(Shape(tokens, 40, heads, 8) for tokens in (130, 520) for heads in MODEL_HEADS),
        *(Shape(9, 2, 1, 4, batch) for batch in BATCHES),
        *(Shape(tokens, 20, 2, 8, batch) for tokens in (140, 570) for batch in (2, 5)),
        *(Shape(140, 30, 2, 64, batch) for batch in (3, 8, 17)),
        *of_models(budget.tokens, budget.numbers, budget.pairs),
    ]
    fitting = {shape for shape in every if shape.tokens <= budget.tokens and shape.pairs <= budget.pairs}
    return tuple(sorted(fitting | {WHOLE}, key=lambda shape: (shape.numbers + shape.pairs, astuple(shape))))


def _window(number: int, tokens: int) -> int:
    """Narrow, wide, and the whole sequence, which is dear where it is long."""
    wide = (tokens // 9, tokens // 3, tokens) if tokens < DEAR else (33, 128, 300)
    return (1, 64, *wide)[number % 5]


def any_shape(choices: Choices, tier: str, limits: Limits) -> Shape:
    """A shape around those of the tier: sizes that are no multiples of anything."""
    one = choices.one_of(_all(tier))
    near = lambda size: choices.integer((max(size - size // 4, 1), size + size // 4 + 1))  # noqa: E731
    tokens = min(near(one.tokens), BUDGETS[tier].tokens)
    return Shape(
        tokens,
        near(one.window),
        choices.one_of((one.heads, near(one.heads))),
        choices.one_of((one.head_dim, near(one.head_dim))),
    ).fitted(limits)
