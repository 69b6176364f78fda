"""Declared limits: a kernel refuses what it declares not to take."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trueband.properties.candidate.errors import Raised
from trueband.properties.candidate.probe import Probe
from trueband.properties.candidate.survey import to_declare
from trueband.properties.cases.case import Case
from trueband.properties.cases.limits import LEAST, Limits, right_padded
from trueband.properties.cases.strategies import Structure
from trueband.properties.checks.check import check, claim
from trueband.properties.results.verdict import Verdict

# The largest sizes that are tried: a call that should be refused, but is not, still ends.
FARTHEST = {
    "batch": 256,
    "heads": 256,
    "tokens": 4_000,
    "head_dim": 1_024,
    "window": 100_000,
    "dilation": 100,
    "globals": 4_000,
}
SOME = 8  # of the sizes that are not next to the declared ones, for a case


@check("every size is taken that the target does not declare otherwise", Structure(families=("uniform",), long=False))
def check_sizes_are_declared(probe: Probe) -> Iterator[Verdict]:
    """Exact: the contract takes every size, and what a kernel does not take is declared. The other checks keep to what
    was found out.
    """
    undeclared = probe.candidate.undeclared
    message = (
        f"{probe.candidate.refusal}; declare {to_declare(undeclared)} if that is intended; all other checks assume it"
    )
    yield claim(not undeclared, message)


@check(
    "what the target declares not to take makes it raise: no result, right or wrong",
    Structure(families=("normal",), long=False),
    ["limits"],
)
def check_undeclared_is_refused(probe: Probe) -> Iterator[Verdict]:
    """Exact: that it raises is declared by sizes and padding; no other kernel, and no size that a declaration takes, is
    held to it. A limit that was only found out is no declaration: the kernel may take more.
    """
    declared = without(probe.candidate.limits, probe.candidate.undeclared)
    for difference, case in beside(probe.case, declared, probe.candidate.features, probe.random):
        inputs = probe.inputs_of(case)
        try:
            probe.candidate.call(inputs.arrays, inputs.options, inputs.dtype)
        except Raised:
            refused = True
        else:
            refused = False
        yield claim(refused, f"{difference}: expected an error, as the target declares not to take it, got a result")


def beside(
    case: Case, limits: Limits, features: frozenset[str], random: np.random.Generator
) -> Iterator[tuple[str, Case]]:
    """Yield cases that differ from one in a size, or a padding, that is not taken, with the difference in words."""
    for name, sizes in limits.sizes.items():
        further = sizes.beyond(LEAST[name], FARTHEST[name])
        some = random.choice(further, min(SOME, len(further)), replace=False)
        for value in dict.fromkeys([*sizes.beside(LEAST[name]), *map(int, some)]):
            if (name == "globals" and "globals" not in features) or (name == "dilation" and "dilation" not in features):
                continue
            if name != "globals":
                yield f"{name} {value}", case.with_size(name, value)
            elif value <= case.tokens and not case.causal:
                yield f"globals {value}", case.replace(global_=(tuple(range(value)),) * case.batch)
    if limits.padding == "right" and case.tokens > 1 and "padding" in features and "packed" not in features:
        for padding, masked in _not_on_the_right(case.tokens):
            other = case.replace(masked=(*((),) * (case.batch - 1), masked))
            if not right_padded(other.inputs()):
                yield padding, other


def without(limits: Limits, undeclared: Limits) -> Limits:
    """Return the declared limits alone, from limits that were joined with undeclared ones."""
    sizes = {name: size for name, size in limits.sizes.items() if name not in undeclared.sizes}
    return Limits(sizes, "any" if undeclared.padding == "right" else limits.padding)


def _not_on_the_right(tokens: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield masked tokens of the last sequence of a batch, in words and by position."""
    middle, tail = tokens // 2, tuple(range(tokens - tokens // 4, tokens))
    yield "padding on the left", (0,)
    yield "padding on the left of half the tokens", tuple(range(middle))
    yield "a hole in the middle of the mask", (middle,)
    yield "a hole before the last token", (tokens - 2,)
    yield "a hole behind the first token", (1,)
    yield "a wide hole in the mask", tuple(range(tokens // 4, max(middle, tokens // 4 + 1)))
    yield "a hole before padding on the right", (tokens // 4, *tail)
    yield "padding on both sides", (0, *tail)
    yield "every other token masked", tuple(range(0, tokens, 2))
