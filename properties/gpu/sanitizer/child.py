"""The process in which kernels are watched: `python -m trueband.properties.gpu.sanitizer.child SPEC SEED FIRST FILE`.

It has to be one of its own, because Triton decides when it is imported whether kernels are interpreted. FIRST names a
function that is called before all else, or is empty. FILE gets one JSON line for the machine, one for each
launch, with what it is the first to have and counts so far, and a last one with all findings.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from trueband.properties.candidate.target import TargetError
from trueband.properties.gpu.autotuned import every_configuration
from trueband.properties.gpu.function import load_function
from trueband.properties.gpu.sanitizer.finding import Finding
from trueband.properties.gpu.sanitizer.interpreter import sanitized
from trueband.properties.gpu.sanitizer.report import Report
from trueband.properties.results.machine import machine


def main(spec: str, seed: int, first: str, path: Path) -> None:
    """Call the function that SPEC names, and write what was seen."""
    np.seterr(all="ignore")  # a kernel may compute with infinities that it masks
    with path.open("w", encoding="utf-8", buffering=1) as file, sanitized(seed) as report, every_configuration():

        def write(line: dict[str, Any], name: str, findings: list[Finding]) -> None:
            record = {**line, name: [finding.to_dict() for finding in findings], **counts(report)}
            file.write(json.dumps(record) + "\n")

        report.on_launch = lambda new: write({}, "new", new)
        end: dict[str, Any] = {}
        try:
            if first:
                load_function(first)()
            function = load_function(spec, "target")  # imported while allocations are watched
            write({"machine": machine()}, "new", [])
            function(target="cpu")
        except TargetError as error:
            end["unusable"] = str(error)
        except BaseException as error:
            traceback.print_exc()
            end["crash"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
        write(end, "findings", report.findings)


def counts(report: Report) -> dict[str, Any]:
    """Count what was checked."""
    return {
        "launches": report.launches,
        "accesses": report.accesses,
        "unchecked": report.unchecked,
        "kernels": sorted(report.kernels),
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
