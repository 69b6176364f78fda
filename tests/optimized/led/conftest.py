"""A small LED and a batch for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from trueband.reference import LEDConfig


@dataclass
class LEDBatch:
    """ids (4, 13) with padding on the right, on the left and in the middle; read, labels (4, 7) of the decoder."""

    ids: Tensor
    mask: Tensor
    global_mask: Tensor
    read: Tensor
    read_mask: Tensor
    labels: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.labels = self.read.masked_fill(self.read_mask == 0, -100)

    @property
    def inputs(self) -> dict[str, Tensor]:
        return {"input_ids": self.ids, "attention_mask": self.mask, "global_attention_mask": self.global_mask}

    @property
    def decoder(self) -> dict[str, Tensor]:
        return {"decoder_input_ids": self.read, "decoder_attention_mask": self.read_mask}


@pytest.fixture
def batch() -> LEDBatch:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(3, 40, (4, 13), generator=generator)
    ids[0, 9:], ids[1, :4] = 1, 1
    mask = (ids != 1).long()
    mask[2, 5] = 0
    global_mask = torch.zeros_like(ids)
    global_mask[0, 0] = global_mask[1, 6] = global_mask[1, 12] = global_mask[2, 0] = 1
    global_mask[0, 11] = 1  # on a masked token: dropped
    read = torch.randint(3, 40, (4, 7), generator=generator)
    read_mask = torch.ones_like(read)
    read_mask[0, 5:], read_mask[1, :3] = 0, 0
    return LEDBatch(ids, mask, global_mask, read, read_mask)


@pytest.fixture
def led(small_led: dict[str, Any], randomize: Callable[[torch.nn.Module], Any]) -> Callable[..., Any]:
    """Makes a model of a class in float64, with fields of the configuration changed."""

    def make(kind: Any, **changed: Any) -> Any:
        config = LEDConfig(**{**small_led, "attention_window": (4, 6), **changed})
        return randomize(kind(config).double())

    return make
