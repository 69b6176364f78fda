"""Cached generation in beams: what the decoder of LED-base writes about a text that is encoded already.

The weights are random, so no sequence ends by itself: every call makes `NEW_TOKENS` tokens for each row.
"""

from __future__ import annotations

from typing import Any

import torch

from trueband.bench.contenders import Work
from trueband.bench.encoders import sizes, token_ids
from trueband.bench.inputs import attention_mask, hidden_states, settings
from trueband.bench.shape import BEAMS, NEW_TOKENS, Shape
from trueband.optimized.layers.led_outputs import LEDEncoderBaseModelOutput
from trueband.optimized.models import LEDForConditionalGeneration
from trueband.reference.config import LEDConfig

LENGTH = {"min_length": NEW_TOKENS + 1, "max_length": NEW_TOKENS + 1, "num_beams": BEAMS}  # the start token is one


def ours(shape: Shape) -> Work:
    return generation_work(shape, LEDForConditionalGeneration(LEDConfig(**sizes(shape))), LEDEncoderBaseModelOutput)


def peer(shape: Shape) -> Work:
    import transformers
    from transformers.modeling_outputs import BaseModelOutput

    transformers.logging.set_verbosity_error()
    config: Any = transformers.LEDConfig(**sizes(shape))
    return generation_work(shape, transformers.LEDForConditionalGeneration(config), BaseModelOutput)


def generation_work(shape: Shape, model: Any, encoded: Any) -> Work:
    model = model.to(**settings(shape)).eval()
    real = attention_mask(shape)
    real = torch.ones_like(token_ids(shape)) if real is None else real.long()
    states = hidden_states(shape)

    def write() -> torch.Tensor:
        # Made anew: the peer repeats the rows of what it is given for its beams, in place.
        written: torch.Tensor = model.generate(
            encoder_outputs=encoded(last_hidden_state=states), attention_mask=real, **LENGTH
        )
        return written

    return Work(write)
