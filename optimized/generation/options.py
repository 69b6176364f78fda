"""What one call of `generate` decodes by: its own options, then those of the checkpoint, then the defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from trueband.reference.config import ANSWERS, HARMLESS, NEUTRAL, GenerationConfig

# Arguments of the Hub's `generate` that stand for something that is not implemented, unless they are empty.
EMPTY = (
    "assistant_model",
    "assistant_tokenizer",
    "custom_generate",
    "logits_processor",
    "negative_prompt_attention_mask",
    "negative_prompt_ids",
    "prefix_allowed_tokens_fn",
    "stopping_criteria",
    "streamer",
)
# Labels are part of a batch that a trainer hands on whole: decoding does not read them.
PASSED_OVER = (*HARMLESS, "labels", "synced_gpus", "tokenizer", "trust_remote_code", "use_model_defaults")
FIELDS = tuple(each.name for each in dataclasses.fields(GenerationConfig))


def how_to_decode(
    defaults: Mapping[str, Any], given: GenerationConfig | Any | None, changes: Mapping[str, Any], vocabulary: int
) -> GenerationConfig:
    """The options of a call.

    Args:
        defaults: options of the checkpoint, by name.
        given: a configuration of the caller's; of transformers, too. What it says takes precedence over the defaults.
        changes: options by name, which take precedence over both.
        vocabulary: ids that there are.

    Raises:
        TypeError: names that are no option.
        ValueError: wrong values; options that are not implemented and would change what is written.
    """
    wanted = {**options_of(given), **changes}
    for name, value in wanted.items():
        if name in EMPTY:
            if value:
                raise ValueError(f"{name}: expected None (the argument is not implemented), got {type(value).__name__}")
        elif name in ANSWERS:
            if value:
                raise ValueError(f"{name}: expected False (generate returns sequences and their scores), got {value!r}")
        elif name not in (*FIELDS, *NEUTRAL, *PASSED_OVER):
            raise TypeError(f"{name}: expected an argument of generate or an option of GenerationConfig, got neither")
    whole = GenerationConfig.from_dict({**defaults, **wanted})
    whole.check_tokens(vocabulary)
    return whole


def options_of(given: Any) -> dict[str, Any]:
    """What a configuration says, by name; of transformers all that is not None."""
    if given is None:
        return {}
    if isinstance(given, GenerationConfig):
        given.validate()
        return given.given_options()
    if not type(given).__module__.startswith("transformers.") or not hasattr(given, "to_dict"):
        raise TypeError(f"generation_config: expected a GenerationConfig or None, got {type(given).__name__}")
    known = (*FIELDS, *NEUTRAL, *ANSWERS)
    return {name: value for name, value in given.to_dict().items() if name in known and value is not None}
