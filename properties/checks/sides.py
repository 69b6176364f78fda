"""Windows of two limits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import PER_HEAD
from trueband.properties.cases.limits import NotTaken
from trueband.properties.cases.strategies import Structure
from trueband.properties.cases.windows import HUGE, in_words, sides
from trueband.properties.checks.check import check
from trueband.properties.results.verdict import Verdict, judge

WITHOUT_SIDES = EVERY_KIND - {"asymmetric", "unlimited_side"}


@check("a window of equal limits is one of that limit", Structure(takes=WITHOUT_SIDES), ["asymmetric"])
def check_equal_sides(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another form of the window may be another path."""
    one, width = probe.inputs, probe.inputs.options["window"]
    two = one.with_options(window=(width, width))
    what = f"output with window {(width, width)}"
    yield judge(probe.run(two), probe.run(one), one.bound + two.bound, what, f"as with window {width}")


@check(
    "causal is a limit of 0 to the right",
    Structure(require=frozenset({"causal"}), tokens=(2, 40), takes=EVERY_KIND),
    ["asymmetric"],
    weight=2,
)
def check_causal_is_a_side(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another form of the window may be another path."""
    left, _ = sides(probe.inputs.options["window"])
    if left is None:
        raise NotTaken("a window without a limit to the left")  # it is asked for by another check
    left = max(left, 1)  # what is exchanged with 0 has to be another
    causal = probe.inputs.with_options(window=left)
    output = probe.run(causal)
    forms = [causal.with_options(window=(left, right)) for right in (0, left + 3)]
    forms += [] if probe.has("causal_only") else [causal.with_options(window=(left, 0), causal=None)]
    for form in forms:
        also = "causal and " if "causal" in form.options else ""
        what = f"output with {also}window {in_words(form.options['window'])}"
        yield judge(probe.run(form), output, causal.bound + form.bound, what, f"as causal with window {left}")


@check(
    "reversing the sequence exchanges the sides of the window",
    Structure(
        require=frozenset({"asymmetric"}), without=frozenset({"causal"}), takes=EVERY_KIND - {"offset"}, long=False
    ),
)
def check_sides_mirrored(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another order of the keys is another order of the sums."""
    inputs = probe.inputs
    left, right = inputs.options["window"]
    reverse = lambda array: array[:, ::-1] if array.ndim == 2 else array[:, :, ::-1]  # noqa: E731
    mirrored = inputs.map_arrays(reverse, [name for name in inputs.arrays if name not in PER_HEAD])
    mirrored = mirrored.with_options(window=(right, left))
    bound = mirrored.bound + inputs.bound.at(np.s_[:, :, ::-1])
    what = f"output for the reversed sequence with window {in_words((right, left))}"
    against = f"as the reversed output with window {in_words((left, right))}"
    yield judge(probe.run(mirrored), probe.run(inputs)[:, :, ::-1], bound, what, against)


@check(
    "a side without a limit is one with a limit beyond the sequence",
    Structure(require=frozenset({"asymmetric", "unlimited_side"}), takes=EVERY_KIND),
    weight=2,
)
def check_no_limit_is_a_far_one(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another form of the window may be another path."""
    open_ = probe.inputs
    tokens, queries = open_.real.shape[1], open_.shape[2]
    output, what = probe.run(open_), f"output with window {in_words(open_.options['window'])}"
    for far in dict.fromkeys(probe.candidate.limits.covering(limit) for limit in (2 * (tokens + queries) + 8, HUGE)):
        left, right = (far if each is None else each for each in open_.options["window"])
        limited = open_.with_options(window=(left, right))
        yield judge(output, probe.run(limited), open_.bound + limited.bound, what, f"as with window {(left, right)}")
