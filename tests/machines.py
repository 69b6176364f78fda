"""The matrix of machines: the package's checks and tests where the arithmetic differs, one child process for each cell.

    python tests/machines.py [--tier ci|nightly] [--rows NAME ...] [--columns NAME ...] [--json FILE]

A row is an environment: variables that choose instructions, threads or a BLAS, or another seed. Under `legal call`
every product is added in another order in every call: there the checks that need the feature `deterministic` must fail
for a target that declares it, and no others; and none for a target that does not. Exit codes: 0 all as it must be,
1 not, 2 wrong usage. A row that this machine cannot run is told, and counts as failed where CI is set.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trueband.properties.checks import CHECKS
from trueband.properties.machine import machine
from trueband.properties.models.checks import MODEL_CHECKS

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "tools"))
from legal_blas import MODES, NoCompiler, build, environment  # noqa: E402

COLUMNS = ("operator", "models", "golden", "tests")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CALL = "legal call"
UNDECLARED = "tools/dense_softmax.py:undeclared"
# What compares numbers of two runs, or with another library's.
TESTS = (
    "optimized",
    "checkpoints",
    "reference_models",
    "golden",
    "properties/test_bounds.py",
    "front/test_adapters.py",
)


@dataclass(frozen=True)
class Row:
    """A machine.

    Attributes:
        variables: of its environment.
        seed: of the checks.
        legal: mode of the legal BLAS; "": the machine's own BLAS.
    """

    variables: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    legal: str = ""


ROWS = {
    "default": Row(),
    **{f"MKL_CBWR={branch}": Row({"MKL_CBWR": branch}) for branch in ("COMPATIBLE", "AVX2")},
    **{f"ATEN_CPU_CAPABILITY={name}": Row({"ATEN_CPU_CAPABILITY": name}) for name in ("default", "avx2")},
    **{f"{count} threads": Row(dict.fromkeys(THREADS, str(count))) for count in (1, 2, 4)},
    **{f"OPENBLAS_CORETYPE={core}": Row({"OPENBLAS_CORETYPE": core}) for core in ("Nehalem", "Haswell")},
    "ONEDNN_MAX_CPU_ISA=SSE41": Row({"ONEDNN_MAX_CPU_ISA": "SSE41"}),
    **{f"legal {mode}": Row(legal=mode) for mode in MODES},
    **{f"seed {seed}": Row(seed=seed) for seed in range(1, 6)},
}
# The rows that have ever found something, with few cases; and all of them, as `trueband check` runs.
TIERS = {
    "ci": (("legal align", CALL, "seed 2"), ("operator", "models"), {"operator": 200, "models": 120}),
    "nightly": (tuple(ROWS), COLUMNS[:3], {}),
}


@dataclass(frozen=True)
class Cell:
    """What became of one column in one row.

    Attributes:
        passed: whether all is as it must be; None: it could not be run.
        told: one line.
        seconds: it took.
    """

    row: str
    column: str
    passed: bool | None
    told: str
    seconds: float = 0.0


class Matrix:
    """Runs cells. `cases`: by column, instead of the quick tier's."""

    def __init__(self, folder: Path, cases: dict[str, int], tests: tuple[str, ...]) -> None:
        self.folder, self.cases, self.tests = folder, cases, tests
        self.library: Path | None = None

    def cell(self, row: str, column: str) -> Cell:
        """Run one; what cannot be run is told."""
        start = time.monotonic()
        try:
            given = self._environment(ROWS[row])
        except NoCompiler as error:
            return Cell(row, column, None, f"cannot run: {error}")
        if column == "tests":
            passed, told = (None, "not asked") if row == CALL else self._tests(given)
        elif row == CALL and column in ("operator", "models"):
            passed, told = self._under_call(column, given)
        else:
            failed, told = self._check(column, (), ROWS[row].seed, given)
            passed = not failed
        return Cell(row, column, passed, told, round(time.monotonic() - start, 1))

    def _environment(self, row: Row) -> dict[str, str]:
        given = {**os.environ, **row.variables}
        if not row.legal:
            return given
        if self.library is None:
            self.library = build(self.folder)
        return environment(self.library, row.legal, given)

    def _check(self, suite: str, target: tuple[str, ...], seed: int, given: dict[str, str]) -> tuple[set[str], str]:
        """Names of the checks that failed, and a line."""
        file = self.folder / "records.jsonl"
        file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "trueband", "check", *target, "--suite", suite, "--json", str(file)]
        command += ["--seed", str(seed), *(("--cases", str(self.cases[suite])) if suite in self.cases else ())]
        done = subprocess.run(command, cwd=HERE, env=given, capture_output=True, text=True, check=False)
        records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
        checks = [record for record in records if record.get("record") == "check"]
        failed = {record["check"] for record in checks if record["status"] not in ("passed", "expected")}
        if done.returncode not in (0, 1) or not checks:
            return {"the command"}, f"exit code {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"
        names = [f"{r['check']} [{r['dtype']}]" for r in checks if r["status"] not in ("passed", "expected")]
        return failed, f"FAILED {len(names)} of {len(checks)}: {', '.join(names)}" if names else f"ok {len(checks)}"

    def _under_call(self, suite: str, given: dict[str, str]) -> tuple[bool, str]:
        failed, told = self._check(suite, (), 0, given)
        needs = {name for name, one in CHECKS.items() if one.exact_with}
        needs |= {name for name, one in MODEL_CHECKS.items() if "deterministic" in one.needs}
        if not failed or not failed <= needs:
            return False, f"declared: expected some of {', '.join(sorted(needs))} to fail and nothing else, got {told}"
        told = f"declared: of those that need it {len(failed)} fail, and no other"
        if suite == "models":  # one check needs it, and without it is not run: nothing else to see
            return True, told
        undeclared, said = self._check(suite, (UNDECLARED,), 0, given)
        return not undeclared, f"{told}; undeclared: {said}"

    def _tests(self, given: dict[str, str]) -> tuple[bool, str]:
        paths = [str(HERE / name) for name in self.tests]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", *paths]
        done = subprocess.run(command, cwd=HERE.parent, env=given, capture_output=True, text=True, check=False)
        lines = done.stdout.strip().splitlines() or ["nothing"]
        failed = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
        return done.returncode == 0, "; ".join([lines[-1].strip("= "), *failed])


def cells(matrix: Matrix, rows: list[str], columns: list[str]) -> Iterator[Cell]:
    for row in rows:
        for column in columns:
            yield matrix.cell(row, column)


def main() -> int:
    """Run the matrix; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", choices=TIERS, default="nightly", help="ci: what has ever found something, few cases")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, help="(default: those of the tier)")
    parser.add_argument("--tests", nargs="+", metavar="PATH", default=TESTS, help="of the column tests, within tests/")
    parser.add_argument("--json", type=Path, metavar="FILE", help="one line for each cell, as they finish")
    options = parser.parse_args()
    rows, columns, cases = TIERS[options.tier]
    rows, columns = options.rows or list(rows), options.columns or list(columns)
    for row in rows:
        if row not in ROWS:
            parser.error(f"--rows: expected some of {', '.join(ROWS)}, got {row!r}")
    here = machine()
    print(", ".join(f"{name} {here[name]}" for name in ("processor", "vector", "cores", "python") if name in here))
    table = Table("machine", *columns, box=None, pad_edge=False)
    found: list[Cell] = []
    interrupted = False
    with tempfile.TemporaryDirectory() as folder:
        file = options.json.open("w", encoding="utf-8") if options.json else None
        try:
            if file:
                print(json.dumps({"record": "run", "machine": here}), file=file, flush=True)
            for cell in cells(Matrix(Path(folder), cases, tuple(options.tests)), rows, columns):
                found.append(cell)
                print(f"{cell.row}, {cell.column}: {cell.told}, {cell.seconds:.0f} s", flush=True)
                if file:
                    print(json.dumps({"record": "cell", **asdict(cell)}), file=file, flush=True)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if file:
                file.close()
    for row in rows:
        there = {cell.column: cell for cell in found if cell.row == row}
        table.add_row(row, *(_short(there.get(column)) for column in columns))
    Console(width=160).print(table)
    if interrupted:
        return 130
    wrong = [cell for cell in found if cell.passed is False or (cell.passed is None and _missing(cell))]
    print(f"{len(found) - len(wrong)} passed, {len(wrong)} failed")
    return int(bool(wrong))


def _missing(cell: Cell) -> bool:
    """Whether a cell could not be run where it should have been."""
    return cell.told.startswith("cannot run") and bool(os.environ.get("CI"))


def _short(cell: Cell | None) -> str:
    if cell is None:
        return ""
    word = {True: "ok", False: "FAILED", None: "not run"}[cell.passed]
    return f"{word} {cell.seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
