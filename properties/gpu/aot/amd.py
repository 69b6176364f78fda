"""Reads the assembly for AMD's GPUs, which has the resources of a kernel in its metadata."""

from __future__ import annotations

import re
from typing import Any

from trueband.properties.gpu.aot.target import GpuTarget
from trueband.properties.gpu.aot.vendor import Own


def read(compiled: Any, target: GpuTarget) -> Own:
    """Registers, spills and entry of a CompiledKernel."""
    text = compiled.asm["amdgcn"]
    spilled = 4 * _number(text, ".vgpr_spill_count")
    local = _number(text, ".private_segment_fixed_size") > 0 and not spilled
    threads = compiled.metadata.num_warps * target.warp
    problems = malformed(text, compiled.metadata.name, target, threads)
    return Own(_number(text, ".vgpr_count"), spilled, local, problems, text)


def malformed(text: str, name: str, target: GpuTarget, threads: int) -> tuple[str, ...]:
    """Describe what is wrong with the entry. Expected is one kernel of this name, target and number of threads."""
    problems = []
    if f'.amdgcn_target "amdgcn-amd-amdhsa--{target.name}' not in text:
        problems.append(f".amdgcn_target: expected {target.name}")
    kernels = re.findall(r"^\s*\.amdhsa_kernel\s+(\w+)", text, re.MULTILINE)
    if kernels != [name]:
        problems.append(f".amdhsa_kernel: expected {name}, got {', '.join(kernels) or 'none'}")
    if _number(text, ".wavefront_size") != target.warp:
        problems.append(f".wavefront_size: expected {target.warp}, got {_number(text, '.wavefront_size')}")
    if _number(text, ".max_flat_workgroup_size") != threads:
        problems.append(
            f".max_flat_workgroup_size: expected {threads}, got {_number(text, '.max_flat_workgroup_size')}"
        )
    if not re.search(r"\bs_endpgm\b", text):
        problems.append("s_endpgm: expected, got none")
    return tuple(problems)


def _number(text: str, key: str) -> int:
    """A number of the metadata."""
    match = re.search(rf"{re.escape(key)}:\s*(\d+)", text)
    if match is None:
        raise ValueError(f"{key}: expected in the metadata of the assembly, got none")
    return int(match[1])
