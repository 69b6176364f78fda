"""A kernel with what it is specialized for, compiled without a launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trueband.properties.gpu.aot.code import Code, read
from trueband.properties.gpu.aot.target import TARGETS


@dataclass(frozen=True)
class Kernel:
    """A kernel, as a compiler needs it.

    Attributes:
        name: a unique name. function: a function of triton.jit. target: one of `TARGETS`.
        signature: {argument: type}, all of them, in triton's words: "*fp16", "i32"; "constexpr" for `constants`.
        constants: {argument: value}.
        attributes: `attrs` of triton's ASTSource: {(place,): [["tt.divisibility", 16]]}.
        warps, stages: `num_warps`, `num_stages`.
        products: whether it multiplies matrices, and must do so when it is compiled.
    """

    name: str
    function: Any
    target: str
    signature: Mapping[str, str]
    constants: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[Any, Any] = field(default_factory=dict)
    warps: int = 4
    stages: int = 2
    products: bool = False

    def compile(self) -> Code:
        """Compile the kernel. The code has an `error` if it is refused. Needs triton without its interpreter."""
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource

        target = TARGETS[self.target]
        source = ASTSource(self.function, dict(self.signature), dict(self.constants), dict(self.attributes))
        options = {"num_warps": self.warps, "num_stages": self.stages}
        try:
            compiled = triton.compile(
                source, target=GPUTarget(target.backend, target.architecture, target.warp), options=options
            )
        except compiler_errors() as error:
            return Code(self.name, self.target, error=short_message(error))
        return read(compiled, self.name, target)


def compiler_errors() -> tuple[type[Exception], ...]:
    """The exceptions that triton raises when it does not compile a kernel."""
    from triton.errors import TritonError

    return (TritonError, RuntimeError)


def short_message(error: Exception) -> str:
    """The first and the last line of what a compiler says, which may be long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: " + " ... ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))[:400]
