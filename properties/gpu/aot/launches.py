"""Compiles what a function launches, instead of launching it: as Triton would for these very arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from trueband.properties.gpu.aot.code import Code, read
from trueband.properties.gpu.aot.kernel import compiler_errors, short_message
from trueband.properties.gpu.aot.target import GpuTarget


@contextmanager
def compiled_instead(target: GpuTarget, take: Callable[[Code], None]) -> Iterator[None]:
    """Within it, a launch on tensors of the CPU compiles for the target, and does nothing else.

    Args:
        take: is given the code of every kernel, each specialization once.
    """
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    before, active = JITFunction.run, driver._active
    seen: set[str] = set()

    def run(function: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        try:
            compiled = before(function, *args, grid=grid, warmup=True, **kwargs)
        except compiler_errors() as error:
            name = f"{function.__name__}{_constants(function, args, kwargs)}"
            if name not in seen:
                seen.add(name)
                take(Code(name, target.name, error=short_message(error)))
            return None
        if compiled is not None and compiled.hash not in seen:
            seen.add(compiled.hash)
            take(read(compiled, _name(compiled), target))
        return compiled

    JITFunction.run = run
    driver.set_active(_Paper(target))
    try:
        yield
    finally:
        JITFunction.run = before
        driver._active = active


class _Paper:
    """The driver of a GPU that is not there: all that Triton asks of it before a launch."""

    def __init__(self, target: GpuTarget) -> None:
        self._target = target

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget(self._target.backend, self._target.architecture, self._target.warp)

    def get_current_device(self) -> str:
        return self._target.name  # kernels are kept by device

    def get_current_stream(self, device: str) -> int:
        return 0


def _name(compiled: Any) -> str:
    """The kernel with its types and constants: "double[*fp32%16, *fp32%16, i32, BLOCK=64]"; %16: a multiple of 16."""
    source = compiled.src
    names = source.fn.arg_names
    types = [
        f"{kind}%16" if source.attrs.get((place,)) else kind
        for place, kind in enumerate(source.signature.values())
        if kind != "constexpr"
    ]
    constants = [f"{names[place[0]]}={value}" for place, value in source.constants.items()]
    return f"{source.fn.__name__}[{', '.join([*types, *constants])}]"


def _constants(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The constants of a launch that could not be compiled."""
    arguments = {**dict(zip(function.arg_names, args, strict=False)), **kwargs}
    wanted = [param.name for param in function.params if param.is_constexpr and param.name in arguments]
    return f"[{', '.join(f'{name}={arguments[name]}' for name in wanted)}]"
