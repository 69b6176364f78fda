"""Unit roundoffs of the dtypes, and what a kernel may round (docs/verification.md, section 2.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

# name: (unit roundoff, half of the smallest subnormal, significand bits, smallest normal exponent)
_FORMATS = {
    "float64": (2.0**-53, 2.0**-1075, 53, -1022),
    "float32": (2.0**-24, 2.0**-150, 24, -126),
    "bfloat16": (2.0**-8, 2.0**-134, 8, -126),
    "float16": (2.0**-11, 2.0**-25, 11, -14),
}
DTYPES = tuple(_FORMATS)
ACCUMULATORS = (*DTYPES, "tf32")
# Both factors of a product may be truncated to the 11 bits of tf32, by less than 2^-10 each; sums are in float32.
_TF32_PRODUCT = 2 * 2.0**-10 + 2.0**-20


@dataclass(frozen=True)
class Precision:
    """What a kernel of a dtype rounds, and by how much.

    Attributes:
        dtype: of the inputs and the output.
        accumulator: unit roundoff of every sum and of the softmax. The reference's own float64 roundoff is added,
            so that a float64 kernel is compared with a float64 reference fairly.
        stored: unit roundoff of probabilities (and of their gradients) as a matrix product reads them; 0 where they
            stay in the accumulator's format.
        output: unit roundoff of the output; 0 where it has the accumulator's format.
        tiny_stored, tiny_output, tiny_accumulator: largest error of a result that underflows. Formats with the
            exponent range of float32 may be flushed to zero.
        weights: unit roundoff of the weights, where an implementation rounds them to its dtype; 0 where it has those
            of the reference exactly.
        exp_argument, exp_result: errors of the exponential, in units of the accumulator's roundoff: 3 covers
            exp2(x * log2(e)), 4 covers a result within 2 units in the last place.
        product: relative error of a product in a matrix product before it is summed; 0 where factors are read as they
            are.
        tanh_result: absolute error of tanh, in units of the accumulator's roundoff: 9 covers 2 sigmoid(2 x) - 1.
        log_result: error of a logarithm, in units of the accumulator's roundoff, absolute near 1: 4.
        log_sum_exp: unit roundoff of the format in which lse is handed over; 0 where that is not narrower than the
            accumulator's.
        scores: unit roundoff of scores that are stored after each operation on them; 0 where they stay in the
            accumulator's format.
        tiny_scores: largest error of a stored score that underflows.
    """

    dtype: str
    accumulator: float
    stored: float
    output: float
    tiny_stored: float
    tiny_output: float
    tiny_accumulator: float
    exp_argument: float = 3.0
    exp_result: float = 4.0
    product: float = 0.0
    weights: float = 0.0
    tanh_result: float = 9.0
    log_result: float = 4.0
    log_sum_exp: float = 0.0
    scores: float = 0.0
    tiny_scores: float = 0.0

    @classmethod
    def of(cls, dtype: str, accumulator: str | None = None, stored_scores: str | None = None) -> Self:
        """What a kernel with the given accumulator rounds.

        Args:
            accumulator: format of the sums and of the softmax, one of `ACCUMULATORS`; "tf32": float32, with factors
                of matrix products cut to tf32. None: the contract's, float32 for half and single inputs, float64 for
                double.
            stored_scores: format of the scores between the operations on them, one of `DTYPES`. None: the
                accumulator's.
        """
        if dtype not in _FORMATS:
            raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
        if accumulator not in (None, *ACCUMULATORS):
            raise ValueError(f"accumulator: expected one of {', '.join(ACCUMULATORS)}, got {accumulator!r}")
        if stored_scores not in (None, *DTYPES):
            raise ValueError(f"stored_scores: expected one of {', '.join(DTYPES)}, got {stored_scores!r}")
        product = _TF32_PRODUCT if accumulator == "tf32" else 0.0
        if accumulator in (None, "tf32"):
            accumulator = "float64" if dtype == "float64" and accumulator is None else "float32"
        narrow = dtype != accumulator
        unit, tiny, _, _ = _FORMATS[dtype]
        smallest_normal = 2.0 ** _FORMATS[accumulator][3]
        scores, handed = stored_scores or accumulator, "float64" if dtype == "float64" else "float32"
        return cls(
            dtype=dtype,
            accumulator=_FORMATS[accumulator][0] + _FORMATS["float64"][0],
            stored=unit if narrow else 0.0,
            output=unit if narrow else 0.0,
            tiny_stored=max(tiny, smallest_normal) if narrow else smallest_normal,
            tiny_output=max(tiny, smallest_normal) if narrow else smallest_normal,
            tiny_accumulator=smallest_normal,
            product=product,
            log_sum_exp=roundoff(handed, accumulator),
            scores=roundoff(scores, accumulator),
            tiny_scores=max(_FORMATS[scores][1], smallest_normal),
        )

    def holding(self, stored: str) -> Self:
        """The same with weights that are stored in another dtype, and rounded where this one does not hold them."""
        return replace(self, weights=roundoff(self.dtype, stored))


def roundoff(dtype: str, stored: str) -> float:
    """Unit roundoff of a cast from `stored` to `dtype`; 0 where `dtype` holds every value of `stored`.

    >>> roundoff("float32", "bfloat16"), roundoff("bfloat16", "float32") == 2.0**-8
    (0.0, True)
    """
    unit, _, bits, smallest = _FORMATS[dtype]
    _, _, stored_bits, stored_smallest = _FORMATS[stored]
    return 0.0 if bits >= stored_bits and smallest <= stored_smallest else unit


def round_to(array: NDArray[np.float64], dtype: str) -> NDArray[np.float64]:
    """Nearest values (ties to even) that `dtype` holds, as float64. What exceeds its range is not handled."""
    _, _, bits, smallest = _FORMATS[dtype]
    if dtype == "float64":
        return array
    if dtype == "float32":  # the processor's own rounding; large inputs are drawn in this dtype
        return array.astype(np.float32).astype(np.float64)
    exponent = np.frexp(array)[1]
    spacing = np.ldexp(1.0, np.maximum(exponent - bits, smallest + 1 - bits))
    return np.rint(array / spacing) * spacing
