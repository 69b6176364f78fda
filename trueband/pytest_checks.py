"""Checks of kernels and models as tests of pytest: one for each check and dtype, so that workers share them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pytest

from trueband.properties.candidate.called import all_in_words
from trueband.properties.results.record import Record
from trueband.session.gate_seed import shared_seed
from trueband.session.request import Options, Request, flags
from trueband.session.request_error import RequestError
from trueband.session.run import Run
from trueband.session.suite import Step, Suite

_RUNS = pytest.StashKey[dict[str, Run]]()


class CheckFailed(AssertionError):
    """A check failed; the message is the whole report.

    Attributes:
        record: the record of the failure.
    """

    def __init__(self, record: Record) -> None:
        lines = [record.message, f"  claim      {record.claim}"]
        if record.case is not None:
            lines += [f"  case       {json.dumps(record.case)}  (the smallest found)"]
            lines += [f"  called     with {all_in_words(record.called)}"] if record.called else []
            lines += [record.traceback.rstrip()] if record.traceback else []
            lines += [f"  reproduce  {record.reproduce}"]
        super().__init__("\n".join(lines))
        self.record = record


class BoundCheck:
    """One check of one target in one dtype. Call it to run it.

    Attributes:
        name: the name of the check.
        dtype: the dtype of the inputs.
        target: its import string.
        record: the record of the last call; None before.
    """

    def __init__(self, run: Run, suite: Suite, step: Step) -> None:
        self.name, self.dtype, self.target = step.check, step.dtype, suite.name
        self.record: Record | None = None
        self._run, self._suite, self._step = run, suite, step

    def __call__(self) -> Record:
        """Run it; a failure that was expected is pytest's xfail.

        Raises:
            CheckFailed: with the claim, the smallest case, what is wrong there, and how to see it again.
        """
        __tracebackhide__ = True
        self.record = self._run.run(self._suite, self._step)
        if not self.record.passed:
            raise CheckFailed(self.record)
        if self.record.status == "expected":
            pytest.xfail(self.record.reason)
        if self.record.status == "not asked":
            pytest.skip(self.record.message)
        return self.record

    def __repr__(self) -> str:
        return f"{self.target} {self._step.name}"


def parametrize(metafunc: pytest.Metafunc, targets: Sequence[Any], options: Options) -> None:
    """Give a test function its checks."""
    if "check" not in metafunc.fixturenames:
        raise pytest.Collector.CollectError(
            f"{metafunc.function.__name__}: expected an argument `check` with parametrize_with_checks, got none"
        )
    checks, ids = [], []
    for target in targets:
        run = _open(metafunc.config, partial(Request.of, target, **options), {})
        for suite, step in run.steps:
            checks.append(BoundCheck(run, suite, step))
            ids.append("-".join((_short(suite.name), *step.words)))
    metafunc.parametrize("check", checks, ids=ids)


def collect(session: pytest.Session) -> Iterator[pytest.Item]:
    """The tests of the targets that the command line names."""
    for kind in (KernelCollector, ModelCollector):
        for target in session.config.getoption(kind.option):
            # Collected as a file would be: a target that cannot be loaded is an error of the collection.
            collector = kind.from_parent(session, name=target, nodeid=f"trueband::{target}")
            report = collector.ihook.pytest_make_collect_report(collector=collector)
            report.__dict__.pop("call", None)
            collector.ihook.pytest_collectreport(report=report)
            yield from report.result if report.passed else ()


class KernelCollector(pytest.Collector):
    """A kernel of the command line."""

    option = "trueband_target"

    def collect(self) -> Iterator[CheckItem]:
        values: Any = {name: self.config.getoption(f"trueband_{name}") for name in Options.__annotations__}
        run = _open(self.config, lambda: self.request(values), flags("--trueband-"))
        for suite, step in run.steps:
            yield CheckItem.from_parent(self, name=step.name, check=BoundCheck(run, suite, step))

    def request(self, options: Options) -> Request:
        return Request(target=self.name, **options)


class ModelCollector(KernelCollector):
    """Models of the command line."""

    option = "trueband_model_target"

    def request(self, options: Options) -> Request:
        return Request(models=self.name, suites=("models",), **options)


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


def runs(config: pytest.Config) -> dict[str, Run]:
    """The open runs, by their requests."""
    return config.stash.setdefault(_RUNS, {})


def gate_here(config: pytest.Config) -> bool:
    """Return whether a gate was run in this process."""
    return any(run.request.gate for run in runs(config).values())


def close(config: pytest.Config) -> None:
    """End the processes of the targets."""
    for run in runs(config).values():
        run.close()


def _open(config: pytest.Config, request: Callable[[], Request], names: Mapping[str, str]) -> Run:
    """The run of a request, opened once. `names` are those of its arguments, for errors."""
    try:
        made = request()
        key = f"{type(made.target).__name__} {made}"
        if key not in runs(config):
            runs(config)[key] = Run(made, shared_seed(config) if made.gate else None)
    except RequestError as error:
        raise pytest.Collector.CollectError(error.named(names)) from error
    except (ValueError, OSError) as error:
        raise pytest.Collector.CollectError(str(error)) from error
    return runs(config)[key]


def _short(spec: str) -> str:
    """module:name of a spec, without the folder of a file."""
    return spec.replace("\\", "/").rpartition("/")[2]
