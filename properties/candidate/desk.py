"""The desk over which arrays go to a candidate and back: its memory is prepared before a call and checked after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trueband.properties.candidate.device_memory import DeviceMemory
from trueband.properties.candidate.errors import CHANGED, CHEATING, FAILED, CandidateEnded, cheating
from trueband.properties.candidate.memory import Array, HostMemory


class Desk:
    """The inputs and outputs of one call after another.

    numpy arrays, and tensors on the CPU or a CUDA device, lie in guarded memory; others are copies, compared by value.
    """

    def __init__(self, library: Any, library_name: str, device: str) -> None:
        self._library = library
        self._torch = library.torch if library_name == "torch" else None
        self._device = device
        self._memory: HostMemory | DeviceMemory | None = None
        if library_name in ("numpy", "torch") and device.partition(":")[0] == "cpu":
            self._memory = HostMemory(self._torch)
        elif library.accelerator is not None:
            self._memory = DeviceMemory(self._torch, library.device)
        self._held: dict[str, Any] = {}
        self._unguarded: dict[str, tuple[Any, Array]] = {}
        self._to_reuse: dict[str, Any] = {}
        self._last: dict[str, Any] = {}  # the memory of the last results, burnt

    def empty(self) -> None:
        """Let go of all memory."""
        self._held, self._unguarded, self._to_reuse, self._last = {}, {}, {}, {}

    def clear(self, keep: bool = False) -> None:
        """Clear the desk before a call; `keep` the memory of the last inputs to be overwritten."""
        self._to_reuse = self._held if keep else {}
        self._held, self._unguarded = {}, {}
        self._check_last("changed after the call had returned: work goes on behind it", CHEATING)

    def put(self, name: str, array: Array, dtype: str) -> Any:
        """Place one input and return it in the form that the candidate takes.

        Raises:
            ValueError: the dtype cannot hold its numbers.
        """
        typed = self._library.on_host(array, dtype)
        if not np.array_equal(self._library.back(typed), array, equal_nan=True):
            raise ValueError(f"{name}: expected numbers that {dtype} holds, got others")
        if self._memory is None:
            typed = typed if self._torch is None else self._library.to(array, dtype)
            self._unguarded[name] = (typed, array)
            return typed
        reuse = self._to_reuse.get(name)
        placed, self._held[name] = self._memory.place(typed, None if reuse is None else reuse.raw)
        return placed

    def poison(self, shape: tuple[int, ...], dtype: str) -> None:
        """Leave NaN where the candidate is likely to allocate its output."""
        if self._memory is not None:
            self._memory.poison(shape, dtype)

    def spoil(self) -> None:
        """Take the numbers out of all inputs, which lie on a device."""
        for held in self._held.values():
            held.spoil()

    def disturb(self) -> None:
        """Put other numbers into the inputs, which lie on a device, and leave no token masked."""
        for name, held in self._held.items():
            held.disturb(name == "attention_mask")

    def write(self) -> None:
        """Write the inputs again."""
        for held in self._held.values():
            held.write()

    def check_inputs(self) -> None:
        """Check after a call that every input, and the memory around it, is unchanged."""
        for name, held in self._held.items():
            damage = held.damage()
            if damage == "changed":
                raise _changed(name)
            if damage == "overrun":
                raise CandidateEnded(f"{name}: expected nothing to be written beside an input, got overwritten memory")
        for name, (passed, array) in self._unguarded.items():
            if not np.array_equal(self._library.back(passed), array, equal_nan=True):
                raise _changed(name)

    def check_kind(self, what: str, result: Any) -> None:
        """Refuse a result of a class of the target's own, which could show other numbers at every look."""
        kind = type(result)
        arrays: tuple[type, ...] = (np.ndarray,) if self._torch is None else (np.ndarray, self._torch.Tensor)
        if issubclass(kind, arrays) and kind.__module__.split(".")[0] not in ("torch", "numpy"):
            raise cheating(f"{what}: expected a plain array, got {kind.__name__}, a class of the target's own")

    def check_form(self, what: str, result: Any) -> None:
        """Check that a result of the right shape and dtype is strided and lies on the device."""
        if self._torch is not None:
            if result.layout != self._torch.strided or result.is_neg() or result.is_conj():
                raise CandidateEnded(f"{what}: expected a strided tensor, got layout {result.layout}, or a lazy one")
            if result.device.type != self._device.partition(":")[0]:
                raise CandidateEnded(f"{what}: expected device {self._device}, got {result.device}")

    def check_own_memory(self, what: str, result: Any) -> None:
        """Check that an output has memory for every element. A gradient need not: it may be the output's, expanded."""
        memory = self._memory
        if memory is not None and memory.overlaps_itself(memory.window(result)):
            raise CandidateEnded(f"{what}: expected memory for every element, got elements that share it")

    def take(self, output: Any) -> Array:
        """Return the output as float64 and burn its memory: what is returned later must be computed again."""
        memory = self._memory
        if memory is None:
            for name, (passed, _) in self._unguarded.items():
                if self._library.shares_memory(output, passed):
                    raise cheating(f"output: expected memory of its own, got that of {name}")
            plain: Array = self._library.back(output)
            return plain
        storage = memory.window(output)
        for name, held in self._held.items():
            if memory.shares(storage, held.raw):
                raise cheating(f"output: expected memory of its own, got that of {name}")
        if any(memory.shares(storage, last) and memory.is_burnt(last) for last in self._last.values()):
            raise cheating("output: expected a new result, got the array that an earlier call has returned")
        self.check_last()
        plain = np.array(self._library.back(output))  # a copy also where the dtype is float64
        memory.burn(storage)
        self._last = {"output": storage}
        return plain

    def burn(self, results: Mapping[str, Any]) -> None:
        """Burn the memory of other results of the call, by name, after they were read, so that later writes show."""
        memory = self._memory
        if memory is None:
            return
        for what, result in results.items():
            storage = memory.window(result)
            if not any(memory.shares(storage, held.raw) for held in self._held.values()):
                memory.burn(storage)
                self._last[what] = storage

    def check_last(self) -> None:
        """Check that a call has not written to the result of the call before."""
        self._check_last("overwritten by the next call", FAILED)

    def forget_last(self) -> None:
        """Stop watching the result of the call before."""
        self._last = {}

    def _check_last(self, what: str, status: str) -> None:
        last, self._last = self._last, {}
        memory = self._memory
        for name, storage in last.items():
            if memory is not None and not memory.is_burnt(storage):
                raise CandidateEnded(f"{name}: expected a result that stays as it is, got one that was {what}", status)
        self._last = last


def _changed(name: str) -> CandidateEnded:
    return CandidateEnded(f"{name}: expected an unchanged input, got one that the call has changed", CHANGED)
