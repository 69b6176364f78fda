"""The options of a call of `generate`, completed and checked, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from trueband.reference.config import GenerationConfig, LEDConfig, XLMRobertaConfig


@dataclass
class GenerateOutput:
    """Attributes:
    sequences: (b * num_return_sequences, longest) int64, the prompt included, filled with padding.
    sequences_scores: (b * num_return_sequences,) of beams, best first for each row of the batch; None otherwise.
    """

    sequences: Tensor
    sequences_scores: Tensor | None = None


class Rules(NamedTuple):
    """The options with what they leave to the model's configuration and to the prompt.

    Attributes:
        options: as given.
        prompt: tokens of the prompt.
        max_length, min_length: limits of the number of all tokens.
        eos: end tokens.
        pad: what fills finished sequences.
    """

    options: GenerationConfig
    prompt: int
    max_length: int
    min_length: int
    eos: tuple[int, ...]
    pad: int

    @property
    def copies(self) -> int:
        """Rows that are decoded for each row of the batch."""
        options = self.options
        return options.num_beams if options.num_beams > 1 else options.num_return_sequences


def rules_for(options: GenerationConfig, config: LEDConfig | XLMRobertaConfig, prompt: int) -> Rules:
    """Options not given are the model's; ValueError when the prompt leaves no room."""
    max_length, min_length = options.lengths(prompt)
    if prompt >= max_length:
        raise ValueError(f"max_length: expected more than the {prompt} tokens of the prompt, got {max_length}")
    eos = options.eos_token_id if options.eos_token_id is not None else config.eos_token_id
    pad = options.pad_token_id if options.pad_token_id is not None else config.pad_token_id
    return Rules(options, prompt, max_length, min_length, eos if isinstance(eos, tuple) else (eos,), pad)
