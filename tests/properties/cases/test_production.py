"""Shapes of production: which are asked for, what is left out and told, and where a failure begins."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trueband.properties.candidate.covered import Covered
from trueband.properties.candidate.guard import Guard
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target, TargetError, load_attribute
from trueband.properties.cases.case import Case
from trueband.properties.cases.limits import Limits, Sizes
from trueband.properties.cases.production import BUDGETS, WHOLE, shapes
from trueband.properties.cases.shapes import MODELS, Shape, read_shapes
from trueband.properties.checks import CHECKS
from trueband.properties.running.boundary import boundaries, smallest
from trueband.properties.running.engine import run, run_step
from trueband.properties.running.manifest import unrun
from trueband.properties.running.plan import Plan, make_plan, spread, steps, walked
from trueband.properties.running.production import production_case, walk

COUNTS = CHECKS["counts_at_size"]


right = load_attribute(f"{Path(__file__).resolve().parents[2] / 'trueband' / 'array_kernels.py'}:right")


def band(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """A right NumPy kernel, without masks."""
    return right(query, key, value, window=window)


def zeros_where(wrong: Any) -> Target:
    def kernel(query: Any, key: Any, value: Any, *, window: int) -> Any:
        output = band(query, key, value, window=window)
        return output * 0 if wrong(*query.shape, window) else output

    return Target(kernel, library="numpy")


def counted(target: Target, listed: list[Shape], seconds: float = 10.0, demanded: int = 0) -> tuple[Any, Runner]:
    runner = Runner(target)
    cases = [
        production_case(COUNTS, "float32", runner.features, runner.limits, listed, number, 0, "quick")
        for number in range(len(listed))
    ]
    return walk(COUNTS, runner, cases, Guard(seconds, 1e9, 1e9), demanded), runner


@pytest.mark.parametrize("tier", BUDGETS)
def test_every_tier_has_the_models_and_each_size_alone(tier: str) -> None:
    asked = shapes(tier, Limits())
    assert Shape(4096, 256, 12, 64, name="Longformer base") in asked
    pairs = {(shape.heads, shape.head_dim) for shape in asked}
    assert {(heads, head_dim) for _, heads, head_dim, *_ in MODELS} <= pairs
    assert {(12, 64), (16, 96), (40, 128)} <= pairs
    assert set(range(4, 17)) <= {shape.heads for shape in asked}
    assert {72, 80, 96, 104, 128} <= {shape.head_dim for shape in asked if shape.tokens < 40}
    assert {511, 512, 513, 600, 1024, 4097} <= {shape.tokens for shape in asked}
    assert {64, 256, 512} <= {shape.window for shape in asked}
    assert [shape for shape in asked if shape.pairs > BUDGETS[tier].pairs] == [WHOLE] * (tier == "quick")
    assert len(asked) == len(set(asked))


def test_only_what_a_target_takes_is_asked() -> None:
    limits = Limits({"head_dim": Sizes(only=(64, 128)), "tokens": Sizes(multiple=64), "heads": Sizes(most=8)})
    for shape in shapes("quick", limits):
        assert (shape.head_dim in (64, 128), shape.tokens % 64, shape.heads <= 8) == (True, 0, True)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda b, h, n, d, w: h > 8, "wrong from 9 heads on, right with 8"),
        (lambda b, h, n, d, w: h == 12 and d == 64, "wrong with 12 heads, right with 11 and 13"),
        (lambda b, h, n, d, w: n > 512, "wrong from 513 tokens on, right with 512"),
        (lambda b, h, n, d, w: d in (72, 104), "wrong with 72 channels of a head, right with 71 and 73"),
        (lambda b, h, n, d, w: w > 256 and n > 300, "wrong from 257 of window on, right with 256"),
        (lambda b, h, n, d, w: n % 16 and n > 100, "wrong with 101 tokens, right with 100 and 112"),
    ],
)
def test_what_is_wrong_in_some_sizes_only_is_found_with_where_it_begins(wrong: Any, told: str) -> None:
    """Named wrong implementations: zeros for some sizes."""
    runner = Runner(zeros_where(wrong))
    plan = make_plan("zeros", runner, pattern="counts_at_size")
    record = run_step(plan, steps(plan)[0], runner)
    assert record.status == "failed"
    assert told in record.message


def test_the_right_kernel_passes_and_what_it_was_asked_is_told() -> None:
    runner = Runner(Target(band, library="numpy"))
    plan = make_plan("band", runner, pattern="counts_at_size", cases=300)
    assert run_step(plan, steps(plan)[0], runner).passed
    assert runner.covered.forward.ranges["heads"][1] >= 40
    assert runner.covered.forward.ranges["tokens"][1] > 1_000
    assert str(runner.covered).startswith("forward: tokens ")


def slow(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """A right kernel that takes long where the sequence is long."""
    time.sleep(0.2 if query.shape[2] > 50 else 0.0)
    return band(query, key, value, window=window)


def test_what_takes_too_long_is_left_out_and_told_and_fails_where_it_is_demanded() -> None:
    listed = [Shape(20, 2, 1, 4), Shape(60, 2, 1, 4), Shape(90, 2, 1, 4), Shape(100, 2, 2, 8)]
    found, runner = counted(Target(slow, library="numpy"), listed, seconds=0.1)
    assert (found.failure, found.cases) == (None, 2)
    assert [text.partition(" tokens")[0] for text in runner.covered.left_out] == ["90", "100"]
    assert all("a smaller one took 0." in why for why in runner.covered.left_out.values())
    found, runner = counted(Target(slow, library="numpy"), listed, seconds=0.1, demanded=4)
    assert (found.cases, runner.covered.left_out) == (4, {})


def test_a_check_of_which_every_shape_takes_too_much_is_not_asked() -> None:
    def greedy(query: Any, key: Any, value: Any, *, window: int) -> Any:
        raise MemoryError("expected less")

    runner = Runner(Target(greedy, library="numpy"))
    plan = make_plan("greedy", runner, cases=20, pattern="counts_at_size")
    (record,) = run(plan, runner)
    assert (record.status, record.cases, unrun(plan, [record])) == ("not asked", 0, [])
    assert "shapes was left out: a smaller one failed: expected a result, got MemoryError" in record.message
    gate = replace(plan, gate=True)
    record = run_step(gate, steps(gate)[0], runner)
    assert next(each.message for each in unrun(gate, [record])) == "expected at least one case, got none"


def test_a_first_call_that_compiles_leaves_nothing_out() -> None:
    compiled: set[int] = set()

    def compiles(query: Any, key: Any, value: Any, *, window: int) -> Any:
        if query.shape[3] not in compiled:
            compiled.add(query.shape[3])
            time.sleep(0.2)
        return band(query, key, value, window=window)

    found, runner = counted(Target(compiles, library="numpy"), [Shape(20, 2, 1, d) for d in (4, 8, 16)], seconds=0.1)
    assert (found.failure, found.cases, runner.covered.left_out) == (None, 3, {})


def test_what_comes_when_the_time_of_a_check_is_spent_is_left_out() -> None:
    guard = Guard(10.0, 5.0, 1000.0, spent=5.5)
    assert guard.against(Case(8, 2)) == "cheaper ones took the 5 s of this check"


def test_what_would_take_too_much_memory_is_left_out() -> None:
    guard = Guard(10.0, 1e9, 1000.0)
    guard.tell(Case(64, 2), 0.0, 30.0)  # the first calls of a process
    assert guard.against(Case(4096, 2)) == ""
    guard.tell(Case(1024, 2), 0.0, 100.0)
    assert guard.against(Case(2048, 2)) == ""
    assert "about 1,600 MiB" in guard.against(Case(4096, 2))
    assert guard.against(Case(1024, 2, heads=2)) == ""


def test_what_came_to_no_end_leaves_out_what_is_larger_and_says_why() -> None:
    guard = Guard(10.0, 1e9, 1000.0)
    guard.tell(Case(512, 64), 60.0, 0.0, "expected an answer within 60 s")
    assert guard.against(Case(511, 64)) == ""
    assert guard.against(Case(1024, 64)) == "a smaller one failed: expected an answer within 60 s"


def test_a_shorter_sequence_keeps_what_is_masked() -> None:
    """Named wrong claim: right with fewer tokens, where it was right because nothing was masked any more."""
    case = Case(40, 2, masked=((39,),))
    assert boundaries(case, lambda each: bool(each.masked and each.masked[0]), Limits()) == []


def test_the_whole_model_is_for_the_first_dtype_and_the_checks_that_are_asked_for_most() -> None:
    runner = Runner(Target(band, dtypes=("float32", "float64"), library="numpy"))
    plan = make_plan("band", runner, pattern="at_size or rows_match")
    asked = {
        (step.check, step.dtype): {plan.to_walk[each] for each in walked(plan, step.dtype, CHECKS[step.check])}
        for step in steps(plan)
    }
    assert {key for key, shapes_ in asked.items() if WHOLE in shapes_} == {
        ("counts_at_size", "float32"),
        ("rows_match_reference", "float32"),
    }


def test_shapes_of_a_target_must_be_asked_for_and_are_first() -> None:
    runner = Runner(Target(band, library="numpy", shapes=(Shape(77, 5, 3, 40),)))
    plan = make_plan("band", runner, pattern="counts_at_size", cases=10, demanded_shapes=[Shape(70, 5, 2, 24)])
    assert plan.to_walk[:2] == (Shape(77, 5, 3, 40), Shape(70, 5, 2, 24))
    run_step(plan, steps(plan)[0], runner)
    assert runner.covered.forward.ranges["head_dim"][1] >= 40
    with pytest.raises(TargetError, match="shapes: expected shapes that the target takes, got 77 tokens"):
        Target(band, shapes=(Shape(77, 5),), sizes={"tokens": Sizes(multiple=64)})


def test_a_case_is_halved_to_the_size_where_it_begins_to_be_wrong() -> None:
    tried: list[Case] = []

    def fails(case: Case) -> bool:
        tried.append(case)
        return case.tokens >= 513 and case.heads >= 9

    case = Case(4096, 64, 80, 2, 64, masked=((), (4,)), causal=True, head_mask=True)
    found = smallest(case, fails, Limits(), 60.0)
    assert found == Case(513, 0, 1, 1, 9)
    assert len(tried) < 80
    assert boundaries(found, fails, Limits()) == [
        "wrong from 9 heads on, right with 8",
        "wrong from 513 tokens on, right with 512",
    ]
    blocks = Limits({"tokens": Sizes(multiple=64), "heads": Sizes(only=(1, 8, 16))})
    within = smallest(case.replace(heads=16), fails, blocks, 60.0)
    assert (within.tokens, within.heads) == (576, 16)
    assert "wrong from 576 tokens on, right with 512" in boundaries(within, fails, blocks)


def test_with_few_cases_shapes_are_spread_and_the_largest_is_among_them() -> None:
    assert spread(2, 12, 3) == [5, 8, 11]
    assert spread(0, 4, 9) == [0, 1, 2, 3]
    assert spread(3, 3, 5) == []


def covered_by(*calls: tuple[tuple[int, int, int, int], dict[str, Any], bool]) -> Covered:
    covered = Covered()
    for shape, options, with_gradients in calls:
        covered.add(
            dict.fromkeys(("query", "key"), np.broadcast_to(0.0, shape)), {"window": 5, **options}, with_gradients
        )
    return covered


def test_covered_sizes_are_told_in_words_forward_and_with_gradients() -> None:
    """Named wrong claim: large sizes of two calls, told as if they had met, or as if they had had gradients."""
    assert not Covered()
    long, wide = (1, 1, 4100, 64), (8, 12, 140, 64)
    options = {"dilation": (1, 8), "scale": 3}
    covered = covered_by((long, {"window": 4099}, False), (wide, options, False), ((2, 3, 100, 8), {}, True))
    assert str(covered) == (
        "forward: tokens 140..4,100, heads 1..12, head_dim 64, windows 5..4,099, batches 1..8, dilations 1..8,"
        " scales 3; largest: batch 8 x 12 heads x 64 x 140 tokens; with gradients: tokens 100, heads 3, head_dim 8,"
        " windows 5,"
        " batches 2; largest: batch 2 x 3 heads x 8 x 100 tokens"
    )
    assert covered.to_dict()["forward"]["sizes"]["tokens"] == [140, 4100]
    assert covered.to_dict()["gradients"]["largest"] == [{"batch": 2, "heads": 3, "head_dim": 8, "tokens": 100}]


def test_global_tokens_are_counted_in_what_was_covered() -> None:
    covered = Covered()
    flags = np.arange(9)[None] < 7
    ones = np.ones((1, 1, 9, 1))
    covered.add({"query": ones, "key": ones, "global_attention_mask": flags}, {"window": 1})
    assert covered.forward.ranges["globals"] == (7, 7)


def test_a_file_of_shapes_is_a_list_or_lines(tmp_path: Path) -> None:
    listed, lines = tmp_path / "list.json", tmp_path / "lines.jsonl"
    written = [{"tokens": 4096, "window": 256, "heads": 12, "head_dim": 64}, {"tokens": 5, "window": 0}]
    listed.write_text(json.dumps(written), encoding="utf-8")
    lines.write_text("\n".join(map(json.dumps, written)) + "\n", encoding="utf-8")
    assert read_shapes(listed) == read_shapes(lines) == [Shape(4096, 256, 12, 64), Shape(5, 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected a JSON list of shapes, got something else"),
        ("[]", "expected at least one shape, got none"),
        ('[{"tokens": 5}]', "shape: expected an object of tokens, window, .*, got"),
        ('[{"tokens": 0, "window": 1}]', "tokens: expected an int >= 1, got 0"),
        ('[{"tokens": 5, "window": 1, "rows": 2}]', "shape: expected an object"),
        ("3", "shape: expected an object"),
    ],
)
def test_a_file_that_is_none_is_told_by_its_name(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "shapes.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{file}: .*{message}"):
        read_shapes(file)


def test_a_plan_without_production_checks_is_as_before() -> None:
    plan = Plan("none", ("float32",), 100, (), ("matches_reference",))
    assert [step.examples for step in steps(plan)] == [100]
    assert replace(plan, tier="full").to_walk != plan.to_walk
