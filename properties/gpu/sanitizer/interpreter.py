"""The hooks of the sanitizer in Triton's interpreter: its loads, stores and atomics, its launches, its programs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.sanitizer.finding import Place, place
from trueband.properties.gpu.sanitizer.inactive import Filling, examine
from trueband.properties.gpu.sanitizer.launch import Addresses, Grid, Lanes, Launch
from trueband.properties.gpu.sanitizer.report import Report
from trueband.properties.gpu.scalars import replaced_for_numbers
from trueband.properties.gpu.triton_version import SANITIZE, require

OWN = str(Path(__file__).parents[1])  # with what mends the interpreter, which stands between a kernel and it, too

NEEDS_INTERPRETER = (
    "expected Triton's interpreter, got triton imported without it: set TRITON_INTERPRET=1 in the environment before "
    "anything imports triton (`trueband sanitize` does that, in a process of its own)"
)


@contextmanager
def sanitized(seed: int = 0) -> Iterator[Report]:
    """Within it, kernels that are launched in Triton's interpreter are watched.

    Programs of a launch run in a random order. An access out of bounds is reported and not made: a load gives 0.

    Args:
        seed: the seed of the order in which programs run.

    Yields:
        a report to which launches are added as they end.

    Raises:
        RuntimeError: triton was imported without its interpreter. TargetError: it is not of a version that is known.
    """
    require(SANITIZE)
    import triton
    from triton.runtime import interpreter

    if isinstance(triton.language.cdiv, triton.runtime.JITFunction):
        raise RuntimeError(f"triton: {NEEDS_INTERPRETER}")
    watch = _Watch(interpreter, Report(), seed, str(Path(triton.__file__).parent))
    # What `autotune` adds to a launch, for the compiler; triton 3.2's interpreter takes some of it for arguments.
    watch.options = frozenset(triton.Config({}).all_kwargs())
    builder = interpreter.InterpreterBuilder
    # Methods since triton 3.4, functions of the module before.
    semantic = getattr(triton.language.semantic, "TritonSemantic", triton.language.semantic)
    replaced: dict[tuple[Any, str], Callable[..., Any]] = {
        **replaced_for_numbers(),
        (interpreter, "_implicit_cvt"): watch.convert,
        (interpreter.GridExecutor, "__call__"): watch.launched,
        (builder, "set_grid_idx"): watch.next_program,
        (semantic, "_load_legacy"): watch.legacy_load,
        (builder, "create_masked_load"): watch.load,
        (builder, "create_masked_store"): watch.store,
        (builder, "create_atomic_rmw"): watch.atomic_rmw,
        (builder, "create_atomic_cas"): watch.atomic_cas,
    }
    before = {(owner, name): getattr(owner, name) for owner, name in replaced}
    watch.before = {name: function for (_, name), function in before.items()}
    with watch.report.fresh.watched():
        try:
            for (owner, name), method in replaced.items():
                setattr(owner, name, _function(method))
            yield watch.report
        finally:
            for (owner, name), function in before.items():
                setattr(owner, name, function)


class _Watch:
    """The replacements of methods of the interpreter; `self` of those comes second."""

    def __init__(self, interpreter: Any, report: Report, seed: int, foreign: str) -> None:
        self.interpreter, self.report, self.seed, self.foreign = interpreter, report, seed, foreign
        self.before: dict[str, Callable[..., Any]] = {}
        self.options: frozenset[str] = frozenset()
        self.launch: Launch | None = None
        self.filling: Filling | None = None
        self.has_other = False
        self.order: NDArray[np.int64] = np.zeros(1, dtype=np.int64)

    def launched(self, executor: Any, *args: Any, **kwargs: Any) -> None:
        report = self.report
        report.launches += 1
        name = executor.fn.__name__
        report.kernels.add(name)
        names = inspect.getfullargspec(executor.fn).args
        kwargs = {key: value for key, value in kwargs.items() if key in names or key not in self.options}
        launch = Launch(name, report.launches, list(_tensors(executor, args, kwargs)), report.fresh)
        self.launch = launch

        def run_programs(filling: Filling | None = None) -> None:
            self.filling = filling
            self.before["__call__"](executor, *args, **kwargs)

        try:
            run_programs()
            if launch.without_other:
                examine(launch, run_programs)
        finally:
            self.launch = None
            report.add(launch)

    def convert(self, argument: Any) -> Any:
        converted = self.before["_implicit_cvt"](argument)
        if self.launch is not None and hasattr(argument, "data_ptr"):
            converted.handle.data[...] = self.launch.tagged(_unwrapped(argument))
        return converted

    def next_program(self, builder: Any, x: int, y: int, z: int) -> None:
        """Another program than the one that would come next: all of them in a random order."""
        assert self.launch is not None
        grid: Grid = tuple(int(size) for size in builder.grid_dim)  # type: ignore[assignment]
        _, ny, nz = grid
        number = (x * ny + y) * nz + z
        if number == 0:
            self.launch.grid = grid
            self.order = np.random.default_rng((self.seed, self.launch.number)).permutation(int(np.prod(grid)))
        rest, z = divmod(int(self.order[number]), nz)
        program: Grid = (*divmod(rest, ny), z)
        self.launch.program = program
        self.before["set_grid_idx"](builder, *program)

    def legacy_load(self, *args: Any, **named: Any) -> Any:
        """Triton's load of pointers, which in the interpreter takes an `other` that is a single 0 for none."""
        own = hasattr(args[0], "builder")  # the semantic, where this is a method of one
        self.has_other = args[2 + own] is not None
        try:
            return self.before["_load_legacy"](*args, **named)
        finally:
            self.has_other = False

    def load(self, builder: Any, pointers: Any, mask: Any, other: Any, *rest: Any, **named: Any) -> Any:
        launch, here = self._here()
        scalar, dtype = self._types(pointers)
        active = _lanes(mask, pointers.data)
        addresses, allowed, _ = launch.access("load", pointers.data, active, dtype.itemsize, here)
        handle = self.interpreter.TensorHandle
        if other is None and not self.has_other and not active.all():
            if not launch.again:
                launch.without_other.setdefault(here, launch.program)
            filling = self.filling
            if filling is not None and here in filling.places:
                undefined = filling.array(active.shape, dtype, str(scalar))
                other = handle(np.where(active, np.zeros((), dtype), undefined), scalar)
        pointers = handle(addresses, pointers.dtype)
        allowed = handle(allowed, self.interpreter.tl.int1)
        return self.before["create_masked_load"](builder, pointers, allowed, other, *rest, **named)

    def store(self, builder: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        launch, here = self._here()
        _, dtype = self._types(pointers)
        active = _lanes(mask, pointers.data)
        addresses, allowed, _ = launch.access("store", pointers.data, active, dtype.itemsize, here, value.data)
        handle = self.interpreter.TensorHandle
        pointers = handle(addresses, pointers.dtype)
        allowed = handle(allowed, self.interpreter.tl.int1)
        return self.before["create_masked_store"](builder, pointers, value, allowed, *rest)

    def atomic_rmw(
        self, builder: Any, operation: Any, pointers: Any, value: Any, mask: Any, sem: Any, scope: Any
    ) -> Any:
        active = _lanes(mask, pointers.data)
        addresses, allowed = self._atomic(pointers, active, sem)
        handle = self.interpreter.TensorHandle
        allowed = handle(allowed, self.interpreter.tl.int1)
        pointers = handle(addresses, pointers.dtype)
        return self.before["create_atomic_rmw"](builder, operation, pointers, value, allowed, sem, scope)

    def atomic_cas(self, builder: Any, pointers: Any, compared: Any, value: Any, sem: Any, scope: Any) -> Any:
        active = np.ones(pointers.data.shape, dtype=bool)
        addresses, allowed = self._atomic(pointers, active, sem)
        if not allowed.all():  # there is nothing that could be given back
            raise RuntimeError("atomic_cas out of bounds")
        pointers = self.interpreter.TensorHandle(addresses, pointers.dtype)
        return self.before["create_atomic_cas"](builder, pointers, compared, value, sem, scope)

    def _atomic(self, pointers: Any, active: Lanes, sem: Any) -> tuple[Addresses, Lanes]:
        launch, here = self._here()
        size = self._types(pointers)[1].itemsize
        addresses, allowed, clock = launch.access("atomic", pointers.data, active, size, here)
        name = str(sem).rpartition(".")[2]
        targets = [int(address) for address in addresses[allowed]]
        acquires, releases = (name in (kind, "ACQUIRE_RELEASE") for kind in ("ACQUIRE", "RELEASE"))
        launch.order.synchronize(clock, targets, acquires, releases)
        return addresses, allowed

    def _here(self) -> tuple[Launch, Place]:
        assert self.launch is not None
        self.report.accesses += not self.launch.again
        return self.launch, place(OWN, self.foreign)

    def _types(self, pointers: Any) -> tuple[Any, np.dtype[Any]]:
        """The types that a pointer points to: triton's and NumPy's."""
        scalar = pointers.get_element_ty()
        return scalar, self.interpreter._get_np_dtype(scalar)


def _function(method: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function, which as an attribute of a class is given its instance."""
    return lambda *args, **kwargs: method(*args, **kwargs)


def _lanes(mask: Any, pointers: NDArray[Any]) -> Lanes:
    """(shape of the pointers) of bool; block pointers bring a bare array."""
    data = mask if isinstance(mask, np.ndarray) else mask.data
    return np.array(np.broadcast_to(data, pointers.shape), dtype=bool)


def _tensors(executor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(name, tensor) of what a kernel is launched with, members of tuples and the tensors of descriptors included."""
    names = inspect.getfullargspec(executor.fn).args
    arguments = inspect.getcallargs(
        executor.fn, *args, **{name: value for name, value in kwargs.items() if name in names}
    )
    for name, value in arguments.items():
        yield from _flat(name, value)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, tuple):
        for place, member in enumerate(value):
            yield from _flat(f"{name}[{place}]", member)
    elif hasattr(value, "data_ptr"):
        tensor = _unwrapped(value)
        if tensor.device.type != "cpu":
            raise TypeError(f"{name}: expected a tensor on the CPU, got one on {tensor.device}")
        yield name, tensor
    elif hasattr(value, "base") and hasattr(value, "block_shape"):
        yield from _flat(name, value.base)


def _unwrapped(value: Any) -> Any:
    """The tensor in a wrapper of triton that gives it another dtype."""
    return value.base if hasattr(value, "base") and not hasattr(value, "untyped_storage") else value
