"""Where a process computes, as it tells itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.results import blas
from trueband.properties.results import machine as module
from trueband.properties.results.blas import blas_of_torch
from trueband.properties.results.machine import VARIABLES, Machine, machine

PRINT = "import json, sys; from trueband.properties.results.machine import machine; print(json.dumps(machine()))"
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("torch is not installed here", name=name)
sys.meta_path.insert(0, Blocked())
"""


def told_by(script: str, **variables: str) -> Machine:
    """What a fresh process prints, with none of the variables but these."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, check=True)
    told: Machine = json.loads(done.stdout)
    return told


def test_everything_is_a_string_or_a_number_and_json() -> None:
    told = machine(load=True)
    assert list(told)[:4] == ["processor", "architecture", "vector", "cores"]
    assert all((isinstance(value, str) and value) or (isinstance(value, int) and value > 0) for value in told.values())
    assert json.loads(json.dumps(told)) == told
    assert (told["numpy"], told["torch"]) == (np.__version__, torch.__version__)
    assert told["threads"] == torch.get_num_threads()
    assert str(told["aten"]) == torch.backends.cpu.get_cpu_capability()


def test_a_process_without_torch_tells_of_numpy() -> None:
    for script in (PRINT, BLOCKED + PRINT, BLOCKED + PRINT.replace("machine()", "machine(load=True)")):
        told = told_by(script)
        assert told["numpy_blas"]
        assert not {"torch", "aten", "threads"} & set(told)


def test_variables_that_steer_the_arithmetic_are_told_where_they_are_set() -> None:
    assert not set(VARIABLES) & set(told_by(PRINT))
    assert (
        told_by(PRINT, MKL_CBWR="AVX2", LEGAL_BLAS="align").items()
        >= {"MKL_CBWR": "AVX2", "LEGAL_BLAS": "align"}.items()
    )


def test_what_a_library_does_is_asked_and_not_guessed() -> None:
    """Variables change what torch and OpenBLAS run; to read the processor's flags would tell the same again."""
    assert told_by("import torch;" + PRINT, ATEN_CPU_CAPABILITY="default")["aten"] == "DEFAULT"
    if "openblas" in str(machine()["numpy_blas"]) and machine()["architecture"] == "x86_64":
        cores = {name: told_by(PRINT, OPENBLAS_CORETYPE=name)["numpy_blas_core"] for name in ("Nehalem", "Sandybridge")}
        assert cores == {name: name for name in cores}


def test_a_library_that_does_not_answer_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_function", lambda library, name: None)
    assert machine()["numpy_blas_core"] == "unknown"
    mkl = "Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 20240605 for Intel(R) 64 architecture"
    for built, intel, name, branch in (
        (mkl, True, "MKL 2024.2 build 20240605", "unknown"),
        (mkl, False, "MKL 2024.2 build 20240605", "unknown, on a processor that is not Intel's"),
        ("Build settings: BLAS_INFO=open, LAPACK_INFO=open", True, "open", "unknown"),
        ("", True, "unknown", "unknown"),
    ):
        config = SimpleNamespace(show=lambda built=built: built)
        found = blas_of_torch(SimpleNamespace(__config__=config, _C=torch._C), intel)
        assert found == {"torch_blas": name, "torch_blas_branch": branch}


ARM = "processor\t: 0\nFeatures\t: fp asimd evtstrm\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\nprocessor\t: 1\n"
OLD = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD Phenom\nflags\t: fpu sse sse2\n"


@pytest.mark.parametrize(
    ("text", "name", "vector"),
    [(ARM, "ARM implementer 0x41, part 0xd0c", "neon"), (OLD, "AMD Phenom", "unknown")],
)
def test_other_processors(text: str, name: str, vector: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(module, "Path", lambda _: tmp_path / "cpuinfo")
    monkeypatch.setattr(sys, "platform", "linux")
    told = machine()
    assert (told["processor"], told["vector"]) == (name, vector)


KERNEL = """
import os
import torch
torch.set_num_threads(3)
os.environ["MKL_DEBUG_CPU_TYPE"] = "5"
def attention(query, key, value, *, window):
    return query
"""


@pytest.mark.evidence
def test_the_candidates_process_is_asked_and_not_the_judging_one(tmp_path: Path) -> None:
    """The wrong implementation: the machine of the judging process, which has other threads and variables."""
    (tmp_path / "kernel.py").write_text(KERNEL)
    with RemoteRunner(f"{tmp_path / 'kernel.py'}:attention") as candidate:
        told = candidate.machine
    here = machine()
    assert (told["threads"], told["MKL_DEBUG_CPU_TYPE"]) == (3, "5")
    assert (here["threads"], here.get("MKL_DEBUG_CPU_TYPE")) != (3, "5")
    assert told["processor"] == here["processor"]
