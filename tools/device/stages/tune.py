"""tune: tiles, warps and stages of the kernels, timed on the device; the winners, in the form of the shipped table."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from device.unit import Context, Unit

KERNELS = ("forward", "backward_query", "backward_key")
FORMATS = (("half", "bfloat16", 64), ("half", "bfloat16", 128), ("tf32", "float32", 64), ("float32", "float32", 64))
ROUNDS = 5


def units(rehearsed: bool) -> list[Unit]:
    formats = FORMATS[2:3] if rehearsed else FORMATS
    return [
        Unit(f"{kind}-d{width}-{kernel}", of_kernel, 110, (kernel, kind, dtype, width))
        for kind, dtype, width in formats
        for kernel in KERNELS
    ]


def candidates(kind: str, rehearsed: bool) -> Iterator[tuple[int, int, int, int]]:
    """(queries, keys, warps, stages); the largest tiles of float32 spill everywhere."""
    if rehearsed:
        yield 16, 16, 4, 2
        return
    sides = (16, 32, 64) if kind == "float32" else (32, 64, 128)
    for queries, keys, warps, stages in itertools.product(sides, sides, (4, 8), (2, 3)):
        if warps == 4 or queries * keys >= 4096:
            yield queries, keys, warps, stages


def of_kernel(context: Context, kernel: str, kind: str, dtype: str, width: int) -> dict[str, Any]:
    """Time a pass with every tile of one kernel, the other tiles as they are shipped.

    A tile that spills is measured, and never wins: what is shipped does not spill. Nor does one whose result is
    another than that of the shipped tile by more than rounding explains; that is for the gate to say, afterwards.
    """
    os.environ.setdefault("TRITON_INTERPRET", "1" if context.rehearsed else "0")
    from trueband.gpu.triton import use

    if context.rehearsed:
        use()
    from trueband.optimized.attention.triton.blocks import Tile

    seen: list[dict[str, Any]] = []
    passes = Passes(context, dtype, width, tf32=kind == "tf32")
    shipped = tuple(getattr(passes.work.blocks, kernel))
    for tile in dict.fromkeys((shipped, *candidates(kind, context.rehearsed))):
        entry: dict[str, Any] = {"tile": list(tile), "shipped": tile == shipped}
        try:
            entry |= passes.timed(kernel, Tile(*tile))
        except Exception as error:  # a tile may need more than the device has
            if "CUDA error" in str(error):
                raise
            entry["message"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        context.report("x".join(map(str, tile)), entry)
        seen.append(entry)
    able = [entry for entry in seen if "seconds" in entry and not entry["spills"]]
    if not able:
        return {"passed": False, "seen": seen, "summary": "no tile ran without spills"}
    best = min(able, key=lambda entry: entry["seconds"])
    before = next((entry["seconds"] for entry in seen if entry["shipped"] and "seconds" in entry), None)
    gain = "" if before is None else f", {before / best['seconds']:.3g} times as fast as the shipped {list(shipped)}"
    table = {
        "format": kind,
        "architecture": context.device.architecture,
        "head_dim": width,
        "kernel": kernel,
        "tile": best["tile"],
    }
    return {"winner": table, "seen": seen, "summary": f"{best['tile']}: {1e3 * best['seconds']:.4g} ms{gain}"}


class Passes:
    """A call whose tiles can be chosen.

    Attributes:
        work: as the package launches it.
    """

    def __init__(self, context: Context, dtype: str, width: int, tf32: bool) -> None:
        import torch

        from trueband.optimized.attention.triton import launch
        from trueband.optimized.attention.triton.places import place_of

        self.device, self.launch, self.compiled = context.device, launch, list[Any]()
        heads, tokens, window = (1, 48, 8) if context.rehearsed else (12, 16384, 512)
        place = torch.device(self.device.name)
        table = torch.randn(4, 1, tokens, heads, width, device=place).to(getattr(torch, dtype))
        self.query, self.key, self.value, self.above = table.transpose(2, 3)
        wanted = place_of(place)._replace(run=self.run, tf32=tf32)
        how = (window, [1] * heads, False, width**-0.5, True)
        self.work = launch.setting(self.query, None, None, None, *how, wanted)
        self.inputs = (self.query, self.key, self.value) * 2
        self.output, self.log_sums = launch.forward(self.work, *self.inputs)

    def run(
        self,
        kernel: Callable[..., Any],
        programs: int,
        arguments: Sequence[Any],
        constants: Mapping[str, Any],
        warps: int,
        stages: int,
    ) -> None:
        """Run a kernel, and keep what was compiled for it; the interpreter compiles nothing."""
        from device.recorder import on_device

        self.compiled.append(on_device(kernel, programs, arguments, constants, warps, stages))

    def timed(self, kernel: str, tile: Any) -> dict[str, Any]:
        """Seconds of the pass that has the kernel, registers and spills of what was compiled for it."""
        work = self.work._replace(blocks=self.work.blocks._replace(**{kernel: tile}))
        kept = (self.output, self.log_sums, self.above)

        def forward() -> Any:
            return self.launch.forward(work, *self.inputs)

        def backward() -> Any:
            return self.launch.backward(work, *self.inputs, *kept)

        call = forward if kernel == "forward" else backward
        self.compiled.clear()
        call()
        self.device.wait()
        made = list(self.compiled)
        rounds = self.device.seconds(call, ROUNDS)
        self.compiled.clear()
        return {
            "seconds": sorted(rounds)[len(rounds) // 2],
            "rounds": rounds,
            "registers": [getattr(each, "n_regs", None) for each in made],
            "spills": sum(getattr(each, "n_spills", None) or 0 for each in made),
            "shared": [getattr(getattr(each, "metadata", None), "shared", None) for each in made],
        }
