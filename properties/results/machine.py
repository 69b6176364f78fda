"""The record of where a process computes: processor, libraries, threads, and the variables that steer the arithmetic.

The last bits of a float depend on all of this. Only the process that computes can be asked: a library that it has not
loaded is not recorded. `python -m trueband.properties.results.machine DEVICE` prints the record of a process
with torch.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trueband.properties.results.blas import blas_of_numpy, blas_of_torch

Machine = dict[str, str | int]

# What changes which instructions are run, in which order, or by how many threads. Told where they are set.
VARIABLES = (
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_NUM_THREADS",
    "MKL_DYNAMIC",
    "OMP_NUM_THREADS",
    "OMP_DYNAMIC",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TORCH_MKLDNN_MATMUL_MIN_DIM",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_L2_SIZE",
    "BLIS_ARCH_TYPE",
    "BLIS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    "DYLD_INSERT_LIBRARIES",
    "LEGAL_BLAS",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "XLA_FLAGS",
    "TRITON_INTERPRET",
)
UNKNOWN = "unknown"
# The names in /proc/cpuinfo and of sysctl, and our names for them; the first that is present counts.
_EXTENSIONS = {
    "avx512f": "avx512",
    "avx2": "avx2",
    "avx1.0": "avx",
    "avx": "avx",
    "sse4_2": "sse4.2",
    "sse4.2": "sse4.2",
    "sve": "sve",
    "asimd": "neon",
    "neon": "neon",
}


def machine(device: str = "cpu", load: bool = False) -> Machine:
    """Return where this process computes, in reading order.

    Args:
        device: the device of the computation; a CUDA device is recorded by its name.
        load: whether to import torch where it is installed; else it is recorded only if it is loaded.

    Returns:
        Names to strings and ints. What cannot be found out is "unknown"; what is not loaded or not set is missing.
    """
    info = _processor_info()
    facts: Machine = {
        "processor": _name(info),
        "architecture": platform.machine() or UNKNOWN,
        "vector": _vector(info),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        **blas_of_numpy(),
        **_torch(device, load, "intel" in f"{info.get('vendor_id', '')} {info.get('model name', '')}".lower()),
    }
    facts |= {name: version for name in ("triton", "jax") if (version := _version(name))}
    return facts | {name: os.environ[name] for name in VARIABLES if name in os.environ}


def _torch(device: str, load: bool, intel: bool) -> Machine:
    torch: Any = sys.modules.get("torch")
    if torch is None and load:
        try:
            import torch
        except ImportError:
            return {}
    if torch is None:
        return {}
    aten = torch.backends.cpu.get_cpu_capability().replace("NO AVX", "DEFAULT")  # the name it had in torch 2.6
    facts: Machine = {"torch": str(torch.__version__), "aten": aten}
    facts |= blas_of_torch(torch, intel)
    onednn = re.search(r"(?:MKL-DNN|oneDNN) v(\S+)", torch.__config__.show())
    facts |= {"onednn": onednn[1]} if onednn else {}
    facts |= {"threads": torch.get_num_threads()}
    if device.startswith("cuda"):
        facts |= {"cuda": str(torch.version.cuda), "device": torch.cuda.get_device_name(device)}
    return facts


def _version(module: str) -> str:
    """Return the version of a loaded module; "" where it is not loaded."""
    return str(getattr(sys.modules.get(module), "__version__", ""))


def _processor_info() -> Mapping[str, str]:
    """Return what the system says about its first processor, by the names of /proc/cpuinfo."""
    if sys.platform == "darwin":
        return {
            "model name": _sysctl("machdep.cpu.brand_string"),
            "flags": " ".join(
                map(
                    _sysctl,
                    (
                        "machdep.cpu.features",
                        "machdep.cpu.leaf7_features",
                    ),
                )
            )
            + (" neon" if platform.machine() == "arm64" else ""),
        }
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _sysctl(name: str) -> str:
    try:
        return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _name(info: Mapping[str, str]) -> str:
    if "CPU part" in info and "model name" not in info:  # ARM's have numbers only
        return f"ARM implementer {info.get('CPU implementer', '?')}, part {info['CPU part']}"
    return info.get("model name") or platform.processor() or UNKNOWN


def _vector(info: Mapping[str, str]) -> str:
    has = (info.get("flags") or info.get("Features") or "").lower().split()
    return next((extension for name, extension in _EXTENSIONS.items() if name in has), UNKNOWN)


if __name__ == "__main__":
    print(json.dumps(machine(sys.argv[1] if len(sys.argv) > 1 else "cpu", load=True)))
