"""Reports as files: JSON lines, written as records finish, and JUnit XML; whole files are put in place at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TextIO
from xml.etree import ElementTree

from trueband import __version__
from trueband.properties.called import shown_all
from trueband.properties.covered import Covered
from trueband.properties.machine import Machine
from trueband.properties.plan import Plan
from trueband.properties.record import Record
from trueband.properties.remote import RemoteRunner


def first_line(record: str, machine: Machine, **told: Any) -> dict[str, Any]:
    """The first line of every file of results: what it is of, and where it was made.

    Args:
        machine: of the process that computed.
    """
    return {"record": record, "trueband": __version__, **told, "machine": machine}


def run_head(candidate: RemoteRunner, plan: Plan) -> dict[str, Any]:
    """What runs where, of a kernel."""
    return first_line(
        "run", candidate.machine, target=plan.target, name=candidate.name, library=candidate.library,
        features=sorted(candidate.features), dtypes=plan.dtypes, device=plan.device, cases=plan.cases,
        seed=None if plan.gate else plan.seed,
    )  # fmt: skip


def write_whole(path: Path, text: str) -> None:
    """Put a file in place at once: a full disk or an interrupt leaves what was there before. OSError otherwise."""
    if path.exists() and not path.is_file():  # such as /dev/stdout
        path.write_text(text, encoding="utf-8")
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


class JsonLines:
    """A file of one JSON record per line, each on disk as soon as it is written. Without a path, nothing."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file: TextIO | None = None
        self._begun = False

    def __enter__(self) -> Self:
        if self.path is not None:
            self._file = self.path.open("w", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def start(self, head: Mapping[str, Any]) -> None:
        """The first line, once: what runs where, see `first_line`."""
        if not self._begun:
            self._begun = True
            self._write(json.dumps(head, separators=(",", ":")))

    def write(self, record: Record) -> None:
        """One record, {"record": "check", ...}."""
        self._write('{"record":"check",' + record.to_json()[1:])

    def tell_seed(self, seed: int) -> None:
        """The secret of a gate, when it is over: {"record": "gate", "seed": ...}."""
        self._write(json.dumps({"record": "gate", "seed": seed}, separators=(",", ":")))

    def tell_covered(self, covered: Covered) -> None:
        """The sizes that a kernel was asked for, when it is over: {"record": "covered", ...}."""
        if covered:
            self._write(json.dumps({"record": "covered", **covered.to_dict()}, separators=(",", ":")))

    def _write(self, line: str) -> None:
        if self._file is not None:
            self._file.write(line + "\n")
            self._file.flush()


def write_junit(path: Path, records: Sequence[Record]) -> None:
    """A JUnit XML report: one suite for each dtype of the kernel, one for each witness of the golden checks."""
    root = ElementTree.Element("testsuites", name="trueband")
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(f"{record.suite} {record.target} {record.dtype}", []).append(record)
    for name, group in groups.items():
        failures = sum(record.status == "failed" for record in group)
        errors = sum(not record.passed and record.status != "failed" for record in group)
        suite = ElementTree.SubElement(
            root, "testsuite", name=name, tests=str(len(group)), failures=str(failures), errors=str(errors),
            skipped=str(sum(record.passed and record.status != "passed" for record in group)),
            time=f"{sum(record.seconds for record in group):.3f}",
        )  # fmt: skip
        for record in group:
            case = ElementTree.SubElement(
                suite, "testcase", classname=name, name=record.check, time=f"{record.seconds:.3f}"
            )
            if record.status == "expected":
                ElementTree.SubElement(case, "skipped", message=_xml_text(f"failed as expected: {record.reason}"))
            if record.status == "not asked":
                ElementTree.SubElement(case, "skipped", message=_xml_text(record.message))
            if not record.passed:
                kind = "failure" if record.status == "failed" else "error"
                told = ElementTree.SubElement(case, kind, message=_xml_text(record.message), type=record.status)
                called = f"called with {shown_all(record.called)}\n" if record.called else ""
                told.text = _xml_text(f"{record.claim}\n{record.message}\n{called}{record.reproduce}")
    write_whole(path, '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode"))


def _xml_text(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)
