"""Sizes that a kernel raises for without declaring them: one check says which declaration is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.candidate.survey import VALUES, merged, sizes_of, survey, to_declare
from trueband.properties.cases.limits import Limits, Sizes
from trueband.properties.running.engine import run
from trueband.properties.running.plan import make_plan

KERNELS = Path(__file__).resolve().parents[2] / "trueband" / "sized_kernels.py"


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(multiple=16),
        Sizes(least=1),
        Sizes(least=8, multiple=8),
        Sizes(only=(32, 64, 80)),
        Sizes(most=64),
        Sizes(least=16, most=128, multiple=16),
    ],
    ids=str,
)
def test_what_is_found_takes_what_is_taken(sizes: Sizes) -> None:
    for values in VALUES.values():
        taken = [value for value in values if sizes.takes(value)]
        refused = [value for value in values if not sizes.takes(value)]
        if taken:
            found = sizes_of(taken, refused)
            assert [value for value in values if found.takes(value)] == taken


def test_a_kernel_that_takes_all_is_asked_little() -> None:
    asked: list[dict[str, int]] = []
    found, error = survey(lambda sizes, _: asked.append(sizes) or "", Limits(), padding=True)  # type: ignore[func-returns-value]
    assert (found, error) == (Limits(), "")
    assert len(asked) < 20


def test_a_kernel_that_always_raises_says_nothing_of_sizes() -> None:
    assert survey(lambda *_: "broken", Limits(), padding=True) == (Limits(), "")


def test_padding_on_the_left_is_found_too() -> None:
    found, error = survey(lambda _, left: "no left padding" if left else "", Limits(), padding=True)
    assert (found, error) == (Limits(padding="right"), "no left padding")
    assert to_declare(found) == 'padding="right"'


@pytest.mark.evidence
def test_an_undeclared_size_is_one_failure_that_says_what_to_declare() -> None:
    with RemoteRunner(f"{KERNELS}:undeclared") as candidate:
        records = list(run(make_plan("blocks", candidate, cases=60), candidate))
    assert [record.check for record in records if not record.passed] == ["sizes_are_declared"]
    (message,) = [record.message for record in records if not record.passed]
    assert "ValueError: expected blocks of 16" in message
    assert 'declare sizes={"tokens": Sizes(multiple=16), "window": Sizes(least=1)}' in message


def test_the_same_kernel_with_its_declaration_passes() -> None:
    with RemoteRunner(f"{KERNELS}:declared") as candidate:
        assert not candidate.undeclared
        records = list(run(make_plan("blocks", candidate, cases=60, pattern="declared or refused"), candidate))
    assert {record.check: record.status for record in records} == {
        "sizes_are_declared": "passed",
        "undeclared_is_refused": "passed",
    }
    assert merged(Limits(), candidate.limits) == candidate.limits
