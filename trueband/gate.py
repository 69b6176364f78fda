"""A target, opened: its process, the steps of its plan, and what it is expected to fail. Python and pytest stand on it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from trueband.import_string import import_string, same_search_path
from trueband.properties.engine import Plan, Step, make_plan, reproduce, run_step, select, steps
from trueband.properties.expected_failures import ExpectedFailures
from trueband.properties.record import Record
from trueband.properties.remote import RemoteRunner
from trueband.properties.target import Target

Expected = Mapping[str, Any] | str | Path | None


class Gate:
    """A target in a process of its own, and the checks that apply to it.

    Attributes:
        plan, steps: what there is to run, from the one generator of `trueband.properties.engine`.
        candidate: the target, for more calls.
    """

    def __init__(
        self,
        target: str | Target | Any,
        *,
        tier: str = "quick",
        cases: int | None = None,
        dtypes: Collection[str] | None = None,
        device: str = "cpu",
        seed: int | None = 0,
        select: str | None = None,
        expected_failures: Expected = None,
        time_limit: float = 60.0,
    ) -> None:
        """Start it. See `trueband.check`; a seed of None is a secret one.

        Raises:
            ValueError: of a wrong argument, a target that cannot be loaded (`TargetError`), nothing selected.
        """
        _not_while_loading()
        spec = import_string(target)
        expected = _expected(expected_failures)
        self._stack = ExitStack()
        with ExitStack() as stack:
            stack.enter_context(same_search_path())
            self.candidate = stack.enter_context(RemoteRunner(spec, device, time_limit))
            self.plan: Plan = make_plan(
                spec, self.candidate, tier, cases, _words(dtypes), select, device, _secret() if seed is None else seed
            )
            self.steps: list[Step] = steps(self.plan)
            if not self.steps:
                raise ValueError(f"select: expected a part of a check's name, got {select!r}")
            expected.check_names(_known(self.candidate.features))
            self._stack = stack.pop_all()
        self._expected = expected

    def run(self, step: Step) -> Record:
        """One check in one dtype."""
        record = run_step(self.plan, step, self.candidate)
        return next(iter(self._expected.apply([record], self._again)))

    def close(self) -> None:
        """End the process."""
        self._stack.close()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _again(self, line: dict[str, Any]) -> Record:
        return reproduce(line, self.plan.target, self.candidate, self.plan.device)


def _known(features: Collection[str]) -> tuple[str, ...]:
    return select(None, features)


def _expected(given: Expected) -> ExpectedFailures:
    if given is None:
        return ExpectedFailures({})
    if isinstance(given, str | Path):
        return ExpectedFailures.from_file(Path(given))
    return ExpectedFailures(given, "expected_failures")


def _words(dtypes: Collection[str] | None) -> tuple[str, ...]:
    """`"float32,float16"` is meant as two names."""
    return tuple(dtypes.split(",")) if isinstance(dtypes, str) else tuple(dtypes or ())


def _secret() -> int:
    return secrets.randbelow(1 << 31)


def _not_while_loading() -> None:
    main = getattr(sys.modules.get("__main__"), "__spec__", None)
    if main is not None and main.name == "trueband.properties.worker":
        raise RuntimeError(
            "trueband.check was called while the file of the target was being imported: put the call under "
            'if __name__ == "__main__":'
        )
