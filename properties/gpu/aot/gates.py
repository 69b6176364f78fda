"""The requirements on compiled code. Each gate is a named claim. A refusal gives its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trueband.properties.gpu.aot.code import Code
from trueband.properties.gpu.aot.target import TARGETS, GpuTarget

# Formats of factors for which tensor cores are a must: those of float32 itself are exact without them.
CORES = ("bf16", "f16", "f8", "i8", "f32 cut")


@dataclass(frozen=True)
class Gate:
    """A claim on compiled code, and the function that says what breaks it; None: nothing does."""

    name: str
    claim: str
    broken: Callable[[Code, GpuTarget, bool], str | None]


def _compiles(code: Code, target: GpuTarget, products: bool) -> str | None:
    return code.error or None


def _entry(code: Code, target: GpuTarget, products: bool) -> str | None:
    return "; ".join(code.malformed) or None


def _spills(code: Code, target: GpuTarget, products: bool) -> str | None:
    if not code.spilled:
        return None
    return f"expected no spills, got {code.spilled} bytes of each thread, at {code.registers} registers"


def _local(code: Code, target: GpuTarget, products: bool) -> str | None:
    return "expected no memory of a thread, got a declaration of it" if code.local else None


def _registers(code: Code, target: GpuTarget, products: bool) -> str | None:
    if code.registers > target.most_registers:
        return f"expected at most {target.most_registers} registers, got {code.registers}"
    if target.block_fits(code.registers, code.warps):
        return None
    return f"expected a block that gets its registers, got {code.warps} warps of {code.registers} registers"


def _shared(code: Code, target: GpuTarget, products: bool) -> str | None:
    if code.shared <= target.shared:
        return None
    return f"expected at most {target.shared} bytes of shared memory, got {code.shared}"


def _tensor_cores(code: Code, target: GpuTarget, products: bool) -> str | None:
    if products and not code.dots:
        return "expected products of matrices (tl.dot), got none"
    wanting = sorted({format for format in code.dots if format.startswith(CORES)})
    if wanting and not code.products:
        return f"expected instructions of tensor cores for products of {', '.join(wanting)}, got none"
    return None


GATES = (
    Gate("compiles", "the compiler takes the kernel", _compiles),
    Gate("entry", "one entry of the kernel's name, for this target and number of threads, well-formed", _entry),
    Gate("spills", "every value of a thread has a register", _spills),
    Gate("local_memory", "no thread has arrays in memory", _local),
    Gate("registers", "a block gets all its registers", _registers),
    Gate("shared_memory", "a block gets all its shared memory", _shared),
    Gate(
        "tensor_cores",
        "products of matrices are computed by tensor cores, but for those of float32 itself",
        _tensor_cores,
    ),
)


@dataclass(frozen=True)
class Refusal:
    """A gate that a kernel does not pass."""

    gate: str
    message: str


def refusals(code: Code, products: bool = False) -> list[Refusal]:
    """The gates that compiled code does not pass.

    Args:
        products: whether the kernel is known to multiply matrices. False: its source decides.
    """
    target = TARGETS[code.target]
    gates = GATES[:1] if code.error else GATES
    messages = [(gate.name, gate.broken(code, target, products)) for gate in gates]
    return [Refusal(name, message) for name, message in messages if message is not None]
