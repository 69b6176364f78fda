"""The golden witness: outputs of published, trained checkpoints, and checks of any implementation against them.

Importing it does not import torch; reading a checkpoint does.
"""

from trueband.golden.records import GoldenCheck, GoldenRecord
from trueband.golden.runners import Context, run_golden
from trueband.golden.runners.checks import CHECKS
from trueband.golden.store import Golden, GoldenFileError, open_store
from trueband.golden.weights.fairseq import Checkpoint, load_fairseq_roberta, to_longformer
from trueband.golden.weights.fetch import GoldenDataError, cache_folder, fetch
from trueband.golden.weights.sapiens import load_sapiens

__all__ = [
    "CHECKS",
    "Checkpoint",
    "Context",
    "Golden",
    "GoldenCheck",
    "GoldenDataError",
    "GoldenFileError",
    "GoldenRecord",
    "cache_folder",
    "fetch",
    "load_fairseq_roberta",
    "load_sapiens",
    "open_store",
    "run_golden",
    "to_longformer",
]
