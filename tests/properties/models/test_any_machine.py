"""Correct models raise no alarm on a machine that sums as it pleases; only what is declared is held to the bits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from trueband.adapters import Named
from trueband.commands.targets import describe
from trueband.properties.candidate.target import TargetError
from trueband.properties.models.case import ARCHITECTURES
from trueband.properties.models.model import Model
from trueband.properties.models.target import ModelTarget
from trueband.properties.running.models import model_steps, run_model_step
from trueband.session.model_checks import model_names, reproduce_model
from trueband.witnesses.hub_models import HubModels
from trueband.witnesses.models import OptimizedModels

pytestmark = pytest.mark.evidence

Order = Callable[[torch.Tensor, torch.Tensor], int]
PRODUCTS = {torch.matmul, torch.bmm, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.bmm}


class Machine(TorchFunctionMode):
    """Every product of matrices sums from another place on, which `order` of its operands tells."""

    def __init__(self, order: Order) -> None:
        super().__init__()
        self.order, self.products = order, 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is linear:
            x, weight, *bias = args
            first = self._first(x, weight)
            return linear(x.roll(first, -1), weight.roll(first, -1), *bias, **kwargs)
        if function in PRODUCTS and len(args) == 2 and min(args[0].ndim, args[1].ndim) > 1:
            first = self._first(*args)
            return function(args[0].roll(first, -1), args[1].roll(first, -2), **kwargs)
        return function(*args, **kwargs)

    def _first(self, a: torch.Tensor, b: torch.Tensor) -> int:
        self.products += 1
        return self.order(a, b)


def by_address(a: torch.Tensor, b: torch.Tensor) -> int:
    """Where the operands lie, modulo 64."""
    return (a.data_ptr() % 64 + b.data_ptr() % 64) // a.element_size() + 1


def by_shape(a: torch.Tensor, b: torch.Tensor) -> int:
    """How many rows there are."""
    return a.numel() // a.shape[-1] + b.shape[-1]


def by_call() -> Order:
    """A counter."""
    calls = itertools.count()
    return lambda a, b: next(calls)


class Scattered(OptimizedModels):
    """The package's models, their weights at addresses that are odd multiples of an element's size."""

    def build(self, model: Model, name: str | None = None) -> Any:
        module = super().build(model, name)
        for parameter in module.parameters():
            parameter.data = displaced(parameter.data)
        return module

    def stored(self, *where: Any) -> Any:
        module = super().stored(*where)
        for parameter in module.parameters():
            parameter.data = displaced(parameter.data)
        return module


class Undeclared(OptimizedModels):
    """The package's models, declared not deterministic."""

    features = OptimizedModels.features - {"deterministic"}


def displaced(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers, one element behind a boundary of 64 bytes."""
    array = tensor.detach().numpy()
    room = np.zeros(array.nbytes + 128, dtype=np.uint8)
    start = -room.ctypes.data % 64 + array.itemsize
    there = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    there[...] = array
    return torch.from_numpy(there)


CASES = 2  # of each check and dtype
MACHINES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "by_address": (OptimizedModels, lambda: Machine(by_address)),
    "by_address, scattered": (Scattered, lambda: Machine(by_address)),
    "by_shape": (OptimizedModels, lambda: Machine(by_shape)),
    "by_call": (Undeclared, lambda: Machine(by_call())),
    "scattered": (Scattered, nullcontext),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", MACHINES)
def test_no_check_fails(name: str, architecture: str) -> None:
    candidate, machine = (make() for make in MACHINES[name])
    if isinstance(machine, Machine):  # it is not there when a layer is computed again, and torch matches what is saved
        candidate.features = candidate.features - {"checkpointing"}
    steps = model_steps(model_names(None, candidate.features), candidate)
    with machine:
        records = [
            run_model_step(name, candidate, replace(step, examples=CASES), seed=1)
            for step in steps
            if step.architecture == architecture
        ]
    assert [record for record in records if not record.passed] == []
    assert isinstance(machine, nullcontext) or machine.products > 500


def test_a_machine_that_counts_fails_the_check_that_needs_the_declaration_and_no_other() -> None:
    candidate = OptimizedModels()
    steps = model_steps(["deterministic", "round_trip", "tied_words"], candidate)
    with Machine(by_call()):
        records = [run_model_step("counting", candidate, replace(step, examples=CASES)) for step in steps]
    assert {record.check for record in records if not record.passed} == {"deterministic"}
    failed = next(record for record in records if not record.passed)
    assert "the same call again gave other bits; declare deterministic=False if that is intended" in failed.message


def test_the_declaration_of_a_target_decides(tmp_path: Path) -> None:
    declared, undeclared = (HubModels(ModelTarget(print, deterministic=each)) for each in (True, False))
    only = set(model_names(None, declared.features)) - set(model_names(None, undeclared.features))
    assert only == {"deterministic", "autocast", "dropout_seeds"}
    file = tmp_path / "counting.py"
    file.write_text("import trueband\n\ntarget = trueband.ModelTarget(print, deterministic=False)\n", encoding="utf-8")
    told = describe(Named("counting", f"{file}:target", "a test", kind="models"))
    assert "not deterministic" in told["declared"]
    with pytest.raises(ValueError, match="expected one that applies to the target, got deterministic, which needs"):
        reproduce_model({"check": "deterministic", "case": {"architecture": "led", "tokens": 2}}, f"{file}:target")
    with pytest.raises(TargetError, match="deterministic: expected a bool, got 1"):
        ModelTarget(print, deterministic=1)  # type: ignore[arg-type]


def test_displaced_numbers_are_the_same_elsewhere() -> None:
    numbers = torch.randn(3, 5)
    moved = displaced(numbers)
    assert moved.equal(numbers)
    assert moved.data_ptr() % 64 == 4
