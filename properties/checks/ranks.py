"""Tokens over several ranks: the seams between shards, and ranks that have little, or are late."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.probe import Probe
from trueband.properties.candidate.sharding import pieces_of
from trueband.properties.cases.extensions import EVERY_KIND
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check
from trueband.properties.checks.right_gradients import RightGradients
from trueband.properties.results.verdict import Verdict, judge, judge_exact

TAKEN = EVERY_KIND - {"offset"}
NO_GLOBALS = frozenset({"globals"})
LATE = 0.02  # seconds


def _several(probe: Probe) -> list[int]:
    """The numbers of ranks that the target declares, beyond one; one, where that is all."""
    return [ranks for ranks in probe.candidate.ranks if ranks > 1] or [1]


@check(
    "every number of ranks gives what the first gives",
    Structure(tokens=(4, 40), long=False, takes=TAKEN),
    ["ranks"],
    weight=4,
)
def check_ranks_agree(probe: Probe) -> Iterator[Verdict]:
    """Bounded: another number of ranks may be another order of summation."""
    inputs, (first, *others) = probe.inputs, probe.candidate.ranks
    if probe.has("lse"):
        for ranks in probe.candidate.ranks:
            lse = probe.with_lse(ranks=ranks)[1]
            yield judge(lse, inputs.lse, inputs.lse_bound, f"lse of {ranks} ranks")
    output = probe.run(ranks=first)
    yield judge(output, inputs.output, inputs.bound, f"output of {first} ranks")
    for ranks in others:
        what = f"output of {ranks} ranks"
        yield judge(probe.run(ranks=ranks), output, inputs.bound + inputs.bound, what, f"as of {first}")


@check(
    "gradients of every number of ranks are the same",
    Structure(tokens=(4, 40), long=False, takes=TAKEN),
    ["ranks", "backward"],
    weight=4,
)
def check_gradients_of_ranks_agree(probe: Probe) -> Iterator[Verdict]:
    """Bounded: each number of ranks is another order of summation, within the bound of the case. So they agree."""
    upstream = probe.case.grad_output()
    right = RightGradients(probe.inputs, upstream)
    for ranks in probe.candidate.ranks:
        yield from right.judge(probe.gradients(upstream, ranks=ranks))


@check(
    "a last shard of fewer tokens changes nothing",
    Structure(tokens=(5, 40), long=False, takes=TAKEN),
    ["ranks"],
    weight=3,
)
def check_uneven_shards(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every way of dealing the tokens is within the bound of the case."""
    whole = probe.inputs
    for ranks in _several(probe):
        tokens = whole.shape[2]
        tokens -= int(tokens % ranks == 0)
        if tokens < 1:
            continue
        cut = _first_tokens(whole, tokens)
        yield judge(probe.run(cut, ranks=ranks), cut.output, cut.bound, f"output for {tokens} tokens on {ranks} ranks")


@check(
    "a window that spans several shards loses no key",
    Structure(without=NO_GLOBALS, tokens=(4, 24), long=False, takes=TAKEN - {"asymmetric", "unlimited_side"}),
    ["ranks"],
    weight=3,
)
def check_window_over_shards(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the case. Windows of all keys are asked for, too."""
    inputs, limits = probe.inputs, probe.candidate.limits
    for ranks in _several(probe):
        for window in sorted({-(-inputs.shape[2] // ranks) + 1, inputs.shape[2] - 1}):
            taken = limits.fit("window", window)
            wide = inputs.with_options(window=taken)
            what = f"output for window {taken} on {ranks} ranks"
            yield judge(probe.run(wide, ranks=ranks), wide.output, wide.bound, what)


@check(
    "keys of other shards get their gradients",
    Structure(without=NO_GLOBALS, tokens=(4, 24), long=False, takes=TAKEN - {"asymmetric", "unlimited_side"}),
    ["ranks", "backward"],
    weight=3,
)
def check_gradients_over_shards(probe: Probe) -> Iterator[Verdict]:
    """Bounded: the gradient is that of the contract, wherever its rows are."""
    inputs, limits, upstream = probe.inputs, probe.candidate.limits, probe.case.grad_output()
    for ranks in _several(probe):
        wide = inputs.with_options(window=limits.fit("window", -(-inputs.shape[2] // ranks) + 1))
        yield from RightGradients(wide, upstream).judge(probe.gradients(upstream, wide, ranks=ranks))


@check(
    "a shard of nothing but padding gives zeros, and other shards do not notice it",
    Structure(tokens=(4, 24), long=False, takes=TAKEN),
    ["ranks", "padding"],
    weight=3,
)
def check_shard_of_padding(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the case; the rows of the shard are zeros exactly."""
    inputs = probe.inputs
    for ranks in _several(probe):
        dealt = pieces_of(inputs.shape[2], ranks, "contiguous")
        (held,) = dealt[int(probe.random.integers(0, ranks))]
        padded = np.array(inputs.real)
        padded[:, held[0] : held[1]] = False
        masked = inputs.with_arrays(attention_mask=padded)
        if probe.candidate.limits.refuses(masked):
            continue
        output = probe.run(masked, ranks=ranks)
        what = f"output where tokens {held[0]}..{held[1] - 1} of {ranks} ranks are padding"
        yield judge(output, masked.output, masked.bound, what)
        rows = np.s_[:, :, held[0] : held[1]]
        yield judge_exact(output[rows], np.zeros_like(output[rows]), f"masked rows of {ranks} ranks")


@check(
    "a global token is one wherever it is: on each rank in turn, and on all of them",
    Structure(without=frozenset({"causal"}), tokens=(4, 24), long=False, takes=TAKEN - {"segments", "sinks", "slopes"}),
    ["ranks", "globals"],
    weight=4,
)
def check_globals_on_other_ranks(probe: Probe) -> Iterator[Verdict]:
    """Bounded: every order of summation is within the bound of the case."""
    inputs = probe.inputs
    ranks = max(probe.candidate.ranks)
    dealt = [held for (held,) in pieces_of(inputs.shape[2], ranks, "contiguous") if held[0] < held[1]]
    for places in [*([first] for first, _ in dealt), [last - 1 for _, last in dealt]]:
        flags = np.zeros(inputs.real.shape, dtype=bool)
        flags[:, places] = True
        flagged = inputs.with_arrays(global_attention_mask=flags)
        what = f"output with global tokens {', '.join(map(str, places))} on {ranks} ranks"
        yield judge(probe.run(flagged, ranks=ranks), flagged.output, flagged.bound, what)


@check(
    "gradients of global tokens are whole, wherever the rows are that attend them",
    Structure(without=frozenset({"causal"}), tokens=(4, 16), long=False, takes=TAKEN - {"segments", "sinks", "slopes"}),
    ["ranks", "globals", "backward"],
    weight=3,
)
def check_gradients_of_globals_on_ranks(probe: Probe) -> Iterator[Verdict]:
    """Bounded: the gradient is that of the contract, wherever its rows are."""
    inputs, upstream, ranks = probe.inputs, probe.case.grad_output(), max(probe.candidate.ranks)
    flags = np.zeros(inputs.real.shape, dtype=bool)
    flags[:, [0, int(probe.random.integers(0, inputs.shape[2]))]] = True
    flagged = inputs.with_arrays(global_attention_mask=flags)
    yield from RightGradients(flagged, upstream).judge(probe.gradients(upstream, flagged, ranks=ranks))


@check(
    "fewer tokens than ranks are as good as many",
    Structure(tokens=(1, 3), long=False, takes=TAKEN),
    ["ranks", "empty_shards"],
    weight=2,
)
def check_empty_shards(probe: Probe) -> Iterator[Verdict]:
    """Bounded: a rank without a token adds nothing."""
    inputs, ranks = probe.inputs, max(probe.candidate.ranks)
    yield judge(probe.run(ranks=ranks), inputs.output, inputs.bound, f"output for few tokens on {ranks} ranks")


@check(
    "ranks that are late change nothing",
    Structure(tokens=(4, 16), long=False, takes=TAKEN),
    ["ranks"],
    weight=3,
)
def check_late_ranks(probe: Probe) -> Iterator[Verdict]:
    """Bounded: who comes last may change an order of summation. What is read before it was received is none of it."""
    inputs, ranks = probe.inputs, max(probe.candidate.ranks)
    late = int(probe.random.integers(0, ranks))
    delays = tuple(LATE if rank == late else 0.0 for rank in range(ranks))
    what = f"output where rank {late} of {ranks} is late"
    yield judge(probe.run(ranks=ranks, late=delays), inputs.output, inputs.bound, what)
    if probe.has("backward"):
        upstream = probe.case.grad_output()
        yield from RightGradients(inputs, upstream).judge(probe.gradients(upstream, ranks=ranks, late=delays))


def _first_tokens(inputs: Inputs, tokens: int) -> Inputs:
    """The first tokens of a call."""
    cut = inputs.map_arrays(lambda array: array[:, :, :tokens], inputs.floating)
    of_tokens = ("attention_mask", "global_attention_mask", "segments")
    return cut.with_arrays(**{name: cut.arrays[name][:, :tokens] for name in of_tokens if name in cut.arrays})
