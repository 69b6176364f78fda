"""A unit of work: what is begun, recorded and resumed as one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.cuda import Device

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """What a unit has to work with.

    Attributes:
        rehearsed: whether the CPU stands for the device.
        environment: the variables of processes that it starts.
        folder: an empty folder, for files that nobody keeps.
        report: records a part of the work at once, so that it is kept if the process dies later.
        seconds: after which it should have ended; it is killed some seconds later.
    """

    rehearsed: bool
    environment: Mapping[str, str]
    folder: Path
    report: Callable[[str, Values], None]
    seconds: float = 60.0

    @functools.cached_property
    def device(self) -> Device:
        """The device, which is opened here: a unit that does not ask for it does not import torch."""
        from device.cuda import open_device

        return open_device(self.rehearsed)

    def with_environment(self, **more: str) -> Context:
        """The same, with more variables."""
        return dataclasses.replace(self, environment={**self.environment, **more})

    @property
    def place(self) -> str:
        """The name of the device for `--device`."""
        return "cpu" if self.rehearsed else "cuda"


@dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes:
        name: names it within its stage.
        run: does it, with a context and the arguments, and returns what is recorded. With "passed": False in it, the
            unit has failed.
        seconds: after which it is ended.
    """

    name: str
    run: Callable[..., Values]
    seconds: float = 120.0
    arguments: tuple[Any, ...] = ()
