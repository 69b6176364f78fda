"""Watches Triton kernels in Triton's interpreter: bounds, unwritten memory, inactive lanes, races between programs.

    from trueband.properties.gpu.sanitizer import sanitized  # with TRITON_INTERPRET=1, before triton is imported

    with sanitized() as report:
        my_kernel[grid](x, y, BLOCK=64)  # tensors on the CPU
    assert not report.findings, str(report.findings[0])

The command `trueband sanitize` does the same in a process of its own.

It does not see what the compiler makes of the kernel, faults at shapes that were not launched, or wrong numbers.
A column too many is the next row's first element, and goes unseen. Addresses that a kernel
reads from memory are not checked.
"""

from trueband.properties.gpu.sanitizer.finding import KINDS, Finding, Place
from trueband.properties.gpu.sanitizer.interpreter import sanitized
from trueband.properties.gpu.sanitizer.report import Report

__all__ = ["KINDS", "Finding", "Place", "Report", "sanitized"]
