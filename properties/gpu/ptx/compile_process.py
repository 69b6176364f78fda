"""The process that compiles: `python -m trueband.properties.gpu.ptx.compile_process`.

One JSON object a line on the standard input, one on the standard output. Triton's compiler cannot live in a process
where its interpreter was asked for, nor change its mind, so it has this process to itself.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from trueband.properties.candidate.target import load_attribute
from trueband.properties.gpu.aot.nvidia import usage

WARP = 32


def main() -> None:
    """Compile what is asked for until the other side closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed is no answer
    for line in sys.stdin:
        try:
            answer = compiled(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def compiled(request: dict[str, Any]) -> dict[str, Any]:
    """PTX text, and what goes with it, of one kernel."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = load_attribute(f"{request['module']}:{request['kernel']}")
    aligned = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in request["aligned"]}
    binary = triton.compile(
        ASTSource(kernel, dict(request["signature"]), request["constants"], aligned),
        target=GPUTarget("cuda", request["capability"], WARP),
        options={"num_warps": request["warps"], "num_stages": request["stages"]},
    )
    registers, _ = usage(binary.asm["cubin"])
    return {"ptx": binary.asm["ptx"], "shared": binary.metadata.shared, "registers": registers}


if __name__ == "__main__":
    main()
