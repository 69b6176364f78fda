"""The store: one safetensors file for each golden, its metadata inside, and one index of all of them.

Read with NumPy and safetensors alone.
"""

from trueband.golden.store.errors import GoldenFileError
from trueband.golden.store.file import Golden, read_golden, write_golden
from trueband.golden.store.metadata import FORMAT, KINDS, Metadata, Source, Tolerance
from trueband.golden.store.store import Store, open_store

__all__ = [
    "FORMAT",
    "KINDS",
    "Golden",
    "GoldenFileError",
    "Metadata",
    "Source",
    "Store",
    "Tolerance",
    "open_store",
    "read_golden",
    "write_golden",
]
