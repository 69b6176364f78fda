"""The triton that is installed, and what needs which versions of it: torch brings its own, so that none is asked for.

What takes hold of triton's insides is tested with each of the versions of `TESTED`, and refuses others in one line.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from trueband.properties.candidate.target import TargetError

INSTALL = "triton: expected the package triton, got none: pip install 'trueband[triton]'"
Version = tuple[int, int]
SANITIZE, COMPILE, MEND = "`trueband sanitize`", "`trueband compile`", "a mended interpreter"
EXECUTE = {80: "the targets ptx-sm80*", 90: "the targets ptx-sm90*"}
NEWEST = (3, 8)
# {what needs triton: its first and last version}. torch 2.6 pins triton 3.2, 2.7 3.3, 2.8 3.4, 2.9 3.5, 2.10 and 2.11
# 3.6, 2.12 and 2.13 3.7, 2.14 3.8.
TESTED: dict[str, tuple[Version, Version]] = {
    SANITIZE: ((3, 2), NEWEST),
    MEND: ((3, 2), NEWEST),
    COMPILE: ((3, 5), NEWEST),  # before, it had no linker for AMD, and its driver and attributes were of other forms
    EXECUTE[80]: ((3, 5), NEWEST),
    # Before, it left out the fence between cp.async and the wgmma that reads what was copied: each run would end there.
    EXECUTE[90]: ((3, 7), NEWEST),
}


def installed() -> str | None:
    """The version of the triton that would be imported, which it is not; None: there is none.

    Read from its source, as several distributions bring it, under names of their own.
    """
    try:
        spec = importlib.util.find_spec("triton")
    except (ImportError, ValueError):  # what stands in its place says no
        return None
    if spec is None:
        return None
    source = Path(spec.origin).read_text(encoding="utf-8") if spec.origin else ""
    match = re.search(r"^__version__ = ['\"]([^'\"]+)", source, re.MULTILINE)
    return match[1] if match else "an unknown version"


def numbers(version: str) -> Version:
    """The first two of a version; (0, 0) if it has none."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def refusal(what: str) -> str | None:
    """Why the installed triton is not one that `what`, of `TESTED`, needs; None: it is."""
    version = installed()
    if version is None:
        return INSTALL
    first, last = TESTED[what]
    if first <= numbers(version) <= last:
        return None
    required = f"triton>={_dotted(first)},<{last[0]}.{last[1] + 1}"
    return (
        f"triton: expected {_dotted(first)} to {_dotted(last)} for {what}, got {version}: pip install '{required}' "
        "with a torch that goes with it"
    )


def require(what: str) -> None:
    """Ask for a triton that `what`, of `TESTED`, works with.

    Raises:
        TargetError: it is another, or there is none.
    """
    message = refusal(what)
    if message is not None:
        raise TargetError(message)


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
