"""The optimized witness: PyTorch operators and models that run on any device in linear memory."""

from trueband.optimized import models
from trueband.optimized.attention import band_attention
from trueband.optimized.generation import GenerateOutput
from trueband.optimized.models import *  # noqa: F403  (all that is public there is public here)

__all__ = ["GenerateOutput", "band_attention"]
__all__ += models.__all__
