"""A campaign is one list of cases, however it is cut into shards, blocks and runs."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target
from trueband.properties.cases.case import Case
from trueband.properties.faults import Specimen, target_of
from trueband.properties.running import campaign
from trueband.properties.running import production as walk
from trueband.properties.running.campaign import Block, Shard, block_keys, case_of, run_campaign, sum_blocks
from trueband.properties.running.engine import SMALL
from trueband.properties.running.plan import Plan, steps
from trueband.properties.running.search import try_case

pytestmark = pytest.mark.evidence

NAMES = ("small_world", "matches_reference", "single_token")
PLAN = Plan("good", ("float32", "float16"), 30, ("float32",), NAMES)


def plain(query, key, value, *, window):  # type: ignore[no-untyped-def]
    return Specimen()(query, key, value, window=window)


def forgets_the_last_key(query, key, value, *, window):  # type: ignore[no-untyped-def]
    return Specimen()(query, key, value, window=max(window - 1, 0))


@pytest.fixture
def good() -> Runner:
    return Runner(Target(plain, dtypes=("float32", "float16"), features=frozenset(), library="numpy"), "cpu")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "BLOCK", 8)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """(check, id) of the cases that were tried, small worlds not included."""
    seen: Counter[tuple[str, str]] = Counter()

    def counting(check, candidate, case, probe):  # type: ignore[no-untyped-def]
        seen[check.name, case.id] += 1
        return try_case(check, candidate, case, probe)

    monkeypatch.setattr(walk, "try_case", counting)
    return seen


def outcomes(blocks: list[Block]) -> list[tuple[object, ...]]:
    return [block.outcome for block in blocks]


def test_shards_together_run_every_case_exactly_once(good: Runner, tried: Counter[tuple[str, str]]) -> None:
    expected = {
        (step.check, case_of(PLAN, step, good.features, number).id)
        for step in steps(PLAN)
        for number in range(step.examples)
    }
    parts = [list(run_campaign(PLAN, good, Shard(index, 3))) for index in (1, 2, 3)]
    assert set(tried) == expected
    assert set(tried.values()) == {1}
    assert len(expected) == sum(step.examples for step in steps(PLAN))  # no case occurs twice
    for blocks in zip(*parts, strict=True):
        assert len({(block.key, block.digest, block.total) for block in blocks}) == 1
        assert sum(block.cases for block in blocks) == blocks[0].total
    assert all(sum(block.cases for block in part) for part in parts)


def test_a_run_goes_on_where_it_ended(good: Runner, tried: Counter[tuple[str, str]]) -> None:
    whole = list(run_campaign(PLAN, good))
    assert [block.key for block in whole] == block_keys(PLAN)
    tried.clear()
    rest = list(run_campaign(PLAN, good, done=whole[:3]))
    assert outcomes(rest) == outcomes(whole[3:])
    assert sum(tried.values()) == sum(block.cases for block in whole[3:])


def test_blocks_sum_up_to_a_record_for_each_check_and_dtype(good: Runner) -> None:
    blocks = list(run_campaign(PLAN, good))
    records = sum_blocks(blocks, "good", "cpu", 0)
    assert {(record.check, record.dtype) for record in records} == {(step.check, step.dtype) for step in steps(PLAN)}
    assert all(record.passed for record in records)
    by_name = {(record.check, record.dtype): record for record in records}
    matches = by_name["matches_reference", "float32"]
    assert matches.cases == sum(matches.histogram) == next(s.examples for s in steps(PLAN) if s.check == matches.check)
    assert 0 < matches.worst <= 1
    assert matches.worst_case is not None


def test_an_alarm_ends_its_check_and_leaves_the_others(tried: Counter[tuple[str, str]]) -> None:
    """Named wrong implementation: a window that is one key short."""
    wrong = Runner(Target(forgets_the_last_key, dtypes=("float32",), features=frozenset(), library="numpy"), "cpu")
    plan = Plan("wrong", ("float32",), 200, (), ("matches_reference", "single_token"))
    blocks = list(run_campaign(plan, wrong))
    failed = [block for block in blocks if block.check == "matches_reference"]
    assert len(failed) == 1
    assert failed[0].status == "failed"
    assert failed[0].alarms >= 1
    assert failed[0].alarms <= failed[0].histogram[-1]
    assert failed[0].case is not None
    assert failed[0].case["tokens"] <= SMALL
    others = [block for block in blocks if block.check == "single_token"]
    assert [block.status for block in others] == ["passed"] * len(others)
    assert len(others) > 1
    assert not list(run_campaign(plan, wrong, done=blocks))  # nor does a later run take it up again
    (record,) = [record for record in sum_blocks(blocks, "wrong", "cpu", 0) if not record.passed]
    assert record.reproduce.startswith("trueband repro")


def wrong_for_61_tokens(query, key, value, *, window):  # type: ignore[no-untyped-def]
    return Specimen()(query, key, value, window=window if query.shape[2] != 61 else window + 1)


def test_a_known_case_is_the_first_of_its_check() -> None:
    candidate = Runner(Target(wrong_for_61_tokens, features=frozenset(), library="numpy"), "cpu")
    plan = Plan("wrong", ("float32",), 8, (), ("matches_reference",))
    (random,) = run_campaign(plan, candidate)
    case = Case(tokens=61, window=3)
    parts = [
        next(run_campaign(plan, candidate, Shard(i, 2), known={("matches_reference", "float32"): case})) for i in (1, 2)
    ]
    assert (random.alarms, random.cases) == (0, 8)
    assert sorted(part.alarms for part in parts) == [0, 1]
    assert sum(part.cases for part in parts) == parts[0].total == parts[1].total == 9


def test_the_small_world_raises_alarm() -> None:
    wrong = Runner(Target(forgets_the_last_key, dtypes=("float32",), features=frozenset(), library="numpy"), "cpu")
    plan = Plan("wrong", ("float32",), 1, ("float32",), ("small_world",))
    blocks = [block for index in (1, 2) for block in run_campaign(plan, wrong, Shard(index, 2))]
    assert [block.status for block in blocks] == ["failed", "failed"]
    assert all(block.case is not None and block.alarms == 1 for block in blocks)


def test_cases_are_the_same_in_any_process() -> None:
    """What is loaded, and how strings are hashed, makes no difference (with Hypothesis' own choices it would)."""
    code = (
        "import sys; from trueband.properties.running import campaign, plan\n"
        "asked = plan.Plan('', ('float16',), 90, (), ('mask_decoding', 'matches_reference'), seed=3)\n"
        "features = sys.argv[1:] and ['padding', 'globals', 'dilation', 'scale', 'head_mask', 'causal']\n"
        "print([campaign.case_of(asked, s, features, i).id for s in plan.steps(asked) for i in range(s.examples)])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", loaded + code, "all"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
            env={"PYTHONHASHSEED": hashing},
        ).stdout
        for loaded, hashing in (("", "1"), ("import torch, trueband.optimized\n", "2"))
    }
    assert len(told) == 1
    assert len(eval(told.pop())) == 90


def test_other_seeds_have_other_cases() -> None:
    ids = set()
    for seed in (0, 1):
        plan = Plan("", ("float32",), 40, (), ("matches_reference",), seed=seed)
        ids |= {case_of(plan, steps(plan)[0], target_of(Specimen(), "s").features or (), i).id for i in range(40)}
    assert len(ids) == 80


def test_a_block_survives_its_json_line(good: Runner) -> None:
    for block in run_campaign(PLAN, good):
        assert Block.from_dict(block.to_dict()) == block


@pytest.mark.parametrize("values", [{"check": "single_token"}, {"colour": 1}])
def test_a_block_with_other_fields_is_an_error(values: dict[str, object], good: Runner) -> None:
    block = next(iter(run_campaign(PLAN, good))).to_dict()
    with pytest.raises(ValueError, match=r"block: expected the fields .*, got"):
        Block.from_dict(values if "check" in values else {**block, **values})
    with pytest.raises(ValueError, match=r"expected a histogram of \d+ bins, got 2"):
        Block.from_dict({**block, "histogram": [1, 2]})


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/2/3", "a/b", "-1/2", "1/0"])
def test_a_shard_that_cannot_be_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="shard: expected i/N"):
        Shard.parse(text)


def test_seeds_that_would_share_cases_are_refused(good: Runner) -> None:
    with pytest.raises(ValueError, match="expected a seed >= 0"):
        next(run_campaign(Plan("", ("float32",), 1, (), ("single_token",), seed=-1), good))
