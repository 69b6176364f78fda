"""Compiles Triton kernels for a GPU that is not here, in a process of their own, and keeps the results on disk."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueband.properties.gpu import triton_version
from trueband.properties.gpu.ptx.execute import Executable
from trueband.properties.gpu.ptx.launch import Kernel
from trueband.properties.gpu.ptx.parse import parse

_PROCESS = (sys.executable, "-P", "-m", "trueband.properties.gpu.ptx.compile_process")


class CompileError(ValueError):
    """The compiler refuses the kernel."""


@dataclass(frozen=True)
class Request:
    """A kernel to compile.

    Attributes:
        module: the module that has the kernel, by name or as a file.
        kernel: its name.
        signature: {argument: type} in order, such as "*bf16", "i32", "fp32", "constexpr".
        constants: {argument: value} of those that are "constexpr".
        aligned: arguments that are multiples of 16: pointers in bytes, strides in elements.
        capability: the capability of the target, such as 80 or 90.
        warps, stages: as for a launch.
    """

    module: str
    kernel: str
    signature: Mapping[str, str]
    constants: Mapping[str, Any]
    aligned: tuple[str, ...]
    capability: int
    warps: int = 4
    stages: int = 2

    def to_json(self) -> str:
        fields = {**self.__dict__, "signature": list(self.signature.items()), "constants": dict(self.constants)}
        return json.dumps(fields)


class Compiler:
    """A process that compiles, started when first needed.

    Args:
        cache: folder for what was compiled; it is trusted as the package itself is.
    """

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self._process: subprocess.Popen[str] | None = None
        self._ready: dict[str, Kernel] = {}

    def kernel(self, request: Request) -> Kernel:
        """A kernel, ready to be launched.

        Raises:
            CompileError: Triton refuses it. NotEmulated: its PTX cannot be executed here.
            TargetError: triton is not installed, or in another version than the target needs.
        """
        triton_version.require(triton_version.EXECUTE[request.capability])
        key = _key(request)
        if key not in self._ready:
            compiled = self.compiled(request)
            self._ready[key] = Kernel(Executable.of(parse(compiled["ptx"])), compiled["shared"])
        return self._ready[key]

    def compiled(self, request: Request) -> dict[str, Any]:
        """{"ptx": text, "shared": bytes of shared memory of a block, "registers": of a thread}.

        Raises:
            CompileError: Triton refuses the kernel.
        """
        path = self.cache / f"{_key(request)}.json"
        with contextlib.suppress(OSError, ValueError):
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return kept
        answer = self._ask(request)
        if "error" in answer:
            raise CompileError(f"{request.kernel}: {answer['error']}")
        with contextlib.suppress(OSError):  # a full disk costs time, not the result
            _write(path, json.dumps(answer))
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def _ask(self, request: Request) -> dict[str, Any]:
        if self._process is None:
            environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
            self._process = subprocess.Popen(
                _PROCESS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request.to_json() + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise CompileError(f"{request.kernel}: expected an answer of the compiling process, got its end")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _key(request: Request) -> str:
    text = f"{request.to_json()} {triton_version.installed()} {_sources(request.module)}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _sources(module: str) -> str:
    """A hash of the module's file and of all beside it, which it may use."""
    if module.endswith(".py"):
        origin = Path(module)
    else:
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:  # a parent of it
            spec = None
        if spec is None or spec.origin is None:
            raise CompileError(f"module: expected one that can be imported, got {module!r}")
        origin = Path(spec.origin)
    digest = hashlib.sha256()
    for path in sorted(origin.resolve().parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        try:
            file.write(text)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
