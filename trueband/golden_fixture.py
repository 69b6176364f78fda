"""The pytest fixture `golden`: a golden's inputs, what is expected of them, and the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.judged import judge_published, refuted
from trueband.golden.recordings.recording import RUN, entering, judge_tap, judge_taps, tap_names
from trueband.golden.records import Outcome
from trueband.golden.store import Golden, GoldenFileError, Metadata, open_store, read_golden
from trueband.golden.store.file import ENDING
from trueband.properties.bounds.precision import DTYPES

Array = NDArray[Any]


def golden_in_test(name: str | Path) -> GoldenInTest:
    """A golden by its id, or a recording by its path (*.safetensors).

    Raises:
        GoldenFileError: an unknown id, no such file, a file that was altered.
    """
    if isinstance(name, Path) or name.endswith(ENDING):
        return GoldenInTest(read_golden(Path(name)))
    return GoldenInTest(open_store().golden(name))


@dataclass(frozen=True)
class GoldenInTest:
    """One golden in a test. `golden` is the file as it is read."""

    golden: Golden

    @property
    def metadata(self) -> Metadata:
        """The metadata: the claim, the source, the slice of the output, ..."""
        return self.golden.metadata

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs by the names of the arguments: arrays where the golden holds arrays, otherwise its recipe."""
        return {
            name: self.golden.arrays[recipe["tensor"]]
            if isinstance(recipe, dict) and recipe.keys() == {"tensor"}
            else recipe
            for name, recipe in self.metadata.inputs.items()
        }

    @property
    def expected(self) -> Array | list[str]:
        """The published output: an array, or texts.

        Raises:
            GoldenFileError: a recording, which has `taps`.
        """
        return self.golden.expected if self.metadata.expected is None else self.metadata.expected

    @property
    def taps(self) -> dict[str, Array]:
        """The reference's values at the recorded rows of a recording, by tap, (b, r, D) float64."""
        return {name: self.golden.arrays[f"tap.{name}"] for name in tap_names(self.golden)}

    @property
    def entering(self) -> dict[str, Array]:
        """The inputs of each stage of a recording, all rows, (b, n, D) float32; for decoder layers also "encoded"."""
        tap_names(self.golden)
        return entering(self.golden)

    def assert_close(self, value: Any, tap: str | None = None, dtype: str | None = None) -> None:
        """Fail unless a value is the golden's, within the printed digits or within the bound of a recording.

        Args:
            value: an array or tensor (of the published part, see `metadata.slice`), or texts. Of a recording: all rows
                or the recorded ones of one tap; without `tap` a mapping from the names of all taps.
            tap: the name of a tap of a recording.
            dtype: for a recording, the dtype of the computation: float64, float32, bfloat16 or float16. None: the
                dtype of the value.

        Raises:
            AssertionError: it is off, by how much and where. A superseded value must be missed.
            ValueError, TypeError: another shape, an unknown tap or dtype.
        """
        outcome = self._outcome(value, tap, dtype)
        if not outcome.passed:
            raise AssertionError(f"{self.golden.id}: {self.metadata.claim}\n{outcome.detail}")

    def _outcome(self, value: Any, tap: str | None, dtype: str | None) -> Outcome:
        if self.metadata.run != RUN:
            if tap is not None or dtype is not None:
                raise ValueError(f"tap, dtype: expected None for {self.golden.id}, which is not a recording")
            outcome = judge_published(self.golden, _numpy(value)[0])
            return refuted(self.golden, outcome) if self.metadata.kind == "superseded" else outcome
        if tap is None:
            if not isinstance(value, Mapping):
                raise TypeError(f"value: expected a mapping from taps, or one tap, got {type(value).__name__}")
            taps = {name: _numpy(tap) for name, tap in value.items()}
            dtypes = {dtype for _, dtype in taps.values()}
            if dtype is None and len(dtypes) != 1:
                raise ValueError(f"dtype: expected taps of one dtype, or the argument, got {sorted(map(str, dtypes))}")
            dtype = _known(dtype or dtypes.pop())
            verdicts = judge_taps(self.golden, {name: array for name, (array, _) in taps.items()}, dtype)
            failed = [verdict for verdict in verdicts if not verdict.passed]
            return Outcome.of(failed[0]) if failed else Outcome.worst(verdicts)
        array, own = _numpy(value)
        if tap not in tap_names(self.golden):
            raise GoldenFileError(f"tap: expected one of {', '.join(tap_names(self.golden))}, got {tap!r}")
        return Outcome.of(judge_tap(self.golden, tap, array, _known(dtype or own)))


def _numpy(value: Any) -> tuple[Any, str]:
    """An array of numbers that NumPy has, and the dtype that they had; texts as they are."""
    if hasattr(value, "detach"):  # of torch, whose half types NumPy may not have
        return value.detach().cpu().double().numpy(), str(value.dtype).removeprefix("torch.")
    if isinstance(value, np.ndarray):
        return value.astype(np.float64), value.dtype.name
    return value, "float64"


def _known(dtype: str) -> str:
    if dtype not in DTYPES:
        raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
    return dtype
