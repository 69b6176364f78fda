"""Runs transformers' own tests on models of LED and Longformer that are patched, and on the same unpatched.

    python tools/peer_tests.py                     # of the version that is installed; pip brings the source
    python tools/peer_tests.py --source FOLDER     # an unpacked source distribution, or a checkout

A test that passes unpatched and fails patched must stand in peer_tests.json with its cause, by version, and what stands
there must fail: else the exit code is 1. A checkout has tests of the two models. Source distributions of 4.46.3 and
5.23.0 have only the common tests of all models: these run with the models of peer_tests_suite.py. Needs the package
parameterized. For the nightly tier: minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
OWN = [f"tests/models/{name}/test_modeling_{name}.py" for name in ("led", "longformer")]
LAID = "tests/test_patched_models.py"
# What the common tests import of tests that a source distribution leaves out: mixins, empty here.
ABSENT = {
    "tests/exporters/test_export.py": "ExportTesterMixin",
    "tests/generation/test_utils.py": "GenerationTesterMixin",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, metavar="FOLDER", help="use this source, do not download")
    parser.add_argument("-k", dest="words", default="", help="only the tests that pytest selects by these words")
    options = parser.parse_args()
    version = installed()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = copied(options.source, place) if options.source else downloaded(version, place)
        files = prepared(source)
        plain, patched = (run(source, files, options.words, plugin) for plugin in (False, True))
    wrong = sorted(name for name in plain if plain[name] == "passed" and patched.get(name) != "passed")
    listed = json.loads((HERE / "peer_tests.json").read_text(encoding="utf-8")).get(version, {})
    for title, names in (
        ("fails patched alone, and is not listed", [name for name in wrong if name not in listed]),
        ("is listed, and does not fail", [name for name in listed if name in plain and name not in wrong]),
    ):
        for name in names:
            print(f"{title}: {name}")
    for title, found in (("unpatched", plain), ("patched", patched)):
        counts = {status: list(found.values()).count(status) for status in ("passed", "failed", "skipped")}
        print(f"transformers {version}, {title}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    right = bool(plain) and set(wrong) == {name for name in listed if name in plain}
    return 0 if right else 1


def installed() -> str:
    """The version of transformers that Python imports here, which may stand before an installed one on PYTHONPATH."""
    done = subprocess.run(
        [sys.executable, "-c", "import transformers; print(transformers.__version__)"], capture_output=True, text=True
    )
    return done.stdout.strip()


def downloaded(version: str, place: Path) -> Path:
    """The folder of the source distribution, which pip brings."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "transformers", "--no-build-isolation"]
    subprocess.run([*pip, "--dest", str(place), f"transformers=={version}"], check=True, stdout=subprocess.DEVNULL)
    (archive,) = place.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(place, filter="data")
    (folder,) = (path for path in place.iterdir() if path.is_dir())
    return folder


def copied(source: Path, place: Path) -> Path:
    """The tests of a source, where files may be laid beside them."""
    shutil.copytree(source / "tests", place / "source" / "tests")
    return place / "source"


def prepared(source: Path) -> list[str]:
    """The files of tests to run, all they import made."""
    if all((source / name).is_file() for name in OWN):
        return OWN
    for name, mixin in ABSENT.items():
        if not (source / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(f"class {mixin}:\n    pass\n", encoding="utf-8")
    for folder in (source / "tests", *(path.parent for path in map(source.joinpath, ABSENT))):
        (folder / "__init__.py").touch()
    shutil.copy(HERE / "peer_tests_suite.py", source / LAID)
    return [LAID]


def run(source: Path, files: list[str], words: str, patched: bool) -> dict[str, str]:
    """The outcome of every test: "passed", "failed" or "skipped"."""
    report = source / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:trueband", *files]
    command += ["--rootdir", str(source), "-c", os.devnull, f"--junitxml={report}"]
    command += ["-p", "peer_tests_plugin"] if patched else []
    command += ["-k", words] if words else []
    paths = [str(source), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=source, env=environment, check=False, capture_output=True, text=True)
    if not report.is_file():
        sys.exit(done.stdout + done.stderr)
    outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        status = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        outcomes[f"{case.get('classname')}.{case.get('name')}"] = status
    report.unlink()
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
