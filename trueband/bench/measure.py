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
        found: dict[str, Any] = {"contender": self.contender, "status": self.status, **asdict(self.shape)}
        if not self.measured:
            return {**found, "message": self.message}
        found |= {"seconds": self.median, "processor_seconds": statistics.median(self.processor_seconds)}
        found |= {"rounds": self.seconds, "memory": self.memory}
        return found if self.rate is None else {**found, "tokens_per_second": self.rate, "beams": BEAMS}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """Of a line of the file. KeyError for what is not there."""
        shape = Shape(**{each.name: found[each.name] for each in fields(Shape)})
        if found["status"] != "measured":
            return cls(found["contender"], shape, status=found["status"], message=found["message"])
        return cls(found["contender"], shape, found["rounds"], [found["processor_seconds"]], found["memory"])


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
    """All contenders at one shape. What fails is told in its measurement; the others go on."""
    found = {each.name: Measurement(each.name, shape) for each in among}
    with ExitStack() as stack:
        started: dict[str, Process] = {}
        running: dict[str, Process] = {}
        for name in found:
            started[name] = Process(name, shape, means.threads, means.memory_limit)
            stack.callback(started[name].end)
        for name, process in started.items():
            own = found[name]
            on_step(f"preparing {name}")
            with _told_in(own, process):
                process.prepare(means.time_limit)
                own.memory = None if name == CEILING else process.memory
                running[name] = process
        for number in range(means.rounds):
            on_step(f"round {number + 1} of {means.rounds}")
            for name, process in running.items():
                if found[name].measured:
                    with _told_in(found[name], process):
                        wall, processors = process.round(means.time_limit)
                        found[name].seconds.append(wall)
                        found[name].processor_seconds.append(processors)
    return list(found.values())


@contextmanager
def _told_in(measurement: Measurement, process: Process) -> Iterator[None]:
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
        tired = [each for each in among if (each.name, shape.group) in gave_up]
        found = measure(shape, [each for each in among if each not in tired], means, partial(on_step, shape))
        for each in tired:
            before = gave_up[each.name, shape.group]
            reason = f"{before.status} at {before.shape.tokens:,} tokens"
            found.append(Measurement(each.name, shape, status="not tried", message=reason))
        for own in found:
            if own.status not in ("measured", "not tried"):
                gave_up[own.contender, own.shape.group] = own
        yield found
