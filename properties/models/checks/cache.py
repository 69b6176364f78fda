"""Checks of decoding step by step with a cache, and of caches whose rows are reordered, as a beam search does.

What is read in steps is judged like what is read at once: tap by tap, against the reference.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.models.case import FIRST_WORD, VOCABULARY
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.taps import judge_all
from trueband.properties.models.witness import read_in_steps
from trueband.properties.results.verdict import Verdict

DECODERS = ("xlm-roberta", "led")
STEPS = (1, 2, 1)  # tokens of a step


@model_check("tokens read step by step with a cache give what they give at once", DECODERS, about="generation")
def check_cached_steps(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: every tap is judged by the reference, which reads all tokens at once."""
    yield from _judged(probe, np.arange(probe.case.batch))


@model_check(
    "rows of the batch may change places between the steps of a cache", DECODERS, ("float64",), about="generation"
)
def check_permuted_cache(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: every tap is judged by the reference, which reads all tokens at once."""
    yield from _judged(probe, probe.random.permutation(probe.case.batch))


@model_check(
    "rows of the batch may be left out or go on more than once after a step", DECODERS, ("float64",), about="generation"
)
def check_duplicated_cache(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: every tap is judged by the reference, which reads all tokens at once."""
    yield from _judged(probe, probe.random.integers(0, probe.case.batch, probe.case.batch + 1))


def _judged(probe: ModelProbe, rows: np.ndarray) -> Iterator[Verdict]:
    probe = ModelProbe(probe.candidate, probe.case.decoder)
    case = probe.case
    following = [probe.random.integers(FIRST_WORD, VOCABULARY, (len(rows), step)) for step in STEPS]
    output = probe.steps(case.inputs, rows, following)
    yield from judge_all(case, read_in_steps(case.architecture, case.inputs, rows, following), output)
