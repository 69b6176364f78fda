"""Finds out which BLAS numpy and torch compute with, and which of its branches runs on this processor.

The last bits of a product depend on that branch. A library is asked through the handle of a module that has loaded it;
one that does not answer is recorded as "unknown".
"""

from __future__ import annotations

import ctypes
import re
from typing import Any

import numpy as np

UNKNOWN = "unknown"
# OpenBLAS as numpy's wheels, conda and distributions name it, with integers of 64 bits and of 32.
_CORE_NAMES = (
    "scipy_openblas_get_corename64_",
    "scipy_openblas_get_corename",
    "openblas_get_corename64_",
    "openblas_get_corename",
)
_GENERIC = "Intel Architecture processors"
_MKL_VERSION = ("MKL_Get_Version", "mkl_serv_get_version")  # the second is what a static MKL has


def blas_of_numpy() -> dict[str, str]:
    """Return its name and version, its core ("Haswell", "SkylakeX", ...), and the vector extension of numpy's loops."""
    built: Any = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {})
    simd = built.get("SIMD Extensions", {})
    names = [*simd.get("baseline", ()), *simd.get("found", ())]
    return {
        "numpy_blas": f"{blas.get('name', UNKNOWN)} {blas.get('version', '')}".strip(),
        "numpy_blas_core": _core(),
        "numpy_simd": names[-1] if names else UNKNOWN,
    }


def blas_of_torch(torch: Any, intel: bool) -> dict[str, str]:
    """Return its name and version, and the branch that it has taken, in its own words.

    Args:
        torch: the module.
        intel: whether the processor is Intel's; on another one MKL takes a generic branch.
    """
    configuration = torch.__config__.show()
    mkl = re.search(r"Math Kernel Library Version ([\d.]+).*?Build (\d+)", configuration)
    if mkl is None:
        name = re.search(r"BLAS_INFO=(\w+)", configuration)
        return {"torch_blas": name[1] if name else UNKNOWN, "torch_blas_branch": UNKNOWN}
    branch = _branch_of_mkl(torch._C.__file__)
    if branch == UNKNOWN and not intel:
        branch = "unknown, on a processor that is not Intel's"
    return {"torch_blas": f"MKL {mkl[1]} build {mkl[2]}", "torch_blas_branch": branch}


def _core() -> str:
    for name in _CORE_NAMES:
        ask = _function(np.linalg._umath_linalg.__file__, name)
        if ask is not None:
            ask.restype = ctypes.c_char_p
            return (ask() or b"").decode(errors="replace") or UNKNOWN
    return UNKNOWN


class _MklVersion(ctypes.Structure):
    """The struct MKLVersion of mkl_types.h."""

    _fields_ = (
        ("major", ctypes.c_int),
        ("minor", ctypes.c_int),
        ("update", ctypes.c_int),
        ("status", ctypes.c_char_p),
        ("build", ctypes.c_char_p),
        ("processor", ctypes.c_char_p),
        ("platform", ctypes.c_char_p),
    )


def _branch_of_mkl(library: str) -> str:
    """Return the branch: "generic", or "Intel Advanced Vector Extensions 2 (Intel AVX2) enabled processors"."""
    for name in _MKL_VERSION:
        ask = _function(library, name)
        if ask is not None:
            version = _MklVersion()
            ask.restype = None
            ask(ctypes.byref(version))
            words = (version.processor or b"").decode(errors="replace").replace("(R)", "")
            return "generic" if words == _GENERIC else words or UNKNOWN
    return UNKNOWN


def _function(library: str, name: str) -> Any:
    """Return a function of a library, or of one it was linked with; None where there is none."""
    try:
        return getattr(ctypes.CDLL(library), name)
    except (OSError, AttributeError):
        return None
