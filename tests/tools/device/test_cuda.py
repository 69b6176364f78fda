"""What stands for torch.cuda in a rehearsal has its names and arguments, and the device's lines run over torch.cuda."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from device import rehearsed_cuda
from device.cuda import Device, open_device

NAMES = [
    name
    for name, value in vars(rehearsed_cuda).items()
    if getattr(value, "__module__", "") == rehearsed_cuda.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize("name", NAMES)
def test_torch_has_what_stands_for_it(name: str) -> None:
    ours, theirs = getattr(rehearsed_cuda, name), getattr(torch.cuda, name)
    if inspect.isfunction(ours) and inspect.isfunction(theirs):
        assert set(inspect.signature(ours).parameters) <= set(inspect.signature(theirs).parameters)
    if inspect.isclass(ours):
        assert all(hasattr(theirs, method) for method in vars(ours) if not method.startswith("_"))


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> Device:
    """torch.cuda itself, whose functions answer as in a rehearsal."""
    for name in NAMES:
        monkeypatch.setattr(torch.cuda, name, getattr(rehearsed_cuda, name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    device = open_device(rehearsed=False)
    assert device.cuda is torch.cuda
    assert device.name == "cuda"
    return device


def test_a_device_of_torch(stubbed: Device) -> None:
    facts = stubbed.facts()
    assert facts["architecture"] == stubbed.architecture == "sm_80"
    assert facts["multi_processor_count"] == 1
    assert facts["l2_cache_size"] is None
    calls: list[int] = []
    rounds = stubbed.seconds(lambda: calls.append(1), rounds=3)
    assert len(rounds) == 3
    assert all(seconds > 0 for seconds in rounds)
    assert stubbed.median(lambda: calls.append(1)) > 0
    before = len(calls)
    stubbed.captured(lambda: calls.append(1))()
    assert len(calls) == before + 3  # twice to warm up, and once captured


def test_the_peak_of_a_call(stubbed: Device) -> None:
    def call() -> Any:
        return torch.ones(16 << 20).sum()

    assert stubbed.peak(call) > 60 << 20


def test_without_a_device_it_is_told() -> None:
    assert not torch.cuda.is_available()
    with pytest.raises(RuntimeError, match=r"device: expected one that torch\.cuda finds, got none"):
        open_device(rehearsed=False)
