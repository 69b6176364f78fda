"""docs/claims.md is what the checks say of themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[3] / "tools" / "write_claims.py"


def test_the_page_of_claims_is_that_of_the_checks() -> None:
    program = f"import runpy; print(runpy.run_path({str(TOOL)!r})['page'](), end='')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    page = (TOOL.parents[1] / "docs" / "claims.md").read_text(encoding="utf-8")
    assert done.stdout == page, "run python tools/write_claims.py"
