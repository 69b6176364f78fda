"""Stand-ins for CUDA's libraries, beside a torch that was built for CUDA and installed alone: `... FOLDER_OF_TORCH`.

Such a torch cannot be imported, as its own libraries name those of CUDA. A stand-in has every name that is asked of it;
called, it says that there is no device. They are built beside torch's libraries, where torch looks first: torch then
runs on the CPU, as it does on a machine without a GPU. Linux only; needs `cc` and `readelf`.
"""

from __future__ import annotations

import collections
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

NO_DEVICE = 100  # cudaErrorNoDevice, and no other library's success
OF_CUDA = re.compile(r"lib(?:cu|nccl|nv)\w*\.so[.\d]*")
NAMES_OF_CUDA = re.compile(r"_*(?:cu|nccl|nv)")
# What torch looks at before it is told that there is no device.
ANSWERS = {
    "cudaGetDeviceCount": f"int cudaGetDeviceCount(int *count) {{ *count = 0; return {NO_DEVICE}; }}",
    "cudaGetErrorName": 'const char *cudaGetErrorName(int code) { return "stand-in"; }',
    "cudaGetErrorString": 'const char *cudaGetErrorString(int code) { return "stand-in"; }',
    "cudaGetLastError": "int cudaGetLastError(void) { return 0; }",
    "cudaPeekAtLastError": "int cudaPeekAtLastError(void) { return 0; }",
    "cudaDriverGetVersion": "int cudaDriverGetVersion(int *version) { *version = 0; return 0; }",
    "cudaRuntimeGetVersion": "int cudaRuntimeGetVersion(int *version) { *version = 0; return 0; }",
    "__cudaRegisterFatBinary": "void **__cudaRegisterFatBinary(void *code) { static void *known[4]; return known; }",
    "cudnnGetVersion": "unsigned long cudnnGetVersion(void) { return 0; }",
}

# {name: whether it is data}
Names = dict[str, bool]


def main(torch: Path) -> None:
    """Build a stand-in for each library of CUDA that torch needs and that is not beside it."""
    folder = torch / "lib"
    files = [*folder.glob("*.so*"), *torch.glob("_C*.so")]
    for library, versions in wanted(files).items():
        if not (folder / library).exists():
            build(folder / library, versions)
            print(f"{library}: a stand-in with {sum(map(len, versions.values()))} names")


def wanted(files: Iterable[Path]) -> Mapping[str, Mapping[str, Names]]:
    """{library: {version of a symbol, "" for none: names}}."""
    found: dict[str, dict[str, Names]] = {}
    for file in files:
        libraries = [name for name in re.findall(r"NEEDED.*\[(.+)\]", read("-d", file)) if OF_CUDA.fullmatch(name)]
        for library in libraries:
            found.setdefault(library, collections.defaultdict(dict))
        owners, owner = {}, ""
        for line in read("-V", file).splitlines():
            if match := re.search(r"File: (\S+)", line):
                owner = match[1]
            elif match := re.search(r"Name: (\S+)\s+Flags", line):
                owners[match[1]] = owner
        for line in read("--dyn-syms", file).splitlines():
            words = line.split()
            if len(words) < 8 or words[6] != "UND":
                continue
            name, _, version = words[7].partition("@")
            # A symbol without a version may be in any library that is loaded.
            library = owners.get(version, "") if version else next(iter(libraries), "")
            if library in found and (version or NAMES_OF_CUDA.match(name)):
                found[library][version][name] = words[3] == "OBJECT"
    return found


def read(what: str, file: Path) -> str:
    return subprocess.run(["readelf", what, "-W", str(file)], capture_output=True, text=True, check=True).stdout


def build(path: Path, versions: Mapping[str, Names]) -> None:
    """Compile one library."""
    source, script = [], []
    for version, names in versions.items():
        for name, is_data in names.items():
            plain = f"char {name}[4096];" if is_data else f"long {name}(void) {{ return {NO_DEVICE}; }}"
            source.append(ANSWERS.get(name, plain))
        if version:
            script.append(f"{version} {{ global: {' '.join(f'{name};' for name in names)} }};")
    with tempfile.TemporaryDirectory() as folder:
        code, exported = Path(folder, "names.c"), Path(folder, "versions.map")
        code.write_text("\n".join([*source, ""]), encoding="utf-8")
        exported.write_text("\n".join([*script, ""]), encoding="utf-8")
        command = ["cc", "-w", "-shared", "-fPIC", "-fno-builtin", str(code), f"-Wl,-soname,{path.name}"]
        command += [f"-Wl,--version-script={exported}"] if script else []
        subprocess.run([*command, "-o", str(path)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
