"""Mutation testing: every small change to a file must make a test fail. See README.md beside this file.

cosmic-ray makes the changes. Each is tried in a forked process that loads the changed text instead of the file: nothing
on disk is touched, and the libraries are loaded once.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import importlib.machinery
import json
import os
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SECONDS = 600  # of one mutant: an endless loop is a failure
MUTANTS = 40  # of one task on a cluster
KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"


class Mutant(NamedTuple):
    """One change: the occurrence-th place in the file where the operator of cosmic-ray fits."""

    file: str
    operator: str
    occurrence: int
    line: int
    before: str
    after: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in self._asdict().items() if name != "text"}

    @property
    def key(self) -> str:
        return f"{self.file} {self.operator} {self.occurrence}"


def mutants(file: str) -> Iterator[Mutant]:
    """All changes of a file that change what it does: annotations are never evaluated, so theirs are left out."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code

    source = (ROOT / file).read_text(encoding="utf-8")
    meaning = _meaning(source)
    for name in plugins.operator_names():
        if name in ("core/VariableReplacer", "core/VariableInserter"):
            continue  # these need names of variables
        operator = plugins.get_operator(name)()
        places = sum(1 for node in ast_nodes(get_ast(source)) for _ in operator.mutation_positions(node))
        for occurrence in range(places):
            text = mutate_code(source, operator, occurrence)
            if text is None or _meaning(text) == meaning:
                continue
            line, before, after = _difference(source, text)
            yield Mutant(file, name.removeprefix("core/"), occurrence, line, before, after, text)


class _NoAnnotations(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant("")
        return self.generic_visit(node)


def _meaning(source: str) -> str:
    try:
        return ast.dump(_NoAnnotations().visit(ast.parse(source)))
    except SyntaxError:
        return source


def _difference(source: str, text: str) -> tuple[int, str, str]:
    """Number of the first changed line, and the changed lines before and after, stripped."""
    old, new = source.splitlines(), text.splitlines()
    for tag, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            return i + 1, " ".join(x.strip() for x in old[i:j]), " ".join(x.strip() for x in new[k:m])
    return 0, "", ""


class _First:
    """A plugin of pytest that keeps the name of the first test that fails."""

    failed = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid or "collection"


def try_mutant(mutant: Mutant, rounds: list[list[str]]) -> tuple[str, str]:
    """("killed", the test that failed), ("survived", "") or ("timeout", "")."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run_child(mutant, rounds, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as stream:
        told = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return (TIMEOUT, "") if os.WTERMSIG(status) == signal.SIGALRM else (KILLED, f"signal {os.WTERMSIG(status)}")
    outcome, _, test = told.partition(" ")
    return outcome or KILLED, test


def check_runner(file: str, rounds: list[list[str]]) -> None:
    """The file as it is must pass, and a file that cannot be loaded must fail, or the outcomes mean nothing."""
    source = (ROOT / file).read_text(encoding="utf-8")
    for text, expected in ((source, SURVIVED), ("raise RuntimeError", KILLED)):
        got, test = try_mutant(Mutant(file, "", 0, 0, "", "", text), rounds)
        if got != expected:
            raise SystemExit(
                f"{file}: expected {text[:20]!r}... to have {expected}, got {got} {test}; is the trueband that "
                f"{sys.executable} imports the one of {ROOT}?"
            )


def _run_child(mutant: Mutant, rounds: list[list[str]], writing: int) -> None:
    import pytest

    signal.alarm(SECONDS)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    path, load = str(ROOT / mutant.file), importlib.machinery.SourceFileLoader.get_code

    def get_code(self: Any, fullname: str) -> Any:
        if os.path.realpath(self.path) == path:
            return compile(mutant.text, path, "exec")
        return load(self, fullname)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
    told = SURVIVED
    for tests in rounds:
        first = _First()
        arguments = [
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-n",
            "0",
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
            "--rootdir",
            str(ROOT),
            "-c",
            str(ROOT / "pyproject.toml"),
            *(str(ROOT / test) for test in tests),
        ]
        if pytest.main(arguments, plugins=[first]) != 0:
            told = f"{KILLED} {first.failed or 'pytest'}"
            break
    os.write(writing, told.encode())
    os._exit(0)


def load_rounds(file: str) -> list[list[str]]:
    """The tests of a file, in rounds: most mutants die in the first, which takes a second."""
    plan = tomllib.loads((HERE / "plan.toml").read_text(encoding="utf-8"))
    for entry in plan["files"]:
        if file in entry["sources"]:
            rounds: list[list[str]] = entry["rounds"]
            return rounds
    raise SystemExit(f"{file}: expected a file that plan.toml names")


def equivalents() -> dict[tuple[str, str, str], str]:
    """{(file, line before, line after): why no test can tell them apart}."""
    listed = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8")).get("mutant", [])
    return {(one["file"], one["before"], one["after"]): one["why"] for one in listed}


def run(files: list[str], report: Path, part: str, again: bool = False) -> None:
    """Try what the report does not have yet, one JSON line each. Equivalent mutants are tried only `again`."""
    import hypothesis  # noqa: F401
    import mpmath  # noqa: F401
    import numpy  # noqa: F401
    import pytest  # noqa: F401

    done, known = {row["key"]: row for row in read(report)}, equivalents()
    index, count = map(int, part.split("/"))
    with report.open("a", encoding="utf-8") as out:
        for file in files:
            digest = hashlib.sha256((ROOT / file).read_bytes()).hexdigest()[:12]
            rounds = load_rounds(file)
            if any("optimized" in test for tests in rounds for test in tests):
                import torch  # noqa: F401
            check_runner(file, rounds[:1])
            for number, mutant in enumerate(mutants(file)):
                if number % count != index - 1:
                    continue
                if (file, mutant.before, mutant.after) in known and not again:
                    row = {"key": mutant.key, **mutant.to_dict(), "digest": digest, "outcome": SURVIVED, "test": ""}
                    out.write(json.dumps(row) + "\n")
                    continue
                there = done.get(mutant.key)
                if there and there["digest"] == digest and there["outcome"] != SURVIVED:
                    continue
                start = time.monotonic()
                outcome, test = try_mutant(mutant, rounds)
                row = {
                    "key": mutant.key,
                    **mutant.to_dict(),
                    "digest": digest,
                    "outcome": outcome,
                    "test": test,
                    "seconds": round(time.monotonic() - start, 1),
                }
                out.write(json.dumps(row) + "\n")
                out.flush()
                if outcome == SURVIVED:
                    print(f"survived {file}:{mutant.line} {mutant.before!r} -> {mutant.after!r}", flush=True)


def run_on_ray(files: list[str], report: Path, again: bool, address: str) -> None:
    """The same on a cluster: each task runs this script on a part of a file's mutants, in a copy of the checkout."""
    from trueband.cluster.command import run_part
    from trueband.cluster.driver import Driver
    from trueband.cluster.files import gather_checkout
    from trueband.cluster.scheduler import RayScheduler, Resources
    from trueband.starting.threads import single

    done = read(report)
    jobs = []
    for file in files:
        parts = -(-sum(1 for _ in mutants(file)) // MUTANTS)
        script = ["tests/mutation/run.py", "run", file, *(["--equivalent"] if again else [])]
        jobs += [[*script, "--part", f"{index}/{parts}"] for index in range(1, parts + 1)]
    known = "".join(json.dumps(row) + "\n" for row in done)
    with tempfile.TemporaryDirectory() as folder, report.open("a", encoding="utf-8") as out:
        gather_checkout(ROOT, Path(folder))
        with RayScheduler(address, Resources(), Path(folder), single()) as scheduler:
            scheduler.bind(run_part, "--report", known)
            driver: Driver[list[str]] = Driver(scheduler)
            for number, (job, lines) in enumerate(driver.run(jobs), 1):
                out.write(lines.removeprefix(known))
                out.flush()
                print(f"{number}/{len(jobs)} parts, {job[2]} {job[-1]}", flush=True)
            if driver.abandoned:
                raise SystemExit(f"{len(driver.abandoned)} parts were lost with their machines; run it again")


def read(report: Path) -> list[dict[str, Any]]:
    """The last row of each mutant."""
    if not report.exists():
        return []
    rows = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    return list({row["key"]: row for row in rows}.values())


def score(report: Path, files: list[str]) -> int:
    """Print the score of each file and the survivors that nothing explains; how many those are."""
    known, open_ = equivalents(), 0
    rows = [row for row in read(report) if not files or row["file"] in files]
    print(f"{'file':44} mutants  killed  equivalent  survived")
    for file in dict.fromkeys(row["file"] for row in rows):
        counts: Counter[str] = Counter()
        for row in rows:
            if row["file"] == file:
                same = row["outcome"] == SURVIVED and (file, row["before"], row["after"]) in known
                counts["equivalent" if same else KILLED if row["outcome"] == TIMEOUT else row["outcome"]] += 1
        total = sum(counts.values())
        print(f"{file:44} {total:7}  {counts[KILLED]:6}  {counts['equivalent']:10}  {counts[SURVIVED]:8}")
        open_ += counts[SURVIVED]
    for row in rows:
        if row["outcome"] == SURVIVED and (row["file"], row["before"], row["after"]) not in known:
            print(f"  {row['file']}:{row['line']}  {row['operator']}\n    - {row['before']}\n    + {row['after']}")
    return open_


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "score", "count"))
    parser.add_argument("files", nargs="*", help="such as reference/masks.py; run and count: default all of plan.toml")
    parser.add_argument("--report", type=Path, default=Path("mutation.jsonl"), help="JSON lines (default: %(default)s)")
    parser.add_argument("--part", default="1/1", metavar="i/N", help="every N-th mutant, from the i-th on")
    parser.add_argument("--ray", metavar="ADDRESS", help="run on a cluster of Ray: HOST:PORT, or auto, a local one")
    parser.add_argument("--equivalent", action="store_true", help="try those that equivalent.toml lists, too")
    options = parser.parse_args()
    plan = tomllib.loads((HERE / "plan.toml").read_text(encoding="utf-8"))["files"]
    files = options.files or [source for entry in plan for source in entry["sources"]]
    if options.command == "count":
        for file in files:
            print(f"{file:44} {sum(1 for _ in mutants(file))}")
        return 0
    if options.ray and options.part != "1/1":
        parser.error("--part cannot be used with --ray, which makes parts of its own")
    if options.command == "run" and options.ray:
        run_on_ray(files, options.report, options.equivalent, options.ray)
    elif options.command == "run":
        run(files, options.report, options.part, options.equivalent)
    return 1 if score(options.report, options.files) else 0


if __name__ == "__main__":
    sys.exit(main())
