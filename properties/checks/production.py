"""Checks at production sizes, for faults that only large inputs show. Their cost is linear in the tokens."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import SHAPES, Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.judging import judge_counts, judge_same_rows, worst
from trueband.properties.checks.padding import contents, fill_masked
from trueband.properties.checks.same import judge_same
from trueband.properties.linear.choice import choose_rows
from trueband.properties.linear.codes import CODES
from trueband.properties.linear.counts import counting_inputs, expected_counts
from trueband.properties.linear.patches import patches
from trueband.properties.linear.rows import Rows, at_rows, placed, reference_at
from trueband.properties.results.verdict import Verdict, judge, judge_exact

LAYOUTS = ("transposed", "offset", "expanded")
PRODUCTION = Structure(production=SHAPES)
ALL, MOST = 8, 7  # weights of checks that run on all shapes, and on most
FEW = 3  # rows whose keys stay while everything else changes


@check(
    "with queries 0 every row of every head counts the keys of each code that it attends",
    Structure(families=("uniform",), without=frozenset({"scale"}), production=SHAPES),
    weight=ALL,
)
def check_counts_at_size(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every weight is 1/n, and a count of ones is exact in any order; the bound is a closed form in n, and
    wherever it is less than half a key it tells one count from the next.
    """
    structure = structure_only(probe)
    for which in range(CODES):
        inputs = counting_inputs(structure, probe.case.head_dim, which)
        output = probe.run(inputs)
        yield from worst(judge_counts(output, counts, "count of keys") for counts in expected_counts(inputs, which))


@check(
    "rows at the edges of blocks, of padding and of global tokens equal the reference's within the bound of each",
    PRODUCTION,
    weight=MOST,
)
def check_rows_match_reference(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the row; masked rows are 0 by definition."""
    inputs, output = probe.inputs, probe.run()
    yield judge_rows(output, inputs, _rows(probe, inputs), "output")
    yield masked_rows(inputs, output)


@check("inputs of another layout in memory give the rows of the reference", Structure(heads=(2, 2), production=SHAPES))
def check_layouts_at_size(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another layout may be another path. One head alone lies in memory as any layout has it."""
    inputs, rows = probe.inputs, _rows(probe, probe.inputs)
    several = max(inputs.shape[:2]) > 1
    other = str(probe.random.choice(LAYOUTS if several else LAYOUTS[:2]))
    for layout in dict.fromkeys(("transposed", other)):
        laid_out = repeated(inputs) if layout == "expanded" else inputs
        yield judge_rows(probe.run(laid_out, layout), laid_out, rows, f"output of {layout} inputs")


@check(
    "changing every token that some rows do not attend leaves these rows unchanged",
    PRODUCTION,
    exact_with="deterministic",
)
def check_locality_at_size(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: what the rows attend is the same in both calls, and so are shapes and masks; bounded
    without, where 2^110 times a weight that should be 0 is still seen.
    """
    inputs = probe.inputs
    rows, others = _unattended(probe, inputs)
    if not others.any():
        return
    size = 2.0**14 if inputs.dtype == "float16" else 2.0**110
    where, number = others[:, None, :, None], size * (1 + int(probe.random.integers(3)))
    changed = inputs.map_arrays(lambda array: np.where(where, number, array), inputs.floating)
    before, after = at_rows(probe.run(inputs), rows), at_rows(probe.run(changed), rows)
    bound, compared = reference_at(inputs, rows).bound.scaled(2), "the same rows beside others that they do not attend"
    what = "row after a change of unattended tokens"
    yield placed(judge_same(probe, after, before, bound, what, compared), rows)


@check(
    "what masked tokens hold changes no row, and masked rows are exactly 0",
    Structure(require=frozenset({"padding"}), production=SHAPES),
    exact_with="deterministic",
)
def check_padding_at_size(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: what the rows attend is the same in both calls; bounded without: NaN is never within
    a bound. Masked rows are 0 by definition.
    """
    inputs, content = probe.inputs, float(probe.random.choice(contents(probe)))
    before, after = probe.run(inputs), probe.run(fill_masked(inputs, content))
    yield masked_rows(inputs, after)
    what, compared = f"output with {content} in masked tokens", "the same call with other numbers in masked tokens"
    yield judge_same_rows(probe, after, before, inputs, _rows(probe, inputs), what, compared)


@check(
    "a sequence of a batch computed alone gives the same rows",
    Structure(batch=(2, 2), production=SHAPES),
    exact_with="batch_invariant",
)
def check_sequence_alone_at_size(probe: Probe) -> Iterator[Verdict]:
    """Exact with batch_invariant; bounded without: another shape may be another order of summation."""
    inputs = probe.inputs
    row = int(probe.random.integers(inputs.shape[0]))
    names = [name for name in inputs.arrays if name != "head_mask"]
    alone = inputs.map_arrays(lambda array: array[row : row + 1], names)
    in_batch, by_itself = probe.run(inputs)[row : row + 1], probe.run(alone)
    what, compared = f"sequence {row} alone", "the same sequence in another batch"
    yield judge_same_rows(probe, by_itself, in_batch, alone, _rows(probe, alone), what, compared, "batch_invariant")


def structure_only(probe: Probe) -> Inputs:
    """Return inputs with the masks and options of the case and very few numbers, which are cheap to draw."""
    return probe.inputs_of(probe.case.replace(head_dim=1))


def judge_rows(output: np.ndarray, inputs: Inputs, rows: Rows, what: str) -> Verdict:
    """Judge some rows of an output (b, h, n, d) against the reference."""
    expected = reference_at(inputs, rows)
    return placed(judge(at_rows(output, rows), expected.output, expected.bound, what), rows)


def repeated(inputs: Inputs, names: list[str] | None = None) -> Inputs:
    """Repeat the first row of the batch, or the first head where there is one row, of some inputs or all."""
    axis = 0 if inputs.shape[0] > 1 else 1
    return inputs.map_arrays(
        lambda array: np.repeat(array.take([0], axis), array.shape[axis], axis), names or inputs.floating
    )


def _rows(probe: Probe, inputs: Inputs) -> Rows:
    return choose_rows(inputs.real, inputs.is_global, probe.random)


def masked_rows(inputs: Inputs, output: np.ndarray) -> Verdict:
    """Judge that all rows of masked tokens are exactly 0."""
    masked = output.swapaxes(1, 2)[~inputs.real]  # (masked tokens, h, d)
    return judge_exact(masked, np.zeros_like(masked), "masked row")


def _unattended(probe: Probe, inputs: Inputs) -> tuple[Rows, np.ndarray]:
    """Return a few local rows of each sequence, (b, r), and the tokens that none of them attends, (b, n)."""
    structure, rows = inputs.structure, _rows(probe, inputs)
    others = np.ones(inputs.real.shape, dtype=bool)
    local = [
        of_sequence[kind[of_sequence]] for of_sequence, kind in zip(rows, inputs.real & ~inputs.is_global, strict=True)
    ]
    candidates = [some if some.size else every for some, every in zip(local, rows, strict=True)]
    count = min(FEW, *(len(some) for some in candidates))
    chosen = np.stack([np.sort(probe.random.choice(some, count, replace=False)) for some in candidates])
    for batch, few in enumerate(chosen):
        others[batch, few] = False
        for patch in patches(structure, batch, few, inputs.shape[3]):
            seen = patch.visible(structure, np.s_[:]).any(axis=(0, 1, 2))
            others[batch, patch.columns[seen]] = False
    return chosen, others
