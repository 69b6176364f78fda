"""Planted faults are told, each at its line; the interpreter alone is silent about them; right kernels are clean."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trueband.properties.gpu.sanitizer import KINDS
from trueband.properties.gpu.triton_version import installed, numbers

# triton has had what `planted_newer.py` plants since 3.4.
NEWER = numbers(installed() or "") >= (3, 4)
SOURCES = sorted(path for path in Path(__file__).parent.glob("planted_*.py") if NEWER or path.stem != "planted_newer")


def planted(decorator: str) -> dict[str, str]:
    """{function: argument of its decorator, or ""} of the planted kernels, which cannot be imported here."""
    found: dict[str, str] = {}
    nodes = (node for path in SOURCES for node in ast.parse(path.read_text(encoding="utf-8")).body)
    for node in (node for node in nodes if isinstance(node, ast.FunctionDef)):
        for each in node.decorator_list:
            if ast.unparse(each).partition("(")[0] == decorator:
                found[node.name] = ast.literal_eval(each.args[0]) if isinstance(each, ast.Call) else ""
    return found


FAULTY, RIGHT = planted("faulty"), planted("right")
# Before 3.3 the interpreter takes a single False for no mask and stores, which the sanitizer and what mends it do not.
MASKED_BY_ONE = {"read_by_both_written_by_the_second"} if numbers(installed() or "") < (3, 3) else set()


@pytest.fixture(scope="session")
def plain(interpret: Callable[..., str]) -> dict[str, str | None]:
    """What Triton's interpreter alone says of each function."""
    told: dict[str, str | None] = json.loads(interpret("planted.py", "plain"))
    return told


@pytest.fixture(scope="session", params=["sanitized", "mended"])
def found(request: pytest.FixtureRequest, interpret: Callable[..., str]) -> dict[str, list[list[str]]]:
    """What the sanitizer says: [kind, line of the source, tensor] of each finding."""
    told: dict[str, list[list[str]]] = json.loads(interpret("planted.py", request.param))
    return told


@pytest.mark.parametrize("name", FAULTY)
def test_a_planted_fault_is_told_at_its_line(found: dict[str, list[list[str]]], name: str) -> None:
    assert FAULTY[name] in [kind for kind, _, _ in found[name]]
    assert all(line.endswith("# fault") for _, line, _ in found[name])


@pytest.mark.parametrize("name", [name for name in FAULTY if name not in MASKED_BY_ONE])
def test_the_interpreter_alone_is_silent(plain: dict[str, str | None], name: str) -> None:
    """Its numbers are right as well: each function compares them where they are defined."""
    assert plain[name] is None


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_kernel_is_clean(plain: dict[str, str | None], found: dict[str, list[list[str]]], name: str) -> None:
    assert (plain[name], found[name]) == (None, [])


def test_programs_run_in_an_order_of_the_seed(interpret: Callable[..., str]) -> None:
    first, second = json.loads(interpret("planted.py", "orders"))
    assert sorted(first) == sorted(second) == list(range(12))
    assert list(range(12)) != first != second != list(range(12))


def test_every_kind_is_planted() -> None:
    assert set(FAULTY.values()) == set(KINDS)


# name: (file, what stands there once, what is put there, what is told)
OWN = {
    "keys loaded beyond the sequence": (
        "forward",
        "k = load_rows(key, key_rows, key_n, state == 1,",
        "k = load_rows(key, key_rows, key_n, state < 3,",
        "out-of-bounds load",
    ),
    "output stored beyond the sequence": (
        "forward",
        "rows, output_n, inside, result,",
        "rows, output_n, inside | True, result,",
        "out-of-bounds store",
    ),
    "states without other": (
        "forward",
        "state = tl.load(states + key_rows, mask=key_steps < length, other=0)",
        "state = tl.load(states + key_rows, mask=key_steps < length)",
        "missing other",
    ),
    "rows without other": ("tiles", "mask=mask, other=0.0)", "mask=mask)", "missing other"),
    "every part writes the deltas": (
        "global_rows_backward",
        "delta, mask=is_row & (part == 0))",
        "delta, mask=is_row)",
        "write/write race",
    ),
    "masked rows get no log-sum": (
        "forward",
        "tokens + rows, log_sum, mask=inside)",
        "tokens + rows, log_sum, mask=is_local)",
        "unwritten read",
    ),
    "blocks of keys overlap": (
        "backward_key",
        "steps = start + tl.arange(0, KEYS)",
        "steps = start // 2 + tl.arange(0, KEYS)",
        "write/write race",
    ),
}
NO_FAULT = ("tiles", "add_keys(", "add_keys(", "")


@pytest.fixture(scope="session")
def told(interpret: Callable[..., str]) -> dict[str, list[str]]:
    """Kinds of findings for each change of the package's own kernels, and for none."""
    changes = {name: change[:3] for name, change in {**OWN, "no fault": NO_FAULT}.items()}
    kinds: dict[str, list[str]] = json.loads(interpret("changed.py", json.dumps(changes)))
    return kinds


@pytest.mark.evidence
@pytest.mark.parametrize("name", OWN, ids=lambda name: name.replace(" ", "-"))
def test_a_fault_in_the_own_kernels_is_told(told: dict[str, list[str]], name: str) -> None:
    assert OWN[name][3] in told[name]


@pytest.mark.evidence
def test_the_own_kernels_read_and_written_but_not_changed(told: dict[str, list[str]]) -> None:
    assert told["no fault"] == []
