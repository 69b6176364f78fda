"""The list of packages in pyproject.toml against the disk. A forgotten one would be missing from the wheel only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

FOLDERS = ("trueband", "reference", "optimized", "properties", "golden")


def packages_on_disk(files: list[str]) -> dict[str, str]:
    """Package name to folder, for every folder with Python files among `files` (paths in the checkout)."""
    folders = {Path(file).parent for file in files if file.endswith(".py")}
    return {
        ".".join(folder.parts if folder.parts[0] == "trueband" else ("trueband", *folder.parts)): str(folder)
        for folder in folders
    }


def differences(setuptools: dict[str, Any], on_disk: dict[str, str]) -> list[str]:
    """What pyproject.toml and the disk disagree on, one line each; nothing when they agree."""
    listed, mapped = setuptools["packages"], setuptools["package-dir"]
    problems = [f"packages: {name} twice" for name in {name for name in listed if listed.count(name) > 1}]
    problems += [f"packages: {name} on disk, not listed" for name in sorted(on_disk.keys() - set(listed))]
    problems += [f"packages: {name} listed, not on disk" for name in sorted(set(listed) - on_disk.keys())]
    problems += [
        f"package-dir: expected {name} = {folder}, got {mapped.get(name)}"
        for name, folder in sorted(on_disk.items())
        if mapped.get(name) != folder
    ]
    problems += [f"package-dir: {name} mapped, not on disk" for name in sorted(mapped.keys() - on_disk.keys())]
    return problems


def in_checkout(checkout: Path, source_files: dict[str, Path]) -> list[str]:
    return [str(path.relative_to(checkout)) for path in source_files.values()]


def test_every_package_is_listed_and_mapped(
    pyproject: dict[str, Any], checkout: Path, source_files: dict[str, Path]
) -> None:
    on_disk = packages_on_disk(in_checkout(checkout, source_files))
    assert on_disk.keys() >= {"trueband", *(f"trueband.{folder}" for folder in FOLDERS[1:])}
    assert differences(pyproject["tool"]["setuptools"], on_disk) == []


def test_every_package_has_an_init(checkout: Path, source_files: dict[str, Path]) -> None:
    for folder in packages_on_disk(in_checkout(checkout, source_files)).values():
        assert (checkout / folder / "__init__.py").is_file(), folder


def test_each_of_the_five_folders_is_typed(checkout: Path) -> None:
    assert [folder for folder in FOLDERS if not (checkout / folder / "py.typed").is_file()] == []


@given(st.data())
def test_one_forgotten_or_wrong_entry_is_seen(pyproject: dict[str, Any], data: st.DataObject) -> None:
    """The wrong pyprojects: a package not listed, not mapped, mapped to the wrong folder, listed in excess."""
    right = pyproject["tool"]["setuptools"]
    on_disk = dict(right["package-dir"])
    assert differences(right, on_disk) == []
    name = data.draw(st.sampled_from(right["packages"]))
    others = [other for other in right["packages"] if other != name]
    without = {key: folder for key, folder in on_disk.items() if key != name}
    for wrong in (
        {"packages": others, "package-dir": on_disk},
        {"packages": [*right["packages"], name], "package-dir": on_disk},
        {"packages": [*right["packages"], "trueband.ghost"], "package-dir": on_disk},
        {"packages": right["packages"], "package-dir": without},
        {"packages": right["packages"], "package-dir": {**on_disk, name: "elsewhere"}},
        {"packages": right["packages"], "package-dir": {**on_disk, "trueband.ghost": "ghost"}},
    ):
        assert len(differences(wrong, on_disk)) == 1
