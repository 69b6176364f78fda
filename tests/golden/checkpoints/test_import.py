"""The importer of published lists: where two lists hold a number, they must agree."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trueband.golden.store import open_store

TOOLS = Path(__file__).resolve().parents[3] / "tools"
Lists = tuple[list[Any], list[Any]]


@pytest.fixture
def importer(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(TOOLS))
    import import_published

    yield import_published
    for name in ("import_published", "published_tokens"):
        del sys.modules[name]


@pytest.fixture
def lists(importer: ModuleType) -> Lists:
    """Two lists that agree, rebuilt from the store: each entry of the second holds what it repeats of the first."""
    store = open_store()
    first = [
        {"id": name, "expected": store.golden(name).expected.tolist()}
        for name in importer.PLANS
        if "expected" in store.golden(name).arrays
    ]
    known = {entry["id"]: entry["expected"] for entry in first}
    second = [
        {"src": "there", "checkpoint": "", "values": [known[name] for name in plan["repeats"] if name in known]}
        for plan in importer.NEEDED
    ]
    held = {entry["id"] for entry in first}
    first += [{"id": name, "expected": []} for plan in importer.NEEDED for name in plan["repeats"] if name not in held]
    return first, second


def test_lists_that_agree(importer: ModuleType, lists: Lists) -> None:
    repeated = importer.agree(*lists)
    assert repeated["led_base_no_head"] == [{"printed_again": "there", "tolerance": None}]
    assert len(repeated) > 25


def test_one_other_digit_is_refused(importer: ModuleType, lists: Lists) -> None:
    """The wrong list: the last digit of one number is another."""
    first, second = (copy.deepcopy(each) for each in lists)
    second[0]["values"][0][0][0] += 1e-4
    with pytest.raises(ValueError, match=r"^led_base_no_head: .* in both lists, got no \[2\.305\] in"):
        importer.agree(first, second)


def test_a_forgotten_entry_is_refused(importer: ModuleType, lists: Lists) -> None:
    with pytest.raises(ValueError, match=r"^needed: expected 50 entries, got 49"):
        importer.agree(lists[0], lists[1][:-1])


def test_the_store_says_where_a_number_is_printed_again(importer: ModuleType) -> None:
    store = open_store()
    for plan in importer.NEEDED:
        for name in plan["repeats"]:
            if name in importer.PLANS:
                again = [each for each in store.golden(name).metadata.also_in if "printed_again" in each]
                assert len(again) == 1, name


def test_every_plan_is_a_golden(importer: ModuleType) -> None:
    store = open_store()
    planned = {*importer.PLANS, *(name for plan in importer.NEEDED for name in plan["goldens"])}
    files = {name for name in store if store.index[name]["file"].startswith("checkpoints/")}
    assert planned <= files
    assert all(store.golden(name).metadata.run == "token_ids" for name in files - planned)
