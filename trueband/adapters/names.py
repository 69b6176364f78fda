"""Names of targets: those that are shipped, and the entry points of other packages."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from trueband.properties.candidate.target import TargetError
from trueband.properties.gpu.triton_version import EXECUTE, require

GROUP = "trueband.targets"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Named:
    """A target that has a name.

    Attributes:
        name: for the command line.
        spec: module:attribute.
        summary: one line, what it runs.
        packages: the packages that it needs besides those of trueband.
        kind: "operator", or "models" for a factory of models.
        origin: the distribution that brings it.
        triton: what of `triton_version.TESTED` its kernels need.
    """

    name: str
    spec: str
    summary: str
    packages: tuple[str, ...] = ()
    kind: str = "operator"
    origin: str = "trueband"
    triton: str | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that it needs and that are not installed."""
        return tuple(package for package in self.packages if find_spec(package.replace("-", "_")) is None)

    @property
    def versions(self) -> str:
        """The versions of the packages that it needs."""
        return ", ".join(f"{package} {metadata.version(package)}" for package in self.packages)

    @property
    def expected_failures(self) -> Path | None:
        """The file of what it is known to fail."""
        path = HERE / f"{self.name}.json"
        return path if self.origin == "trueband" and path.is_file() else None


SHIPPED = {
    named.name: named
    for named in (
        Named("chunked", "trueband.adapters.chunked:target", "trueband.optimized.band_attention, sliding chunks"),
        Named(
            "triton",
            "trueband.gpu.triton:target",
            "trueband.optimized.band_attention, fused kernels (on the CPU interpreted: --cases 200 takes minutes)",
            ("triton",),
        ),
        Named("sdpa", "trueband.adapters.sdpa:target", "torch's scaled_dot_product_attention, dense masks", ("torch",)),
        Named("flex", "trueband.adapters.flex:target", "torch's flex_attention, not compiled", ("torch",)),
        Named(
            "hf-longformer",
            "trueband.adapters.huggingface:longformer",
            "transformers' LongformerSelfAttention",
            ("transformers",),
        ),
        Named(
            "hf-led", "trueband.adapters.huggingface:led", "transformers' LEDEncoderSelfAttention", ("transformers",)
        ),
        Named(
            "local-attention",
            "trueband.adapters.local_attention:target",
            "lucidrains' LocalAttention, exact windows",
            ("local-attention",),
        ),
        Named(
            "ptx-sm80",
            "trueband.gpu.ptx:sm80",
            "the fused kernels compiled for sm_80, executed on the CPU",
            ("triton",),
            triton=EXECUTE[80],
        ),
        Named(
            "ptx-sm90",
            "trueband.gpu.ptx:sm90",
            "the fused kernels compiled for sm_90, executed on the CPU",
            ("triton",),
            triton=EXECUTE[90],
        ),
        Named(
            "ptx-sm80-tf32",
            "trueband.gpu.ptx:sm80_tf32",
            "the same for sm_80, float32 products cut to tf32",
            ("triton",),
            triton=EXECUTE[80],
        ),
        Named(
            "ptx-sm90-tf32",
            "trueband.gpu.ptx:sm90_tf32",
            "the same for sm_90, float32 products cut to tf32",
            ("triton",),
            triton=EXECUTE[90],
        ),
        Named(
            "hf",
            "trueband.adapters.hf_models:factory",
            "transformers' LED, Longformer and XLM-RoBERTa models",
            ("transformers",),
            kind="models",
        ),
        Named(
            "hf-patched",
            "trueband.adapters.hf_patched:factory",
            "transformers' LED and Longformer models with the attention of trueband",
            ("transformers",),
            kind="models",
        ),
    )
}


def named_targets() -> list[Named]:
    """List all targets that have a name: the shipped ones, then entry points of the group `trueband.targets`."""
    entry_points = [
        Named(point.name, point.value, "", origin=point.dist.name if point.dist else "unknown")
        for point in metadata.entry_points(group=GROUP)
    ]
    return [*SHIPPED.values(), *sorted(entry_points, key=lambda named: (named.name, named.origin))]


def resolve(target: str, kind: str = "operator") -> Named:
    """Resolve a user's word for a target: a name, or module:attribute itself.

    Raises:
        TargetError: no target or several have this name, it is of another kind, or a package is not installed.
    """
    if ":" in target:
        return Named(target, target, "", kind=kind, origin="")
    known = named_targets()
    matching = [entry for entry in known if entry.name == target]
    if not matching:
        names = ", ".join(entry.name for entry in known if entry.kind == kind)
        raise TargetError(f"target: expected module:callable, file.py:callable or one of {names}, got {target!r}")
    if len(matching) > 1:
        origins = ", ".join(entry.origin for entry in matching)
        raise TargetError(f"target: expected one target of the name {target!r}, got one of each of {origins}")
    named = matching[0]
    if named.kind != kind:
        option = "--model-target" if named.kind == "models" else "TARGET"
        raise TargetError(f"target: expected {named.name!r} to be given as {option}: it is of the kind {named.kind}")
    if named.missing:
        packages = " ".join(named.missing)
        raise TargetError(f"target: expected {packages} for {target!r}, got no such package: pip install {packages}")
    if named.triton is not None:
        require(named.triton)
    return named
