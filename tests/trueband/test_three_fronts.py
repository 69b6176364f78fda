"""The command, pytest and the call give the same verdicts: they take their checks from one generator."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from inspect import signature
from pathlib import Path
from xml.etree import ElementTree

import pytest

import trueband
from trueband.properties.results.record import Record
from trueband.properties.running.plan import TIERS
from trueband.session.request import TIER, Options, flags
from trueband.session.request import TIERS as REQUEST_TIERS

KERNELS = Path(__file__).with_name("array_kernels.py")
OF_TORCH = Path(__file__).with_name("kernels.py")
GREEDY = f"{Path(__file__).parents[1]}/properties/candidate/cheats/processes.py:takes_all_memory"
MODELS = Path(__file__).with_name("peer_models.py")
CASES = 20
# Not how large an error is: the rounding of a kernel may depend on where in memory its inputs lie.
SAME = ("suite", "check", "claim", "dtype", "device", "status", "seed", "case", "reproduce")


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *map(str, command)], capture_output=True, text=True)


def told(lines: list[str]) -> list[dict[str, object]]:
    """What a record says besides how long it took; in the order of the checks' names."""
    records = [record for record in map(json.loads, lines) if record.get("record", "check") == "check"]
    return sorted(({name: each[name] for name in SAME} for each in records), key=lambda each: str(each["check"]))


def by_command(target: str, folder: Path) -> list[dict[str, object]]:
    report = folder / "records.jsonl"
    run("trueband", "check", target, "--cases", CASES, "--json", report)
    return told(report.read_text(encoding="utf-8").splitlines()[1:])


def by_pytest(target: str, folder: Path, *options: str) -> list[dict[str, object]]:
    return collected(f"--trueband-target={target}", folder, *options)


def collected(target: str, folder: Path, *options: str) -> list[dict[str, object]]:
    report = folder / "junit.xml"
    made = run(
        "pytest",
        "-q",
        f"--rootdir={folder}",
        "-c",
        folder / "none.ini",
        "-p",
        "no:cacheprovider",
        target,
        "-W",
        "error",
        f"--trueband-cases={CASES}",
        f"--junitxml={report}",
        *options,
        folder,
    )
    assert "warning" not in made.stdout
    properties = ElementTree.parse(report).getroot().iter("property")
    return told([each.get("value") or "" for each in properties if each.get("name") == "trueband"])


@pytest.mark.evidence
@pytest.mark.parametrize(
    ("file", "kernel"),
    [
        (KERNELS, "right"),
        (OF_TORCH, "window_one_short"),
        pytest.param(KERNELS, "global_key_twice", marks=pytest.mark.nightly),
        (KERNELS, "reads_padding"),
    ],
)
def test_the_fronts_agree(file: Path, kernel: str, tmp_path: Path) -> None:
    (tmp_path / "none.ini").write_text("[pytest]\n", encoding="utf-8")
    target = f"{file}:{kernel}"
    called = told([record.to_json() for record in trueband.check(target, cases=CASES)])
    assert len(called) > 40
    assert all(each["status"] == "passed" for each in called) == (kernel == "right")
    assert by_command(target, tmp_path) == called
    assert by_pytest(target, tmp_path, "-n", "2") == called


@pytest.mark.evidence
@pytest.mark.parametrize("models", ["right", "wrong"])
def test_the_fronts_agree_on_models(models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "none.ini").write_text("[pytest]\n", encoding="utf-8")
    monkeypatch.syspath_prepend(MODELS.parent)
    import peer_models  # type: ignore[import-not-found]

    chosen = "encoder_layers or default_globals"
    called = told(
        [
            # Another front names the file of the same factory.
            record.to_json().replace("peer_models:", f"{MODELS}:")
            for record in trueband.check(getattr(peer_models, models), cases=8, dtypes=["float32"], select=chosen)
        ]
    )
    status = "passed" if models == "right" else "failed"
    assert [(each["check"], each["dtype"], each["status"]) for each in called] == [
        ("default_globals", "longformer float32", status),
        ("encoder_layers", "longformer float32", status),
    ]
    report, target = tmp_path / "records.jsonl", f"{MODELS}:{models}"
    run(
        "trueband",
        "check",
        "--model-target",
        target,
        "--cases",
        8,
        "--dtype",
        "float32",
        "-k",
        chosen,
        "--json",
        report,
    )
    assert told(report.read_text(encoding="utf-8").splitlines()[1:]) == called
    options = ("-n", "2", "-k", chosen, "--trueband-cases=8", "--trueband-dtype=float32")
    assert collected(f"--trueband-model-target={target}", tmp_path, *options) == called


@pytest.mark.evidence
def test_a_front_that_leaves_out_a_check_is_seen(tmp_path: Path) -> None:
    (tmp_path / "none.ini").write_text("[pytest]\n", encoding="utf-8")
    target = f"{KERNELS}:right"
    called = told([record.to_json() for record in trueband.check(target, cases=CASES, select="masked")])
    assert by_pytest(target, tmp_path, "-p", "no:xdist", "-k", "masked and not content") != called
    assert by_pytest(target, tmp_path, "-p", "no:xdist", "-k", "masked") == called


def test_expected_failures_still_run_and_one_that_passes_fails() -> None:
    expected = {"mask_decoding": "the window is one short", "single_token": "a mistake"}
    kernel = f"{KERNELS}:window_one_short"
    decoding, single = trueband.check(kernel, cases=CASES, select="mask_decoding or single", expected_failures=expected)
    assert (decoding.status, decoding.reason, decoding.passed) == ("expected", "the window is one short", True)
    assert decoding.case == {"tokens": 2, "window": 1}
    assert (single.status, single.passed) == ("failed", False)
    assert single.message == "expected to fail (a mistake), passes now: take it off the expected failures"


def test_an_unknown_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got 'mask_decodin' \(is mask_decoding meant\?\)"):
        trueband.check(f"{KERNELS}:right", expected_failures={"mask_decodin": "no reason"})
    known = tmp_path / "known.json"
    known.write_text('{"single_tokens": "no reason"}', encoding="utf-8")
    made = run(
        "pytest",
        f"--rootdir={tmp_path}",
        "-c",
        "/dev/null",
        f"--trueband-target={KERNELS}:right",
        f"--trueband-expected-failures={known}",
        tmp_path,
    )
    assert made.returncode == pytest.ExitCode.INTERRUPTED
    assert "known.json: expected names of checks that apply to the target, got 'single_tokens'" in made.stdout


def test_functions_and_targets_are_found_where_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "found_kernels.py").write_text(
        "import functools\nimport trueband\n"
        + KERNELS.read_text(encoding="utf-8").replace("from __future__", "# ")
        + "\ntarget = trueband.Target(right, name='mine', features={'padding'})\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    import found_kernels  # type: ignore[import-not-found]

    def called(target: object) -> list[Record]:
        return trueband.check(target, cases=6, select="single_token")  # type: ignore[arg-type]

    assert [record.target for record in called(found_kernels.right)] == ["found_kernels:right"]
    assert [record.target for record in called(found_kernels.target)] == ["found_kernels:target"]
    with pytest.raises(ValueError, match="target: expected a function or a Target that has a name in a module"):
        called(lambda query, key, value, *, window: value)
    with pytest.raises(ValueError, match=r"target: expected a callable, a trueband\.Target or an import string"):
        called(3)


def test_wrong_arguments_are_told_before_anything_runs() -> None:
    kernel = f"{KERNELS}:right"
    for arguments, message in [
        ({"tier": "huge"}, "tier: expected one of quick, full, nightly, got 'huge'"),
        ({"cases": 0}, "cases: expected an int >= 1, got 0"),
        ({"dtypes": ["int8"]}, "dtypes: expected some of float64"),
        ({"seed": 1, "gate": True}, "seed cannot be used with gate: a gate draws its own seed, which is secret"),
        ({"select": "nothing_of_this_name"}, "select: expected a part of a check's name"),
        ({"expected_failures": {"single_token": ""}}, "expected_failures: expected a reason for single_token"),
        (
            {"expected_failures": {"locality": {"reason": "one", "case": {"tokens": 2}}}},
            "expected_failures: locality: case: expected the fields tokens and window, got no window",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            trueband.check(kernel, **arguments)  # type: ignore[arg-type]


def test_wrong_arguments_for_models() -> None:
    from trueband.adapters.hf_models import factory

    for arguments, message in [
        ({"dtypes": "bfloat16"}, "dtypes: expected one that a check of models is for, got bfloat16"),
        ({"device": "cuda"}, "device: expected cpu for models, got 'cuda'"),
        ({"select": "small_world"}, "select: expected a part of a check's name, got 'small_world'"),
        (
            {"expected_failures": {"pooler": {"reason": "one", "case": {"tokens": 2}}}},
            "expected_failures: pooler: case: expected architecture, tokens",
        ),
        ({"cases": 0}, "cases: expected an int >= 1, got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            trueband.check(factory, **arguments)  # type: ignore[arg-type]


def test_the_help_tells_the_tiers_as_they_are() -> None:
    assert [*REQUEST_TIERS] == [*TIERS]
    assert re.findall(r"(\w+), ([\d,]+\d)", TIER) == [(name, f"{cases:,}") for name, (cases, _) in TIERS.items()]


def test_every_front_takes_every_option() -> None:
    named = [*signature(trueband.check).parameters][1:]
    assert named == [*signature(trueband.parametrize_with_checks).parameters][1:]
    assert {*named} == {*Options.__annotations__} == {*flags()}
    with pytest.raises(TypeError, match=r"^check: expected some of tier, cases.* got sed$"):
        trueband.check(f"{KERNELS}:right", sed=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"got cpu$"):
        trueband.parametrize_with_checks([], cpu=1)  # type: ignore[call-arg]


def test_the_limit_on_memory_holds_in_a_call() -> None:
    (record,) = trueband.check(GREEDY, cases=6, select="single_token", dtypes="float32", memory_limit=2000)
    assert (record.status, record.passed) == ("out of memory", False)


def test_a_secret_seed_is_told_by_the_records() -> None:
    kernel = f"{KERNELS}:right"
    seeds = {trueband.check(kernel, cases=6, select="single_token", gate=True)[0].seed for _ in range(2)}
    assert len(seeds) == 2  # the same one twice: once in 2**31


def test_a_script_that_checks_itself_while_it_is_imported_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    kernel = "def kernel(query, key, value, *, window):\n    return value\n\n"
    script.write_text(f"import trueband\n\n{kernel}trueband.check(kernel)\n", encoding="utf-8")
    made = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert 'put the call under if __name__ == "__main__":' in made.stderr
    guarded = "if __name__ == '__main__':\n    print(trueband.check(kernel, cases=6, select='single_token')[0].check)\n"
    script.write_text(f"import trueband\n\n{kernel}{guarded}", encoding="utf-8")
    made = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert made.stdout == "single_token\n", made.stderr
