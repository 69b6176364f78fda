"""Global tokens read everything with projections of their own, and every row reads each of them once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.decode import DIGITS, countable
from trueband.properties.cases.inputs import different
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.same import judge_same
from trueband.properties.results.verdict import Verdict, judge, judge_exact

GLOBALS = Structure(require=frozenset({"globals"}))
SEPARATE = ["query_global", "key_global", "value_global"]
OTHER_PROJECTIONS = "the same row beside other projections that it does not read"


@check(
    "a global key inside the window is one key, not two",
    Structure(require=frozenset({"globals"}), families=("uniform",), without=frozenset({"head_mask", "scale"})),
    weight=2,
)
def check_global_key_counts_once(probe: Probe) -> Iterator[Verdict]:
    """Exact for counts, which are whole and read off only where the bound tells one from the next."""
    flags = probe.inputs.is_global[:, None, :, None].astype(float)
    inputs = probe.inputs.map_arrays(np.zeros_like, ["query", "query_global"]).map_arrays(
        lambda value: np.broadcast_to(flags, value.shape).copy(), ["value", "value_global"]
    )
    output = probe.run(inputs)
    counts = (inputs.visible & inputs.is_global[:, None, None, :]).sum(axis=-1)[..., None]
    if inputs.shape[2] <= 2 * DIGITS:  # a count beyond is not exact in bfloat16
        expected = np.broadcast_to(counts, output.shape)
        yield judge_exact(countable(output, inputs, expected), expected, "global keys counted")
    yield judge(output, inputs.output, inputs.bound)


@check("where all tokens are global, the result is full attention with the global projections", GLOBALS)
def check_all_global_is_full_attention(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another window is another path."""
    inputs = probe.inputs
    everywhere = inputs.with_arrays(global_attention_mask=np.ones(inputs.real.shape, dtype=bool))
    arrays = {name: inputs.arrays.get(f"{name}_global", inputs.arrays[name]) for name in ("query", "key", "value")}
    dropped = dict.fromkeys([*SEPARATE, "global_attention_mask"])
    window = probe.candidate.limits.covering(inputs.shape[2])
    full = inputs.with_arrays(**{**arrays, **dropped}).with_options(window=window, dilation=None)
    yield judge(
        probe.run(everywhere),
        probe.run(full),
        everywhere.bound + full.bound,
        "output where all tokens are global",
        "as full attention with the global projections",
    )


@check(
    "without a global token the global projections change nothing",
    needs=["separate_globals", "globals"],
    exact_with="deterministic",
)
def check_unused_global_projections(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: the calls differ in numbers that no row attends; bounded without."""
    inputs = probe.inputs
    none = np.zeros(inputs.real.shape, dtype=bool)
    first = {name: inputs.arrays[name.removesuffix("_global")] for name in SEPARATE}
    inputs = inputs.with_arrays(global_attention_mask=none, **first)
    other = inputs.map_arrays(different, SEPARATE)
    bound = inputs.bound.scaled(2)
    yield judge_same(
        probe, probe.run(other), probe.run(inputs), bound, "output beside other global projections", OTHER_PROJECTIONS
    )


@check("local rows never read the global projections", GLOBALS, ["separate_globals"], exact_with="deterministic")
def check_local_rows_ignore_global_projections(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: what local rows attend is the same; bounded without."""
    inputs = probe.inputs
    inputs = inputs.with_arrays(**{name: inputs.arrays[name.removesuffix("_global")] for name in SEPARATE})
    other = inputs.map_arrays(different, SEPARATE)
    local = ~inputs.is_global[:, None, :, None]
    before, after = probe.run(inputs), probe.run(other)
    yield judge_same(
        probe,
        np.where(local, after, 0.0),
        np.where(local, before, 0.0),
        inputs.bound.scaled(2),
        "local row",
        OTHER_PROJECTIONS,
    )


@check(
    "rows of global tokens never read the local projections", GLOBALS, ["separate_globals"], exact_with="deterministic"
)
def check_global_rows_ignore_local_projections(probe: Probe) -> Iterator[Verdict]:
    """Exact with deterministic: what global rows attend is the same; bounded without."""
    inputs = probe.inputs
    separate = {name: inputs.arrays.get(name, inputs.arrays[name.removesuffix("_global")]) for name in SEPARATE}
    inputs = inputs.with_arrays(**separate)
    other = inputs.map_arrays(different, ["query", "key", "value"])
    rows = inputs.is_global[:, None, :, None]
    before, after = probe.run(inputs), probe.run(other)
    yield judge_same(
        probe,
        np.where(rows, after, 0.0),
        np.where(rows, before, 0.0),
        inputs.bound.scaled(2),
        "row of a global token",
        OTHER_PROJECTIONS,
    )


@check(
    "a global flag on a masked token is dropped",
    Structure(require=frozenset({"globals", "padding"})),
)
def check_global_flag_on_masked_token(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a kernel may lay out its global keys by the flags that it is given."""
    inputs = probe.inputs
    with_flags = inputs.with_arrays(global_attention_mask=inputs.arrays["global_attention_mask"] | ~inputs.real)
    without = inputs.with_arrays(global_attention_mask=inputs.is_global)
    yield judge(
        probe.run(with_flags),
        probe.run(without),
        with_flags.bound + without.bound,
        "output with global flags on masked tokens",
        "as without these",
    )


@check("no global mask is a mask of zeros", Structure(without=frozenset({"globals"})), needs=["globals"])
def check_no_global_mask_is_all_zeros(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a call without a mask may take another path."""
    inputs = probe.inputs
    zeros = inputs.with_arrays(global_attention_mask=np.zeros(inputs.real.shape, dtype=bool))
    yield judge(
        probe.run(zeros),
        probe.run(inputs),
        inputs.bound + zeros.bound,
        "output with a global mask of zeros",
        "as without a global mask",
    )
