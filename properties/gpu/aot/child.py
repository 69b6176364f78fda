"""The process that compiles: `python -m trueband.properties.gpu.aot.child SPEC TARGET,... SHARD/SHARDS FILE`.

SPEC names a function, which launches kernels, or gives `Kernel`s, or both. FILE gets one JSON line that describes the
machine, {"machine": ...}, one for each kernel that is compiled, {"code": ..., "refusals": ...}, and a last one,
{"end": true}.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from trueband.properties.candidate.target import TargetError
from trueband.properties.gpu.aot.code import Code
from trueband.properties.gpu.aot.gates import refusals
from trueband.properties.gpu.aot.kernel import Kernel
from trueband.properties.gpu.aot.launches import compiled_instead
from trueband.properties.gpu.aot.target import TARGETS
from trueband.properties.gpu.autotuned import every_configuration
from trueband.properties.gpu.function import load_function
from trueband.properties.results.machine import machine

SECONDS_BETWEEN_LINES = 10.0


class Lines:
    """The file of results, and a line of progress on stderr now and then."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._count, self._last = file, 0, time.monotonic()

    def write(self, code: Code, products: bool = False) -> None:
        """Write one kernel, compiled and judged."""
        broken = [asdict(refusal) for refusal in refusals(code, products)]
        self._file.write(json.dumps({"code": code.to_dict(), "refusals": broken}) + "\n")
        self._count += 1
        if time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            print(f"{self._count:,} kernels compiled, at {code.kernel} for {code.target}", file=sys.stderr, flush=True)


def main(spec: str, targets: list[str], shard: int, shards: int, path: Path) -> None:
    """Compile what SPEC's function launches and gives, for each target."""
    end: dict[str, Any] = {"end": True}
    with path.open("w", encoding="utf-8", buffering=1) as file, every_configuration():
        lines = Lines(file)
        try:
            function = load_function(spec, "target")
            file.write(json.dumps({"machine": machine()}) + "\n")
            for name in targets:
                with compiled_instead(TARGETS[name], lines.write if shard == 0 else lambda code: None):
                    # Within it, as a function that yields kernels may launch some as well.
                    for place, kernel in enumerate(function(target=name) or ()):
                        if not isinstance(kernel, Kernel):
                            raise TargetError(f"target: expected kernels, got {type(kernel).__name__} from {spec}")
                        if place % shards == shard:
                            lines.write(kernel.compile(), kernel.products)
        except TargetError as error:
            end["unusable"] = str(error)
        except BaseException as error:
            traceback.print_exc()
            end["crash"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
        file.write(json.dumps(end) + "\n")


if __name__ == "__main__":
    own, all_of_them = sys.argv[3].split("/")
    main(sys.argv[1], sys.argv[2].split(","), int(own), int(all_of_them), Path(sys.argv[4]))
