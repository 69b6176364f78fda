"""The seeded faults. Importing this module registers them all in `MODEL_FAULTS`."""

from trueband.properties.models import (
    faults,
    faults_arguments,
    faults_cache,
    faults_calls,
    faults_checkpoints,
    faults_dropout,
    faults_generation,
    faults_half,
    faults_roberta,
    faults_training,
)
from trueband.properties.models.fault import MODEL_FAULTS, ModelFault

__all__ = [
    "MODEL_FAULTS",
    "ModelFault",
    "faults",
    "faults_arguments",
    "faults_cache",
    "faults_calls",
    "faults_checkpoints",
    "faults_dropout",
    "faults_generation",
    "faults_half",
    "faults_roberta",
    "faults_training",
]
