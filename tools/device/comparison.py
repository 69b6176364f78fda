"""A launch on the device against the same launch in the emulator: bit for bit where PTX defines the bits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from device.recorder import Launch, copied
from trueband.gpu.unwritten import plain
from trueband.properties.gpu.ptx.execute import Executable
from trueband.properties.gpu.ptx.findings import PtxError
from trueband.properties.gpu.ptx.launch import Kernel, Pointer, launch
from trueband.properties.gpu.ptx.parse import parse

# What PTX leaves to the device: approximations, and the order in which a product of matrices adds.
UNDEFINED = re.compile(r"^\s*(?:@!?%\w+ )?((?:\w+\.(?:approx|full)|w?g?mma)[\w.]*)", re.MULTILINE)
INTEGERS = {2: np.int16, 4: np.int32}


def compared(done: Launch) -> dict[str, Any]:
    """Execute a launch in the emulator, and compare every tensor of it.

    Returns:
        "undefined": opcodes whose bits PTX does not define; "different": {argument: how many elements have other
        bits, of how many, and how far they are at most, in units of the last place}; "finding": what the emulator
        found. "passed": nothing was found, and all bits are the same where they are defined; where they are not, no
        number is without a counterpart: both are NaN, infinite, or neither.
    """
    undefined = sorted(set(UNDEFINED.findall(done.ptx)))
    result: dict[str, Any] = {"kernel": done.kernel, "programs": done.programs, "undefined": undefined}
    given = copied(done.before)
    handed = [Pointer(plain(value)) if isinstance(value, Tensor) else value for value in given]
    try:
        kernel = Kernel(Executable.of(parse(done.ptx)), done.shared)
        launch(kernel, (done.programs, 1, 1), handed)
    except PtxError as error:
        kind = getattr(error, "kind", type(error).__name__)
        return {**result, "passed": False, "finding": f"{kind}: {error}"}
    different, comparable = {}, True
    for number, (ours, theirs) in enumerate(zip(given, done.after, strict=True)):
        if isinstance(ours, Tensor):
            entry = distance(ours, theirs)
            if entry["elements"]:
                different[str(number)] = entry
                comparable = comparable and not entry["incomparable"]
    passed = comparable if undefined else not different
    return {**result, "passed": passed, "different": different}


def distance(ours: Tensor, theirs: Tensor) -> dict[str, Any]:
    """How two tensors differ."""
    one, other = plain(ours), plain(theirs)
    if not ours.dtype.is_floating_point:
        return {"elements": int((one != other).sum()), "of": one.size, "most": None, "incomparable": 0}
    bits = [array.view(INTEGERS[array.itemsize]) for array in (one, other)]
    numbers, others = ours.float().numpy(), theirs.float().numpy()
    no_numbers = np.isnan(numbers) & np.isnan(others)
    different = (bits[0] != bits[1]) & ~no_numbers
    away = np.where(different, np.abs(in_order(bits[0]) - in_order(bits[1])), 0)
    unlike = (np.isnan(numbers) != np.isnan(others)) | (np.isinf(numbers) != np.isinf(others))
    finite = np.isfinite(numbers) & np.isfinite(others)
    return {
        "elements": int(different.sum()),
        "of": one.size,
        "most": int(away.max(initial=0)),
        "largest": float(np.abs(np.subtract(numbers, others, where=finite, out=np.zeros_like(numbers))).max(initial=0)),
        "incomparable": int(unlike.sum()),
    }


def in_order(bits: NDArray[Any]) -> NDArray[np.int64]:
    """Integers in the order of the floating-point numbers of these bits; those of 0 and -0 are the same."""
    wide = bits.astype(np.int64)
    return np.where(wide < 0, np.iinfo(bits.dtype).min - wide, wide)
