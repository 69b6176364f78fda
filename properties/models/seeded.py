"""The seeded faults. Importing this module registers them all in `MODEL_FAULTS`."""

from trueband.properties.models import faults_checkpoints, faults_generation
from trueband.properties.models.faults import MODEL_FAULTS, ModelFault

__all__ = ["MODEL_FAULTS", "ModelFault", "faults_checkpoints", "faults_generation"]
