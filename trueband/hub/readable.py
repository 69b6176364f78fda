"""The folder that models are read from: the user's own, or a temporary one with what the models can read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trueband.golden.checkpoints.recognize import SAME_MODEL
from trueband.hub.folder import CONFIG, read_folder, write_folder

BART_WINDOW = 1024  # two-sided, LED's own: covers every text that goldens of BART have


@contextmanager
def readable_folder(directory: Path, config: Mapping[str, Any]) -> Iterator[Path]:
    """The folder itself; of a BART, an LED made of it (`trueband convert`); of a CamemBERT, the same as a RoBERTa.

    Raises:
        ValueError: no weights that can be read, or a BART that cannot be converted.
    """
    kind = config.get("model_type")
    if kind != "bart" and kind not in SAME_MODEL:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="trueband-") as name:
        folder = Path(name)
        if kind == "bart":
            _convert_bart(directory, folder)
        else:
            for path in directory.resolve().iterdir():
                (folder / path.name).symlink_to(path)
            (folder / CONFIG).unlink()
            content = json.dumps({**config, "model_type": SAME_MODEL[str(kind)]})
            (folder / CONFIG).write_text(content, encoding="utf-8")
        yield folder


def _convert_bart(directory: Path, folder: Path) -> None:
    from trueband.golden.weights.bart import bart_to_led, complete_bart
    from trueband.golden.weights.fairseq import Checkpoint

    read = read_folder(directory, "--checkpoint")
    positions = read.config.get("max_position_embeddings", BART_WINDOW)
    led = bart_to_led(Checkpoint(read.config, complete_bart(read.state)), BART_WINDOW, positions)
    if not led.state["final_logits_bias"].any():
        del led.state["final_logits_bias"]  # classes without it need not say that they leave it out
    write_folder(folder, *led, "float32")
