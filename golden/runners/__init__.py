"""Runners: how the output of a golden is computed. `run_golden` runs one and makes its record."""

from trueband.golden.runners.registry import FORMS, RUNNERS, Context, Runner, runner
from trueband.golden.runners.run import run_golden

__all__ = ["FORMS", "RUNNERS", "Context", "Runner", "run_golden", "runner"]
