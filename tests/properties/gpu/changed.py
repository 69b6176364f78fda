"""The package's kernels with one line changed, under the sanitizer: `TRITON_INTERPRET=1 python changed.py JSON`.

JSON is {name: [module, what stands there once, what is put there]}; prints {name: kinds of findings}.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from trueband.optimized import band_attention
from trueband.optimized.attention.triton import launch
from trueband.optimized.attention.triton.kernels import tiles
from trueband.properties.gpu.sanitizer import sanitized

OWN = Path(tiles.__file__).parent
PACKAGE = "trueband.optimized.attention.triton.kernels"


def kinds(module: str, old: str, new: str, place: Path) -> list[str]:
    """What the sanitizer finds in kernels in which `old` is `new` in one module."""
    place.mkdir()
    for path in OWN.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        if path.stem == module:
            assert source.count(old) == 1, f"{module}: expected {old!r} once, got it {source.count(old)} times"
            source = source.replace(old, new)
        (place / path.name).write_text(source.replace(PACKAGE, place.name), encoding="utf-8")
    before = dict(vars(launch))
    try:
        for path in OWN.glob("*.py"):
            changed = importlib.import_module(place.name if path.stem == "__init__" else f"{place.name}.{path.stem}")
            vars(launch).update({key: kernel for key, kernel in vars(changed).items() if key in before})
        with sanitized() as report:
            call()
    finally:
        vars(launch).update(before)
    return sorted({finding.kind for finding in report.findings})


def call() -> None:
    """One call with everything that the kernels do, forward and backward; two parts of a global row."""
    tokens = 70
    leaves = [torch.ones(1, 1, tokens, 8, requires_grad=True) for _ in range(3)]
    real, is_global = torch.ones(1, tokens, dtype=torch.bool), torch.zeros(1, tokens, dtype=torch.bool)
    real[0, [5, 69]], is_global[0, [0, 40]] = False, True
    output = band_attention(*leaves, window=3, attention_mask=real, global_attention_mask=is_global, impl="triton")
    torch.autograd.grad(output.sum(), leaves)


if __name__ == "__main__":
    np.seterr(all="ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        changes = json.loads(sys.argv[1])
        found = {
            name: kinds(module, old, new, Path(folder, f"changed_kernels_{n}"))
            for n, (name, (module, old, new)) in enumerate(changes.items())
        }
    print(json.dumps(found))
