"""Reads PTX, and what NVIDIA's cuobjdump says of the machine code that ptxas made of it."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from trueband.properties.gpu.aot.target import GpuTarget
from trueband.properties.gpu.aot.vendor import Own

_USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
_ENTRY = re.compile(r"\.visible\s+\.entry\s+(\w+)\s*\(([^)]*)\)([^{]*)\{")
_PARAMETER = re.compile(r"\.param\s+\.\w+(\s+\.ptr(\s+\.\w+)?(\s+\.align\s+\d+)?)?\s+\w+")


def read(compiled: Any, target: GpuTarget) -> Own:
    """Registers, spills and entry of a CompiledKernel."""
    text = compiled.asm["ptx"]
    registers, stack = usage(compiled.asm["cubin"])
    # Without memory that PTX declares, all that a thread keeps on its stack was spilled by ptxas.
    local = ".local" in text
    threads = compiled.metadata.num_warps * target.warp
    return Own(registers, 0 if local else stack, local, malformed(text, compiled.metadata.name, target, threads), text)


def usage(cubin: bytes) -> tuple[int, int]:
    """(registers, bytes of stack) of a thread."""
    from triton import knobs

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        command = [knobs.nvidia.cuobjdump.path, "-res-usage", str(path)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
    printed = process.stdout + process.stderr
    match = _USAGE.search(printed)
    if match is None:
        raise ValueError(
            f"cuobjdump: expected a line REG:... STACK:..., got {' '.join(printed.split())!r}; "
            "ptxas and cuobjdump have to be of one version (TRITON_PTXAS_PATH, TRITON_CUOBJDUMP_PATH)"
        )
    return int(match[1]), int(match[2]) + int(match[4])


def malformed(text: str, name: str, target: GpuTarget, threads: int) -> tuple[str, ...]:
    """Describe what is wrong with the entry of PTX. Expected is one, of this name, target and number of threads."""
    code = re.sub(r"//[^\n]*", "", text)
    problems = []
    architecture = re.search(r"^\.target\s+(sm_\d+)", code, re.MULTILINE)
    if architecture is None or architecture[1] != target.name:
        problems.append(f".target: expected {target.name}, got {architecture and architecture[1]}")
    if re.search(r"^\.address_size\s+64", code, re.MULTILINE) is None:
        problems.append(".address_size: expected 64")
    entries = list(_ENTRY.finditer(code))
    if [entry[1] for entry in entries] != [name]:
        problems.append(f".entry: expected {name}, got {', '.join(entry[1] for entry in entries) or 'none'}")
    for entry in entries:
        parameters = [parameter for parameter in entry[2].split(",") if parameter.strip()]
        if not all(_PARAMETER.fullmatch(parameter.strip()) for parameter in parameters):
            problems.append(f".param: expected named parameters, got {' '.join(entry[2].split())}")
        block = re.search(r"\.(?:reqntid|maxntid)\s+(\d+)", entry[3])
        if block is None or int(block[1]) != threads:
            problems.append(f".reqntid: expected {threads} threads, got {block and block[1]}")
        body = code[entry.end() :]
        if not re.search(r"\bret;", body):
            problems.append("ret: expected in the entry, got none")
    if code.count("{") != code.count("}"):
        problems.append(f"braces: expected as many {{ as }}, got {code.count('{')} and {code.count('}')}")
    return tuple(problems)
