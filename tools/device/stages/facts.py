"""facts: the device, the software, and the ceilings that everything else is measured against."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from typing import Any

from device import about
from device.ceilings import bandwidth, products
from device.unit import Context, Unit

FORMATS = ("bfloat16", "float16", "tf32", "float32")
TOOLS = ("nvidia-smi", "compute-sanitizer", "ptxas", "nvcc", "ncu")
MODULES = ("jinja2", "transformers", "flash_attn", "jax", "local_attention", "tokenizers")
FIELDS = (
    "name,driver_version,pstate,clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem,power.draw,power.limit,"
    "temperature.gpu,memory.total,memory.used"
)


def units(rehearsed: bool) -> list[Unit]:
    ceilings = [Unit(f"products-{kind}", of_products, arguments=(kind,)) for kind in FORMATS]
    return [
        Unit("device", of_device),
        Unit("software", of_software),
        Unit("clocks", of_clocks),
        Unit("copy", of_copy),
        *ceilings,
        Unit("launch", of_launch),
        Unit("graph", of_graph),
    ]


def of_device(context: Context) -> dict[str, Any]:
    facts = context.device.facts()
    return {**facts, "summary": f"{facts['card']}, {facts['architecture']}, {facts['memory'] / 2**30:.0f} GiB"}


def of_software(context: Context) -> dict[str, Any]:
    """What is installed, and what is missing."""
    import torch

    path = context.environment.get("PATH")
    tools = {tool: shutil.which(tool, path=path) for tool in TOOLS}
    missing = [module for module in MODULES if find_spec(module) is None]
    missing += [tool for tool, where in tools.items() if where is None]
    versions = about.versions()
    return {
        "versions": versions,
        "cuda": torch.version.cuda,
        "tools": tools,
        "missing": missing,
        "summary": f"torch {versions.get('torch')}, triton {versions.get('triton')}; missing: {', '.join(missing)}",
    }


def of_clocks(context: Context) -> dict[str, Any]:
    """What nvidia-smi says of the card: its driver, clocks, power."""
    command = ["nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader"]
    done = subprocess.run(
        command, env=dict(context.environment), capture_output=True, text=True, check=True, timeout=context.seconds
    )
    values = dict(zip(FIELDS.split(","), (cell.strip() for cell in done.stdout.split(",")), strict=False))
    return {**values, "summary": f"driver {values.get('driver_version')}, SM {values.get('clocks.sm')}"}


def of_copy(context: Context) -> dict[str, Any]:
    found = bandwidth(context.device)
    return {"bytes_per_second": found, "summary": f"{found / 1e9:.4g} GB/s, read and written"}


def of_products(context: Context, kind: str) -> dict[str, Any]:
    found = products(context.device, kind)
    return {"operations_per_second": found, "summary": f"{found / 1e12:.4g} TFLOP/s"}


def of_launch(context: Context) -> dict[str, Any]:
    """The time of a kernel that does next to nothing, one launched after another."""
    import torch

    one = torch.zeros(1, device=context.device.name)
    seconds = context.device.seconds(lambda: one.add_(1))
    return {"rounds": seconds, "summary": f"{1e6 * min(seconds):.3g} us at least"}


def of_graph(context: Context) -> dict[str, Any]:
    """A call of the operator as a graph: whether it can be captured, and what it takes then."""
    import torch

    from trueband.optimized import band_attention

    tokens = 32 if context.rehearsed else 4096
    query = torch.randn(1, 2, tokens, 64, device=context.device.name)
    call = lambda: band_attention(query, query, query, window=8)  # noqa: E731
    eager = context.device.median(call)
    replayed = context.device.median(context.device.captured(call))
    return {"eager": eager, "replayed": replayed, "summary": f"{1e6 * eager:.4g} us, replayed {1e6 * replayed:.4g} us"}
