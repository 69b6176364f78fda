"""Checks of kernels and models as tests of pytest: one for each check and dtype, so that workers share them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from trueband.asked import Asked
from trueband.import_string import import_string
from trueband.opened import OpenTarget
from trueband.opened_models import OpenModels, opened_class
from trueband.properties.called import shown_all
from trueband.properties.models.engine import ModelStep
from trueband.properties.models.target import ModelTarget
from trueband.properties.plan import Step
from trueband.properties.record import Record
from trueband.properties.remote import CandidateCheating

_OPENED = pytest.StashKey[dict[str, OpenTarget | OpenModels]]()


class CheckFailed(AssertionError):
    """A check failed; the message is the whole report.

    Attributes:
        record: of the failure.
    """

    def __init__(self, record: Record) -> None:
        told = [record.message, f"  claim      {record.claim}"]
        if record.case is not None:
            told += [f"  case       {json.dumps(record.case)}  (the smallest found)"]
            told += [f"  called     with {shown_all(record.called)}"] if record.called else []
            told += [f"  reproduce  {record.reproduce}"]
        super().__init__("\n".join(told))
        self.record = record


class BoundCheck:
    """One check of one target in one dtype. Call it to run it.

    Attributes:
        name: of the check.
        dtype: of the inputs.
        target: its import string.
        record: of the last call; None before.
    """

    def __init__(self, target: OpenTarget | OpenModels, step: Step | ModelStep) -> None:
        self.name, self.dtype, self.target = step.check, step.dtype, target.name
        self.record: Record | None = None
        self._target, self._step = target, step

    def __call__(self) -> Record:
        """Run it; a failure that was expected is pytest's xfail.

        Raises:
            CheckFailed: with the claim, the smallest case, what is wrong there, and how to see it again.
        """
        __tracebackhide__ = True
        self.record = self._target.run(self._step)  # type: ignore[arg-type]  # the steps are the target's own
        if not self.record.passed:
            raise CheckFailed(self.record)
        if self.record.status == "expected":
            pytest.xfail(self.record.reason)
        if self.record.status == "not asked":
            pytest.skip(self.record.message)
        return self.record

    def __repr__(self) -> str:
        return f"{self.target} {self._step.name}"


def parametrize(metafunc: pytest.Metafunc, targets: Sequence[Any], **options: Any) -> None:
    """Give a test function its checks."""
    if "check" not in metafunc.fixturenames:
        raise pytest.Collector.CollectError(
            f"{metafunc.function.__name__}: expected an argument `check` with parametrize_with_checks, got none"
        )
    checks, ids = [], []
    for target in targets:
        found = _open(metafunc.config, opened_class(target), target, Asked(**options))
        for step in found.steps:
            checks.append(BoundCheck(found, step))
            ids.append("-".join((_short(found.name), *step.words)))
    metafunc.parametrize("check", checks, ids=ids)


def collect(session: pytest.Session) -> Iterator[pytest.Item]:
    """The tests of the targets that the command line names."""
    option = session.config.getoption
    for kind, targets in (
        (KernelCollector, option("trueband_target")),
        (ModelCollector, option("trueband_model_target")),
    ):
        for target in targets:
            # Collected as a file would be: a target that cannot be loaded is an error of the collection.
            collector = kind.from_parent(session, name=target, nodeid=f"trueband::{target}")
            report = collector.ihook.pytest_make_collect_report(collector=collector)
            report.__dict__.pop("call", None)
            collector.ihook.pytest_collectreport(report=report)
            yield from report.result if report.passed else ()


class KernelCollector(pytest.Collector):
    """A kernel of the command line."""

    opened: type[OpenTarget | OpenModels] = OpenTarget

    def collect(self) -> Iterator[CheckItem]:
        option = self.config.getoption
        found = _open(
            self.config,
            self.opened,
            self.name,
            Asked(
                tier=option("trueband_tier"), cases=option("trueband_cases"), dtypes=option("trueband_dtype"),
                device=option("trueband_device"), seed=option("trueband_seed"),
                expected_failures=option("trueband_expected_failures"),
            ),
        )  # fmt: skip
        for step in found.steps:
            yield CheckItem.from_parent(self, name=step.name, check=BoundCheck(found, step))


class ModelCollector(KernelCollector):
    """Models of the command line."""

    opened = OpenModels


class CheckItem(pytest.Item):
    """One check in one dtype."""

    def __init__(self, *, check: BoundCheck, **rest: Any) -> None:
        super().__init__(**rest)
        self.check = check
        self.add_marker("trueband")

    def runtest(self) -> None:
        self.check()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, CheckFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, int | None, str]:
        return "trueband", None, f"{self.check.target} {self.name}"


def keep_record(item: pytest.Item) -> None:
    """Put the record of a test's check into its report (user_properties; JUnit files have them), once."""
    check = item.check if isinstance(item, CheckItem) else getattr(item, "callspec").params.get("check")  # noqa: B009
    if isinstance(check, BoundCheck) and check.record is not None:
        item.user_properties.append(("trueband", check.record.to_json()))
        check.record = None


def close(config: pytest.Config) -> None:
    """End the processes of the targets."""
    for found in config.stash.get(_OPENED, {}).values():
        found.close()


def _open(
    config: pytest.Config, kind: type[OpenTarget | OpenModels], target: Any, asked: Asked
) -> OpenTarget | OpenModels:
    """The target, opened once for the same options."""
    opened = config.stash.setdefault(_OPENED, {})
    try:
        key = f"{kind.__name__} {import_string(target, ModelTarget)} {asked}"
        if key not in opened:
            opened[key] = kind(target, asked)
    except (ValueError, OSError, CandidateCheating) as error:
        raise pytest.Collector.CollectError(str(error)) from error
    return opened[key]


def _short(spec: str) -> str:
    """module:name of a spec, without the folder of a file."""
    return spec.replace("\\", "/").rpartition("/")[2]
