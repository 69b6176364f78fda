"""Prints one line of JSON: `python -m device.about` what runs here, `... about STAGE` the names of its units."""

from __future__ import annotations

import json
import platform
import sys
from importlib import metadata
from typing import Any

PACKAGES = ("torch", "triton", "numpy", "hypothesis", "rich", "safetensors", "transformers", "jax", "flash-attn")


def versions() -> dict[str, str]:
    """{package: version} of those that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def head(rehearsed: bool) -> dict[str, Any]:
    """Card, versions and system. Without a device the card is what is wrong."""
    from device.cuda import open_device
    from trueband import __version__

    try:
        facts = open_device(rehearsed).facts()
        card, architecture = facts["card"], facts["architecture"]
    except Exception as error:
        card, architecture = "unknown", f"{type(error).__name__}: {error}"
    import torch

    return {
        "card": card,
        "architecture": architecture,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "trueband": __version__,
        "versions": versions(),
    }


def main(words: list[str]) -> None:
    from device.worker import units_of

    rehearsed = "--rehearse" in words
    stages = [word for word in words if word != "--rehearse"]
    print(json.dumps(list(units_of(stages[0], rehearsed)) if stages else head(rehearsed)))


if __name__ == "__main__":
    main(sys.argv[1:])
