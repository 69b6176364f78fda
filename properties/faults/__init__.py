"""Seeded faults: what the checks are measured against. Importing this package registers them all in `FAULTS`."""

from trueband.properties.faults import global_tokens, gradients, harness, numbers, padding, softmax, window
from trueband.properties.faults.registry import FAULTS, SPECIMEN_FEATURES, Fault, fault, target_of
from trueband.properties.faults.specimen import Specimen

__all__ = [
    "FAULTS",
    "SPECIMEN_FEATURES",
    "Fault",
    "Specimen",
    "fault",
    "global_tokens",
    "gradients",
    "harness",
    "numbers",
    "padding",
    "softmax",
    "target_of",
    "window",
]
