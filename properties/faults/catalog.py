"""All seeded faults, of the operator and of models, in one view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from trueband.properties.checks import CHECKS
from trueband.properties.faults.detection import Trial, model_trials, operator_trials
from trueband.properties.faults.registry import FAULTS
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.models.seeded import MODEL_FAULTS

LEVELS = ("operator", "layer", "model", "generation", "harness")
# The class of a model's fault by the module of the check it is seeded for; of the others it is "model".
_KINDS = {
    "generation": "generation", "decoding": "generation", "cache": "generation", "positions": "positions",
    "heads": "heads", "head_arguments": "heads", "half": "precision", "padding": "padding",
    "checkpoints": "checkpoints",
}  # fmt: skip
_LAYER_CHECKS = ("encoder_layers", "decoder_layers")


@dataclass(frozen=True)
class Entry:
    """A seeded fault of any level.

    Attributes:
        name: unique; that of a model's fault starts with "model:".
        kind: its class.
        level: one of `LEVELS`: what is patched.
        story: one line, what is wrong.
        seen: where it happened, if it did.
        killed_by: the checks it is seeded for.
        at_size: the first of them is asked for shapes of production: small cases do not show it.
        trials: new trials of a new faulty candidate, for the dtypes (None: all) and the tier that are asked for.
    """

    name: str
    kind: str
    level: str
    story: str
    seen: str
    killed_by: tuple[str, ...]
    at_size: bool
    trials: Callable[[tuple[str, ...] | None, str], list[Trial]]


@cache
def catalog() -> dict[str, Entry]:
    """Every seeded fault by name."""
    entries = [_operator_entry(fault) for fault in FAULTS.values()]
    entries += [_model_entry(fault) for fault in MODEL_FAULTS.values()]
    return {entry.name: entry for entry in entries}


def _operator_entry(fault: Any) -> Entry:
    level = "harness" if fault.kind == "harness" else "operator"
    return Entry(
        fault.name, fault.kind, level, fault.story, fault.seen, fault.killed_by,
        any(CHECKS[check].structure.production for check in fault.killed_by[:1]),
        lambda dtypes, tier: operator_trials(fault.target, dtypes, tier),
    )  # fmt: skip


def _model_entry(fault: Any) -> Entry:
    level, kind = _kind_of_model_fault(fault.killed_by[0])
    kind = getattr(fault, "kind", "") or kind
    return Entry(
        f"model:{fault.name}", kind, level, fault.story, fault.seen, fault.killed_by, False,
        lambda dtypes, tier: model_trials(fault.candidate, fault.architectures, dtypes, tier),
    )  # fmt: skip


def _kind_of_model_fault(check: str) -> tuple[str, str]:
    """Level and class of a model's fault by the check it is seeded for, where it does not say its class."""
    if check in _LAYER_CHECKS:
        return "layer", "model"
    if check == "embeddings":
        return "model", "positions"
    module = MODEL_CHECKS[check].function.__module__.rpartition("checks_")[2]
    kind = _KINDS.get(module, "model")
    return ("generation" if kind == "generation" else "model"), kind
