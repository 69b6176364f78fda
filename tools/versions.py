"""The package in other versions of what it needs, each row in an environment of its own, on the CPU.

    python tools/versions.py --folder FOLDER [--python PATH ...] [--tests PATH ...] [ROW ...]

FOLDER keeps the environments (3 GB each) and what every command has printed. Where wheels come from is pip's
configuration. torch is installed alone, with its own triton and without CUDA's libraries: if it was built for CUDA,
stand-ins for them are built (tools/cuda_stubs.py). A row that needs a Python that is not here fails. Exit codes: 0 all
passed, 1 not, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
TESTS = CHECKOUT / "tests"
COLUMNS = ("install", "check", "tests")
TRITON_TESTS = ("optimized/attention/triton", "properties/gpu")
# Of the test extra: what needs torch, and would have pip look for CUDA's libraries; with what it needs itself.
ON_TORCH = ("local-attention", "hyper-connections", "torch-einops-utils")
PEERS = ("jax", "local-attention", "onnx", "onnxruntime", "transformers")
FLOOR = {"numpy": "2.0.0", "hypothesis": "6.100.0", "rich": "13.0.0", "jinja2": "3.1.0"}


@dataclass(frozen=True)
class Row:
    """An environment.

    Attributes:
        python: its first two numbers. torch, triton: versions; triton's is the one that torch pins.
        others: {package: version}; other packages are the newest that pip finds.
        tests: folders and files within tests/; none: all.
        peers: with the packages of `PEERS`; without, the tests that name them are left out.
    """

    python: str
    torch: str
    triton: str
    others: dict[str, str] = field(default_factory=dict)
    tests: tuple[str, ...] = ()
    peers: bool = True


ROWS = {
    # transformers asks for a newer safetensors.
    "floor": Row("3.11", "2.6.0", "3.2.0", {**FLOOR, "safetensors": "0.4.0"}, peers=False),
    "floor-peers": Row("3.11", "2.6.0", "3.2.0", FLOOR),
    "torch-2.7": Row("3.11", "2.7.1", "3.3.1", tests=TRITON_TESTS),
    "torch-2.8": Row("3.11", "2.8.0", "3.4.0", tests=TRITON_TESTS),
    "torch-2.9": Row("3.11", "2.9.1", "3.5.1", tests=TRITON_TESTS),
    "torch-2.11": Row("3.12", "2.11.0", "3.6.0"),
    "torch-2.12": Row("3.12", "2.12.0", "3.7.0", tests=TRITON_TESTS),
    "python-3.12": Row("3.12", "2.13.0", "3.7.1"),
    "python-3.13": Row("3.13", "2.13.0", "3.7.1"),
    "torch-2.14": Row("3.13", "2.14.0", "3.8.0", tests=TRITON_TESTS),
}


class Failed(Exception):
    """A command of a row failed: what it said last."""


class Environment:
    """The environment of a row.

    Args:
        folder: of all environments. python: the interpreter to make it with.
    """

    def __init__(self, folder: Path, name: str, python: str) -> None:
        self.row, self.python = ROWS[name], python
        self.folder, self.log = folder / name, folder / f"{name}.txt"
        self.interpreter = self.folder / "bin" / "python"

    def install(self) -> str:
        """Made once: an environment that is complete, and of these versions, is taken as it is."""
        asked = repr((self.row, (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")))
        complete = self.folder / "complete"
        if complete.exists() and complete.read_text(encoding="utf-8") == asked:
            return "kept"
        shutil.rmtree(self.folder, ignore_errors=True)
        self._run([self.python, "-m", "venv", str(self.folder)])
        self._pip("--no-deps", f"torch=={self.row.torch}", f"triton=={self.row.triton}")
        site = self._ask("import sysconfig; print(sysconfig.get_path('purelib'))")
        self._run([sys.executable, str(HERE / "cuda_stubs.py"), str(Path(site, "torch"))])
        self._pip(*needs_of_torch(self._ask("import importlib.metadata as m; print('\\n'.join(m.requires('torch')))")))
        alone, others = requirements(self.row)
        self._pip(*others, *needs_of_peers(alone))
        if alone:
            self._pip("--no-deps", *alone)
        self._pip("--no-deps", "--no-build-isolation", "-e", str(CHECKOUT))
        complete.write_text(asked, encoding="utf-8")
        return "ok"

    def check(self) -> str:
        """`trueband check`, all suites."""
        return self._run([str(self.interpreter), "-m", "trueband", "check"])

    def tests(self, paths: Sequence[str]) -> str:
        """pytest's closing line."""
        chosen = [str(TESTS / path) for path in paths] or [str(TESTS)]
        if not self.row.peers:
            chosen += [f"--ignore={path}" for path in tests_of_peers()]
        command = [str(self.interpreter), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", *chosen]
        return self._run(command).strip("= ")

    def _pip(self, *arguments: str) -> None:
        self._run([str(self.interpreter), "-m", "pip", "install", "-q", *arguments])

    def _ask(self, program: str) -> str:
        done = subprocess.run([self.interpreter, "-c", program], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def _run(self, command: list[str]) -> str:
        """The last line that it printed."""
        inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        kept = {"TRITON_CACHE_DIR": str(self.folder / "triton"), "XDG_CACHE_HOME": str(self.folder / "cache")}
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env={**inherited, **kept},
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with self.log.open("a", encoding="utf-8") as log:
            print("$", *command, f"\n{done.stdout}", file=log)
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()] or ["nothing was printed"]
        if done.returncode:
            failed = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
            raise Failed(f"exit code {done.returncode}: {'; '.join([lines[-1], *failed])}")
        return lines[-1]


def requirements(row: Row) -> tuple[list[str], list[str]]:
    """(to be installed alone, others) of what pyproject.toml declares, in the versions of the row."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    alone: list[str] = []
    others: list[str] = []
    for requirement in declared:
        name = name_of(requirement)
        if name in ("torch", "triton") or (name in PEERS and not row.peers):
            continue
        exact = f"{name}=={row.others[name]}" if name in row.others else requirement
        (alone if name in ON_TORCH else others).append(exact)
    return alone, others


def needs_of_peers(alone: Sequence[str]) -> list[str]:
    """What the packages that are installed alone need besides torch and each other."""
    return ["einops"] if alone else []


def needs_of_torch(told: str) -> list[str]:
    """Requirements of torch (one a line, as its metadata has them) that are neither CUDA's nor triton's nor extras."""
    found = [line for line in told.splitlines() if "extra ==" not in line]
    return [line for line in found if not re.match(r"(?:nvidia|cuda|triton)\b", line)]


def name_of(requirement: str) -> str:
    return re.split(r"[ <>=!~;\[]", requirement, maxsplit=1)[0]


def tests_of_peers() -> list[Path]:
    """Files of tests, or folders by their conftest, that name a package of `PEERS`."""
    named = re.compile(r"\b(?:transformers|local_attention|hf_models|hf-l\w+|new-target)\b")
    found = [path for path in sorted(TESTS.rglob("*.py")) if named.search(path.read_text(encoding="utf-8"))]
    return [path.parent if path.name == "conftest.py" else path for path in found if path.parent != TESTS]


def find_python(version: str, given: Sequence[str]) -> str | None:
    """An interpreter of this version: of those given, or on the path."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in (*given, sys.executable, shutil.which(f"python{version}")):
        if path:
            done = subprocess.run([path, "-c", program], capture_output=True, text=True, check=False)
            if done.returncode == 0 and done.stdout.strip() == version:
                return path
    return None


def cells(folder: Path, name: str, pythons: Sequence[str], tests: Sequence[str]) -> tuple[list[str], str]:
    """What became of each column, "-" if it was not reached; and what failed, if anything."""
    python = find_python(ROWS[name].python, pythons)
    if python is None:
        return ["FAILED", "-", "-"], f"expected python {ROWS[name].python}, got none: see --python"
    environment = Environment(folder, name, python)
    steps: list[Callable[[], str]] = [
        environment.install,
        environment.check,
        lambda: environment.tests(tests or ROWS[name].tests),
    ]
    told, failures = [], []
    for column, step in zip(COLUMNS, steps, strict=True):
        try:
            told.append(step())
        except Failed as error:
            told.append("FAILED")
            failures.append(f"{column}: {error}")
            if column == "install":
                return [*told, "-", "-"], failures[0]
    return told, "; ".join(failures)


def main() -> int:
    """Run the rows; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--folder", type=Path, required=True, help="of the environments")
    parser.add_argument("--python", action="append", default=[], metavar="PATH", help="an interpreter; again for more")
    parser.add_argument(
        "--tests", nargs="+", default=[], metavar="PATH", help="within tests/, instead of the row's own"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="one line for each row, as they finish")
    options = parser.parse_args()
    for row in options.rows:
        if row not in ROWS:
            parser.error(f"ROW: expected some of {', '.join(ROWS)}, got {row!r}")
    options.folder.mkdir(parents=True, exist_ok=True)
    passed = True
    print(f"{'row':13} {'python':7} {'torch':7} {'triton':7} {' | '.join(COLUMNS)}")
    for name in options.rows or ROWS:
        row = ROWS[name]
        told, failure = cells(options.folder.resolve(), name, options.python, options.tests)
        print(f"{name:13} {row.python:7} {row.torch:7} {row.triton:7} {' | '.join(told)}", flush=True)
        if failure:
            passed = False
            print(f"    {failure}", flush=True)
        if options.json:
            with options.json.open("a", encoding="utf-8") as file:
                print(json.dumps({"row": name, **dict(zip(COLUMNS, told, strict=True)), "failed": failure}), file=file)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
