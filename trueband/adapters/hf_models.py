"""`hf`: the models of transformers 5, built from our configurations and state dicts.

Declared instead of listed as failures: transformers' banded models crash for attention_window 2, and where windows
differ between layers, for lengths whose padding to the largest is no multiple of the others; LED pads past its table of
positions. So windows are at least 2, the same in all layers, and lengths whole windows. Relative positions and pruned
heads are gone since 5.0. Chunks of the feed-forward must divide the length: there are none.
"""

from __future__ import annotations

from typing import Any

from trueband.properties.models.target import ModelTarget
from trueband.reference.config import FAMILIES
from trueband.witnesses.building import fill


def build(architecture: str, class_name: str, config: dict[str, Any], state: dict[str, Any]) -> Any:
    """A model of transformers with these weights, in float32 and evaluation mode."""
    import transformers

    transformers.logging.set_verbosity_error()  # it warns of each length that is no whole window
    transformers.logging.disable_progress_bar()
    family = FAMILIES[architecture]
    kind = getattr(transformers, family.config.__name__)  # both are called as the Hub calls them
    own_pooler = family.pooler and class_name == family.base_class
    pooler = {"add_pooling_layer": "pooler.dense.weight" in state} if own_pooler else {}
    model = getattr(transformers, class_name)(kind(**config), **pooler)
    fill(model, state)
    return model.eval()


factory = ModelTarget(
    build,
    name="transformers",
    least_window=2,
    one_window=True,
    whole_windows=True,
    positions=("absolute",),
    pruned=False,
    uneven_chunks=False,
)
