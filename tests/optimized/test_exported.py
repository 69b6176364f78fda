"""Dataclasses among the inputs and outputs of an exported model: with torch 2.6 registered without its function."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils import _pytree

from trueband.optimized.layers import exported


@dataclass
class Ours:
    first: Tensor
    missing: Tensor | None = None
    more: tuple[Tensor, ...] | None = None


@dataclass
class Torchs:
    first: Tensor
    missing: Tensor | None = None
    more: tuple[Tensor, ...] | None = None


def test_the_same_leaves_and_paths_as_torch() -> None:
    exported._register(Ours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.6's, of itself
        torch.export.register_dataclass(Torchs)
    found = []
    for kind in (Ours, Torchs):
        one = kind(torch.ones(1), more=(torch.ones(2), torch.ones(3)))
        leaves, spec = _pytree.tree_flatten(one)
        again = _pytree.tree_unflatten([2 * leaf for leaf in leaves], spec)
        assert type(again) is kind
        assert (again.first.tolist(), again.missing, len(again.more or ())) == ([2.0], None, 2)
        found.append([(len(path), leaf.shape) for path, leaf in _pytree.tree_flatten_with_path(one)[0]])
    assert found[0] == found[1] == [(1, (1,)), (2, (2,)), (2, (3,))]


def test_the_package_is_imported_without_a_warning() -> None:
    command = [sys.executable, "-W", "error", "-c", "import trueband.optimized.layers.outputs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
