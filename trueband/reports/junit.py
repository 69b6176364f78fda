"""JUnit XML reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from trueband.properties.candidate.called import all_in_words
from trueband.properties.results.record import Record
from trueband.reports.whole_file import write_whole


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
            root,
            "testsuite",
            name=name,
            tests=str(len(group)),
            failures=str(failures),
            errors=str(errors),
            skipped=str(sum(record.passed and record.status != "passed" for record in group)),
            time=f"{sum(record.seconds for record in group):.3f}",
        )
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
                element = ElementTree.SubElement(case, kind, message=_xml_text(record.message), type=record.status)
                called = f"called with {all_in_words(record.called)}\n" if record.called else ""
                element.text = _xml_text(
                    f"{record.claim}\n{record.message}\n{called}{record.traceback}{record.reproduce}"
                )
    write_whole(path, '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode"))


def _xml_text(text: str) -> str:
    """Remove the control characters that XML cannot hold."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)
