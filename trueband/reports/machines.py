"""The machine that a record was made on, as a person reads it. See `trueband.properties.results.machine`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from trueband.properties.results.machine import VARIABLES, Machine

_NAMES = {
    "vector": "vector extension",
    "cores": "cores to use",
    "numpy_blas": "BLAS of numpy",
    "numpy_blas_core": "its core",
    "numpy_simd": "loops of numpy",
    "aten": "ATen capability",
    "torch_blas": "BLAS of torch",
    "torch_blas_branch": "its branch",
    "onednn": "oneDNN",
    "threads": "threads of torch",
}


def rows(machine: Machine) -> list[tuple[str, str]]:
    """Name and value of everything; the variables last."""
    fields = [(_NAMES.get(name, name), str(value)) for name, value in machine.items()]
    return (
        fields if any(name in machine for name in VARIABLES) else [*fields, ("variables that steer it", "none is set")]
    )


def short(machine: Machine) -> str:
    """Describe in a line what causes most differences: processor, ATen capability, BLAS and its branch."""
    parts = [str(machine["processor"])]
    parts += [f"ATen {machine['aten']}"] if "aten" in machine else []
    if "torch_blas" in machine:
        parts.append(f"{machine['torch_blas']} ({machine['torch_blas_branch']})")
    else:
        parts.append(f"{machine['numpy_blas']} ({machine['numpy_blas_core']})")
    return ", ".join(parts)


def apart(before: Machine, now: Machine) -> str:
    """Describe how two machines differ, "processor: A, now B; ..."; "" where they do not."""
    return "; ".join(
        f"{_NAMES.get(name, name)}: {before.get(name, 'unknown')}, now {now.get(name, 'unknown')}"
        for name in dict.fromkeys((*before, *now))
        if before.get(name) != now.get(name)
    )


def machines_of(run: Mapping[str, Any]) -> list[Machine]:
    """The machines in the first line of a report, without duplicates. Files of older versions have none."""
    return run.get("machines") or [machine for machine in [run.get("machine")] if machine]


def together(heads: Iterable[Mapping[str, Any]]) -> list[Machine]:
    """The machines of several first lines, each once."""
    machines: list[Machine] = []
    for head in heads:
        machines += [machine for machine in machines_of(head) if machine not in machines]
    return machines


def in_a_process(environment: Mapping[str, str], device: str = "cpu") -> Machine:
    """Describe the machine from a new process that has torch and these variables."""
    command = [sys.executable, "-P", "-m", "trueband.properties.results.machine", device]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**environment})
    machine: Machine = json.loads(done.stdout)
    return machine
