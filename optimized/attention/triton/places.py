"""The places where kernels run: a device of some architecture, or Triton's interpreter."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from trueband.optimized.attention.triton.blocks import INTERPRETER

# (kernel, number of programs, arguments, constants by name, warps, stages)
Run = Callable[[Callable[..., Any], int, Sequence[Any], Mapping[str, Any], int, int], None]


class Place(NamedTuple):
    """The place where kernels run.

    Attributes:
        architecture: "sm_80", "sm_90" and so on of NVIDIA, "gfx942" and so on of AMD, or INTERPRETER.
        tf32: the products of float32 may cut their factors to tf32.
        run: runs a kernel.
    """

    architecture: str
    tf32: bool
    run: Run


_instead_of_cpu: Place | None = None


def serve_cpu(place: Place | None) -> None:
    """Compute calls with tensors on the CPU at this place from now on. None: in Triton's interpreter, the default.

    For those who execute compiled kernels otherwise than on a device, or have mended the interpreter.
    """
    global _instead_of_cpu
    _instead_of_cpu = place


def cpu_is_served() -> bool:
    """Return whether `serve_cpu` has given a place."""
    return _instead_of_cpu is not None


def interpreter() -> Place:
    """Triton's interpreter."""
    return Place(INTERPRETER, tf32=False, run=run)


def place_of(device: torch.device) -> Place:
    """Return the place for calls on a device. torch's settings decide on tf32, where the device has it."""
    if device.type == "cpu":
        return _instead_of_cpu or interpreter()
    name = architecture(device)
    return Place(name, has_tf32(name) and torch.get_float32_matmul_precision() != "highest", run)


def architecture(device: torch.device) -> str:
    """The architecture of a CUDA device, or of one of AMD, which torch calls so too."""
    if torch.version.hip is not None:
        name: str = torch.cuda.get_device_properties(device).gcnArchName
        return name.partition(":")[0]
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


def has_tf32(architecture: str) -> bool:
    """Return whether Triton compiles products of tf32 for an architecture: of AMD's, for gfx942 alone."""
    return architecture.startswith("sm_") or architecture == "gfx942"


def run(
    kernel: Callable[..., Any],
    programs: int,
    arguments: Sequence[Any],
    constants: Mapping[str, Any],
    warps: int,
    stages: int,
) -> None:
    """Runs a kernel on the device of its first argument."""
    device = arguments[0].device
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        kernel[(programs,)](*arguments, **constants, num_warps=warps, num_stages=stages)  # type: ignore[index]
