"""Time and memory of attention over ranks, on a small sequence."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.evidence


def test_a_line_for_each_number_of_ranks() -> None:
    """In a process of its own: the peak of this one is behind it."""
    command = [sys.executable, "-m", "trueband.bench.ranks", "--tokens", "16384", "--heads", "2", "--calls", "1"]
    done = subprocess.run(
        [*command, "--ranks", "1", "2", "--globals", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["ranks", "seconds", "MiB", "of", "each", "rank"]
    assert [line.split()[0] for line in lines] == ["1", "2"]
    one, *two = (float(grown) for line in lines for grown in re.findall(r"(\d+)(?:,|$)", line.strip()))
    assert len(two) == 2
    assert max(two) < 0.75 * one, "half, and the halo"
