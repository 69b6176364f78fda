"""Files that are whole or not there: written beside their places, then renamed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_folder(
    directory: Path,
    texts: Mapping[str, str],
    tensors: Mapping[str, Mapping[str, Tensor]],
    outdated: Iterable[str] = (),
) -> None:
    """Writes files by name into a folder, made if need be: texts, and safetensors files with their tensors.

    Nothing is in place before everything is written. Files that are `outdated` then are removed last.
    """
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"directory: expected a folder, got the file {directory}")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".writing-") as temporary:
        for name, text in texts.items():
            (Path(temporary) / name).write_text(text, encoding="utf-8")
        for name, content in tensors.items():
            path = Path(temporary) / name
            path.touch()
            permissions = path.stat().st_mode  # those that the user's other files get; safetensors gives fewer
            save_file(dict(content), path, metadata={"format": "pt"})
            path.chmod(permissions)
        for name in (*tensors, *texts):
            (Path(temporary) / name).replace(directory / name)
    for name in outdated:
        (directory / name).unlink(missing_ok=True)
