"""The parts that keep a candidate honest, one by one: messages, memory, and the harness that it shares."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest

from trueband.properties.candidate import memory, tampering
from trueband.properties.candidate.errors import CHEATING, FAILED, OUT_OF_MEMORY, Raised, judged
from trueband.properties.candidate.protocol import receive, send
from trueband.properties.candidate.watch import is_own

DTYPES = ("float64", "float32", "bfloat16", "float16", "bool")


def placed(dtype: str, reuse: Any = None) -> tuple[Any, memory.Held]:
    import torch

    tensor = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
    given, held = memory.place(tensor, torch, reuse)
    assert torch.equal(given, tensor)
    assert given.storage_offset() == 0
    assert given.data_ptr() % memory.ALIGNMENT == 0
    return given, held


@pytest.mark.parametrize("dtype", DTYPES)
def test_changes_and_overruns_of_an_input_are_told_apart(dtype: str) -> None:
    given, held = placed(dtype)
    assert held.damage() == ""
    held.raw[held.stop] ^= 1
    assert held.damage() == "overrun"
    held.raw[held.stop] ^= 1
    held.raw[held.start - 1] ^= 1
    assert held.damage() == "overrun"
    given[0, 0] = not bool(given[0, 0])
    assert held.damage() == "changed"


@pytest.mark.parametrize("dtype", DTYPES[:-1])
def test_what_lies_around_an_input_is_nan(dtype: str) -> None:
    import torch

    given, held = placed(dtype)
    for start in (held.start - memory.GUARD, held.stop):
        around = torch.from_numpy(held.raw[start : start + 64].copy()).view(given.dtype)
        assert around.isnan().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_of_the_same_size_is_overwritten_where_asked(dtype: str) -> None:
    first, held = placed(dtype)
    again, _ = placed(dtype, held.raw)
    other, _ = placed(dtype)
    assert again.data_ptr() == first.data_ptr() != other.data_ptr()
    larger, _ = memory.place(np.zeros(99), reuse=held.raw)
    assert not memory.shares(larger, held.raw)


@pytest.mark.parametrize("dtype", DTYPES[:-1])
def test_a_burnt_result_shows_what_is_written_to_it(dtype: str) -> None:
    import torch

    result = torch.ones(3, 4, dtype=getattr(torch, dtype)).T
    there = memory.window(result, torch)
    memory.burn(there)
    assert result.isnan().all()
    assert memory.is_burnt(there)
    result[3, 2] = 1
    assert not memory.is_burnt(there)


def test_elements_that_share_memory_are_seen() -> None:
    plain = np.zeros((3, 4))
    assert not memory.overlaps_itself(plain)
    assert not memory.overlaps_itself(plain.T[::2, ::-1])
    assert memory.overlaps_itself(np.broadcast_to(plain[:1], (3, 4)))
    assert memory.overlaps_itself(np.lib.stride_tricks.sliding_window_view(plain[0], 3))


@pytest.mark.parametrize("tokens", [2, 40, 400])
def test_freed_memory_is_poisoned(tokens: int) -> None:
    shape = (2, 3, tokens, 8)
    stale = np.full(shape, 7, np.float32)
    del stale
    memory.poison(shape, "float32")
    assert not (np.empty(shape, np.float32) == 7).any()


def test_a_message_comes_back_as_it_was_sent() -> None:
    stream = io.BytesIO()
    send(stream, {"token": "x"}, {"output": np.arange(6.0).reshape(2, 3)})
    stream.seek(0)
    header, arrays = receive(stream, lambda: 48)
    assert header == {"token": "x"}
    assert np.array_equal(arrays["output"], np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{}",
        b'{"arrays": 3}',
        b'{"arrays": [3]}',
        b'{"arrays": [["output", "object", [1]]]}',
        b'{"arrays": [["output", "float64", [-1]]]}',
        b'{"arrays": [["output", "float64", [1.5]]]}',
        b'{"arrays": [["output", "float64", [7]]]}',
        b"\xff",
        b"not json",
    ],
)
def test_what_is_no_message_is_an_error(header: bytes) -> None:
    with pytest.raises(ValueError, match=r"expected|decode|Expecting"):
        receive(io.BytesIO(struct.pack("<Q", len(header)) + header + bytes(64)), lambda: 48)


def test_a_message_that_ends_early_is_the_end_and_a_header_without_end_is_not_read() -> None:
    with pytest.raises(EOFError):
        receive(io.BytesIO(struct.pack("<Q", 9) + b"{}"))
    with pytest.raises(ValueError, match="expected a header of at most"):
        receive(io.BytesIO(struct.pack("<Q", 1 << 40)))


def test_a_replaced_part_of_the_harness_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tampering.harness()
    assert tampering.replaced(before) == ""
    with monkeypatch.context() as patch:
        patch.setattr(memory, "burn", lambda _: None)
        assert tampering.replaced(before) == "trueband.properties.candidate.memory.burn"
    with monkeypatch.context() as patch:
        patch.setattr(memory.Held, "damage", lambda _: "")
        assert tampering.replaced(before) == "trueband.properties.candidate.memory.Held.damage"
    assert tampering.replaced(before) == ""


def test_errors_are_told_apart() -> None:
    skipped = type("Skipped", (BaseException,), {"__module__": "_pytest.outcomes"})
    allocator = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
    for error, status in (
        (ValueError("x"), FAILED),
        (SystemExit(0), FAILED),
        (RuntimeError("x"), FAILED),
        (skipped("x"), CHEATING),
        (MemoryError("x"), OUT_OF_MEMORY),
        (allocator, OUT_OF_MEMORY),
    ):
        ended = judged(error, "a result")
        assert (ended.status, isinstance(ended, Raised)) == (status, status == FAILED)


def test_only_the_packages_own_targets_may_use_it() -> None:
    assert is_own("trueband.targets:chunked")
    for spec in ("trueband.py:kernel", "trueband_kernels.fast:kernel", "mine.trueband:kernel", "./trueband.py:kernel"):
        assert not is_own(spec)
