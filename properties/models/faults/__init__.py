"""The seeded faults. Importing this module registers them all in `MODEL_FAULTS`."""

from trueband.properties.models.faults import arguments as faults_arguments
from trueband.properties.models.faults import cache as faults_cache
from trueband.properties.models.faults import calls as faults_calls
from trueband.properties.models.faults import checkpoints as faults_checkpoints
from trueband.properties.models.faults import dropout as faults_dropout
from trueband.properties.models.faults import generation as faults_generation
from trueband.properties.models.faults import half as faults_half
from trueband.properties.models.faults import layers as faults
from trueband.properties.models.faults import roberta as faults_roberta
from trueband.properties.models.faults import training as faults_training
from trueband.properties.models.faults.fault import MODEL_FAULTS, ModelFault

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
