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


def folder_of(name: str, mapped: dict[str, str]) -> str:
    """Where setuptools looks for a package: below the folder of its nearest parent that is mapped."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if folder := mapped.get(".".join(parts[:length])):
            return "/".join((folder, *parts[length:]))
    return "/".join(parts)


def differences(setuptools: dict[str, Any], on_disk: dict[str, str]) -> list[str]:
    """What pyproject.toml and the disk disagree on, one line each; nothing when they agree."""
    listed, mapped = setuptools["packages"], setuptools["package-dir"]
    problems = [f"packages: {name} twice" for name in {name for name in listed if listed.count(name) > 1}]
    problems += [f"packages: {name} on disk, not listed" for name in sorted(on_disk.keys() - set(listed))]
    problems += [f"packages: {name} listed, not on disk" for name in sorted(set(listed) - on_disk.keys())]
    problems += [
        f"package-dir: expected {name} = {folder}, got {folder_of(name, mapped)}"
        for name, folder in sorted(on_disk.items())
        if folder_of(name, mapped) != folder
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
    mapped = right["package-dir"]
    on_disk = {name: folder_of(name, mapped) for name in right["packages"]}
    assert differences(right, on_disk) == []
    name = data.draw(st.sampled_from(right["packages"]))
    others = [other for other in right["packages"] if other != name]
    for wrong in (
        {"packages": others, "package-dir": mapped},
        {"packages": [*right["packages"], name], "package-dir": mapped},
        {"packages": [*right["packages"], "trueband.ghost"], "package-dir": mapped},
        {"packages": right["packages"], "package-dir": {**mapped, "trueband.ghost": "ghost"}},
    ):
        assert len(differences(wrong, on_disk)) == 1
    top = data.draw(st.sampled_from([each for each in mapped if each != "trueband"]))
    without = {key: folder for key, folder in mapped.items() if key != top}
    for wrong in (without, {**mapped, name: "elsewhere"}):
        found = differences({"packages": right["packages"], "package-dir": wrong}, on_disk)
        assert found
        assert all(problem.startswith("package-dir: expected trueband") for problem in found)
