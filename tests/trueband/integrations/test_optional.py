"""transformers is optional: only who asks for the integration imports it."""

from __future__ import annotations

import subprocess
import sys

ALONE = ("trueband", "trueband.optimized", "trueband.cli", "trueband.adapters.hf_patched", "trueband.integrations")
TOLD = "import sys; print('transformers' in sys.modules)"


def printed(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_else_of_trueband_imports_transformers() -> None:
    imports = "; ".join(f"import {name}" for name in ALONE)
    assert printed(f"{imports}; {TOLD}") == "False"


def test_the_integration_does() -> None:
    """The wrong one, for the test above."""
    assert printed(f"import trueband.integrations.transformers; {TOLD}") == "True"


def test_where_it_is_not_installed_the_error_names_it() -> None:
    tried = "try:\n    from trueband.integrations.transformers import patch\nexcept ImportError as error:"
    assert "transformers" in printed(f"import sys; sys.modules['transformers'] = None\n{tried}\n    print(error)")
