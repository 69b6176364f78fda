"""`hf`: the models of transformers 5, built from our configurations and state dicts.

Declared instead of listed as failures: transformers' banded models crash for attention_window 2, and where windows
differ between layers, for lengths whose padding to the largest is no multiple of the others; LED pads past its table of
positions. So windows are at least 2, the same in all layers, and lengths whole windows. Relative positions and pruned
heads are gone since 5.0. Chunks of the feed-forward must divide the length: there are none.
"""

from __future__ import annotations

from typing import Any

from trueband.properties.models.target import ModelTarget

CONFIGS = {"xlm-roberta": "XLMRobertaConfig", "longformer": "LongformerConfig", "led": "LEDConfig"}
MAY_BE_TIED = ("embed_tokens.weight", "lm_head.weight", "decoder.weight", "decoder.bias", "position_ids")


def build(architecture: str, class_name: str, config: dict[str, Any], state: dict[str, Any]) -> Any:
    """A model of transformers with these weights, in float32 and evaluation mode."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()  # it warns of each length that is no whole window
    transformers.logging.disable_progress_bar()
    kind = getattr(transformers, CONFIGS[architecture])
    if class_name in ("XLMRobertaModel", "LongformerModel"):
        pooler = {"add_pooling_layer": "pooler.dense.weight" in state}
    else:
        pooler = {}
    model = getattr(transformers, class_name)(kind(**config), **pooler)
    tensors = {name: torch.tensor(array, dtype=torch.float32) for name, array in state.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    untied = [name for name in missing if not name.endswith(MAY_BE_TIED)]
    if untied or unexpected:
        raise ValueError(f"state: expected the model's keys, got none of {untied} and besides {unexpected}")
    model.tie_weights()
    return model.eval()


factory = ModelTarget(
    build, name="transformers", least_window=2, one_window=True, whole_windows=True, positions=("absolute",),
    pruned=False, uneven_chunks=False,
)  # fmt: skip
