"""Runners: how the output of a golden is computed. `run_golden` runs one and makes its record."""

from trueband.golden.recordings import peer
from trueband.golden.recordings import runner as recordings
from trueband.golden.registry import FORMS, RUNNERS, Context, Runner, runner
from trueband.golden.runners import bart, positions, sapiens, tiny
from trueband.golden.runners.run import obstacle, run_golden

__all__ = [
    "FORMS",
    "RUNNERS",
    "Context",
    "Runner",
    "bart",
    "obstacle",
    "peer",
    "positions",
    "recordings",
    "run_golden",
    "runner",
    "sapiens",
    "tiny",
]
