"""The process that compiles: `python -m trueband.properties.gpu.ptx.compile_process`.

One JSON object a line on the standard input, one on the standard output. Triton's compiler cannot live in a process
where its interpreter was asked for, nor change its mind, so it has this process to itself.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from trueband.properties.gpu.aot.nvidia import usage
from trueband.properties.target import load_attribute

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
    """PTX text, and what goes with it, of one kernel.

    The stages are those of triton.compile. The last makes machine code, which cannot be executed here.
    """
    from triton._C.libtriton import ir
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler.compiler import make_backend

    kernel = load_attribute(f"{request['module']}:{request['kernel']}")
    source = ASTSource(
        fn=kernel,
        signature=dict(request["signature"]),
        constexprs={(kernel.arg_names.index(name),): value for name, value in request["constants"].items()},
        attrs={(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in request["aligned"]},
    )
    target = GPUTarget("cuda", request["capability"], WARP)
    backend = make_backend(target)
    options = backend.parse_options({"num_warps": request["warps"], "num_stages": request["stages"]})
    stages: dict[str, Any] = {}
    backend.add_stages(stages, options, source.language)
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    module = source.make_ir(
        target, options, backend.get_codegen_implementation(options), backend.get_module_map(), context
    )
    metadata: dict[str, Any] = {"target": target, **options.__dict__}
    for name in ("ttir", "ttgir", "llir", "ptx"):
        module = stages[name](module, metadata)
    answer = {"ptx": module, "shared": metadata["shared"]}
    if request["assembled"]:
        answer["registers"], _ = usage(stages["cubin"](module, metadata))
    return answer


if __name__ == "__main__":
    main()
