"""GPUs that kernels are compiled for, and what one block may take of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

# PTX: `mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32`, `wgmma.mma_async.sync.aligned.m64n64k16...`.
NVIDIA_PRODUCTS = re.compile(r"\b(?:mma\.sync|wgmma\.mma_async)[\w.:]*")
AMD_PRODUCTS = re.compile(r"\bv_s?mfma[c]?_\w+")


@dataclass(frozen=True)
class GpuTarget:
    """A GPU. For AMD read workgroup for block, and lane for thread.

    Attributes:
        name: "sm_80", "gfx942".
        backend, architecture, warp: as triton calls it, with the threads of a warp.
        shared: bytes of shared memory that one block may have.
        registers: 32-bit registers for the warps of one block on one of `schedulers`, over which they are spread.
        most_registers: the most registers of one thread.
        granule: registers are handed to a thread by this many.
        products: instructions of the tensor cores.
    """

    name: str
    backend: str
    architecture: int | str
    warp: int
    shared: int
    registers: int
    schedulers: int
    most_registers: int
    granule: int
    products: re.Pattern[str]

    def block_fits(self, registers: int, warps: int) -> bool:
        """Return whether a block of this many warps gets its registers, each thread this many."""
        in_all = -(-registers // self.granule) * self.granule * self.warp
        return -(-warps // self.schedulers) * in_all <= self.registers


def _nvidia(name: str, architecture: int, shared: int) -> GpuTarget:
    # Registers: 64 K in each multiprocessor, all of which one block may have; 255 for a thread. Source of these and of
    # `shared`: NVIDIA, CUDA C++ Programming Guide, chapter Compute Capabilities, table Technical Specifications per
    # Compute Capability ("Maximum amount of shared memory per thread block", "Maximum number of 32-bit registers per
    # thread block", "... per thread"). Registers of a warp come in units of 256, 8 for each thread.
    return GpuTarget(name, "cuda", architecture, 32, shared * 1024, 65536, 1, 255, 8, NVIDIA_PRODUCTS)


def _amd(name: str) -> GpuTarget:
    # 64 KiB of LDS; four SIMDs, each with 512 vector registers for each of 64 lanes, accumulation registers among
    # them, which come in units of 8. Source: AMD, CDNA3 (CDNA2) Instruction Set Architecture, chapters on LDS and on
    # vector registers; LLVM, User Guide for AMDGPU Backend, table of VGPR granules.
    return GpuTarget(name, "hip", name, 64, 64 * 1024, 512 * 64, 4, 512, 8, AMD_PRODUCTS)


TARGETS = {
    target.name: target
    for target in (
        _nvidia("sm_80", 80, 163),
        _nvidia("sm_86", 86, 99),
        _nvidia("sm_89", 89, 99),
        _nvidia("sm_90", 90, 227),
        _amd("gfx90a"),
        _amd("gfx942"),
    )
}
