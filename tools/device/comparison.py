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
# A product and a sum that say nothing of rounding may become one instruction, which rounds once.
PRODUCT, SUM = (
    re.compile(rf"^\s*(?:@!?%\w+ )?(?:{names})(?:\.ftz)?\.f32\b", re.MULTILINE) for names in ("mul", "add|sub")
)
CONTRACTED = "mul.f32 with add.f32"
FENCE = "proxy fence"
INTEGERS = {2: np.int16, 4: np.int32}


def compared(done: Launch) -> dict[str, Any]:
    """Execute a launch in the emulator, and compare every tensor of it.

    Returns:
        "undefined": opcodes whose bits PTX does not define; "different": {argument: how many elements have other
        bits, of how many, and how far they are at most, in units of the last place}; "finding": what the emulator
        found. If it is a fence that the compiler has left out, the rest is compared with fences added. "passed":
        nothing was found, and all bits are the same where they are defined; where they are not, no number is without
        a counterpart: both are NaN, infinite, or neither.
    """
    undefined = undefined_in(done.ptx)
    result: dict[str, Any] = {"kernel": done.kernel, "programs": done.programs, "undefined": undefined, "finding": ""}
    try:
        given = emulated(done, done.ptx)
    except PtxError as error:
        result["finding"] = f"{type(error).__name__}: {error}"
        if getattr(error, "kind", "") != FENCE:
            return {**result, "passed": False}
        try:
            given = emulated(done, fenced(done.ptx))
        except PtxError as another:
            return {**result, "passed": False, "with_fences": f"{type(another).__name__}: {another}"}
    different, comparable = {}, True
    for number, (ours, theirs) in enumerate(zip(given, done.after, strict=True)):
        if isinstance(ours, Tensor):
            entry = distance(ours, theirs)
            if entry["elements"]:
                different[str(number)] = entry
                comparable = comparable and not entry["incomparable"]
    same = comparable if undefined else not different
    return {**result, "passed": same and not result["finding"], "different": different}


def undefined_in(ptx: str) -> list[str]:
    """What of a code has bits that PTX does not define."""
    found = sorted(set(UNDEFINED.findall(ptx)))
    return [*found, CONTRACTED] if PRODUCT.search(ptx) and SUM.search(ptx) else found


def emulated(done: Launch, ptx: str) -> list[Any]:
    """The arguments of a launch after the emulator has executed it.

    Raises:
        PtxError: it cannot, or the kernel does what it must not do.
    """
    given = copied(done.before)
    handed = [Pointer(plain(value)) if isinstance(value, Tensor) else value for value in given]
    launch(Kernel(Executable.of(parse(ptx)), done.shared), (done.programs, 1, 1), handed)
    return given


def fenced(ptx: str) -> str:
    """The code with a fence before each product that reads shared memory: triton before 3.7 leaves some out."""
    return re.sub(r"^(\s*)(wgmma\.mma_async)", r"\1fence.proxy.async.shared::cta;\n\1\2", ptx, flags=re.MULTILINE)


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
