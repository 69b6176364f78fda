"""Declared limits: what a kernel says that it does not take, it refuses."""

from __future__ import annotations

from collections.abc import Iterator

from trueband.properties.case import Case
from trueband.properties.checks.check import check, claim
from trueband.properties.isolation.errors import Raised
from trueband.properties.limits import LEAST, Limits, right_padded
from trueband.properties.probe import Probe
from trueband.properties.strategies import Structure
from trueband.properties.survey import to_declare
from trueband.properties.verdict import Verdict


@check("every size is taken that the target does not declare otherwise", Structure(families=("uniform",), long=False))
def check_sizes_are_declared(probe: Probe) -> Iterator[Verdict]:
    """Exact: the contract takes every size, and what a kernel does not take is declared. The other checks keep to what
    was found out.
    """
    found = probe.candidate.undeclared
    told = f"{probe.candidate.refusal}; declare {to_declare(found)} if that is meant, as all other checks took it"
    yield claim(not found, told)


@check(
    "what the target declares not to take makes it raise: no result, right or wrong",
    Structure(families=("normal",), long=False),
    ["limits"],
)
def check_undeclared_is_refused(probe: Probe) -> Iterator[Verdict]:
    """Exact: that it raises is declared by sizes and padding; asked of nobody else."""
    for told, case in beside(probe.case, probe.candidate.limits, probe.candidate.features):
        inputs = probe.inputs_of(case)
        try:
            probe.candidate.call(inputs.arrays, inputs.options, inputs.dtype)
        except Raised:
            refused = True
        else:
            refused = False
        yield claim(refused, f"{told}: expected an error, as it is declared not to be taken, got a result")


def beside(case: Case, limits: Limits, features: frozenset[str]) -> Iterator[tuple[str, Case]]:
    """Cases that differ from one in a size, or in a padding, that is not taken, with what differs."""
    for name, sizes in limits.sizes.items():
        for value in sizes.beside(LEAST[name]):
            if (name == "globals" and "globals" not in features) or (name == "dilation" and "dilation" not in features):
                continue
            if name != "globals":
                yield f"{name} {value}", case.with_size(name, value)
            elif value <= case.tokens and not case.causal:
                yield f"globals {value}", case.replace(global_=(tuple(range(value)),) * case.batch)
    if limits.padding == "right" and case.tokens > 1 and "padding" in features:
        left = case.replace(masked=((0,),) * case.batch)
        if not right_padded(left.inputs()):
            yield "padding on the left", left
