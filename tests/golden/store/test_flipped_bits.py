"""One bit changed anywhere in any file of the store is an error that names the file, and the array where it is one."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from trueband.golden.store import GoldenFileError, Store, open_store, read_golden
from trueband.golden.store.file import parse_golden
from trueband.golden.store.store import INDEX

STORE = open_store()


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def regions(content: bytes) -> dict[str, tuple[int, int]]:
    """Where each array stands, first byte and the one behind the last."""
    start = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8:start])
    places = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
    return {name: (start + first, start + last) for name, (first, last) in places.items()}


def seeded(name: str) -> random.Random:
    """The same bits in every run, others for every file."""
    return random.Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))


@pytest.mark.parametrize("name", list(STORE))
def test_a_bit_of_an_array(name: str) -> None:
    content, choose = (STORE.folder / STORE.index[name]["file"]).read_bytes(), seeded(name)
    for array, (first, last) in regions(content).items():
        with pytest.raises(GoldenFileError, match=rf"^here: {array}: expected sha256 [0-9a-f]{{64}}, got another"):
            parse_golden(flipped(content, choose.randrange(8 * first, 8 * last)), "here")


@pytest.mark.parametrize("name", list(STORE))
def test_bits_of_the_header_and_of_the_metadata(name: str) -> None:
    """With the index, which knows the sha256 of the whole file, and without it."""
    file = STORE.index[name]["file"]
    content, choose = (STORE.folder / file).read_bytes(), seeded(name)
    end = 8 + int.from_bytes(content[:8], "little")
    for _ in range(10):
        spoiled = flipped(content, choose.randrange(8 * end))
        with pytest.raises(GoldenFileError, match=r"^here: "):
            parse_golden(spoiled, "here")


@pytest.mark.parametrize("bit", [0, 40, 9 * 8, 500 * 8 + 3])
def test_the_store_refuses_the_file(small: Path, bit: int) -> None:
    path = small / "published" / "sapiens_accuracy.safetensors"
    path.write_bytes(flipped(path.read_bytes(), bit))
    store = Store(small, json.loads((small / INDEX).read_text())["goldens"])
    with pytest.raises(GoldenFileError, match=rf"^{path}: "):
        store.golden("sapiens_accuracy")
    with pytest.raises(GoldenFileError, match=rf"^{path}: "):
        store.check()


def test_every_truncation_is_refused(small: Path) -> None:
    path = small / "published" / "sapiens_accuracy.safetensors"
    content = path.read_bytes()
    for length in [*range(0, len(content), 7), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(GoldenFileError, match=rf"^{path}: expected a whole safetensors file, got: "):
            read_golden(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(GoldenFileError, match=rf"^{path}: expected a whole safetensors file, got: "):
        read_golden(path)
