"""The registry of seeded faults. Each is a small, readable patch of a correct kernel. No check knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trueband.properties.candidate.target import WHOLE_CONTRACT, Target
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.plain import Specimen
from trueband.properties.faults.specimens.ranked import Ranked

Kernel = Specimen | Extended | Ranked

# The specimen does not validate its input, and a NaN in it spreads.
SPECIMEN_FEATURES = WHOLE_CONTRACT - {"validation", "nan_local"}


KINDS = (
    "window",
    "padding",
    "globals",
    "softmax",
    "scale",
    "precision",
    "indexing",
    "tiles",
    "gradients",
    "options",
    "validation",
    "harness",
    "positions",
    "model",
    "heads",
    "generation",
    "checkpoints",
    "grouping",
    "offsets",
    "cache",
    "segments",
    "softcap",
    "sinks",
    "slopes",
    "lse",
    "ranks",
)


@dataclass(frozen=True)
class Fault:
    """A seeded fault.

    Attributes:
        name, kind: the names of the fault and of its class.
        story: what is wrong, in one line.
        killed_by: the checks that it is seeded for, the one that shows it best first.
        kernel: the faulty kernel.
        seen: where it happened in the wild; "" if it is invented.
        features: the features that the kernel claims.
    """

    name: str
    kind: str
    story: str
    killed_by: tuple[str, ...]
    kernel: Kernel
    seen: str = ""
    features: frozenset[str] = SPECIMEN_FEATURES

    @property
    def target(self) -> Target:
        """A new kernel each time: some faults are in the state of a kernel."""
        return target_of(type(self.kernel)(), self.name, self.features)


FAULTS: dict[str, Fault] = {}


def features_of(kernel: type[Kernel]) -> frozenset[str]:
    """Return what a specimen claims."""
    return kernel.features if issubclass(kernel, Ranked) else SPECIMEN_FEATURES | kernel.extensions


def target_of(kernel: Kernel, name: str, features: frozenset[str] | None = None) -> Target:
    """Make a specimen, faulty or not, a target of the gate; by default with the features of its class."""
    features = features_of(type(kernel)) if features is None else features
    dtypes = ("float64", "float32", "float16")
    if isinstance(kernel, Ranked):
        ranked = {"ranks": kernel.ranks, "process_group": kernel.process_group}
        return Target(kernel, dtypes, features, "torch", name=name, **ranked)  # type: ignore[arg-type]
    gradients = kernel.gradients if kernel.library == "numpy" else None
    return Target(kernel, dtypes, features, kernel.library, gradients, name)


def fault(
    kind: str,
    story: str,
    *killed_by: str,
    step: str,
    seen: str = "",
    claims: str = "",
    name: str = "",
    of: type[Kernel] = Specimen,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the replacement of one step of a specimen; its name is the fault's.

    Args:
        claims: a feature that the kernel claims beyond those of the specimen.
        name: the name of the fault, where one function is registered for several parameters.
        of: the specimen that is patched.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")

    def register(replacement: Callable[..., Any]) -> Callable[..., Any]:
        own = name or replacement.__name__
        if own in FAULTS:
            raise ValueError(f"name: expected one for each fault, got {own!r} twice")
        kernel = type(own, (of,), {step: replacement})()
        features = features_of(of) | ({claims} if claims else set())
        FAULTS[own] = Fault(own, kind, story, killed_by, kernel, seen, features)
        return replacement

    return register
