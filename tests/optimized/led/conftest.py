"""A small LED and a batch for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.layer_variance import linear_of
from trueband.properties.bounds.led_variance import led_logits_moments
from trueband.properties.bounds.losses import cross_entropy_bound
from trueband.properties.bounds.model_variance import led_decoder_moments, led_moments, whole_model_names
from trueband.properties.bounds.variance import Moments
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


@dataclass
class LEDMoments:
    """Carried through a model with these weights."""

    state: dict[str, np.ndarray]
    config: LEDConfig

    @property
    def prefix(self) -> str:
        return "" if "shared.weight" in self.state else "led."

    def whole(self, given: dict[str, Any], dtype: str, encoder: str | None = None) -> dict[str, Moments]:
        """Of every output, logits included, for tensors by name. `encoder`: the dtype that it is computed in."""
        arrays = {name: value.numpy() for name, value in given.items()}
        encoder_precision = None if encoder is None else Precision.of(encoder)
        ids, precision = arrays.pop("input_ids"), Precision.of(dtype)
        found = led_moments(
            self.state, self.config, ids, precision, encoder_precision=encoder_precision, prefix=self.prefix, **arrays
        )
        return self.with_head(found, dtype)

    def decoder(self, states: Tensor, given: dict[str, Any], dtype: str) -> dict[str, Moments]:
        """Of the decoder's outputs over exact states of the encoder."""
        arrays = {name: value.numpy() for name, value in given.items()}
        ids, mask = arrays.pop("decoder_input_ids"), arrays.pop("attention_mask", None)
        found = led_decoder_moments(
            self.state,
            self.config,
            ids,
            Precision.of(dtype),
            encoder_hidden_states=states.numpy(),
            encoder_attention_mask=mask,
            prefix=self.prefix,
            **arrays,
        )
        return self.with_head(whole_model_names(found), dtype)

    def with_head(self, found: dict[str, Moments], dtype: str) -> dict[str, Moments]:
        """With the logits of the heads that there are."""
        last, precision = found["last_hidden_state"], Precision.of(dtype)
        if "final_logits_bias" in self.state:
            found["logits"] = led_logits_moments(self.state, last, precision)
        if "qa_outputs.weight" in self.state:
            spans = linear_of(self.state, "qa_outputs", last, precision)
            found |= {f"{name}_logits": spans.at(np.s_[..., i]) for i, name in enumerate(("start", "end"))}
        return found

    def loss(
        self, bounds: dict[str, Bound], moments: dict[str, Moments], labels: Tensor, dtype: str
    ) -> dict[str, Bound]:
        """The bounds with that of the loss of a language model."""
        count = int((labels != -100).sum())
        bound = cross_entropy_bound(moments["logits"].value, count, Precision.of(dtype), bounds["logits"])
        return {**bounds, "loss": bound}

    def span_loss(self, bounds: dict[str, Bound], moments: dict[str, Moments]) -> dict[str, Bound]:
        """The bounds with that of the loss of start and end."""
        names = ("start_logits", "end_logits")
        values, errors = [moments[name].value for name in names], [bounds[name].total for name in names]
        error = Bound({"logits": np.stack(errors)})
        bound = cross_entropy_bound(np.stack(values), 2 * len(values[0]), Precision.of("float64"), error)
        return {**bounds, "loss": bound}


@pytest.fixture(scope="session")
def moments_of(state_of: Callable[[torch.nn.Module], Any]) -> Callable[[Any], LEDMoments]:
    """Moments of a model of a class of ours."""
    return lambda model: LEDMoments(state_of(model), model.config)
