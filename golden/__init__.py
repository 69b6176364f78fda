"""The golden witness: outputs of published, trained checkpoints, and checks of any implementation against them.

Importing it does not import torch; reading a checkpoint does.
"""

from trueband.golden.checks import ATTENTION_CHECKS, MASKED_LM_CHECKS, run_golden_checks
from trueband.golden.fairseq import Checkpoint, load_fairseq_roberta, to_longformer
from trueband.golden.fetch import GoldenDataError, SapiensFiles, cache_folder, fetch_sapiens
from trueband.golden.records import GoldenCheck, GoldenRecord
from trueband.golden.sapiens import load_sapiens

__all__ = [
    "ATTENTION_CHECKS",
    "MASKED_LM_CHECKS",
    "Checkpoint",
    "GoldenCheck",
    "GoldenDataError",
    "GoldenRecord",
    "SapiensFiles",
    "cache_folder",
    "fetch_sapiens",
    "load_fairseq_roberta",
    "load_sapiens",
    "run_golden_checks",
    "to_longformer",
]
