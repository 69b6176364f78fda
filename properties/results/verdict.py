"""The one place where numbers are compared: by element, against a computed bound (docs/contract.md, section 4)."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trueband.properties.bounds.bound import Bound, exact

REPLAY = "replay"  # the term of a verdict that shows the result of an earlier call to be returned again
CLAIM = "claim"  # the term of a verdict on something that is true or false: `what` is its whole message
_PLAIN = re.compile(r"(.* of )?[A-Za-z_.]+")  # "output", "gradient of key": an index may follow at once
Float = NDArray[np.float64]


class ShapeMismatch(ValueError):
    """Two results of different shapes were compared."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one comparison, described by its worst element.

    Attributes:
        passed: every element is within its bound. A NaN never passes.
        what: what was compared, such as "output" or "gradient of key".
        index: the index of the worst element, in (b, h, n, d) order for the operator.
        value, expected: the two numbers at the worst element.
        error: |value - expected|.
        bound: the bound at the worst element; 0 where the result must be exact.
        ratio: error / bound; inf for a NaN or for any error where the bound is 0.
        term: the term that dominates the bound there.
        keys: how many keys the row attends, or None.
        skipped: comparisons that were left out, because two correct implementations may differ there.
        evidence: whether anything was compared at all; False only for `no_evidence`.
        note: a further remark on a failure, in one line.
        against: where `expected` comes from, if it is not the reference, such as "as without the shift".
    """

    passed: bool
    what: str
    index: tuple[int, ...]
    value: float
    expected: float
    error: float
    bound: float
    ratio: float
    term: str
    keys: int | None = None
    skipped: int = 0
    evidence: bool = True
    note: str = ""
    against: str = ""

    def __str__(self) -> str:
        if not self.evidence:
            return f"{self.what}: no evidence"
        if self.term == CLAIM:
            return self.what
        behind = "" if self.keys is None else f", row attends {self.keys} keys"
        behind += f"; {self.note}" if self.note else ""
        at = "" if _PLAIN.fullmatch(self.what) else " at "
        sentence = f"{self.what}{at}{list(self.index)} = {self.value:.9g}"
        if math.isnan(self.expected):
            return f"{sentence}, but the number it is compared with{self._origin(' (', ')')} is nan{behind}"
        sentence += f", expected {self.expected:.9g}{self._origin(' ', '')}"
        if self.bound == 0:
            return f"{sentence} exactly{behind}"
        if not math.isfinite(self.error):
            return f"{sentence} within {self.bound:.3g}: it is not finite{behind}"
        sign = "within" if self.passed else "EXCEEDS"
        return (
            f"{sentence}: error {self.error:.3g} {sign} bound {self.bound:.3g} (mostly {self.term}), "
            f"error/bound {self.ratio:.3g}{behind}"
        )

    def _origin(self, before: str, behind: str) -> str:
        return f"{before}{self.against}{behind}" if self.against else ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(actual: ArrayLike, expected: ArrayLike, bound: Bound, what: str = "output", against: str = "") -> Verdict:
    """Compare element by element: passes when |actual - expected| <= bound everywhere.

    Args:
        what: what was compared.
        against: where `expected` comes from, if it is not the reference: the words after the number in a message.

    Raises:
        ShapeMismatch: the shapes differ; it is a ValueError.
    """
    actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    total = bound.total
    if actual.shape != expected.shape or total.shape != expected.shape:
        raise ShapeMismatch(f"{what}: expected shape {expected.shape}, got {actual.shape} (bound {total.shape})")
    error, ratio = error_over_bound(actual, expected, total)
    if ratio.size == 0:
        return Verdict(True, what, (), 0.0, 0.0, 0.0, 0.0, 0.0, "empty")
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
    keys = None if bound.keys is None else int(np.broadcast_to(bound.keys, ratio.shape)[index])
    worst = float(ratio[index])
    return Verdict(
        worst <= 1,
        what,
        index,
        float(actual[index]),
        float(expected[index]),
        float(error[index]),
        float(total[index]),
        worst,
        bound.dominant(index),
        keys,
        against=against,
    )


def error_over_bound(actual: Float, expected: Float, bound: Float) -> tuple[Float, Float]:
    """Return (error, error/bound) of every element, with error = |actual - expected|; the ratio is inf for a NaN."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        error = np.where(actual == expected, 0.0, np.abs(actual - expected))  # equal infinities are equal
        ratio = np.where(error == 0, 0.0, error / bound)
    return error, np.where(np.isnan(ratio), np.inf, ratio)


def no_evidence(what: str, skipped: int = 1) -> Verdict:
    """Return a verdict without evidence, for what correct implementations may decide either way, such as a near-tie.

    Args:
        what: what was to be compared.
        skipped: how many comparisons were left out.
    """
    return Verdict(True, what, (), 0.0, 0.0, 0.0, 0.0, 0.0, "tie", skipped=skipped, evidence=False)


def judge_exact(actual: ArrayLike, expected: ArrayLike, what: str = "output") -> Verdict:
    """Compare bit by bit (zeros of either sign are equal). A NaN never passes."""
    return judge(actual, expected, exact(np.shape(expected)), what)
