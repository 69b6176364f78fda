"""A folder with a checkpoint, as runners see it: configuration, tokenizer, and arrays beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.checkpoints.texts import Texts
from trueband.golden.records import CannotRun


@dataclass(frozen=True)
class Directory:
    """Attributes:
    path: the folder that the user named.
    config: content of its config.json.
    """

    path: Path
    config: Mapping[str, Any]

    @cached_property
    def texts(self) -> Texts:
        """The tokenizer, read once. Raises CannotRun where the folder has none."""
        return Texts(self.path)

    @property
    def pad_token_id(self) -> int:
        return int(self.config.get("pad_token_id", 1))

    @property
    def mask_token_id(self) -> int:
        return self.texts.id_of("<mask>")

    @property
    def labels(self) -> dict[int, str]:
        """Class -> its name."""
        names = self.config.get("id2label") or {}
        return {int(number): str(name) for number, name in names.items()}

    def linear(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weight (out, in) and bias (out,) of a head in a file of its own, such as "colbert_linear.pt".

        Raises:
            CannotRun: the folder does not have the file.
            ValueError: it holds something else.
        """
        import torch

        path = self.path / name
        if not path.is_file():
            raise CannotRun(f"needs the head {name} beside the model; {self.path} has none")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            weight, bias = (content[part].to(torch.float64).numpy() for part in ("weight", "bias"))
        except Exception as error:  # whatever a broken or hostile pickle raises
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"{path}: expected weight and bias of a linear layer, got: {said}") from error
        return weight, bias
