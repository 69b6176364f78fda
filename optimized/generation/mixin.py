"""The part of `generate` that all models share, once the prompts are known. b batch, t tokens of the prompt."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trueband.optimized.attention.arguments import check_tensor
from trueband.optimized.generation.beams import decode_in_beams
from trueband.optimized.generation.rules import GenerateOutput, Rules
from trueband.optimized.generation.single import decode_singly
from trueband.optimized.generation.stepping import Read, Stepper
from trueband.optimized.layers.cache import DecoderCache
from trueband.optimized.layers.inputs import check_binary_mask


def decode(
    read: Read,
    prompts: Tensor,
    prompt_mask: Tensor | None,
    rules: Rules,
    generator: torch.Generator | None,
    use_cache: bool,
    cache: DecoderCache | None = None,
) -> GenerateOutput:
    """Continue prompts (b, t) with mask (b, t). `read` is asked for b * `rules.copies` rows at a time.

    `cache`: of so many rows, with what is known of the encoder.
    """
    prompts, mask = repeated(prompts.long(), rules), repeated(prompt_mask, rules)
    assert prompts is not None
    stepper = Stepper(read, mask, use_cache, cache)
    if rules.options.num_beams > 1:
        return decode_in_beams(stepper, prompts, rules)
    return decode_singly(stepper, prompts, rules, generator)


def repeated(tensor: Any, rules: Rules) -> Any:
    """Every row of the batch as often as it is decoded; None stays None."""
    return None if tensor is None else tensor.repeat_interleave(rules.copies, dim=0)


def real_tokens(attention_mask: Tensor | None, input_ids: Tensor, rules: Rules, like: Tensor) -> Tensor | None:
    """The mask that was given, or all ids but padding, (b, t) bool.

    It is None where padding also ends a text: the two cannot be distinguished.
    """
    if attention_mask is not None:
        return check_binary_mask("attention_mask", attention_mask, like)
    return None if rules.pad in rules.eos else input_ids != rules.pad


def check_generator(generator: Any) -> None:
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator or None, got {type(generator).__name__}")


def check_one_name(input_ids: Any, inputs: Any) -> Any:
    """The ids under the one name or the other."""
    if input_ids is not None and inputs is not None:
        raise ValueError("inputs: expected one of input_ids and inputs, got both")
    return inputs if input_ids is None else input_ids


def check_prompts(name: str, ids: Any, batch: int) -> None:
    check_tensor(name, ids)
    if ids.ndim == 2 and ids.shape[0] != batch:
        raise ValueError(f"{name}: expected a batch of {batch}, got {ids.shape[0]}")
