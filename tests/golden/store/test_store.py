"""The store: what it refuses, what it keeps, and that it needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from trueband.golden.store import Golden, GoldenFileError, Store, open_store, read_golden, write_golden
from trueband.golden.store.file import DIGESTS, KEY, SEAL
from trueband.golden.store.store import write_index

Opened = Callable[[], Store]


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """The file with other metadata, sealed as if a newer version had written it."""
    golden = read_golden(path)
    told = golden.metadata.to_dict()
    change(told)

    class Told:
        id = golden.id

        @staticmethod
        def to_dict() -> dict[str, Any]:
            return told

    metadata: Any = Told()
    write_golden(path, Golden(metadata, golden.arrays))


def test_the_store_of_the_package_is_whole() -> None:
    open_store().check()


def test_the_same_golden_gives_the_same_bytes(tmp_path: Path) -> None:
    store = open_store()
    for name in ("lf_tiny_layer_local", "bart_g2p_word_com"):
        golden, original = store.golden(name), store.folder / store.index[name]["file"]
        for i in range(5):
            write_golden(tmp_path / str(i), golden)
            assert (tmp_path / str(i)).read_bytes() == original.read_bytes()
        again = read_golden(tmp_path / "0")
        assert again.metadata == golden.metadata
        assert all(np.array_equal(again.arrays[key], golden.arrays[key]) for key in golden.arrays | again.arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.update(format=2), "format: expected 1, got 2; another version of trueband wrote it"),
        (lambda told: told.pop("format"), "format: expected 1, got None"),
        (lambda told: told.update(colour="red"), "expected the fields id, kind, .*, got also colour"),
        (lambda told: told["source"].update(by="me"), "source: expected the fields publisher, .*, got also by"),
        (lambda told: told.pop("claim"), "expected all fields that have no default, got: .*claim"),
        (lambda told: told.update(tolerance={"absolute": 1.0}), "tolerance: expected all fields .*relative"),
        (lambda told: told.update(kind="guessed"), "kind: expected one of published, .*, got 'guessed'"),
        (lambda told: told.update(source="me"), "source: expected an object, got 'me'"),
    ],
)
def test_metadata_of_another_form_are_refused(small: Path, change: Callable[..., Any], message: str) -> None:
    path = small / "published" / "sapiens_accuracy.safetensors"
    rewritten(path, change)
    with pytest.raises(GoldenFileError, match=message):
        read_golden(path)
    with pytest.raises(GoldenFileError, match=message):
        write_index(small)


def test_a_file_that_is_no_golden_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(GoldenFileError, match="expected a golden, got a safetensors file without its metadata"):
        read_golden(path)
    for more in ({}, {"more": ""}, {"more": "", SEAL: ""}):
        save_file({"a": np.zeros(2)}, path, {KEY: "{}", DIGESTS: "{}", **more})
        with pytest.raises(GoldenFileError, match="metadata: expected golden, sha256 and golden_sha256, got golden, "):
            read_golden(path)
    save_file({"a": np.zeros(2)}, path, {KEY: "{}", DIGESTS: "{}", SEAL: "0"})
    with pytest.raises(GoldenFileError, match="metadata: expected sha256 0, got another: it was altered"):
        read_golden(path)
    with pytest.raises(GoldenFileError, match=r"absent\.safetensors: expected a golden, got: No such file"):
        read_golden(tmp_path / "absent.safetensors")


def test_an_unlisted_file_is_refused(small: Path, opened: Opened) -> None:
    golden = opened().golden("sapiens_accuracy")
    write_golden(small / "more.safetensors", Golden(replace(golden.metadata, id="more"), golden.arrays))
    with pytest.raises(GoldenFileError, match=r"expected only listed goldens, got also \['more\.safetensors'\]"):
        opened().check()
    write_index(small)
    opened().check()


def test_a_missing_file_is_refused(small: Path, opened: Opened) -> None:
    (small / "published" / "sapiens_accuracy.safetensors").unlink()
    with pytest.raises(GoldenFileError, match=r"expected the file of sapiens_accuracy, got: No such file"):
        opened().golden("sapiens_accuracy")
    with pytest.raises(GoldenFileError, match=r"expected the file of sapiens_accuracy, got: No such file"):
        opened().check()


def test_a_file_that_was_replaced_by_a_whole_one_is_refused(small: Path, opened: Opened) -> None:
    path = small / "published" / "sapiens_accuracy.safetensors"
    golden = read_golden(path)
    write_golden(path, Golden(golden.metadata, {"expected": golden.expected + 1}))
    with pytest.raises(GoldenFileError, match=r"accuracy\.safetensors: expected sha256 [0-9a-f]{64} of the index, got"):
        opened().check()


def test_a_file_named_otherwise_than_its_golden_is_refused(small: Path) -> None:
    path = small / "published" / "sapiens_accuracy.safetensors"
    path.rename(small / "other.safetensors")
    with pytest.raises(GoldenFileError, match="expected a file named after its id, once, got sapiens_accuracy"):
        write_index(small)


def test_an_unknown_id_is_refused(opened: Opened) -> None:
    with pytest.raises(GoldenFileError, match="id: expected one of `trueband golden list`, got 'nothing'"):
        opened().golden("nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(format=2), "format: expected 1, got 2"),
        (lambda content: content.update(more=1), "expected the fields format and goldens"),
        (lambda content: content["goldens"]["sapiens_accuracy"].pop("kind"), "sapiens_accuracy: expected the fields"),
        (lambda content: content["goldens"]["sapiens_accuracy"].update(more=1), "sapiens_accuracy: expected the field"),
    ],
)
def test_an_index_of_another_form_is_refused(
    index: Path, opened: Opened, change: Callable[..., Any], message: str
) -> None:
    content = json.loads(index.read_text())
    change(content)
    index.write_text(json.dumps(content))
    with pytest.raises(GoldenFileError, match=message):
        opened()


def test_an_index_that_tells_otherwise_than_the_file_is_refused(index: Path, opened: Opened) -> None:
    content = json.loads(index.read_text())
    content["goldens"]["sapiens_accuracy"]["claim"] = "another"
    index.write_text(json.dumps(content))
    with pytest.raises(GoldenFileError, match="expected sapiens_accuracy as in the index, got sapiens_accuracy as"):
        opened().check()


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_broken_index_is_refused(index: Path, opened: Opened, text: str) -> None:
    index.write_text(text)
    with pytest.raises(GoldenFileError, match=r"index\.json: expected the (index of a store|fields)"):
        opened()


def test_an_interrupted_write_leaves_the_old_file(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small / "published" / "sapiens_accuracy.safetensors"
    before, golden = path.read_bytes(), read_golden(path)

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_golden(path, Golden(golden.metadata, {"expected": golden.expected + 1}))
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 3


def test_reading_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from trueband.golden.store import open_store\n"
        "store = open_store(); store.check(); print(len(store.index))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == len(open_store().index)
