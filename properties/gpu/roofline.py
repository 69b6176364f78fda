"""A lower bound of a kernel's time on a GPU: counts of its compiled code, over the peaks of a data sheet.

Computed, not measured: each resource alone at its peak gives a lower bound of the time, never a prediction of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

WARP = 32


@dataclass(frozen=True)
class Device:
    """The figures of a GPU's data sheet.

    Attributes:
        name, capability: which.
        processors: streaming multiprocessors. clock: the highest, in Hz.
        tensor: {type of a product: operations per second}, dense.
        float32: operations per second outside of tensor cores.
        bandwidth: the bandwidth of its memory, bytes per second.
        special: results of exp2, log2, rcp per cycle and processor. issue: warp instructions, the same.
        registers, shared, warps, blocks: how many a processor holds; `shared` in bytes.
        reserved: bytes of shared memory that the system takes from each block.
        source: the source of these numbers.
    """

    name: str
    capability: int
    processors: int
    clock: float
    tensor: Mapping[str, float]
    float32: float
    bandwidth: float
    source: str
    special: int = 16
    issue: int = 4
    registers: int = 65536
    shared: int = 0
    warps: int = 64
    blocks: int = 32
    reserved: int = 1024


DEVICES = {
    "a100": Device(
        "A100 SXM 80 GB",
        80,
        108,
        1.41e9,
        {"half": 312e12, "tf32": 156e12},
        19.5e12,
        2.039e12,
        "NVIDIA A100 data sheet and architecture paper; CUDA programming guide, compute capability 8.0",
        shared=164 * 1024,
    ),
    "h100": Device(
        "H100 SXM 80 GB",
        90,
        132,
        1.98e9,
        {"half": 989.4e12, "tf32": 494.7e12},
        66.9e12,
        3.35e12,
        "NVIDIA H100 data sheet and architecture paper; CUDA programming guide, compute capability 9.0",
        shared=228 * 1024,
    ),
}


@dataclass(frozen=True)
class Count:
    """The work of one launch of a kernel.

    Attributes:
        kernel: its name. programs: blocks of the launch.
        counters: the counters of the whole launch, see `ptx.counting`.
        registers: the number of registers of a thread. shared: bytes of a block. warps: the number of warps of a block.
        product: type of its products, "half" or "tf32".
    """

    kernel: str
    programs: int
    counters: Mapping[str, float]
    registers: int
    shared: int
    warps: int
    product: str

    def of(self, name: str) -> float:
        return self.counters.get(name, 0.0)

    def resident(self, device: Device) -> int:
        """Blocks that one processor holds at a time. Registers are given out in eights to a thread."""
        registers = max(8, -(-self.registers // 8) * 8) * WARP * self.warps
        return min(
            device.registers // registers,
            device.shared // (self.shared + device.reserved),
            device.warps // self.warps,
            device.blocks,
        )

    def waves(self, device: Device) -> float:
        """How often the device is filled with blocks."""
        resident = self.resident(device)
        return self.programs / (resident * device.processors) if resident else math.inf

    def seconds(self, device: Device) -> dict[str, float]:
        """{resource: time it takes at its peak, with all processors at work}."""
        cycles = device.processors * device.clock
        passes = self.of("shared load passes") + self.of("shared store passes")
        return {
            "tensor": self.of("tensor operations") / device.tensor[self.product],
            "float32": self.of("float operations") / device.float32,
            "exp2": self.of("special") / (device.special * cycles),
            "memory": self.of("distinct bytes") / device.bandwidth,
            "shared": passes / cycles,
        }

    def issue(self, device: Device) -> float:
        """Time to issue as many instructions as the PTX has; what a GPU runs has others, so that it is no bound."""
        return self.of("instructions") / (device.issue * device.processors * device.clock)


def scaled(counters: Mapping[str, float], factor: float) -> dict[str, float]:
    """Counts of a part of the blocks, for as many times of them."""
    return {name: factor * value for name, value in counters.items()}


def lines(device: Device, shape: str, counts: list[Count]) -> list[str]:
    """The report, a line each."""
    bounds = "".join(f"{name:>8}" for name in (*RESOURCES, "bound", "(issue)"))
    total = sum(max(count.seconds(device).values()) for count in counts)
    return [
        f"{device.name}: {shape}",
        "Lower bounds of the time, computed, not measured: counts of the compiled PTX, executed on the CPU, over the",
        "peaks of the data sheet. Nothing was run on a GPU.",
        "",
        f"{'':62} | microseconds that each resource takes at its peak",
        f"{'kernel':26} regs shared blocks waves  GFLOP     MB sectors banks |{bounds}",
        *(_line(device, count) for count in counts),
        f"{'one after the other':26} {'':35} |{'':{8 * len(RESOURCES)}}{1e6 * total:8.1f}",
        "",
        "blocks: that an SM holds at a time. waves: how often they fill the GPU. MB: distinct bytes loaded and stored.",
        "sectors: of 32 bytes, loaded for each that was asked for. banks: passes over shared memory for each that is",
        "needed without conflicts; those of wgmma are not counted. (issue): PTX instructions at 4 per cycle and SM; no",
        f"bound, as ptxas makes others of them. Peaks: {device.source}.",
    ]


RESOURCES = ("tensor", "float32", "exp2", "memory", "shared")


def _line(device: Device, count: Count) -> str:
    seconds = count.seconds(device)
    loaded = count.of("global load bytes")
    passes, needed = (
        count.of("shared load " + what) + count.of("shared store " + what)
        for what in ("passes", "passes without conflicts")
    )
    times = [*(seconds[resource] for resource in RESOURCES), max(seconds.values()), count.issue(device)]
    operations = count.of("tensor operations") / 1e9
    sectors = 32 * count.of("global load sectors") / loaded if loaded else 0
    return (
        f"{count.kernel:26} {count.registers:4} {count.shared:6} {count.resident(device):6} {count.waves(device):5.2f} "
        f"{operations:6.2f} {count.of('distinct bytes') / 1e6:6.1f} "
        f"{sectors:7.2f} {passes / needed if needed else 0:5.2f} |" + "".join(f"{1e6 * time:8.1f}" for time in times)
    )
