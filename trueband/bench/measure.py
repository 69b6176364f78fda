"""Measuring: one process for each contender of a shape, then rounds in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any, Self

from trueband.bench.contenders import CEILING, Contender
from trueband.bench.process import NoAnswer, Process
from trueband.bench.shape import BEAMS, NEW_TOKENS, Shape


@dataclass
class Measurement:
    """One contender at one shape.

    Attributes:
        seconds: one number for each round.
        processor_seconds: the same of the processors, of all threads: busy machines change it less.
        memory: bytes at the peak, over what was held before the call; None for the ceiling, which has none.
        status: "measured", or why not: "failed", "out of memory", "out of time", "not tried".
    """

    contender: str
    shape: Shape
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    memory: int | None = None
    status: str = "measured"
    message: str = ""

    @property
    def measured(self) -> bool:
        return self.status == "measured"

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float | None:
        """New tokens in a second; None at levels that make none."""
        return self.shape.batch * NEW_TOKENS / self.median if self.shape.level == "generation" else None

    def to_dict(self) -> dict[str, Any]:
        """The line of the file."""
        values: dict[str, Any] = {"contender": self.contender, "status": self.status, **asdict(self.shape)}
        if not self.measured:
            return {**values, "message": self.message}
        values |= {"seconds": self.median, "processor_seconds": statistics.median(self.processor_seconds)}
        values |= {"rounds": self.seconds, "memory": self.memory}
        return values if self.rate is None else {**values, "tokens_per_second": self.rate, "beams": BEAMS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a line of the file. Raises KeyError for a missing field."""
        shape = Shape(**{field.name: values[field.name] for field in fields(Shape)})
        if values["status"] != "measured":
            return cls(values["contender"], shape, status=values["status"], message=values["message"])
        return cls(values["contender"], shape, values["rounds"], [values["processor_seconds"]], values["memory"])


@dataclass(frozen=True)
class Means:
    """How to measure: threads, rounds, the longest wait for one answer, and bytes for one process."""

    threads: int
    rounds: int
    time_limit: float
    memory_limit: int | None


def measure(
    shape: Shape, among: Sequence[Contender], means: Means, on_step: Callable[[str], None]
) -> list[Measurement]:
    """Measure all contenders at one shape. A measurement records its failure; the others go on."""
    measurements = {contender.name: Measurement(contender.name, shape) for contender in among}
    with ExitStack() as stack:
        started: dict[str, Process] = {}
        running: dict[str, Process] = {}
        for name in measurements:
            started[name] = Process(name, shape, means.threads, means.memory_limit)
            stack.callback(started[name].end)
        for name, process in started.items():
            own = measurements[name]
            on_step(f"preparing {name}")
            with _failure_recorded(own, process):
                process.prepare(means.time_limit)
                own.memory = None if name == CEILING else process.memory
                running[name] = process
        for number in range(means.rounds):
            on_step(f"round {number + 1} of {means.rounds}")
            for name, process in running.items():
                if measurements[name].measured:
                    with _failure_recorded(measurements[name], process):
                        wall, processors = process.round(means.time_limit)
                        measurements[name].seconds.append(wall)
                        measurements[name].processor_seconds.append(processors)
    return list(measurements.values())


@contextmanager
def _failure_recorded(measurement: Measurement, process: Process) -> Iterator[None]:
    """A missing answer within it becomes that of the measurement, and ends the process."""
    try:
        yield
    except NoAnswer as error:
        measurement.status, measurement.message = error.status, str(error)
        process.end()


def measure_all(
    shapes: Sequence[Shape],
    contenders_of: Callable[[Shape], list[Contender]],
    means: Means,
    on_step: Callable[[Shape, str], None],
) -> Iterator[list[Measurement]]:
    """Shape by shape, lengths in increasing order. Who could not do a length is not asked for a longer one."""
    gave_up: dict[tuple[Any, ...], Measurement] = {}
    for shape in shapes:
        among = contenders_of(shape)
        tired = [contender for contender in among if (contender.name, shape.group) in gave_up]
        measurements = measure(
            shape, [contender for contender in among if contender not in tired], means, partial(on_step, shape)
        )
        for contender in tired:
            before = gave_up[contender.name, shape.group]
            reason = f"{before.status} at {before.shape.tokens:,} tokens"
            measurements.append(Measurement(contender.name, shape, status="not tried", message=reason))
        for own in measurements:
            if own.status not in ("measured", "not tried"):
                gave_up[own.contender, own.shape.group] = own
        yield measurements
