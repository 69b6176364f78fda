"""A skipped test fails here (tests/conftest.py): proven on a small suite with that conftest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITES = {
    "passes": ("def test_one(): pass", 0),
    "expected to fail": ("import pytest\n@pytest.mark.xfail\ndef test_one(): assert False", 0),
    "skips itself": ("import pytest\ndef test_one(): pytest.skip('no such device')", 1),
    "marked to skip": ("import pytest\n@pytest.mark.skipif(True, reason='no such device')\ndef test_one(): pass", 1),
    "skips its file": ("import pytest\npytest.importorskip('a_module_that_is_not_there')\ndef test_one(): pass", 2),
    "holds no test": ("", 5),
}


@pytest.mark.evidence
@pytest.mark.parametrize("suite", SUITES)
def test_exit_code(suite: str, checkout: Path, tmp_path: Path) -> None:
    source, expected = SUITES[suite]
    shutil.copyfile(checkout / "tests" / "conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_suite.py").write_text(source, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "HYPOTHESIS"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stdout
