"""What a run of the checks is asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from trueband.expectations import Expected
from trueband.properties.production.shapes import Shape


@dataclass(frozen=True)
class Asked:
    """The arguments of `trueband.check` but the target, and their defaults. Models, which run here, are asked for no
    `gate` and no `time_limit`.
    """

    tier: str = "quick"
    cases: int | None = None
    dtypes: Collection[str] | None = None
    device: str = "cpu"
    seed: int = 0
    select: str | None = None
    expected_failures: Expected = None
    time_limit: float = 60.0
    gate: bool = False
    shapes: Sequence[Shape | Mapping[str, int]] = ()

    @property
    def dtype_names(self) -> tuple[str, ...]:
        """`"float32,float16"` is meant as two names."""
        return tuple(self.dtypes.split(",")) if isinstance(self.dtypes, str) else tuple(self.dtypes or ())
