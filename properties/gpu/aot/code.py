"""The properties that are read from compiled code."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from trueband.properties.gpu.aot import amd, nvidia
from trueband.properties.gpu.aot.target import GpuTarget

# In Triton's first intermediate language:
# %c = tt.dot %a, %b, %c0, inputPrecision = tf32 : tensor<64x64xf32> * tensor<64x64xf32> -> tensor<64x64xf32>
_DOT = re.compile(r"tt\.dot(?:_scaled)? [^\n]*?: *tensor<[\dx]*x(?P<format>\w+)[^*\n]*\*")
_CUT = re.compile(r"inputPrecision = (?:tf32|bf16)")


@dataclass(frozen=True)
class Code:
    """A kernel, compiled for a target.

    Attributes:
        kernel: its name, with what it was specialized for. target: one of `TARGETS`.
        warps: the number of warps of a block. registers: those of a thread. shared: bytes of a block.
        spilled: bytes of a thread that have no register, and lie in memory.
        local: whether it declares memory of a thread, such as an array with a computed index.
        dots: formats of the factors of each product of matrices in the source; "f32 cut" where float32 is cut to less.
        products: the instructions of tensor cores that there are.
        malformed: what is wrong with the entry of the kernel.
        error: why there is no code, if there is none.
    """

    kernel: str
    target: str
    warps: int = 0
    registers: int = 0
    shared: int = 0
    spilled: int = 0
    local: bool = False
    dots: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The code of a parsed JSON object."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**fields)


def read(compiled: Any, kernel: str, target: GpuTarget) -> Code:
    """Read the code of triton's CompiledKernel."""
    vendor = nvidia if target.backend == "cuda" else amd
    own = vendor.read(compiled, target)
    return Code(
        kernel,
        target.name,
        compiled.metadata.num_warps,
        own.registers,
        compiled.metadata.shared,
        own.spilled,
        own.local,
        dots(compiled.asm["ttir"]),
        tuple(sorted(set(target.products.findall(own.text)))),
        own.malformed,
    )


def dots(source: str) -> tuple[str, ...]:
    """Formats of the factors of each product in Triton's intermediate language."""
    operations = []
    for line in source.splitlines():
        match = _DOT.search(line)
        if match:
            cut = match["format"] == "f32" and _CUT.search(line)
            operations.append(f"{match['format']} cut" if cut else match["format"])
    return tuple(operations)
