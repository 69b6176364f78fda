"""Segments: packed documents, of which none sees another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import MASKS
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.results.verdict import Verdict, judge

NO_GLOBALS = frozenset({"globals"})
SEGMENTED = Structure(
    require=frozenset({"segments"}), without=NO_GLOBALS | {"dilation"}, tokens=(2, 40), takes=EVERY_KIND - {"offset"}
)
WITHOUT_SEGMENTS = Structure(without=NO_GLOBALS, takes=EVERY_KIND - {"segments", "offset"})


@check("a segment gives what its tokens give as a sequence of their own", SEGMENTED, weight=2)
def check_segments_are_sequences(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another length may be another order of summation. Only segments that lie in one piece are asked for."""
    inputs, output = probe.inputs, probe.run()
    for row, segments in enumerate(inputs.arrays["segments"]):
        for segment in np.unique(segments):
            first, last = np.flatnonzero(segments == segment)[[0, -1]]
            if (segments[first : last + 1] != segment).any():
                continue
            tokens = np.s_[:, :, first : last + 1]
            alone = inputs.rows([row]).with_arrays(segments=None).map_arrays(lambda a, t=tokens: a[t], inputs.floating)
            masks = {name: alone.arrays[name][:, first : last + 1] for name in MASKS if name in alone.arrays}
            alone = alone.with_arrays(**masks)
            bound = alone.bound + inputs.bound.at(np.s_[row : row + 1]).at(tokens)
            what = f"output for tokens {first}..{last}, a segment of row {row}, alone"
            yield judge(probe.run(alone), output[row : row + 1][tokens], bound, what, "as in the packed sequence")


@check("only which tokens share a segment counts, not how it is numbered", SEGMENTED)
def check_numbers_of_segments(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a kernel may find segments by another way for other numbers."""
    inputs = probe.inputs
    numbers = probe.random.permutation(40).astype(np.int64)
    other = inputs.with_arrays(segments=numbers[inputs.arrays["segments"] - inputs.arrays["segments"].min()] + 1000)
    what = "output for segments with other numbers"
    yield judge(probe.run(other), probe.run(inputs), inputs.bound + other.bound, what, "as with these")


@check(
    "a segment that comes again is the same one, and what lies between is none of it",
    WITHOUT_SEGMENTS,
    ["segments"],
    weight=2,
)
def check_segments_that_come_again(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the case."""
    real = probe.inputs.real
    mixed = probe.inputs.with_arrays(segments=probe.random.integers(0, 2, real.shape).astype(np.int64))
    yield judge(probe.run(mixed), mixed.output, mixed.bound, "output for two segments that take turns")


@check("one segment is as good as none", WITHOUT_SEGMENTS, ["segments"])
def check_one_segment(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a call with segments may take another path."""
    none = probe.inputs
    one = none.with_arrays(segments=np.full(none.real.shape, 3, dtype=np.int64))
    yield judge(
        probe.run(one), probe.run(none), none.bound + one.bound, "output with one segment", "as without segments"
    )


@check("where every token is a segment of its own, it gives its own value", WITHOUT_SEGMENTS, ["segments"])
def check_segments_of_one_token(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a single weight, which a kernel may come to by a quotient."""
    inputs = probe.inputs
    tokens = np.broadcast_to(np.arange(inputs.real.shape[1], dtype=np.int64), inputs.real.shape).copy()
    alone = inputs.with_arrays(segments=tokens)
    yield judge(probe.run(alone), alone.output, alone.bound, "output where every token is a segment of its own")
