"""The trained weights that taps are recorded of, as models of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueband.golden.bart import bart_to_led, roberta_to_led_encoder
from trueband.golden.bart_g2p import load_bart_g2p
from trueband.golden.fairseq import Checkpoint, to_longformer
from trueband.golden.sapiens import load_sapiens

LOADERS = {"sapiens_vh": load_sapiens, "bart_g2p_us": load_bart_g2p}
CONVERSIONS = {
    ("sapiens_vh", "longformer"): to_longformer,
    ("sapiens_vh", "led"): roberta_to_led_encoder,
    ("bart_g2p_us", "led"): bart_to_led,
}
MODEL_TYPES = {None: "xlm-roberta", "longformer": "longformer", "led": "led"}


def converted(checkpoint: str, conversion: Mapping[str, Any] | None) -> Checkpoint:
    """Fetched if need be, and converted: {"to": ..., "attention_window": one for each layer, "max_positions": ...}.

    Raises:
        ValueError: an unknown checkpoint or conversion.
        GoldenDataError: the weights cannot be had.
    """
    if checkpoint not in LOADERS:
        raise ValueError(f"checkpoint: expected one of {', '.join(LOADERS)}, got {checkpoint!r}")
    found = LOADERS[checkpoint]()
    kind = None if conversion is None else conversion.get("to")
    if conversion is not None:
        if (checkpoint, kind) not in CONVERSIONS:
            raise ValueError(f"conversion: expected one to longformer or led, got {kind!r} of {checkpoint}")
        windows = list(conversion["attention_window"])
        found = CONVERSIONS[checkpoint, str(kind)](found, windows[0], conversion["max_positions"])
        found = Checkpoint(found.config | {"attention_window": windows}, found.state)
    return Checkpoint(found.config | {"model_type": MODEL_TYPES[kind]}, found.state)
