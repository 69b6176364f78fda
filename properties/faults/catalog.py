"""All seeded faults, of the operator and of models, in one view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from trueband.properties.checks import CHECKS
from trueband.properties.faults.detection import Trial, model_trials, operator_trials
from trueband.properties.faults.seeded.registry import FAULTS
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.models.faults import MODEL_FAULTS

LEVELS = ("operator", "layer", "model", "generation", "harness")
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
        fault.name,
        fault.kind,
        level,
        fault.story,
        fault.seen,
        fault.killed_by,
        any(CHECKS[check].structure.production for check in fault.killed_by[:1]),
        lambda dtypes, tier: operator_trials(fault.target, dtypes, tier),
    )


def _model_entry(fault: Any) -> Entry:
    first = MODEL_CHECKS[fault.killed_by[0]]
    level = "layer" if first.name in _LAYER_CHECKS else "generation" if first.about == "generation" else "model"
    kind = first.about
    return Entry(
        f"model:{fault.name}",
        kind,
        level,
        fault.story,
        fault.seen,
        fault.killed_by,
        False,
        lambda dtypes, tier: model_trials(fault.candidate, fault.architectures, dtypes, tier),
    )
