"""Published outputs of checkpoints that the user has in a folder: which checkpoint it is, inputs, outputs.

Importing it registers the runners "checkpoint" and "token_ids". It needs neither torch nor `tokenizers` to be imported.
"""

from trueband.golden.checkpoints.directory import Directory
from trueband.golden.checkpoints.recognize import Recognition, recognize
from trueband.golden.checkpoints.runner import checkpoint_output, token_ids
from trueband.golden.checkpoints.table import CheckpointEntry, read_table

__all__ = [
    "CheckpointEntry",
    "Directory",
    "Recognition",
    "checkpoint_output",
    "read_table",
    "recognize",
    "token_ids",
]
