"""Texts to ids with the `tokenizer.json` of a folder, and back. Needs the package `tokenizers` (the extra `text`).

A recipe of texts stands in the place of input_ids: {"texts": [...]} or {"pairs": [[first, second], ...]}, with
"special": False for no special tokens, "pad_to": n for a fixed length, and "prompts": names of the prompts of a
sentence-transformers checkpoint, one for each text. Rows are padded on the right to the longest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.records import CannotRun

Ids = NDArray[np.int64]
KEYS = {"texts", "pairs", "special", "pad_to", "prompts"}
SPACES = "▁Ġ"  # how vocabularies of SentencePiece and of byte-level BPE write a space before a word


@dataclass(frozen=True)
class Batch:
    """Attributes:
    ids, mask: (b, n); mask 1 for real tokens.
    segments: for each row and real token: 0 or 1, of which text; None of special tokens.
    offsets: for each row and real token: (start, end) in letters of its text.
    """

    ids: Ids
    mask: Ids
    segments: list[list[int | None]]
    offsets: list[list[tuple[int, int]]]


class Texts:
    """The tokenizer of a folder."""

    def __init__(self, directory: Path) -> None:
        """
        Raises:
            CannotRun: no package `tokenizers`, or no tokenizer.json in the folder.
            ValueError: a tokenizer.json that cannot be read.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise CannotRun("needs the package tokenizers: pip install 'trueband[text]'") from error
        path = directory / "tokenizer.json"
        if not path.is_file():
            raise CannotRun(f"needs tokenizer.json to read its text; {directory} has none")
        try:
            self.tokenizer: Any = Tokenizer.from_file(str(path))
        except Exception as error:  # the package raises nothing narrower
            raise ValueError(f"{path}: expected a tokenizer, got: {error}") from error
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.directory = directory

    def batch(self, recipe: Mapping[str, Any], pad_token_id: int) -> Batch:
        """Ids of a recipe's texts.

        Raises:
            ValueError: an unknown recipe, or a text that is longer than pad_to.
            CannotRun: prompts that the folder does not have.
        """
        if not recipe.keys() <= KEYS or ("texts" in recipe) == ("pairs" in recipe):
            raise ValueError(f"input_ids: expected texts or pairs, got {dict(recipe)!r}")
        rows = [(text, None) for text in recipe["texts"]] if "texts" in recipe else recipe["pairs"]
        if "prompts" in recipe:
            prompts = self.prompts()
            rows = [(prompts.get(name, "") + row[0], row[1]) for name, row in zip(recipe["prompts"], rows, strict=True)]
        special = recipe.get("special", True)
        encoded = [self.tokenizer.encode(first, second, add_special_tokens=special) for first, second in rows]
        longest = recipe.get("pad_to", max(len(encoding.ids) for encoding in encoded))
        ids = np.full((len(encoded), longest), pad_token_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encoded):
            if len(encoding.ids) > longest:
                raise ValueError(f"input_ids: expected at most {longest} tokens, got {len(encoding.ids)}")
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        return Batch(
            ids, mask, [encoding.sequence_ids for encoding in encoded], [encoding.offsets for encoding in encoded]
        )

    def prompts(self) -> dict[str, str]:
        """Prompts of a sentence-transformers checkpoint by name; none where it has no file of them."""
        path = self.directory / "config_sentence_transformers.json"
        if not path.is_file():
            return {}
        texts = json.loads(path.read_text(encoding="utf-8")).get("prompts") or {}
        return {str(name): str(prompt) for name, prompt in texts.items()}

    def id_of(self, token: str) -> int:
        """
        Raises:
            ValueError: the vocabulary does not have it.
        """
        number = self.tokenizer.token_to_id(token)
        if number is None:
            raise ValueError(f"token: expected one of the vocabulary, got {token!r}")
        return int(number)

    def named(self, number: int, form: str) -> str:
        """A token as "ids" (its number), "tokens" (as the vocabulary writes it), "texts" or "words" (no spaces)."""
        if form == "ids":
            return str(number)
        token: str = self.tokenizer.id_to_token(number)
        if form == "tokens":
            return token
        text: str = self.tokenizer.decode([number], skip_special_tokens=False)
        if form == "words":
            return text.strip()
        return (" " if token[:1] in tuple(SPACES) else "") + text.lstrip(" ")
