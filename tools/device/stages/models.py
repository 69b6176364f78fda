"""models: LED, Longformer and XLM-R on the device against the reference: layers, heads, generation; compiled, too."""

from __future__ import annotations

from typing import Any

from device.commands import check
from device.unit import Context, Unit

# What asks for no weights in place, and for no training.
FORWARD = "encoder_layers or decoder_layers or heads or logits or headless_layers or right_padding or masked_ids"
TOKENS = "greedy_tokens or beam_tokens or constrained_tokens or cached_tokens or cached_steps or one_beam"
OWN, COMPILED = "device.targets:models", "device.targets:compiled_models"
ASKED = {
    "layers": (OWN, FORWARD, "float32,float64", 60),
    "generation": (OWN, TOKENS, "float64,float32", 60),
    "compiled": (COMPILED, "encoder_layers or decoder_layers", "float32", 3),  # every case is compiled anew
}


def units(rehearsed: bool) -> list[Unit]:
    return [Unit(name, of_kind, 200, (name,)) for name in ASKED]


def of_kind(context: Context, name: str) -> dict[str, Any]:
    """Checks of one kind on models with random weights."""
    target, selected, dtypes, cases = ASKED[name]
    environment = {"TRUEBAND_DEVICE_PLACE": context.place}
    if context.rehearsed:
        environment["TRUEBAND_DEVICE_BACKEND"] = "eager"
        cases, selected = 1, {"generation": "greedy_tokens"}.get(name, "encoder_layers")
    chosen = ("--suite", "models", "--cases", f"{cases}", "--dtype", dtypes)
    given = context.with_environment(**environment)
    return check(given, {name: ("--model-target", target, *chosen, "-k", selected)})
