"""bench: operator, decoders, module, encoder and generation beside others, and beside the ceilings of the device."""

from __future__ import annotations

import gc
import statistics
from dataclasses import asdict
from typing import Any

from device.ceilings import bandwidth, products
from device.contenders import builders
from device.unit import Context, Unit
from trueband.bench.contenders import OURS, Work
from trueband.bench.shape import Shape, multiply_adds

ROUNDS = 7
# The first are those that say most: their time may be all there is.
SHAPES = (
    *(("operator", tokens, 512, both) for tokens in (16384, 4096) for both in (False, True)),
    ("prefill", 16384, 1024, False),
    ("prefill", 16384, 1024, True),
    ("decode", 32768, 1024, False),
    ("module", 16384, 512, False),
    ("module", 16384, 512, True),
    ("encoder", 8192, 512, False),
    ("encoder", 8192, 512, True),
    ("generation", 4096, 512, False),
    *(("operator", tokens, 512, both) for tokens in (1024, 65536) for both in (False, True)),
    *(("operator", tokens, 256, both) for tokens in (4096, 16384) for both in (False, True)),
    ("prefill", 4096, 1024, False),
    ("decode", 4096, 1024, False),
    ("module", 4096, 512, False),
    ("generation", 1024, 512, False),
)
TINY = (("operator", 64, 8, False), ("operator", 64, 8, True), ("decode", 64, 8, False), ("module", 32, 8, True))


def units(rehearsed: bool) -> list[Unit]:
    return [Unit(name_of(*each), of_shape, 120, each) for each in chosen(rehearsed)]


def chosen(rehearsed: bool) -> tuple[tuple[str, int, int, bool], ...]:
    return TINY if rehearsed else SHAPES


def name_of(level: str, tokens: int, window: int, both: bool) -> str:
    return f"{level}-{tokens}-w{window}-{'both' if both else 'forward'}"


def of_shape(context: Context, level: str, tokens: int, window: int, both: bool) -> dict[str, Any]:
    """Time all contenders at one shape in turns; a failure of one is its own."""
    import torch

    from trueband.bench.inputs import passes

    torch.compiler.reset()  # what was compiled for other shapes counts against a limit
    dtype = "float32" if context.rehearsed else "bfloat16"
    shape = Shape(level, tokens, window, both, heads=4 if context.rehearsed else 12, dtype=dtype, device=context.place)
    ready: dict[str, tuple[Work, list[Any]]] = {}
    found: dict[str, dict[str, Any]] = {}
    for name, build in builders(shape).items():
        try:
            work = build(shape)
            calls = [passes(work.compute, work.inputs, both)]
            calls += [] if work.less is None else [passes(work.less, work.inputs, both)]
            calls[0]()  # brings in what is compiled
            memory = context.device.peak(calls[0]) + work.held
            ready[name], found[name] = (work, calls), {"memory": memory, "rounds": []}
        except Exception as error:  # of anybody's implementation: out of memory, or not for this device
            found[name] = {"message": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
            gc.collect()
    for _ in range(2 if context.rehearsed else ROUNDS):
        for name, (work, calls) in ready.items():
            whole, *less = (context.device.seconds(call, 1)[0] for call in calls)
            found[name]["rounds"].append((whole - sum(less)) * work.scale)
    floor = floor_of(context, shape)
    for name, values in found.items():
        if "rounds" in values:
            values["seconds"] = statistics.median(values["rounds"])
            values["spread"] = [min(values["rounds"]), max(values["rounds"])]
            values["of_roofline"] = None if floor is None else floor / values["seconds"]
        context.report(name, values)
    return {**asdict(shape), "floor": floor, "contenders": found, "summary": summary(found), "passed": OURS in ready}


def floor_of(context: Context, shape: Shape) -> float | None:
    """Seconds that the device cannot be faster than: its operations or its bytes at the measured ceilings.

    Bytes: every input read once, every output written once; a backward pass reads the inputs again. None where they
    are not counted: of whole models.
    """
    if shape.level not in ("operator", "prefill", "decode"):
        return None
    size = 4 if shape.dtype == "float32" else 2
    row = shape.batch * shape.head_dim * size
    queries = (1 if shape.level == "decode" else shape.tokens) * shape.heads
    keys = min(shape.tokens, shape.window + 1) if shape.level == "decode" else shape.tokens
    keys *= shape.heads if shape.level == "operator" else max(shape.heads // 4, 1)
    tensors = 2 * queries + 2 * keys  # query and output, key and value
    moved = row * (tensors + (2 * tensors + queries if shape.backward else 0))
    operations = 2 * multiply_adds(shape) / products(context.device, shape.dtype)
    return max(operations, moved / bandwidth(context.device))


def summary(found: dict[str, dict[str, Any]]) -> str:
    """Ours, and how many times longer the others took."""
    if "seconds" not in found.get(OURS, {}):
        return f"{OURS}: {found.get(OURS, {}).get('message', 'not run')}"
    ours = found[OURS]
    share = "" if ours["of_roofline"] is None else f" ({ours['of_roofline']:.0%} of the roofline)"
    others = [
        f"{name} {values['seconds'] / ours['seconds']:.3g}x" if "seconds" in values else f"{name} failed"
        for name, values in found.items()
        if name != OURS
    ]
    return f"{1e3 * ours['seconds']:.4g} ms{share}; {', '.join(others)}"
