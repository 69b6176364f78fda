"""Padding: a masked token attends nothing, is attended by nothing, and what it holds does not matter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.same import judge_same
from trueband.properties.results.verdict import Verdict, judge, judge_exact

PADDED = Structure(require=frozenset({"padding"}))
PADDED_EXTENDED = Structure(require=frozenset({"padding"}), takes=EVERY_KIND)


@check("rows of masked tokens are exactly 0", PADDED_EXTENDED, weight=2)
def check_masked_rows_are_zero(probe: Probe) -> Iterator[Verdict]:
    """Exact: the contract's definition, 0 is stored and not computed."""
    output = probe.run()
    masked = np.where(probe.inputs.real_rows[:, None, :, None], 0.0, output)
    yield judge_exact(masked, np.zeros_like(output), "masked row")


@check(
    "what is stored in masked tokens changes nothing",
    PADDED_EXTENDED,
    weight=2,
    exact_with="deterministic",
)
def check_masked_content_is_ignored(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: what the rows attend is the same in both calls; bounded without, where a large number
    times a weight that should be 0 is still seen. NaN and infinity only where nan_padding is declared.
    """
    inputs = probe.inputs
    before = probe.run(inputs)
    for content in contents(probe):
        after, what = probe.run(fill_masked(inputs, content)), f"output with {content} in masked tokens"
        compared = "the same call with other numbers in masked tokens"
        yield judge_same(probe, after, before, inputs.bound.scaled(2), what, compared)


@check("a fully masked sequence is all zeros, and no other row of the batch notices", PADDED)
def check_fully_masked_sequence(probe: Probe) -> Iterator[Verdict]:
    """Exact where the contract stores 0; the other rows are bounded."""
    mask = probe.inputs.arrays["attention_mask"].copy()
    mask[0] = False
    inputs = probe.inputs.with_arrays(attention_mask=mask)
    output = probe.run(inputs)
    yield judge_exact(output[0], np.zeros_like(output[0]), "fully masked sequence")
    yield judge(output, inputs.output, inputs.bound)


@check(
    "where the window covers the sequence, masking tokens is the same as removing them",
    Structure(require=frozenset({"padding"}), dense=True, long=False, without=frozenset({"dilation"})),
)
def check_masking_is_removal(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another length may be another order of summation."""
    inputs = probe.inputs
    output = probe.run(inputs)
    for row, real in enumerate(inputs.real):
        if not real.any():
            continue
        arrays = {name: array[row : row + 1] for name, array in inputs.arrays.items() if name != "head_mask"}
        alone = inputs.with_arrays(**arrays)
        kept = {
            name: array[:, real] if array.ndim == 2 else array[:, :, real]
            for name, array in alone.arrays.items()
            if name not in ("head_mask", "attention_mask")
        }
        removed = alone.with_arrays(**kept, attention_mask=None)
        bound = removed.bound + alone.bound.at(np.s_[:, :, real])
        what, against = f"row {row} of the batch without its masked tokens", "as with them"
        yield judge(probe.run(removed), output[row : row + 1][:, :, real], bound, what, against)


@check("appending masked tokens changes nothing", needs=["padding"])
def check_right_padding_invariance(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another length may be another order of summation."""
    inputs = probe.inputs
    tokens = inputs.shape[2]
    added = 1 + int(probe.random.integers(2 * inputs.options["window"] + 3))
    longer = _lengthen(inputs, added)
    bound = inputs.bound + longer.bound.at(np.s_[:, :, :tokens])
    yield judge(
        probe.run(longer)[:, :, :tokens],
        probe.run(inputs),
        bound,
        f"output with {added} masked tokens more",
        "as without these",
    )


@check("no attention mask is a mask of ones", Structure(without=frozenset({"padding"})), needs=["padding"])
def check_no_mask_is_all_ones(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a call without a mask may take another path."""
    inputs = probe.inputs
    ones = inputs.with_arrays(attention_mask=np.ones(inputs.real.shape, dtype=bool))
    yield judge(
        probe.run(ones),
        probe.run(inputs),
        inputs.bound + ones.bound,
        "output with an attention mask of ones",
        "as without a mask",
    )


def fill_masked(inputs: Inputs, content: float) -> Inputs:
    """Return the same inputs with every number of the masked tokens replaced."""
    filled = {
        name: np.where(inputs.real_of(name)[:, None, :, None], inputs.arrays[name], content) for name in inputs.floating
    }
    return inputs.with_arrays(**filled)


def contents(probe: Probe) -> tuple[float, ...]:
    """Return what masked tokens are filled with, one after the other: NaN and infinity only where that is declared.

    The large number is no infinity in disguise: scores of two masked tokens do not overflow either.
    """
    large = 2.0**14 if probe.case.dtype == "float16" else 2.0**50
    return (np.nan, np.inf, 1.0) if probe.has("nan_padding") else (large, 1.0)


def _lengthen(inputs: Inputs, added: int) -> Inputs:
    """Append masked tokens to the sequences; they hold the numbers of the first token."""
    arrays = {}
    for name in inputs.floating:
        array = inputs.arrays[name]
        arrays[name] = np.concatenate([array, np.repeat(array[:, :, :1], added, axis=2)], axis=2)
    arrays["attention_mask"] = np.pad(inputs.real, ((0, 0), (0, added)))
    if "global_attention_mask" in inputs.arrays:
        arrays["global_attention_mask"] = np.pad(inputs.arrays["global_attention_mask"], ((0, 0), (0, added)))
    return inputs.with_arrays(**arrays)
