"""What a case looks like on a candidate: which keys each row sees, and where the errors are.

It is for pictures; verdicts are made elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trueband.properties.candidate.probe import Candidate, Probe
from trueband.properties.cases.case import Case
from trueband.properties.cases.decode import base_of, decoding_inputs, shares_by_digit
from trueband.properties.cases.inputs import Inputs
from trueband.properties.results.verdict import error_over_bound

MOST_TOKENS = 64  # of a case that fits in a picture
MOST_BLOCKS = 16

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """One sequence and head of a case.

    Attributes:
        case: whose.
        batch, head: the sequence and the head that are told of.
        masked, flagged: (n,) masked tokens, global tokens.
        expected: (n, n) how often each row (first axis) sees each key: once or not at all.
        decoded: (n, n) how often it does, read off the output for queries 0 and one-hot values; nan where that cannot
            be read. None: not asked for.
        weight: (n,) what the weights of each row sum to, for queries 0. None: not asked for.
        slack: (n,) the most that the sum of weights may be off by rounding.
        blocks: first and last token of each block of keys.
        ratio: (n, blocks) error/bound of each row's output when only one block of keys has values other than 0.
        total: (n,) error/bound of each row's output with all values.
        gradients: by argument, (n,) largest error/bound of a token's gradient; empty where the kernel has none.
        trouble: why something of this is missing, one line.
    """

    case: Case
    batch: int
    head: int
    masked: NDArray[np.bool_]
    flagged: NDArray[np.bool_]
    expected: Float
    decoded: Float | None
    weight: Float | None
    slack: Float
    blocks: list[tuple[int, int]]
    ratio: Float
    total: Float
    gradients: dict[str, Float] = field(default_factory=dict)
    trouble: str = ""

    @property
    def weighs_wrong(self) -> NDArray[np.bool_]:
        """(n,): rows whose weights do not sum to 1, or to 0 where no key is to be seen."""
        if self.weight is None:
            return np.zeros(len(self.expected), dtype=bool)
        return ~(np.abs(self.weight - self.expected.any(axis=-1)) <= self.slack)

    @property
    def alarming(self) -> bool:
        """Whether this input alone shows that something is wrong."""
        found = [self.ratio, self.total, *self.gradients.values()]
        seen = self.decoded is None or bool((self.decoded == self.expected).all())
        return not seen or bool(self.weighs_wrong.any()) or any(bool((each > 1).any()) for each in found)


def gather(
    candidate: Candidate, case: Case, where: tuple[int, ...] = (), decode: bool = True, gradients: bool = False
) -> Evidence | None:
    """Run a candidate on a case, and on variants of it.

    Args:
        where: batch and head to look at, such as the index of a verdict; where that is none of the case, those of
            the largest error.
        decode: find out which keys are seen.
        gradients: find out the errors of gradients, too.

    Returns:
        None for a case that is too long for a picture. A candidate that raises or dies is no error: see `trouble`.
    """
    if case.tokens > MOST_TOKENS:
        return None
    inputs, tokens = Probe(candidate, case).inputs, case.tokens
    trouble = ""
    every: Float = np.full((case.batch, case.heads, tokens), np.nan)
    try:
        every = _ratio(candidate, inputs).max(axis=-1)
    except Exception as error:
        trouble = _line(error)
    here = _place(where, case, every)
    blocks = _blocks(tokens)
    ratio = np.full((tokens, len(blocks)), np.nan)
    decoded = np.full((tokens, tokens), np.nan) if decode else None
    weight = np.full(tokens, np.nan) if decode else None
    slack = np.zeros(tokens)
    of_gradients: dict[str, Float] = {}
    try:
        if not trouble:
            for column, block in enumerate(blocks):
                ratio[:, column] = _ratio(candidate, _only(inputs, block)).max(axis=-1)[here]
        if decoded is not None and weight is not None:
            shares, slack = (each[here] for each in _shares(candidate, inputs))
            decoded[:], weight[:] = _counts(shares), shares.sum(axis=-1)
        if gradients and "backward" in candidate.features and not trouble:
            of_gradients = {name: found[here] for name, found in _gradient_ratios(candidate, case, inputs).items()}
    except Exception as error:
        trouble = trouble or _line(error)
    return Evidence(
        case=case,
        batch=here[0],
        head=here[1],
        masked=~inputs.real[here[0]],
        flagged=inputs.is_global[here[0]],
        expected=inputs.visible[here].astype(float),
        decoded=decoded,
        weight=weight,
        slack=slack,
        blocks=blocks,
        ratio=ratio,
        total=every[here],
        gradients=of_gradients,
        trouble=trouble,
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _place(where: tuple[int, ...], case: Case, every: Float) -> tuple[int, int]:
    if len(where) >= 2 and where[0] < case.batch and where[1] < case.heads:
        return where[0], where[1]
    worst = np.unravel_index(int(np.argmax(np.nan_to_num(every))), every.shape)
    return int(worst[0]), int(worst[1])


def _blocks(tokens: int) -> list[tuple[int, int]]:
    size = -(-tokens // MOST_BLOCKS)
    return [(first, min(first + size, tokens) - 1) for first in range(0, tokens, size)]


def _only(inputs: Inputs, block: tuple[int, int]) -> Inputs:
    """The same call with values of 0 outside of a block of tokens."""
    kept = np.zeros((1, 1, inputs.shape[2], 1))
    kept[:, :, block[0] : block[1] + 1] = 1.0
    return inputs.map_arrays(lambda value: value * kept, ["value", "value_global"])


def _ratio(candidate: Candidate, inputs: Inputs) -> Float:
    """(b, h, n, d): error/bound of the output; inf for a NaN."""
    output = candidate.call(inputs.arrays, inputs.options, inputs.dtype)
    return error_over_bound(output, inputs.output, inputs.bound.total)[1]


def _gradient_ratios(candidate: Candidate, case: Case, inputs: Inputs) -> dict[str, Float]:
    """By argument, (b, h, n)."""
    upstream = case.grad_output()
    found = candidate.gradients(inputs.arrays, inputs.options, inputs.dtype, upstream, inputs.floating)
    right, bounds = inputs.gradients(upstream), inputs.gradient_bounds(upstream)
    return {
        name: error_over_bound(found[name], getattr(right, name), bounds[name].total)[1].max(axis=-1)
        for name in inputs.floating
    }


def _shares(candidate: Candidate, inputs: Inputs) -> tuple[Float, Float]:
    """(b, h, n, n): the weight of each key in each row, for queries 0, read off one-hot values; bound on their sum."""
    batch, heads, tokens, _ = inputs.shape
    bare = inputs.with_arrays(head_mask=None)
    base, probing = base_of(bare, candidate.limits), decoding_inputs(bare, candidate.limits)
    shares, slack = np.zeros((batch, heads, tokens, tokens)), np.zeros((batch, heads, tokens))
    for first in range(0, tokens, base):  # a block of keys that have different digits
        last = min(first + base, tokens) - 1
        block = _only(probing, (first, last))
        output = candidate.call(block.arrays, block.options, block.dtype)
        shares[..., first : last + 1] = shares_by_digit(output, base)[..., : last + 1 - first]
        slack += block.bound.total.sum(axis=-1)
    return shares, slack


def _counts(shares: Float) -> Float:
    """How often each key is counted, in units of the smallest share of its row; nan where shares are none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        smallest = np.where(shares > 0, shares, np.inf).min(axis=-1, keepdims=True)
        counts = np.where(np.isinf(smallest), 0.0, np.rint(shares / smallest))
    readable = (np.isfinite(shares) & (shares >= 0)).all(axis=-1, keepdims=True)
    return np.where(readable, counts, np.nan)
