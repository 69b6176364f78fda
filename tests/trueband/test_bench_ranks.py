"""Time and memory of attention over ranks, on a small sequence."""

from __future__ import annotations

import re

import pytest

from trueband.bench.ranks import main

pytestmark = pytest.mark.evidence


def test_a_line_for_each_number_of_ranks(capfd: pytest.CaptureFixture[str]) -> None:
    main(["--tokens", "16384", "--heads", "2", "--calls", "1", "--ranks", "1", "2", "--globals", "3"])
    header, *lines = capfd.readouterr().out.splitlines()
    assert header.split() == ["ranks", "seconds", "MiB", "of", "each", "rank"]
    assert [line.split()[0] for line in lines] == ["1", "2"]
    one, *two = (float(grown) for line in lines for grown in re.findall(r"(\d+)(?:,|$)", line.strip()))
    assert len(two) == 2
    assert max(two) < 0.75 * one, "half, and the halo"
