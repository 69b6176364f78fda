"""bfloat16 in the mended interpreter is torch's: rounded to nearest, ties to even, and widened exactly."""

from __future__ import annotations

import numpy as np
import torch

from trueband.gpu.interpreter import rounded, widened

# Every sign, exponent and fraction of bfloat16, followed by what is rounded away: nothing, less than half, half, more.
KEPT = np.arange(2**16, dtype=np.uint32) << 16
AWAY = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], dtype=np.uint32)
VALUES = (KEPT[:, None] | AWAY).view(np.float32)


def by_torch(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values).to(torch.bfloat16)


def test_rounded() -> None:
    number = ~np.isnan(VALUES)
    found, expected = rounded(VALUES), by_torch(VALUES).view(torch.uint16).numpy()
    assert (found[number] == expected[number]).all()
    assert np.isnan(widened(found)[~number]).all()
    cut = (VALUES.view(np.uint32) >> 16).astype(np.uint16)  # as the interpreter comes
    assert (cut[number] != expected[number]).any()


def test_widened() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    expected = torch.tensor(bits).view(torch.bfloat16).float().numpy()
    assert (widened(bits).view(np.uint32) == expected.view(np.uint32)).all()
