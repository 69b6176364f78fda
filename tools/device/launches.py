"""The kernels around the edges of their tiles, on a device: `python -m device.launches cuda`, under a sanitizer."""

from __future__ import annotations

import sys

import torch


def main(place: str, few: bool) -> None:
    """Launch every kernel, forward and backward; tensors that are made without a place are made there."""
    from trueband.gpu import sanitize_cases

    with torch.device(place):
        if few:
            sanitize_cases.run_span(*next(sanitize_cases.spans()))
        else:
            sanitize_cases.edges()
    if place != "cpu":
        torch.cuda.synchronize()
    print("launched")


def tiny() -> None:
    """The launches of a rehearsal."""
    from trueband.gpu import sanitize_cases

    sanitize_cases.run_span(*next(sanitize_cases.spans()))


if __name__ == "__main__":
    main(sys.argv[1], "--few" in sys.argv)
