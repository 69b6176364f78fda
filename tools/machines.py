"""The matrix of machines: the checks and tests of the package where the arithmetic differs, a child process a cell.

    python tools/machines.py [--tier ci|nightly] [--rows NAME ...] [--columns NAME ...] [--json FILE]

A row is an environment: variables that choose instructions, threads or a BLAS, or another seed of the checks. Under
`legal MODE` torch computes with tools/legal_blas.c, whose sums are right in any order that a BLAS may take. With
`legal call` that is another order in every call: there the checks that need `deterministic` must fail for a target that
declares it, and no other; and none for a target that does not.

A row is asked first what it computes with. One that this machine cannot have (no compiler, a variable that its library
does not follow) is told as unsupported; where CI is set, that is a failure.

Exit codes: 0 all is as it must be, 1 something is not, 2 wrong usage, 130 interrupted; the rows until then stand.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from trueband.properties.candidate.target import WHOLE_CONTRACT
from trueband.properties.checks import CHECKS
from trueband.properties.models.checks import MODEL_CHECKS
from trueband.properties.results.machine import Machine, machine
from trueband.reports.json_lines import first_line
from trueband.reports.machines import in_a_process, short
from trueband.starting.threads import VARIABLES as THREADS

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from legal_blas import MODES, NoCompiler, build, called, environment  # noqa: E402

COLUMNS = ("operator", "models", "golden", "tests")
OWN = ("chunked", f"{HERE / 'dense_softmax.py'}:undeclared")
CALL = "call"
# What compares numbers of two runs, or with another library's.
TESTS = (
    "optimized",
    "reference/models",
    "golden",
    "properties/bounds/test_bounds.py",
    "trueband/test_adapters.py",
)


@dataclass(frozen=True)
class Row:
    """A machine.

    Attributes:
        variables: of its environment.
        told: what a process with torch must tell of itself there, by its first words; see `properties.machine`.
        seed: of the checks.
        legal: mode of the legal BLAS; "": the machine's own BLAS.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    legal: str = ""

    @classmethod
    def of(cls, variable: str, value: str, **told: str) -> Row:
        return cls({variable: value}, told)


ROWS: Mapping[str, Row] = {
    "default": Row(),
    **{f"MKL_CBWR={each}": Row.of("MKL_CBWR", each, torch_blas="MKL") for each in ("COMPATIBLE", "AVX2")},
    **{
        f"ATEN_CPU_CAPABILITY={each}": Row.of("ATEN_CPU_CAPABILITY", each, aten=each.upper())
        for each in ("default", "avx2")
    },
    **{
        # Threads that wait must not keep a processor busy that another one needs; and MKL starts as many as it is asked
        # for, on fewer processors, too.
        f"OMP_NUM_THREADS={each}": Row(
            {"OMP_NUM_THREADS": each, "OMP_WAIT_POLICY": "PASSIVE", "MKL_DYNAMIC": "FALSE"}, {"threads": each}
        )
        for each in ("1", "2", "4")
    },
    **{
        f"OPENBLAS_CORETYPE={each}": Row.of("OPENBLAS_CORETYPE", each, numpy_blas_core=each)
        for each in ("Nehalem", "Haswell")
    },
    "ONEDNN_MAX_CPU_ISA=SSE41": Row.of("ONEDNN_MAX_CPU_ISA", "SSE41", onednn=""),
    **{f"legal {mode}": Row(legal=mode, told={"torch_blas": "MKL"}) for mode in MODES},
    **{f"seed {seed}": Row(seed=seed) for seed in range(1, 6)},
}


@dataclass(frozen=True)
class Tier:
    """How much is run.

    Attributes:
        cases: by column, instead of those of the quick tier.
        bits: of the operator under `legal call`: only the checks that compare bits, in float32.
    """

    rows: Collection[str]
    columns: Collection[str]
    cases: Mapping[str, int] = field(default_factory=dict)
    bits: bool = False


TIERS = {
    # What has ever found something, with few cases: `trueband check` itself has run already.
    "ci": Tier(("legal align", "legal call", "seed 2"), COLUMNS[:2], {"operator": 250, "models": 150}, bits=True),
    "nightly": Tier(tuple(ROWS), COLUMNS[:3]),
}


@dataclass(frozen=True)
class Cell:
    """What became of one column in one row.

    Attributes:
        status: "ok", "FAILED", "unsupported" or "none", where the column makes no claim.
        told: one line.
        seconds: it took.
    """

    row: str
    column: str
    status: str
    told: str = ""
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """What is unsupported fails where CI is set: there it was to be shown."""
        return self.status == "FAILED" or (self.status == "unsupported" and bool(os.environ.get("CI")))

    def __str__(self) -> str:
        if self.status == "none":
            return "-"
        return f"{self.status}{':' if self.status != 'ok' else ''} {self.told} {self.seconds:.0f} s"


class Broken(Exception):
    """A command did not do what it is for. The message is one line."""


@dataclass(frozen=True)
class Checked:
    """What `trueband check` found.

    Attributes:
        features: of the target; empty where there is none.
        count: records.
        failed: names of the checks that failed, with their dtype each, by name.
    """

    features: frozenset[str]
    count: int
    failed: Mapping[str, list[str]]

    def __str__(self) -> str:
        names = [name for each in self.failed.values() for name in each]
        return f"{len(names)} of {self.count}: {', '.join(names)}" if names else f"{self.count} checks"


class Matrix:
    """Runs cells.

    Attributes:
        tier: how much.
        targets: of the column operator.
        tests: paths of the column tests.
    """

    def __init__(self, folder: Path, tier: Tier, targets: Collection[str], tests: Collection[str]) -> None:
        self.tier, self.targets, self.tests = tier, targets, tests
        self._folder = folder
        self._library: Path | None = None

    def row(self, name: str, columns: Collection[str]) -> Iterator[Cell]:
        """The cells of a row, as they finish."""
        row = ROWS[name]
        try:
            variables = self._environment(row)
            missing = lacking(in_a_process(variables), row.told)
        except (NoCompiler, subprocess.CalledProcessError) as error:
            missing = " ".join(str(error).split())
        for column in columns:
            start = time.monotonic()
            status, told = ("unsupported", missing) if missing else self._cell(row, column, variables)
            yield Cell(name, column, status, told, round(time.monotonic() - start, 1))

    def _cell(self, row: Row, column: str, variables: Mapping[str, str]) -> tuple[str, str]:
        before = called(self._library, row.legal) if self._library and row.legal else 0
        try:
            if column == "tests":
                if row.legal == CALL:
                    return "none", ""  # the tests hold the package to the bits that it declares
                told = self._tests(variables)
            elif row.legal == CALL and column in ("operator", "models"):
                told = self._under_call(column, variables)
            else:
                told = str(self._passed(column, self._of(column)[0], row, variables))
            if self._library and row.legal and called(self._library, row.legal) == before:
                raise Broken("no process has called the library")
        except Broken as error:
            return "FAILED", str(error)
        return "ok", told

    def _of(self, column: str) -> list[str]:
        """Targets of a column; "": there are none to be named."""
        return list(self.targets) if column == "operator" else [""]

    def _environment(self, row: Row) -> dict[str, str]:
        given = {name: value for name, value in os.environ.items() if name not in THREADS or not row.variables}
        given |= row.variables
        if not row.legal:
            return given
        if self._library is None:
            self._library = build(self._folder)
        return environment(self._library, row.legal, given)

    def _passed(self, suite: str, target: str, row: Row, variables: Mapping[str, str]) -> Checked:
        found = self._check(suite, target, row, variables)
        if found.failed:
            raise Broken(str(found))
        return found

    def _check(
        self, suite: str, target: str, row: Row, variables: Mapping[str, str], options: Collection[str] = ()
    ) -> Checked:
        report = self._folder / "records.jsonl"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "trueband", "check", *([target] if target else []), "--suite", suite]
        command += ["--seed", str(row.seed), "--json", str(report), *options]
        command += ["--cases", str(self.tier.cases[suite])] if suite in self.tier.cases else []
        done = subprocess.run(command, env={**variables}, capture_output=True, text=True, check=False)
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
        head, *rest = [json.loads(line) for line in lines] or [{}]
        records = [each for each in rest if each["record"] == "check"]
        if done.returncode not in (0, 1) or not records:
            last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise Broken(f"trueband check ended with {done.returncode}: {last}")
        failed: dict[str, list[str]] = {}
        for each in records:
            if each["status"] not in ("passed", "expected"):
                failed.setdefault(each["check"], []).append(f"{each['check']} [{each['dtype']}]")
        return Checked(frozenset(head.get("features", ())), len(records), failed)

    def _under_call(self, suite: str, variables: Mapping[str, str]) -> str:
        """Where no call gives the same bits again: what fails is what a target has declared."""
        told, options = [], []
        if suite == "operator" and self.tier.bits:
            options = ["--dtype", "float32", "-k", " or ".join(sorted(held_to_bits(suite, WHOLE_CONTRACT)))]
        for target in self._of(suite):
            found = self._check(suite, target, ROWS[f"legal {CALL}"], variables, options)
            told.append(judged_under_call(suite, found, whole=suite not in self.tier.cases))
        return "; ".join(told)

    def _tests(self, variables: Mapping[str, str]) -> str:
        paths = [str(HERE.parent / "tests" / name) for name in self.tests]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", *paths]
        done = subprocess.run(command, cwd=HERE.parent, env={**variables}, capture_output=True, text=True, check=False)
        lines = done.stdout.strip().splitlines() or ["no output"]
        failed = [line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))]
        told = lines[-1].strip("= ").partition(" in ")[0]
        if done.returncode:
            raise Broken("; ".join([told, *failed]))
        return told


def lacking(machine: Machine, told: Mapping[str, str]) -> str:
    """What a machine is not, in one line; "" where it is all that a row asks for."""
    wrong = [name for name, value in told.items() if not str(machine.get(name, "\0")).startswith(value)]
    return ", ".join(f"expected {name} {told[name]}, got {machine.get(name, 'none')}" for name in wrong)


def judged_under_call(suite: str, found: Checked, whole: bool) -> str:
    """What is to be told of a suite where no call gives the same bits again.

    Args:
        whole: with enough cases, every check fails that holds the target to its bits; else at least one of them.

    Raises:
        Broken: other checks have failed than those that must.
    """
    held = held_to_bits(suite, {"deterministic"} if suite == "models" else found.features)
    others = [name for check in found.failed.keys() - held for name in found.failed[check]]
    if others:
        raise Broken(f"expected to pass, as they do not need deterministic: {', '.join(sorted(others))}")
    must = held - GIVES_WAY if whole or not held & found.failed.keys() else set()
    passed = (must if whole else must & {"deterministic"}) - found.failed.keys()
    if passed:
        raise Broken(f"expected to fail, as they need deterministic: {', '.join(sorted(passed))}")
    return f"declared: {len(found.failed)} that need it fail, as they must" if held else f"undeclared: {found}"


# Claims about gradients that are judged by bounds where the same call's gradients are other bits again: that is said by
# the check of that. Under autocast the products are of bfloat16, which no BLAS has.
GIVES_WAY = {"autocast"} | {
    name
    for name, one in CHECKS.items()
    if one.exact_with == "deterministic_gradients" and one.exact_with not in one.needs
}


def held_to_bits(suite: str, features: Collection[str]) -> set[str]:
    """Checks that compare bits of two calls of a target with these features, each declared with `deterministic`."""
    if suite == "models":
        return {name for name, one in MODEL_CHECKS.items() if "deterministic" in one.needs & set(features)}
    return {name for name, one in CHECKS.items() if one.exact_with in features and one.applies_to(features)}


def table_of(cells: Collection[Cell], rows: Collection[str], columns: Collection[str]) -> Table:
    """A line for each row that has begun."""
    table = Table("machine", *columns, box=None, pad_edge=False)
    for row in rows:
        there = {cell.column: str(cell) for cell in cells if cell.row == row}
        if there:
            table.add_row(row, *(there.get(column, "") for column in columns))
    return table


def main(arguments: list[str] | None = None) -> int:
    """Run the matrix; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--tier",
        choices=TIERS,
        default="nightly",
        help="ci: the rows that have ever found something, with few cases; "
        "nightly: all, with those of `trueband check` (default)",
    )
    add("--rows", nargs="+", metavar="NAME", help=f"some of: {', '.join(ROWS)} (default: those of the tier)")
    add("--columns", nargs="+", metavar="NAME", help=f"some of: {', '.join(COLUMNS)} (default: those of the tier)")
    add("--cases", type=int, metavar="N", help="random cases for each dtype, of operator and models")
    add("--target", metavar="TARGET", help="what the column operator checks (default: the package's own kernel)")
    add("--tests", nargs="+", metavar="PATH", default=TESTS, help=f"of the column tests (default: {' '.join(TESTS)})")
    add("--json", type=Path, metavar="FILE", help="write one line for each cell, as they finish; the first: where")
    try:
        return run(parser.parse_args(arguments))
    except (ValueError, OSError) as error:
        print(f"machines.py: error: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace) -> int:
    tier: Tier = TIERS[options.tier]
    rows = chosen("--rows", options.rows, ROWS, tier.rows)
    columns = chosen("--columns", options.columns, COLUMNS, ("operator",) if options.target else tier.columns)
    if options.cases is not None:
        if options.cases < 1:
            raise ValueError(f"--cases: expected an int >= 1, got {options.cases}")
        tier = replace(tier, cases=dict.fromkeys(("operator", "models"), options.cases))
    here = machine(load=True)
    found: list[Cell] = []
    interrupted = False
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="machines-")))
        file = stack.enter_context(options.json.open("w", encoding="utf-8")) if options.json else None
        write(file, first_line("machines", here, rows=rows, columns=columns))
        print(short(here), flush=True)
        matrix = Matrix(folder, tier, (options.target,) if options.target else OWN, options.tests)
        try:
            for row in rows:
                for cell in matrix.row(row, columns):
                    found.append(cell)
                    write(file, {"record": "cell", **asdict(cell)})
                    print(f"{cell.row}, {cell.column}: {cell}", flush=True)
        except KeyboardInterrupt:
            interrupted = True
    print()
    Console(width=200, soft_wrap=True).print(table_of(found, rows, columns))
    wrong = sum(cell.failed for cell in found)
    print(f"\n{wrong} of {len(found)} cells FAILED" if wrong else f"\nall {len(found)} cells are as they must be")
    if interrupted:
        print("machines.py: interrupted; the above had finished", file=sys.stderr)
        return 130
    return int(wrong > 0)


def chosen(name: str, asked: list[str] | None, known: Collection[str], default: Collection[str]) -> list[str]:
    """What was asked for, each once; ValueError for what there is not."""
    for each in asked or ():
        if each not in known:
            raise ValueError(f"{name}: expected some of {', '.join(known)}, got {each!r}")
    return list(dict.fromkeys(asked or default))


def write(file: Any, line: Mapping[str, Any]) -> None:
    if file is not None:
        print(json.dumps(line), file=file, flush=True)


if __name__ == "__main__":
    sys.exit(main())
