"""The winners of the stage `tune` as one table: `python tools/device/tiles.py RESULTS...`, JSON on the standard output.

{architecture: {format: {columns of a tile: {kernel: [queries, keys, warps, stages]}}}}, in the words of `SHIPPED` in
optimized/attention/triton/blocks.py. Of one that was found twice, the last counts; rehearsals do not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path[:1] = [str(Path(__file__).resolve().parents[1])]  # its own modules are those of the package `device`

from device.results import Line, read  # noqa: E402


def winners(lines: Iterable[Line]) -> dict[str, Any]:
    """The table of what the lines of results have."""
    table: dict[str, Any] = {}
    measured = False
    for line in lines:
        if line["record"] == "run":
            measured = not line["rehearsed"]
        elif measured and line["record"] == "unit" and "winner" in line:
            winner = line["winner"]
            widths = table.setdefault(winner["architecture"], {}).setdefault(winner["format"], {})
            widths.setdefault(str(winner["head_dim"]), {})[winner["kernel"]] = winner["tile"]
    return table


def main(arguments: Sequence[str]) -> int:
    lines = [line for path in arguments for line in read(Path(path))]
    print(json.dumps(winners(lines), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
