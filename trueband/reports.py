"""Reports as files: JSON lines, written as records finish, and JUnit XML; whole files are put in place at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TextIO
from xml.etree import ElementTree

from trueband import __version__
from trueband.properties.called import shown_all
from trueband.properties.machine import Machine
from trueband.properties.plan import Plan
from trueband.properties.record import Record, to_line
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
    """A file of JSON lines, `{"record": KIND, ...}`, each on disk as soon as it is written. Without one, nothing."""

    def __init__(self, path: Path | None, stream: TextIO | None = None) -> None:
        """Args:
        path: of the file, which is begun anew when the `with` statement begins.
        stream: one that is open, in its place.
        """
        self.path, self._stream, self._opened = path, stream, False
        self._begun = False

    def __enter__(self) -> Self:
        if self.path is not None:
            self._stream, self._opened = self.path.open("w", encoding="utf-8"), True
        return self

    def __exit__(self, *_: object) -> None:
        if self._opened and self._stream is not None:
            self._stream.close()

    def start(self, head: Mapping[str, Any]) -> None:
        """The first line, once: what runs where, see `first_line`."""
        if not self._begun:
            self._begun = True
            self._write(head)

    def write(self, kind: str, values: Mapping[str, Any]) -> None:
        """One line more."""
        self._write({"record": kind, **values})

    def _write(self, values: Mapping[str, Any]) -> None:
        if self._stream is not None:
            self._stream.write(to_line(values) + "\n")
            self._stream.flush()


def json_lines(head: Mapping[str, Any], *lines: tuple[str, Mapping[str, Any]]) -> str:
    """The text of a whole file: its first line, then one for each (kind, values)."""
    return "".join(to_line(line) + "\n" for line in (head, *({"record": kind, **values} for kind, values in lines)))


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
