"""docs/device.md says what docs/device/*.jsonl say, and a rehearsal is no evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from device import pages

RUN = {
    "record": "run",
    "date": "2030-01-01T00:00:00+00:00",
    "commit": "abc",
    "rehearsed": False,
    "card": "a card",
    "architecture": "sm_90",
    "cuda": "13.0",
    "versions": {"torch": "2.11.0"},
}
UNIT = {"record": "unit", "stage": "facts", "unit": "copy", "status": "done", "seconds": 1.0, "summary": "3 | GB/s"}


def written(folder: Path, *lines: dict[str, Any]) -> Path:
    (folder / "card.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def test_page_and_files_agree() -> None:
    assert pages.main(["--check"]) == 0, "run python tools/device/pages.py"


def test_a_run_is_told_with_card_versions_and_commit(tmp_path: Path) -> None:
    left = {"record": "left", "stage": "bench", "units": ["one", "two"]}
    text = pages.generated(written(tmp_path, RUN, UNIT, left))
    for word in (
        "2030-01-01",
        "commit abc",
        "a card (sm_90)",
        "torch 2.11.0",
        "| facts | copy | done | 1.0 | 3 / GB/s |",
    ):
        assert word in text
    assert "| bench | one, two | not begun | | |" in text
    page = pages.with_part(pages.PAGE.read_text(encoding="utf-8"), text)
    assert pages.with_part(page, pages.NOTHING) == pages.with_part(
        pages.PAGE.read_text(encoding="utf-8"), pages.NOTHING
    )


def test_without_files_nothing_has_run(tmp_path: Path) -> None:
    assert pages.generated(tmp_path) == pages.NOTHING


@pytest.mark.parametrize("lines", [({**RUN, "rehearsed": True}, UNIT), (UNIT,)])
def test_a_rehearsal_is_no_evidence(tmp_path: Path, lines: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(ValueError, match=r"^card\.jsonl: expected"):
        pages.generated(written(tmp_path, *lines))
