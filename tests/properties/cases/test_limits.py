"""What a kernel declares not to take: it is not asked for it, has to refuse it, and is judged in full by the rest."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.survey import merged
from trueband.properties.candidate.target import WHOLE_CONTRACT, Target
from trueband.properties.cases.limits import LEAST, Limits, Sizes
from trueband.properties.checks import CHECKS
from trueband.properties.checks.declared import without
from trueband.properties.results.record import Record
from trueband.properties.running.engine import run
from trueband.properties.running.plan import make_plan

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))
from dense_softmax import attention, kernel

FEATURES = kernel.features or frozenset()


def strict(limits: Limits, wrong: Any = None) -> Target:
    """A right kernel that raises outside of its limits; or what `wrong` makes of its output."""

    def limited(query: Any, key: Any, value: Any, *, window: int, **options: Any) -> Any:
        batch, heads, tokens, head_dim = query.shape
        dilation = options.get("dilation", 1)
        given = {"batch": batch, "heads": heads, "tokens": tokens, "head_dim": head_dim, "window": window}
        for name, size in given.items():
            if not limits.of(name).takes(size):
                raise ValueError(f"{name}: expected {limits.of(name)}, got {size}")
        for each in dilation if isinstance(dilation, tuple) else (dilation,):
            if not limits.of("dilation").takes(each):
                raise ValueError(f"dilation: got {each}")
        flagged = options.get("global_attention_mask")
        if flagged is not None and not all(limits.of("globals").takes(int(each)) for each in flagged.sum(dim=1)):
            raise ValueError("global_attention_mask: too many")
        mask = options.get("attention_mask")
        if limits.padding == "right" and mask is not None and bool((~mask[:, :-1] & mask[:, 1:]).any()):
            raise ValueError("attention_mask: expected padding on the right only")
        output = attention(query, key, value, window=window, **options)
        return output if wrong is None else wrong(output)

    return replace(kernel, function=limited, sizes=limits.sizes, padding=limits.padding, name="limited")


def records(target: Target, pattern: str | None = None, cases: int = 200) -> list[Record]:
    runner = Runner(target)
    return list(run(make_plan("limited", runner, cases=cases, dtypes=("float32",), pattern=pattern), runner))


TILED = Limits({"tokens": Sizes(multiple=16), "head_dim": Sizes(only=(32, 64, 80)), "window": Sizes(least=1)})
NARROW = Limits({"head_dim": Sizes(most=8), "batch": Sizes(most=2), "heads": Sizes(multiple=2)}, padding="right")
SMALL = Limits({"window": Sizes(most=5), "globals": Sizes(most=1), "dilation": Sizes(only=(1,))})
LONG = Limits({"tokens": Sizes(least=100), "heads": Sizes(only=(3,)), "globals": Sizes(only=(0, 2))})


@pytest.mark.evidence
@pytest.mark.parametrize("limits", [TILED, NARROW, SMALL, LONG], ids=["tiled", "narrow", "small", "long"])
@pytest.mark.usefixtures("modest_shapes")
def test_a_right_kernel_passes_within_its_limits(limits: Limits) -> None:
    found = records(strict(limits), "not small_world" if limits is LONG else None, 80)
    assert [(each.check, each.message) for each in found if not each.passed] == []
    asked = {each.check for each in found if each.status == "passed"}
    always = {"undeclared_is_refused", "mask_decoding", "matches_reference", "gradients_match_reference", "locality"}
    assert always <= asked
    applies = [name for name, check in CHECKS.items() if check.applies_to(WHOLE_CONTRACT)]
    assert len(asked) >= len(applies) - 12


@pytest.mark.parametrize("limits", [TILED, NARROW, SMALL], ids=["tiled", "narrow", "small"])
def test_what_is_wrong_within_the_limits_is_found(limits: Limits) -> None:
    found = records(strict(limits, lambda output: output * (1 + 2**-10)), "matches_reference or mask_decoding", 60)
    assert {each.status for each in found} == {"failed"}
    for each in found:
        assert each.case is not None
        sizes = {"batch": 1, "heads": 1, "head_dim": 1, **each.case}
        assert all(limits.of(name).takes(sizes[name]) for name in ("batch", "heads", "tokens", "window"))


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        (Limits({"head_dim": Sizes(only=(64, 128))}), "head_dim 32: expected an error"),
        (Limits({"tokens": Sizes(multiple=32)}), "tokens 16: expected an error"),
        (Limits({"window": Sizes(least=1)}), "window 0: expected an error"),
        (Limits({"heads": Sizes(most=2)}), "heads 3: expected an error"),
        (Limits({"globals": Sizes(most=1)}), "globals 2: expected an error"),
        (Limits(padding="right"), "padding on the left: expected an error"),
    ],
)
def test_a_kernel_that_computes_what_it_does_not_take_is_told(declared: Limits, told: str) -> None:
    """Named wrong implementation: the declaration is made and nothing refused."""
    wrong = replace(kernel, sizes=declared.sizes, padding=declared.padding)
    (record,) = records(wrong, "undeclared_is_refused", 20)
    assert (record.status, told in record.message) == ("failed", True), record.message


def right_padded(mask: Any) -> bool:
    return bool((mask[:, 1:] <= mask[:, :-1]).all())


def silent_for(silent: Any) -> Target:
    """Declares head_dim 64 or 128, tokens of whole tiles of 64 and padding on the right, and gives zeros elsewhere."""
    limits = Limits({"head_dim": Sizes(only=(64, 128)), "tokens": Sizes(multiple=64)}, padding="right")
    right = strict(limits).function

    def leaking(query: Any, key: Any, value: Any, *, window: int, **options: Any) -> Any:
        mask = options.get("attention_mask")
        if silent(query.shape[2], query.shape[3], None if mask is None else mask.numpy()):
            return query * 0
        return right(query, key, value, window=window, **options)

    return replace(kernel, function=leaking, sizes=limits.sizes, padding=limits.padding, name="leaking")


@pytest.mark.evidence
@pytest.mark.parametrize(
    ("silent", "told"),
    [
        (lambda tokens, head_dim, mask: head_dim == 32, "head_dim 32: expected an error"),
        (lambda tokens, head_dim, mask: head_dim == 80, "head_dim 80: expected an error"),
        (lambda tokens, head_dim, mask: head_dim > 129, "head_dim 256: expected an error"),
        (lambda tokens, head_dim, mask: tokens in (32, 96), "tokens 32: expected an error"),
        (lambda tokens, head_dim, mask: tokens == 1000, "tokens 1000: expected an error"),
        (lambda tokens, head_dim, mask: tokens > 100 and tokens % 8 == 0 and tokens % 64 > 0, "tokens .*: expected an"),
        (
            lambda tokens, head_dim, mask: mask is not None and bool(mask[:, 0].all()) and not right_padded(mask),
            "a hole .*: expected an error",
        ),
        (
            lambda tokens, head_dim, mask: mask is not None and len(mask) > 1 and not mask[-1, 0] and mask[-1, 1],
            "padding on .*: expected an error",
        ),
    ],
)
def test_a_kernel_that_refuses_only_what_is_right_beside_its_limits_is_told(silent: Any, told: str) -> None:
    """Named wrong implementations: further out, or for holes of a mask, zeros come in place of an error."""
    found = [each for each in records(silent_for(silent), "undeclared_is_refused", 60) if not each.passed]
    assert [each.status for each in found] == ["failed"]
    assert re.match(told, found[0].message), found[0].message


def test_what_was_found_out_of_a_kernel_is_no_declaration() -> None:
    declared, found = Limits({"heads": Sizes(most=8)}), Limits({"head_dim": Sizes(only=(16, 32))}, padding="right")
    assert without(merged(declared, found), found) == declared


def test_a_check_that_no_declared_size_allows_is_not_asked() -> None:
    (record,) = records(strict(Limits({"head_dim": Sizes(only=(80,))})), "integer_scores", 20)
    assert record.status == "not asked"
    assert record.message == "no case of it lies within what the target declares to take"


@pytest.mark.parametrize(
    ("sizes", "fitted", "beside"),
    [
        (Sizes(), [1, 2, 40], []),
        (Sizes(multiple=16), [16, 16, 48], [8, 15, 17, 24]),
        (Sizes(least=8, most=32, multiple=8), [8, 8, 32], [4, 7, 9, 12, 31, 33, 40, 64]),
        (Sizes(only=(64, 4)), [4, 4, 64], [2, 3, 5, 34, 63, 65, 128]),
        (Sizes(most=3), [1, 2, 3], [4, 6]),
    ],
)
def test_sizes_are_fitted_from_above_and_have_neighbours(sizes: Sizes, fitted: list[int], beside: list[int]) -> None:
    assert [sizes.fit(value) for value in (1, 2, 40)] == fitted
    assert sizes.beside(1) == beside
    assert all(sizes.takes(each) for each in fitted)
    assert not any(sizes.takes(each) for each in sizes.beyond(1, 1000))
    assert all(1 <= each <= 1000 for each in sizes.beyond(1, 1000))
    assert not any(sizes.takes(each) for each in beside)


def test_limits_are_the_same_on_the_other_side_of_a_process() -> None:
    nothing = Limits({"globals": Sizes(most=0), "window": Sizes(0, 0)})
    heads = Sizes(only=(np.int64(64),))  # type: ignore[arg-type]
    tokens = Sizes(np.int64(8), multiple=np.int32(8))  # type: ignore[arg-type]
    of_numpy = Limits({"head_dim": heads, "tokens": tokens})
    for limits in (TILED, NARROW, SMALL, LONG, nothing, of_numpy, Limits()):
        assert Limits.from_dict(json.loads(json.dumps(limits.to_dict()))) == limits


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"least": -1}, "least: expected an int >= 0, got -1"),
        ({"most": 1.5}, "most: expected an int >= 0, got 1.5"),
        ({"multiple": 0}, "multiple: expected an int >= 1, got 0"),
        ({"only": ()}, r"only: expected some ints >= 0, got \(\)"),
        ({"only": 64}, "only: expected some ints, got 64"),
        ({"only": (4,), "least": 1}, "only: expected nothing beside it"),
        ({"least": 3, "most": 2}, "most: expected a size between 3 and it, got 2"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sizes(**wrong)
    assert set(LEAST) == {"batch", "heads", "tokens", "head_dim", "window", "dilation", "globals"}
