"""The metadata of a golden: all but its arrays. Unknown and missing fields are errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from trueband.golden.store.errors import GoldenFileError

FORMAT = 1
# published: printed by others. derived: printed by others for weights that must give the same. superseded: printed
# once and corrected since; a correct implementation must miss it. peer: recorded from another library on weights
# stored here. taps: recorded from the reference. recording: taps of a user's own model.
KINDS = ("published", "derived", "superseded", "peer", "taps", "recording")


@dataclass(frozen=True)
class Source:
    """Who printed the numbers, and where.

    Attributes:
        publisher: a person, a project or a company.
        repository: "owner/name", or None for numbers made here.
        path, commit: the file that holds them; None where it is not known.
    """

    publisher: str
    repository: str | None = None
    path: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Tolerance:
    """|value - expected| <= absolute + relative * |expected|, from the digits that were printed.

    Attributes:
        why: "printed with 4 decimals", "stated by the publisher", ...
    """

    absolute: float
    relative: float
    why: str


@dataclass(frozen=True)
class Metadata:
    """The metadata of one golden.

    Attributes:
        id: unique in the store, and the name of its file.
        kind: one of KINDS.
        claim: one line, what passing says.
        checkpoint: key into the store's table of checkpoints; None: no trained weights are needed.
        run: how the output is computed: the name of a runner.
        model_class: the class whose fields the outputs have, such as "LEDForConditionalGeneration"; or None.
        inputs: names of arguments -> a recipe: nested lists, or {"tensor": name} of an array in the file, or the forms
            of the runner.
        output: which output, by its name, such as "logits".
        slice: the slice of the output, in Python's notation; None: all of it.
        expected: texts, where the output is text; None: the array "expected" of the file.
        tolerance: None where the output must agree exactly, and for kinds that are judged by a computed bound.
        dtype: the dtype that the publisher computed in.
        source: who published.
        license: the license of the numbers.
        conversion: the conversion of the checkpoint before it runs: {"to": "longformer", ...}; None: as it is.
        revision: the revision of the checkpoint; None: not known.
        weights_sha256: name of a file of weights -> sha256; empty: not known.
        inputs_sha256: of the inputs, see `trueband.golden.store.digest`.
        cannot_run: why no runner can compute it (a dataset, another architecture); None: it runs.
        also_in: other places that print the same numbers.
        note: for a reader.
        generator: what wrote the file: "trueband 0.1.0".
        why: reasons given each time the golden was replaced, newest last.
        details: the details of the runner: configurations, versions, seeds.
    """

    id: str
    kind: str
    claim: str
    checkpoint: str | None
    run: str
    model_class: str | None
    inputs: dict[str, Any]
    output: str
    dtype: str
    source: Source
    license: str
    generator: str
    inputs_sha256: str
    slice: str | None = None
    expected: list[str] | None = None
    tolerance: Tolerance | None = None
    conversion: dict[str, Any] | None = None
    revision: str | None = None
    weights_sha256: dict[str, str] = field(default_factory=dict)
    cannot_run: str | None = None
    also_in: list[Any] = field(default_factory=list)
    note: str = ""
    why: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise GoldenFileError(f"{self.id}: kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `format` first."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, content: Any, where: str) -> Self:
        """Read what `to_dict` wrote.

        Args:
            where: the file, for errors.

        Raises:
            GoldenFileError: another format, an unknown, missing or ill-typed field.
        """
        if not isinstance(content, dict):
            raise GoldenFileError(f"{where}: metadata: expected an object, got {type(content).__name__}")
        values = dict(content)
        version = values.pop("format", None)
        if version != FORMAT:
            raise GoldenFileError(
                f"{where}: format: expected {FORMAT}, got {version!r}; another version of trueband wrote it"
            )
        values["source"] = _part(Source, values.get("source"), f"{where}: source")
        if values.get("tolerance") is not None:
            values["tolerance"] = _part(Tolerance, values["tolerance"], f"{where}: tolerance")
        return _part(cls, values, where)


def _part(kind: Any, content: Any, where: str) -> Any:
    if not isinstance(content, dict):
        raise GoldenFileError(f"{where}: expected an object, got {content!r}")
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(content.keys() - known.keys())
    if unknown:
        raise GoldenFileError(f"{where}: expected the fields {', '.join(known)}, got also {', '.join(unknown)}")
    try:
        return kind(**content)
    except TypeError as error:
        raise GoldenFileError(f"{where}: expected all fields that have no default, got: {error}") from error
