"""The folder that models are read from: the user's own, or a temporary one with what the models can read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Types that compute what another one does, under the same names of weights.
SAME_MODEL = {"camembert": "roberta"}
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
            (folder / "config.json").unlink()
            content = json.dumps({**config, "model_type": SAME_MODEL[str(kind)]})
            (folder / "config.json").write_text(content, encoding="utf-8")
        yield folder


def _convert_bart(directory: Path, folder: Path) -> None:
    from trueband.convert_run import read_hub, write_hub
    from trueband.golden.bart import bart_to_led, complete_bart
    from trueband.golden.fairseq import Checkpoint

    config, state, _ = read_hub(directory)
    positions = config.get("max_position_embeddings", BART_WINDOW)
    led = bart_to_led(Checkpoint(config, complete_bart(state)), BART_WINDOW, positions)
    if not led.state["final_logits_bias"].any():
        del led.state["final_logits_bias"]  # classes without it need not say that they leave it out
    write_hub(folder, led, "float32")
