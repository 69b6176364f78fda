"""`trueband sanitize`, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueband.commands.sanitize import DESCRIPTION
from trueband.properties.candidate.target import TargetError
from trueband.properties.gpu.sanitizer.process import sanitize

COMMAND = [sys.executable, "-m", "trueband", "sanitize"]


@pytest.fixture
def run(trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the command in a folder."""

    def sanitized(*arguments: str, folder: Path) -> Any:
        monkeypatch.chdir(folder)
        return trueband_here("sanitize", *arguments)

    return sanitized


def example() -> str:
    """The file that --help shows."""
    _, found, rest = DESCRIPTION.partition("my_triton.py:\n\n")
    assert found
    return textwrap.dedent(rest.partition("\n  $ trueband")[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = example()
    (tmp_path / "my_triton.py").write_text(source, encoding="utf-8")
    assert source.count("tl.load(x + places)") == 1
    mended = source.replace("tl.load(x + places)", "tl.load(x + places, mask=places < n)")
    (tmp_path / "mended.py").write_text(mended, encoding="utf-8")
    (tmp_path / "others.py").write_text(OTHERS, encoding="utf-8")
    return tmp_path


OTHERS = """
import os, time, torch, triton, triton.language as tl

def nothing(): pass
def raises(): raise OverflowError("on purpose")
def dies(): os.abort()
def hangs(): time.sleep(1000)
def needs(one): pass

@triton.jit
def store(y): tl.store(y + tl.program_id(0), 1.0)

def finds_and_raises():
    store[(2,)](torch.zeros(1))
    raise OverflowError("on purpose")

def finds_and_hangs():
    store[(2,)](torch.zeros(1))
    print("launched", flush=True)
    time.sleep(1000)

def finds_and_dies():
    store[(2,)](torch.zeros(1))
    os.abort()
"""


def test_the_example_of_the_help(folder: Path, run: Callable[..., Any]) -> None:
    done = run("my_triton.py:launch", "--json", "found.jsonl", folder=folder)
    assert done.returncode == 1, done.stderr
    assert "OUT-OF-BOUNDS LOAD in double, launch 1" in done.stdout
    line = example().splitlines().index(next(line for line in example().splitlines() if "forgets" in line)) + 1
    assert f"my_triton.py:{line} in double" in done.stdout
    assert "element  [1], the first of 63 lanes" in done.stdout
    head, finding, end = (
        json.loads(line) for line in (folder / "found.jsonl").read_text(encoding="utf-8").splitlines()
    )
    assert (head["record"], head["machine"]["TRITON_INTERPRET"]) == ("run", "1")  # set where kernels run, not here
    assert (finding["kind"], finding["tensor"], finding["shape"], finding["index"]) == (
        "out-of-bounds load",
        "x",
        [1],
        [1],
    )
    assert (finding["times"], end["findings"], end["launches"]) == (2, 1, 3)


def test_the_example_of_the_page(tmp_path: Path) -> None:
    """It finds what stands there, word for word."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "gpu.md").read_text(encoding="utf-8")
    _, found, rest = page.partition("`my_triton.py`:\n\n```python\n")
    assert found
    (tmp_path / "my_triton.py").write_text(rest.partition("```")[0], encoding="utf-8")
    command = [*COMMAND, "my_triton.py:launch"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert f"```text\n{done.stdout}```\n" in page


def test_the_mended_example(folder: Path, run: Callable[..., Any]) -> None:
    done = run("mended:launch", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("nothing found: 3 launches of 1 kernel, 8 loads and stores")


@pytest.mark.evidence
@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("nothing", 5, "nothing ran: others.py:nothing launched no kernel"),
        ("raises", 3, "OverflowError: on purpose"),
        ("dies", 3, "the process ended with exit code -6"),
        ("finds_and_raises", 1, "OUT-OF-BOUNDS STORE in store"),
        ("finds_and_dies", 1, "OUT-OF-BOUNDS STORE in store|1 FOUND: 1 launch of 1 kernel, 2 loads and stores"),
        ("needs", 2, "target: expected a function without arguments but target, got others.py:needs, which needs one"),
        ("store", 2, "target: expected a function that launches kernels, got a kernel itself at others.py:store"),
        ("absent", 2, "target: expected a callable 'absent' in others.py, got none of that name"),
    ],
)
def test_exit_codes(folder: Path, name: str, code: int, told: str, run: Callable[..., Any]) -> None:
    done = run(f"others.py:{name}", folder=folder)
    assert done.returncode == code, done.stdout + done.stderr
    assert all(part in done.stdout + done.stderr for part in told.split("|"))


@pytest.mark.evidence
def test_ctrl_c_keeps_what_was_found(folder: Path, as_from_a_terminal: Callable[[list[str]], list[str]]) -> None:
    process = subprocess.Popen(
        as_from_a_terminal([*COMMAND, "others.py:finds_and_hangs"]),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "launched\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    told, errors = process.communicate(timeout=900)  # it would hang for longer
    assert process.returncode == 130
    assert "OUT-OF-BOUNDS STORE in store" in told
    assert errors.splitlines()[-1] == "trueband: interrupted; the above had been found"
    assert "did not end well" not in errors


def test_a_function_that_does_not_end(folder: Path, run: Callable[..., Any]) -> None:
    done = run("others.py:hangs", "--time-limit", "0.5", folder=folder)
    assert done.returncode == 3
    assert "it did not end within 0.5 s" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["my_triton"], "target: expected module:function, file.py:function or triton, got 'my_triton'"),
        (["my_triton.py:launch", "--seed", "-1"], "--seed: expected an int >= 0, got -1"),
        (["my_triton.py:launch", "--json", "no/such/folder"], "No such file or directory"),
    ],
)
def test_usage(folder: Path, arguments: list[str], told: str, run: Callable[..., Any]) -> None:
    done = run(*arguments, folder=folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_triton(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        TargetError, match=r"triton: expected the package triton, got none: pip install 'trueband\[trit"
    ):
        sanitize("my_triton.py:launch")


def test_in_a_process_without_the_interpreter(folder: Path) -> None:
    """As a library, where triton is already there and would compile; the environment comes too late."""
    script = (
        "import triton, os; os.environ['TRITON_INTERPRET'] = '1'\n"
        "from trueband.properties.gpu.sanitizer import sanitized\n"
        "try:\n    with sanitized(): pass\nexcept RuntimeError as error: print(error)"
    )
    variables = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=False)
    assert "expected Triton's interpreter, got triton imported without it: set TRITON_INTERPRET=1" in done.stdout


@pytest.mark.evidence
def test_the_package_itself(folder: Path, run: Callable[..., Any]) -> None:
    """Without a target: all kernels of forward and backward passes, and nothing found."""
    done = run("--json", "found.jsonl", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    _, end = (json.loads(line) for line in (folder / "found.jsonl").read_text(encoding="utf-8").splitlines())
    assert end["kernels"] == [
        "add_parts",
        "band_backward_key",
        "band_backward_query",
        "band_forward",
        "global_keys_backward",
        "global_rows_backward_key",
        "global_rows_backward_query",
        "global_rows_forward",
        "global_rows_join",
        "span_backward_key",
        "span_backward_query",
        "span_forward",
    ]
    assert end["unchecked"] == 0


def test_autotuned_kernels_in_every_configuration(folder: Path, run: Callable[..., Any]) -> None:
    """Two lengths: two configurations each, and the one that is taken."""
    done = run(f"{Path(__file__).with_name('compiled.py')}:autotuned", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found: 6 launches of 1 kernel" in done.stdout
