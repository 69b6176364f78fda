"""The machine's ceiling: the time that as many multiply-adds take in one large matrix product."""

from __future__ import annotations

import torch

from trueband.bench.contenders import Work
from trueband.bench.inputs import normal, settings
from trueband.bench.shape import Shape, multiply_adds

LARGEST_SIDE = 3072  # larger products are no faster for each multiply-add, and take long


def sgemm(shape: Shape) -> Work:
    """A square product, whose time counts as often as its multiply-adds go into those of the shape."""
    wanted = multiply_adds(shape)
    side = min(LARGEST_SIDE, max(1, round(wanted ** (1 / 3))))
    left, right = normal(shape, side, side).detach(), normal(shape, side, side).detach()
    output = torch.empty(side, side, **settings(shape))

    return Work(lambda: torch.mm(left, right, out=output), scale=wanted / side**3)
